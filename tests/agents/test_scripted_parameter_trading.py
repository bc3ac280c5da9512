"""Strategies of the parameter market: closed forms where they exist, paired seeds where not.
Few markets, few rounds.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_cases import policy, trade

from agents.markets import STRATEGIES, shade, with_options
from agents.scripted.parameter_trading import Trader, trader
from marketenv import make_market
from marketenv.alignment import layer_mask
from marketenv.core import rounds
from marketenv.markets.parameter_trading import Scored, Trade, Traded
from marketenv.markets.training import Train, Trained
from marketenv.mechanisms import Uniform, best_midpoint, lower_bound, myerson

KIND, SEEDS = "parameter_trading_v0", 12
MARKET = make_market(KIND, max_cycles=2)
OPEN = make_market(KIND, max_cycles=2, disclosure="full")  # sellers know each buyer's gain
ROLE, SCALES = MARKET.moves[0], MARKET.phase(Trade).scales
ALL = torch.zeros(SEEDS, 4, dtype=torch.int64)  # everybody plays the first policy
FIRST = ALL.index_fill(1, torch.tensor([0]), 1)  # trader_0 plays the second policy
PAIR = ALL.index_fill(1, torch.tensor([0, 2]), 1)
OFF = ~torch.eye(4, dtype=torch.bool)


@pytest.fixture(scope="module")
def honest():
    """Two rounds in which all are truthful: what the others are compared to on the same seeds."""
    return trade(MARKET, ALL, [policy("truthful", MARKET)])


def one_deviates(name, market=MARKET, who=FIRST, n_rounds=None):
    """Reports of markets in which agents 1 of ``who`` play the strategy and the rest are
    truthful.
    """
    line_up = ["truthful", name]
    start = with_options(rounds.opened(market, torch.arange(SEEDS)), who, line_up)
    return trade(market, who, [policy(n, market) for n in line_up], start, n_rounds)


def options_of(now):
    return now.owns["trade"].options


def significantly_less(these, those):
    """Paired by market: the mean difference is more than four standard errors below 0."""
    gap = (these - those).double()
    return float(gap.mean()) < -4 * float(gap.std()) / len(gap) ** 0.5


def seen_with(**parts):
    """One observation of a trader with these fields, zeros elsewhere."""
    zeros = {f.name: torch.zeros(1, f.size) for f in ROLE.observation.items}
    return ROLE.observation.pack(**(zeros | {k: torch.tensor([v]) for k, v in parts.items()}))


def act(playing, seen):
    return ROLE.action.unpack(playing(seen, ROLE, torch.zeros(1, dtype=torch.int64)))


def test_truthful_in_either_bid_mode_bids_the_same_money():
    """bid = m max(gain, 0) whether a = 0 scales the worth or a = 2 worth / bid_max - 1 scales
    bid_max.
    """
    absolute = make_market(KIND, max_cycles=2, bid_mode="absolute")
    assert policy("truthful", MARKET) is MARKET.policies["truthful"]
    for name in ("truthful", "shade"):
        found = [
            trade(m, ALL[:3], [policy(name, m)], n_rounds=1)[0].of(Traded).bids
            for m in (MARKET, absolute)
        ]
        # a float32 action times bid_max of 35
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_a_trader_without_further_word_is_truthful():
    seen = seen_with(gain=[0.5, 0.0, -1.0], buyer_high=[1.0, 2.0, 3.0])
    keys = torch.zeros(1, dtype=torch.int64)
    assert torch.equal(
        trader(MARKET)(seen, ROLE, keys), MARKET.policies["truthful"](seen, ROLE, keys)
    )


def test_shade_bids_its_factor_of_the_worth(honest):
    """The same first quotes, so each bid is the factor times the truthful one; asks and effort
    are truthful.
    """
    for factor in (0.0, 0.25, 1.5):
        first = trade(MARKET, ALL, [shade(factor).build(MARKET)])[0].of(Traded)
        torch.testing.assert_close(
            first.bids,
            (factor * honest[0].of(Traded).bids).clamp(max=SCALES.bid_max),
            rtol=1e-6,
            atol=1e-6,
        )
        assert float(first.asks.abs().max()) == 0


def test_never_trade_moves_no_money_where_all_play_it():
    for report in trade(MARKET, ALL, [policy("never_trade", MARKET)]):
        assert float(report.transfers.abs().sum()) == 0 and int(report.of(Traded).bought.sum()) == 0
        asks = report.of(Traded).asks[:, OFF]
        torch.testing.assert_close(asks, torch.full_like(asks, SCALES.ask_max))


@pytest.mark.parametrize(
    ("name", "form"),  # uniform on [lo, hi] at cost 0: see the ask rules' own tests
    [
        ("myerson_seller", lambda lo, hi: lo.maximum(hi / 2)),
        ("best_midpoint_seller", lambda lo, hi: lo.maximum(hi / 3)),
        ("lower_bound_seller", lambda lo, hi: lo),
    ],
)
def test_sellers_ask_by_their_rule_on_what_is_disclosed(name, form):
    """One ask to all buyers: the prior runs from the least low to the greatest high over
    buyers, clipped to ask_max.
    """
    now = rounds.begin(OPEN, torch.arange(SEEDS))
    inf = torch.full((), torch.inf)
    low = now.quotes.low.where(OFF, inf).amin(1).double()  # over buyers: axis 1
    high = now.quotes.high.where(OFF, -inf).amax(1).double()
    assert float(high.max()) > float(high.min()) > 0
    (report,) = trade(OPEN, ALL, [policy(name, OPEN)], n_rounds=1)
    expected = (
        form(low, high).clamp(max=OPEN.phase(Trade).scales.ask_max)[:, None].expand(-1, 4, -1)
    )
    torch.testing.assert_close(
        report.of(Traded).asks[:, OFF], expected[:, OFF], rtol=1e-5, atol=1e-5
    )
    (honest_bids,) = trade(OPEN, ALL, [policy("truthful", OPEN)], n_rounds=1)
    assert (
        torch.equal(report.of(Traded).bids, honest_bids.of(Traded).bids)
        and float(report.of(Trained).effort.min()) == 1
    )


@settings(max_examples=40)
@given(
    st.floats(0, 3),
    st.floats(0, 1),
    st.floats(0, 2),
    st.sampled_from([myerson, best_midpoint, lower_bound]),
)
def test_any_ask_rule_reaches_the_market_as_money(low, width, cost, rule):
    """cost + (1 + a) / 2 ask_max is the rule's ask, unless that lies beyond cost + ask_max; it
    never lies below cost.
    """
    seen = seen_with(
        buyer_low=[low, low + width, low], buyer_high=[low + width] * 3, sale_cost=[cost] * 3
    )
    parts = act(Trader(asks=rule), seen)
    wanted = float(rule(Uniform(low, low + width), torch.tensor(cost).double()))
    money = cost + (1 + float(parts["ask"])) / 2 * SCALES.ask_max
    assert money == pytest.approx(min(wanted, cost + SCALES.ask_max), abs=1e-5)
    assert parts["bid"].tolist() == [[0.0, 0.0, 0.0]] and float(parts["effort"]) == 1


def test_without_disclosure_sellers_know_only_the_priors_interval():
    """[0, ask_max] in the default market: Myerson asks half of ask_max (a = 0), best midpoint a
    third, lower bound 0.
    """
    now = rounds.observe(MARKET, rounds.begin(MARKET, torch.arange(2)))["trader"][:, 0]
    wanted = {"myerson_seller": 0.0, "best_midpoint_seller": -1 / 3, "lower_bound_seller": -1.0}
    for name, a in wanted.items():
        ask = ROLE.action.unpack(policy(name, MARKET)(now, ROLE, torch.arange(2)))["ask"]
        torch.testing.assert_close(ask, torch.full_like(ask, a), rtol=0, atol=1e-6)


def test_claim_free_rider(honest):
    """The first training is at effort 1 for everybody; in the second round only the rider's
    loss and cost differ.
    """
    first, second = one_deviates("free_rider")
    efforts = [report.of(Trained).effort for report in (first, second)]
    assert (
        float(efforts[0].min()) == 1
        and float(efforts[1][:, 0].max()) == 0
        and float(efforts[1][:, 1:].min()) == 1
    )
    torch.testing.assert_close(first.of(Trained).loss, honest[0].of(Trained).loss)
    # what is left is the cost of effort
    money = second.rewards - second.of(Scored).value - second.received + second.paid
    torch.testing.assert_close(money[:, 0], torch.zeros_like(money[:, 0]), rtol=0, atol=1e-9)
    low, high = MARKET.config.effort_cost
    assert bool(((-money[:, 1:] >= low - 1e-9) & (-money[:, 1:] <= high + 1e-9)).all())
    # four pairs a market: one is too noisy to tell
    everybody = trade(MARKET, ALL, [policy("free_rider", MARKET)])[1]
    assert significantly_less(
        honest[1].of(Trained).loss.mean(1), everybody.of(Trained).loss.mean(1)
    )


def test_claim_saboteur():
    """After four honest rounds one seller's model is offered with and without noise: the same
    models, the same buyers.
    """
    market = make_market(KIND, max_cycles=5)
    now, plays = rounds.begin(market, torch.arange(SEEDS)), [policy("truthful", market)]
    for _ in range(4):
        start, _ = rounds.play_stage(market, now, rounds.act_mixed(market, plays, ALL, now))
        now = rounds.begun(market, start)
    spoilt = rounds.begun(market, with_options(start, FIRST, ["truthful", "saboteur"]))
    honest_gain, gain = now.quotes.gain.worth, spoilt.quotes.gain.worth
    assert significantly_less(gain[:, 1:, 0].mean(1), honest_gain[:, 1:, 0].mean(1))
    # what the others sell is clean
    torch.testing.assert_close(gain[:, :, 1:], honest_gain[:, :, 1:])
    torch.testing.assert_close(
        spoilt.floor.models["trader"].loss, now.floor.models["trader"].loss
    )  # and the saboteur's own model is untouched
    sold = [
        rounds.advance(market, s, rounds.act_mixed(market, plays, ALL, s))[1].of(Traded).sold[:, 0]
        for s in (now, spoilt)
    ]
    assert int(sold[1].sum()) < int(sold[0].sum())


def test_claim_first_layer_seller():
    """Outside the first layer the offer is the buyer's own model, to the last bit of a float32
    sum.
    """
    start = rounds.opened(MARKET, torch.arange(4))
    quotes = rounds.begun(
        MARKET, with_options(start, FIRST[:4], ["truthful", "first_layer_seller"])
    ).quotes
    honest_quotes, learner = rounds.begun(MARKET, start).quotes, MARKET.phase(Train).learner
    first = layer_mask(learner.layout, learner.layers, (0,)).bool()
    assert 0 < int(first.sum()) < len(first)
    own = quotes.trained[:, 1:]
    torch.testing.assert_close(
        quotes.offers[:, 1:, 0][..., ~first], own[..., ~first], rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        quotes.offers[:, 1:, 0][..., first],
        honest_quotes.offers[:, 1:, 0][..., first],
        rtol=0,
        atol=1e-5,
    )
    # others: all layers
    torch.testing.assert_close(
        quotes.offers[:, :, 1:], honest_quotes.offers[:, :, 1:], rtol=0, atol=1e-5
    )


def test_claim_colluding_pair():
    """Under full disclosure each knows another interval, so alone the two would ask differently."""
    together, alone = (
        one_deviates(name, OPEN, PAIR, n_rounds=1)[0].of(Traded)
        for name in ("colluding_pair", "best_midpoint_seller")
    )
    mine, theirs, others = together.asks[:, 1, 0], together.asks[:, 1, 2], together.asks[:, 0, 3]
    assert torch.equal(mine, theirs)
    assert torch.equal(mine, alone.asks[:, 1, 0].maximum(alone.asks[:, 1, 2]))
    assert bool((alone.asks[:, 1, 0] != alone.asks[:, 1, 2]).all())
    # the truthful ask is the cost, 0
    assert bool((mine >= others).all()) and float(others.abs().max()) == 0


def test_options_are_set_for_those_who_play_them_and_for_nobody_else():
    names = ["truthful", "saboteur", "colluding_pair", "first_layer_seller"]
    who = torch.tensor([[0, 1, 2, 2], [3, -1, 0, 1], [0, 0, 0, 0]])
    start = rounds.opened(MARKET, torch.arange(3))
    options = options_of(with_options(start, who, names))
    assert options.sabotage.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert options.coalition.tolist() == [[False, False, True, True], [False] * 4, [False] * 4]
    layers = len(MARKET.phase(Train).learner.layers)
    assert (
        options.offered[1, 0].tolist() == [1.0] + [0.0] * (layers - 1)
        and float(options.offered.sum()) == 11 * layers + 1
    )
    assert torch.equal(
        options_of(with_options(start, who, [STRATEGIES[n] for n in names])).sabotage,
        options.sabotage,
    )
    assert options_of(start).sabotage.sum() == 0  # the markets that came in are as they were


def test_options_of_the_market_are_kept():
    market = make_market(
        KIND, sabotage=(2.0, 0.0, 0.5, 0.0), coalition=(1,), offered_layers=(None, (1,), None, None)
    )
    start = rounds.opened(market, torch.arange(1))
    options = options_of(
        with_options(start, torch.tensor([[1, 1, 1, 0]]), ["truthful", "saboteur"])
    )
    assert options.sabotage.tolist() == [[2.0, 1.0, 1.0, 0.0]]
    assert torch.equal(options.coalition, options_of(start).coalition)
    assert torch.equal(options.offered, options_of(start).offered)


def test_options_refuse_what_names_no_strategy():
    start = rounds.opened(MARKET, torch.arange(2))
    with pytest.raises(ValueError, match="Did you mean 'saboteur'"):
        with_options(start, ALL[:2], ["sabotuer"])
    for who in (ALL[:2] + 1, ALL[:2] - 2, ALL[:1]):
        with pytest.raises(ValueError, match=r"wanted \[2, 4\].*from -1 to 0"):
            with_options(start, who, ["truthful"])
