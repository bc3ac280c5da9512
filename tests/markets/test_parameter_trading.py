"""The parameter market: every rule of a round against hand-made cases, and its properties."""

import dataclasses
from functools import partial

import pytest
import torch

from marketenv import make_market, make_parallel
from marketenv.alignment import ALIGNMENTS
from marketenv.core import draws, rounds, tree
from marketenv.core.market import Breakpoints, agent_names
from marketenv.core.pairs import others, pairs_of
from marketenv.data import from_arrays
from marketenv.learners import LEARNERS, Training
from marketenv.markets.parameter_trading import ParameterTradingConfig, Scored, Trade, Traded
from marketenv.markets.parameter_trading.exchanges import Inputs, trade
from marketenv.markets.parameter_trading.reports import Messages
from marketenv.markets.training import Train, Trained
from marketenv.mechanisms import posted_price
from marketenv.valuation import Gain

LINEAR = {"data": "linear", "learner": "linear", "partition": "balanced"}


def market_of(**config):
    return make_market("parameter_trading_v0", **({"max_cycles": 3} | config))


def linear_market(**config):
    options = {
        "dimension": 20,
        "examples": 60,
        "validation_size": 400,
        "test_size": 100,
        "noise": 0.5,
    }
    return market_of(**LINEAR, data_options=options, **config)


def played(market, seeds, policy="truthful"):
    policies = dict.fromkeys(agent_names(market), market.policies[policy])
    return [report for _, _, report in rounds.play(market, policies, torch.as_tensor(seeds))]


def actions_of(market, n_markets, bid=0.0, ask=-1.0, effort=1.0):
    n = market.people.count
    one = torch.tensor([bid] * (n - 1) + [ask, effort])
    return one.expand(n_markets, n, -1).clone()


def step(market, now, actions):
    """The end of the round, where the next one has not begun, and the report."""
    return rounds.play_stage(market, now, {"trader": actions})


def models(now):
    return now.floor.models["trader"]


def types(now):
    return now.floor.types["trader"]


def shown(market, now):
    """What the traders see, by field."""
    return market.moves[0].observation.unpack(rounds.observe(market, now)["trader"])


def quotes_of(market, *seeds):
    """What is quoted in the first round of these seeds."""
    return rounds.begin(market, torch.tensor(seeds)).quotes


def inputs_of(market, now):
    part, n = market.phase(Trade), market.people.count
    shares = torch.ones(1, n) / n
    return Inputs(
        part.mechanism,
        part.mask,
        market.config.max_purchases,
        shares,
        now.floor.purse("trader"),
        now.floor.round,
    )


def quoted(market, worth):
    """Quotes with hand-made gains [buyers, sellers] for a real market of one copy, and what its
    exchange decides from.
    """
    now = rounds.begin(market, torch.tensor([0]))
    worth = torch.tensor(worth, dtype=torch.float32)[None]
    return dataclasses.replace(now.quotes, gain=Gain(shown=worth, worth=worth)), inputs_of(
        market, now
    )


def test_others_and_pairs_drop_and_restore_the_diagonal():
    pairs = torch.arange(9.0).reshape(1, 3, 3)
    # by hand: row 0 keeps columns 1, 2; row 1 keeps 0, 2; row 2 keeps 0, 1
    assert others(pairs).tolist() == [[[1, 2], [3, 5], [6, 7]]]
    assert torch.equal(pairs_of(others(pairs)), pairs - torch.diag_embed(pairs.diagonal(0, 1, 2)))


def test_utility_is_value_less_payments_and_effort_cost():
    market = market_of()
    start = rounds.opened(market, torch.arange(3))
    loss, own = models(start).loss, types(start)
    for report in played(market, [0, 1, 2]):
        value = own["money_per_loss"] * (loss.double() - report.of(Scored).loss.double())
        expected = (
            value - report.paid + report.received - own["effort_cost"] * report.of(Trained).effort
        )
        assert torch.equal(report.of(Scored).value, value)
        assert torch.allclose(report.rewards, expected, atol=1e-12)
        # 4 agents x 20 cash
        assert torch.allclose(
            report.ledger.cash.sum(1), torch.full((3,), 80.0, dtype=torch.float64)
        )
        loss = report.of(Scored).loss


def test_truthful_prices_are_half_the_value_because_true_asks_are_zero():
    market = market_of()
    report = played(market, range(4))[0]
    # Nash bargaining: price = (bid + ask) / 2 with ask = cost = 0 and bid = m * gain
    traded = report.of(Traded)
    assert torch.allclose(report.transfers[traded.trades], traded.bids[traded.trades] / 2)
    assert traded.trades.sum() > 0


def test_trading_raises_accuracy_above_never_trading():
    market = market_of(max_cycles=8)
    silent = lambda o, move, keys: o.new_tensor([-1.0] * 3 + [1.0, 1.0]).expand(len(o), -1)  # noqa: E731
    alone = [
        r
        for _, _, r in rounds.play(
            market, dict.fromkeys(agent_names(market), silent), torch.arange(6)
        )
    ]
    inside = played(market, range(6))
    assert alone[-1].transfers.sum() == 0
    assert inside[-1].of(Scored).loss.mean() < alone[-1].of(Scored).loss.mean()


@pytest.mark.parametrize(
    ("bids", "asks", "worth", "cash", "code"),
    [
        (2.0, 1.0, 0.5, 20.0, 0),  # gain, bid >= ask, cash: bought
        (2.0, 1.0, -0.5, 20.0, 1),  # no gain
        (0.0, 0.0, 0.5, 20.0, 2),  # bids nothing
        (1.0, 2.0, 0.5, 20.0, 3),  # bid below the ask
        (2.0, 1.0, 0.5, 1.0, 4),  # bid 2 above the purse of 1
    ],
)
def test_reason_codes(bids, asks, worth, cash, code):
    market = market_of(n_agents=2, cash=cash)
    quotes, inputs = quoted(market, [[0.0, worth], [-1.0, 0.0]])
    bid = torch.tensor([[[0.0, bids], [0.0, 0.0]]], dtype=torch.float64)
    ask = torch.full((1, 2), asks, dtype=torch.float64)
    messages = Messages(
        bid, ask, ask[:, None].expand(-1, 2, -1), torch.zeros_like(bid), torch.ones(1, 2)
    )
    result = trade(quotes, messages, inputs)
    assert result.reason[0, 0] == code
    assert bool(result.trades[0, 0, 1]) == (code == 0)
    assert not result.trades[0, 1].any()
    assert result.prices[0, 0, 1] == (1.5 if code == 0 else 0.0)  # midpoint of 2 and 1


def test_a_rule_that_declines_has_its_own_reason():
    refuse = lambda bids, asks: posted_price(bids * 0, asks)  # noqa: E731
    market = market_of(n_agents=2, mechanism=refuse)
    report = played(market, [0])[0]
    assert report.transfers.sum() == 0
    assert set(report.of(Traded).reason[0].tolist()) <= {1, 5}


def test_largest_surplus_is_bought_first_and_ties_go_to_the_lower_index():
    market = market_of(n_agents=3)
    quotes, inputs = quoted(market, [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    bids = torch.tensor([[[0.0, 3.0, 3.0], [2.0, 0.0, 3.0], [0.0, 0.0, 0.0]]], dtype=torch.float64)
    asks = torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64)
    messages = Messages(
        bids, asks, asks[:, None].expand(-1, 3, -1), torch.zeros_like(bids), torch.ones(1, 3)
    )
    result = trade(quotes, messages, inputs)
    # buyer 0: surplus 2 from both sellers, the tie goes to seller 1; buyer 1: surplus 2 from seller
    # 0 and 2 from 2, tie to 0
    assert result.trades[0].nonzero().tolist() == [[0, 1], [1, 0]]


def test_two_purchases_are_merged_in_order_of_surplus():
    market = market_of(n_agents=3, max_purchases=2)
    quotes, inputs = quoted(market, [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    bids = torch.tensor([[[0.0, 2.0, 3.0], [0.0] * 3, [0.0] * 3]], dtype=torch.float64)
    asks = torch.zeros(1, 3, dtype=torch.float64)
    messages = Messages(
        bids, asks, asks[:, None].expand(-1, 3, -1), torch.zeros_like(bids), torch.ones(1, 3)
    )
    result = trade(quotes, messages, inputs)
    own, offers, alpha = quotes.trained[0, 0], quotes.offers[0, 0], quotes.alpha[0, 0]
    first = own + alpha[2] * (offers[2] - own)  # the larger surplus first
    assert torch.allclose(result.params[0, 0], first + alpha[1] * (offers[1] - first), atol=1e-6)
    poor = dataclasses.replace(inputs, purse=torch.full((1, 3), 4.0, dtype=torch.float64))
    # 3 + 2 exceeds 4
    assert trade(quotes, messages, poor).trades[0, 0].tolist() == [False, False, True]


def test_buyers_keep_their_model_where_they_do_not_buy():
    market = market_of()
    now = rounds.begin(market, torch.arange(2))
    after, report = step(market, now, actions_of(market, 2, bid=-1.0))
    assert torch.equal(models(after).params, now.quotes.trained)
    assert report.of(Traded).bought.sum() == 0
    assert set(report.of(Traded).reason.flatten().tolist()) <= {1, 2}


def test_effort_acts_on_the_next_training_and_is_charged_there():
    market = market_of()
    now = rounds.begin(market, torch.arange(2))
    after, first = step(market, now, actions_of(market, 2, bid=-1.0, effort=-1.0))
    assert first.of(Trained).effort.eq(1).all()  # the first training was at full effort
    begun = rounds.begun(market, after)
    # no effort, no training, to the bit
    assert torch.equal(begun.quotes.trained, models(after).params)
    _, second = step(market, begun, actions_of(market, 2, bid=-1.0))
    assert second.of(Trained).effort.eq(0).all()
    # nothing learnt, nothing charged
    assert torch.allclose(second.rewards, torch.zeros_like(second.rewards), atol=1e-9)


def test_cash_of_the_round_is_its_start_only():
    """Proceeds are usable in the next round: a poor agent cannot spend what it earns in the
    same round.
    """
    market = market_of(cash=0.3, n_agents=2)
    report = played(market, range(8))[0]
    assert (report.paid <= 0.3 + 1e-12).all()
    assert (report.of(Traded).reason == 4).any()


def test_credit_lets_cash_fall_below_zero_and_no_further():
    market = market_of(cash=0.0, credit=0.5, max_cycles=5)
    cash = torch.stack([report.ledger.cash for report in played(market, range(8))])
    assert cash.min() < 0
    assert cash.min() >= -0.5 - 1e-9


def test_sabotage_lowers_what_buyers_gain_and_leaves_the_owner_alone():
    honest, noised = market_of(), market_of(sabotage=(0.5, 0.0, 0.0, 0.0))
    a, b = (rounds.begin(m, torch.arange(8)).quotes for m in (honest, noised))
    assert torch.equal(a.trained, b.trained)
    assert b.gain.worth[:, 1:, 0].mean() < a.gain.worth[:, 1:, 0].mean()
    assert torch.equal(a.gain.worth[:, :, 1:], b.gain.worth[:, :, 1:])


def test_who_has_just_diverged_sells_nothing_by_any_valuation():
    """A rate of 1e30 makes every linear model overflow in its first step; both valuations then
    see no gain anywhere.
    """
    for valuation in ("loss_difference", "error_ratio"):
        training = Training(optimizer="sgd", learning_rate=1e30, batch_size=None, steps=3)
        market = linear_market(
            valuation=valuation, training=training, learner_options={"init_rule": "normal"}
        )
        now = rounds.begin(market, torch.arange(3))
        assert now.quotes.diverged.all()
        assert now.quotes.gain.worth.eq(0).all()


def test_a_rule_that_charges_more_than_the_bid_is_refused():
    def greedy(bids, asks):
        fair = posted_price(bids, asks)
        return dataclasses.replace(fair, prices=2 * bids * fair.allocation)

    market = market_of(mechanism=greedy)
    with pytest.raises(ValueError, match="more than the bid"):
        played(market, [0])


def test_regression_scales_come_from_the_targets():
    """Standard normal features and parameters in d = 20: the targets' variance is about 20,
    guessing costs half of it.
    """
    market = linear_market()
    scales = market.phase(Trade).scales
    assert scales.bid_max == pytest.approx(15 * 10, rel=0.5)
    assert scales.largest >= 10 * 10 * 0.5


def test_layers_that_are_not_traded_stay_the_buyers_own():
    for config in ({"layers": (0,)}, {"offered_layers": ((0,), (0,), (0,), (0,))}):
        market = market_of(**config)
        now = rounds.begin(market, torch.arange(2))
        after, report = step(market, now, actions_of(market, 2))
        assert report.of(Traded).bought.sum() > 0
        kept = market.phase(Train).learner.layout.slices["layer1.weight"]
        assert torch.equal(models(after).params[..., kept], now.quotes.trained[..., kept])


def test_coalition_asks_are_set_together_at_the_largest():
    market = market_of(coalition=(1, 3))
    now = rounds.begin(market, torch.arange(2))
    actions = actions_of(market, 2)
    actions[:, 1, -2] = 0.0  # agent 1 asks half of ask_max, agent 3 asks nothing
    asks = step(market, now, actions)[1].of(Traded).asks
    assert torch.equal(asks[:, :, 1], asks[:, :, 3])
    assert asks[0, 0, 3] == pytest.approx(market.phase(Trade).scales.ask_max / 2)
    assert asks[0, 0, 2] == 0


def test_nobody_bids_for_what_would_harm_it():
    """Half of the box bids the worth m max(gain, 0), so a purchase that would lose gets no bid,
    whatever the multiple.
    """
    market = make_market("parameter_trading_v0")
    now = rounds.begin(market, torch.arange(8))
    gain, actions = now.quotes.gain.worth.double(), torch.zeros(8, 4, 5)
    assert (gain < 0).any() and (gain > 0).any()
    bids = step(market, now, actions)[1].of(Traded).bids
    assert not bids[gain <= 0].any()
    worth = (types(now)["money_per_loss"][..., None] * gain).clamp(
        0, market.phase(Trade).scales.bid_max
    )
    torch.testing.assert_close(bids[gain > 0], worth[gain > 0], rtol=1e-12, atol=0)


def test_externality_is_in_the_ask_the_price_and_the_sellers_utility():
    market = market_of(externality=2.0, n_agents=2)
    now = rounds.begin(market, torch.arange(6))
    _, report = step(market, now, actions_of(market, 6))
    traded = report.of(Traded)
    cost = 2.0 * traded.gain.worth.double().clamp(min=0)
    assert torch.allclose(traded.asks, cost)
    sold = traded.trades
    assert sold.any()
    assert torch.allclose(report.transfers[sold], (traded.bids[sold] + cost[sold]) / 2)
    value = types(now)["money_per_loss"] * (
        models(now).before.double() - report.of(Scored).loss.double()
    )
    utility = (
        value - report.paid + report.received - types(now)["effort_cost"] - (cost * sold).sum(1)
    )
    assert torch.allclose(report.rewards, utility)


def test_absolute_bids_are_a_share_of_bid_max():
    market = market_of(bid_mode="absolute")
    _, report = step(market, rounds.begin(market, torch.arange(1)), actions_of(market, 1, bid=-0.5))
    off, bid_max = ~torch.eye(4, dtype=torch.bool), market.phase(Trade).scales.bid_max
    assert torch.allclose(
        report.of(Traded).bids[0][off], torch.tensor(bid_max / 4, dtype=torch.float64)
    )
    relative = market_of()
    # truth is the same bid, however it is scaled
    a, b = (played(m, [0])[0].of(Traded) for m in (market, relative))
    assert torch.allclose(a.bids, b.bids, atol=1e-4)


def test_fedavg_gives_everybody_the_mean_weighted_by_data_and_moves_no_money():
    market = market_of(exchange="fedavg")
    now = rounds.begin(market, torch.arange(2))
    after, report = step(market, now, actions_of(market, 2))
    size = market.source.federation(torch.arange(2)).train.size.float()
    mean = (now.quotes.trained * (size / size.sum(1, keepdim=True))[..., None]).sum(1)
    assert torch.allclose(
        models(after).params, mean[:, None].expand_as(now.quotes.trained), atol=1e-6
    )
    assert report.transfers.sum() == 0
    assert report.of(Traded).reason.eq(7).all()


def test_divergence_goes_back_to_the_last_finite_model_with_its_reason():
    market = market_of(
        training=Training(optimizer="sgd", learning_rate=1e30, batch_size=32, steps=3)
    )
    reports = played(market, range(2))
    assert all((r.of(Traded).reason == 6).all() and r.of(Trained).diverged.all() for r in reports)
    assert all(
        r.of(Scored).loss.isfinite().all() and r.of(Traded).bought.sum() == 0 for r in reports
    )


def test_buyers_start_their_optimiser_afresh_only_where_told_to():
    training = Training(optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=32, steps=3)
    for after_purchase in ("keep", "reset"):
        market = market_of(training=training, after_purchase=after_purchase)
        now = rounds.begin(market, torch.arange(2))
        after, report = step(market, now, actions_of(market, 2))
        buyers = report.of(Traded).bought > 0
        assert buyers.any()
        assert models(now).slots[buyers].abs().sum() > 0
        kept = torch.equal(models(after).slots[buyers], models(now).slots[buyers])
        assert kept == (after_purchase == "keep")
        assert after_purchase == "keep" or models(after).slots[buyers].eq(0).all()


@pytest.mark.parametrize(
    "config", [{}, {"max_purchases": 2}, {"disclosure": "full"}, {"alignment": "none"}], ids=str
)
def test_a_batch_and_its_singles_agree(config):
    market = market_of(**config)
    together = quotes_of(market, 0, 1, 2)
    for seed in range(3):
        alone = quotes_of(market, seed)
        assert torch.allclose(alone.trained[0], together.trained[seed], atol=1e-5)
        assert torch.allclose(alone.gain.worth[0], together.gain.worth[seed], atol=1e-5)


def test_seed_of_a_market_decides_everything_and_markets_differ():
    market = market_of()
    a, b = played(market, [5, 6]), played(market, [5, 7])
    assert torch.equal(a[-1].rewards[0], b[-1].rewards[0])
    assert not torch.equal(a[-1].rewards[1], b[-1].rewards[1])


def test_linear_market_trades_by_the_error_ratio_and_its_bounds_hold_the_buyers_value():
    market = linear_market(valuation="error_ratio", max_cycles=6, money_per_loss=(1.0, 1.0))
    now = rounds.begin(market, torch.arange(16))
    for _ in range(4):
        quotes = now.quotes
        worth = quotes.gain.worth.double().clamp(0, market.phase(Trade).scales.bid_max)
        off = ~torch.eye(4, dtype=torch.bool).expand(16, -1, -1)
        # Theorem 4.1 in its sharp form always holds, so with m = 1 the value lies inside what the
        # seller is told
        assert (quotes.low.double() <= worth + 1e-3)[off].all()
        assert (quotes.high.double() >= worth - 1e-3 * (1 + worth))[off].all()
        now, report = rounds.advance(market, now, {"trader": actions_of(market, 16)})
    assert report.of(Traded).trades.any()


def test_linear_closed_form_is_no_worse_than_the_grid():
    exact, grid = linear_market(), linear_market(alpha="grid")
    a, b = (quotes_of(m, *range(4)) for m in (exact, grid))
    off = ~torch.eye(4, dtype=torch.bool).expand(4, -1, -1)
    assert (a.gain.worth >= b.gain.worth - 1e-5)[off].all()


def test_full_disclosure_tells_sellers_the_weight_and_the_gain():
    market = market_of(disclosure="full", money_per_loss=(10.0, 10.0))
    now = rounds.begin(market, torch.arange(2))
    seen = shown(market, now)
    gain = seen["gain"][0, 0, 0].clamp(min=0) * 10  # trader 0's gain from trader 1 ...
    # ... is what trader 1 is told of trader 0
    assert seen["buyer_high"][0, 1, 0] == pytest.approx(float(gain), abs=1e-5)
    assert seen["buyer_alpha"][0, 1, 0] == seen["alpha"][0, 0, 0]
    hidden = market_of(disclosure="none")
    seen, ask_max = (
        shown(hidden, rounds.begin(hidden, torch.arange(2))),
        hidden.phase(Trade).scales.ask_max,
    )
    assert seen["buyer_alpha"].eq(0).all() and seen["buyer_high"].allclose(torch.tensor(ask_max))


def test_nobody_sees_anothers_type():
    """Changing trader 3's money type changes only what trader 3 sees."""
    market = market_of()
    start = rounds.opened(market, torch.tensor([0]))
    money = types(start)["money_per_loss"] + torch.tensor([0, 0, 0, 1.0], dtype=torch.float64)
    floor = dataclasses.replace(
        start.floor, types={"trader": types(start) | {"money_per_loss": money}}
    )
    starts = (start, dataclasses.replace(start, floor=floor))
    a, b = (rounds.observe(market, rounds.begun(market, one))["trader"] for one in starts)
    assert torch.equal(a[:, :3], b[:, :3])
    assert not torch.equal(a[:, 3], b[:, 3])


def test_any_callable_can_be_the_payment_rule():
    market = market_of(mechanism=posted_price)
    report = played(market, range(2))[0]
    assert report.transfers.sum() == 0  # true asks are 0 and a posted price is the ask
    seller_power = partial(make_market, "parameter_trading_v0", max_cycles=1)
    with pytest.raises(ValueError, match="no mechanism 'nash'"):
        seller_power(mechanism="nash")


IMAGES = (
    torch.arange(60 * 64, dtype=torch.float32).remainder(17).view(60, 1, 8, 8) / 17,
    torch.arange(60) % 2,
)


def image_market(**config):
    training = Training(batch_size=8, steps=2)
    return market_of(
        n_agents=2, data=IMAGES, partition="balanced", learner="cnn", training=training, **config
    )


def test_an_agent_augments_its_own_images_and_nobody_elses():
    plain, changed = image_market(), image_market(augmentation=("flip_crop", "none"))
    before, after = (quotes_of(market, 0, 1, 2).trained for market in (plain, changed))
    assert torch.equal(before[:, 1], after[:, 1])  # the second agent sees its images as they are
    assert not torch.isclose(before[:, 0], after[:, 0]).all(-1).any()
    again = quotes_of(changed, 0, 1, 2).trained
    assert torch.equal(after, again)


def test_augmentation_of_a_ready_made_learner_is_refused():
    with pytest.raises(ValueError, match=r"set its Training\.augment"):
        market_of(
            n_agents=2,
            data=IMAGES,
            learner=image_market().phase(Train).learner,
            augmentation="flip",
        )


def test_permutations_that_change_the_model_are_refused_by_name():
    good = image_market().phase(Train).learner
    wrong = dict(good.permutations)
    wrong["hidden1"] = tuple(place for place in wrong["hidden1"] if place != ("conv2.bias", 0))
    learner = dataclasses.replace(good, permutations=wrong)
    with pytest.raises(
        ValueError, match=r"'hidden1' changes what .* it misses \('conv2\.bias', 0\); list it too"
    ):
        market_of(n_agents=2, data=IMAGES, partition="balanced", learner=learner)
    # nothing is reordered there
    market_of(n_agents=2, data=IMAGES, partition="balanced", learner=learner, alignment="none")


SPECS = {
    "cnn": {},
    "cnn, group": {"norm": "group"},
    "resnet": {"depth": 10},
    "resnet, batch": {"depth": 10, "norm": "batch"},
}
SPECS |= {"mlp": {"hidden": (9, 8)}, "regression": {"hidden": (9, 8)}}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind == "resnet" else ()) for kind in SPECS],
)
def test_every_place_that_a_permutation_misses_is_seen(kind):
    # all of them: the places whose equal first values, or whose small share in the loss, could hide
    # that they are missing
    name = kind.split(",")[0]
    shape, outputs = ((1, 8, 8), 1 if name == "regression" else 3)
    task, training = (
        ("regression" if name == "regression" else "classification"),
        Training(batch_size=8, steps=1),
    )
    good = LEARNERS["mlp" if name == "regression" else name](
        shape, outputs, task, training, **SPECS[kind]
    )
    targets = torch.linspace(0, 1, 60) if name == "regression" else torch.arange(60) % 3
    config = {"n_agents": 2, "data": (IMAGES[0], targets), "partition": "balanced"}
    market_of(learner=good, **config)  # the whole spec passes
    for permutation, places in good.permutations.items():
        for place in places:
            left = tuple(other for other in places if other != place)
            wrong = Spec(good, good.permutations | {permutation: left})
            with pytest.raises(ValueError, match=f"permutation '{permutation}' changes"):
                market_of(learner=wrong, **config)


class Spec:
    """A learner with other permutations."""

    def __init__(self, learner, permutations):
        self.learner, self.permutations = learner, permutations

    def __getattr__(self, name):
        return getattr(self.learner, name)


def test_data_in_the_order_of_its_classes_and_of_any_scale_make_a_market():
    # the first rows of the broker's data are of one class then, and a lucky model has no loss on
    # them at all
    rng = torch.Generator().manual_seed(0)
    x, y = 100 * torch.rand(400, 6, generator=rng), torch.arange(400) // 200
    market = market_of(n_agents=2, data=(x, y), partition="balanced")
    assert quotes_of(market, 0).alpha.shape == (1, 2, 2)


def test_an_alignment_of_another_form_is_refused():
    market = market_of(n_agents=2, alignment=lambda params, *others: params)
    with pytest.raises(
        ValueError, match=r"alignment returned a Tensor, wanted Aligned\(offers, orders\)"
    ):
        quotes_of(market, 0, 1)


def test_a_round_starts_its_alignment_where_the_last_one_ended():
    seen = []

    def spy(params, layout, permutations, keys, orders):
        seen.append(orders)
        return ALIGNMENTS["weight_matching"](params, layout, permutations, keys, orders)

    market = market_of(n_agents=3, alignment=spy)
    played(market, [0, 1])
    assert len(seen) == 3 and bool((seen[0] == -1).all())
    units = torch.arange(32).expand(2, 3, -1)  # one hidden layer of 32 units, 3 pairs of agents
    assert all(torch.equal(orders.sort(-1).values, units) for orders in seen[1:])


def test_own_module_and_own_arrays():
    x = torch.randn(240, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    market = market_of(
        n_agents=2,
        data=(x, y),
        partition="balanced",
        learner="module",
        learner_options={"module": net},
        training=Training(optimizer="adam", learning_rate=0.01, batch_size=16, steps=4),
    )
    reports = played(market, range(2))
    assert reports[-1].of(Scored).loss.mean() < reports[0].of(Trained).loss.mean()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"n_agents": 1}, "n_agents is 1"),
        ({"disclosure": "all"}, "no disclosure 'all'"),
        ({"money_per_loss": (3.0, 1.0)}, "money_per_loss is"),
        ({"coalition": (9,)}, r"coalition\[0\] is 9, wanted a whole number from 0 to 3"),
        ({"data": "digit"}, "Did you mean 'digits'"),
        ({"learner": "mpl"}, "Did you mean 'mlp'"),
        ({"max_cycle": 3}, "Did you mean 'max_cycles'"),
        ({"horizon": "ends"}, "Did you mean 'end'"),
        ({"cash": float("nan")}, "cash is nan"),
        ({"ask_max": -1.0}, "ask_max is -1"),
        ({"externality": float("inf")}, "externality is inf"),
        ({"sabotage": (1.0, 2.0)}, "sabotage is"),
        ({"offered_layers": (None,)}, "offered_layers is .*, wanted a tuple of 4 tuples of layers"),
        ({"offered_layers": ((9,), None, None, None)}, "9"),
    ],
)
def test_bad_arguments_are_named(config, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        make_market("parameter_trading_v0", **config)


def test_closed_form_weights_want_a_quadratic_loss():
    with pytest.raises(ValueError, match="closed_form"):
        rounds.begin(market_of(alpha="closed_form"), torch.tensor([0]))


def test_every_argument_is_documented_where_it_is_declared():
    text = ParameterTradingConfig.__doc__
    missing = [
        f.name
        for f in dataclasses.fields(ParameterTradingConfig)
        if f.name not in text and f.name != "device"
    ]
    assert not missing


def test_story_tells_prices_and_reasons():
    env = make_parallel("parameter_trading_v0", max_cycles=2, render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == "No round has been played yet."
    env.step({a: torch.tensor([0.0, 0.0, 0.0, -1.0, 1.0]).numpy() for a in env.agents})
    text = env.render()
    assert (
        "trader_0 trains at effort 1.00" in text
        and "bought for" in text
        and "pays" in text
        and "Utility:" in text
    )


def regression(y, x=None):
    x = torch.arange(float(len(y)))[:, None] / len(y) if x is None else x
    return {"data": (x, torch.as_tensor(y)), "partition": "balanced", "n_agents": 2}


def test_a_single_validation_row_says_no_largest_bid_and_is_refused():
    # its targets' variance is 0 / 0; with a largest bid of one's own the market plays
    wanted = (
        r"targets of the broker's 1 examples do not differ.*pass bid_max=<money>, or a larger"
        r" validation_size"
    )
    with pytest.raises(ValueError, match=wanted):
        market_of(**regression(torch.arange(20.0)), data_options={"validation_size": 1})
    with pytest.raises(ValueError, match="broker's 4 examples do not differ"):
        market_of(**regression(torch.full((20,), 0.5)))
    market = market_of(
        **regression(torch.arange(20.0)), data_options={"validation_size": 1}, bid_max=2.0
    )
    scales = market.phase(Trade).scales
    # a tenth of the largest bid
    assert scales.largest == 100.0 and scales.ask_max == pytest.approx(0.2)
    assert all(bool(report.rewards.isfinite().all()) for report in played(market, [1, 2]))


def test_large_targets_have_finite_rewards_and_larger_ones_are_refused():
    y = torch.linspace(-1, 1, 40)
    market = market_of(**regression(1e18 * y), learner="linear", max_cycles=2)
    # observations are float32
    assert market.phase(Trade).scales.largest < torch.finfo(torch.float32).max
    for _, _, report in rounds.play(
        market, dict.fromkeys(agent_names(market), market.policies["truthful"]), torch.tensor([1])
    ):
        assert bool(report.rewards.isfinite().all())
    with pytest.raises(ValueError, match=r"targets reach 1e\+19, wanted at most 1e\+18"):
        market_of(**regression(1e19 * y))


def test_a_source_of_ones_own_with_such_targets_is_refused():
    # noise of 1e19 on labels that are drawn anew in every market
    market = market_of(**LINEAR, data_options={"dimension": 2, "examples": 9, "noise": 1e19})
    with pytest.raises(ValueError, match=r"targets have numbers beyond 1e\+18"):
        rounds.opened(market, torch.tensor([0]))


def test_features_whose_first_loss_overflows_are_refused_before_a_round():
    # an output of the first model is a sum of weights times 3e38: more than float32 holds, so the
    # loss is not finite
    x = torch.full((40, 4), 3e38)
    market = market_of(data=(x, torch.arange(40) % 2), partition="balanced", n_agents=2)
    with pytest.raises(ValueError, match=r"a first model's loss is not finite.*scale the features"):
        rounds.opened(market, torch.tensor([0]))


# --- what only a mistake would change -------------------------------------------------------------


def test_the_test_set_is_held_out_from_agents_and_broker():
    """Labels of the test part are turned round: who is right on all of the broker's rows is
    wrong on every one of these.
    """
    x, y = torch.tensor([[-1.0], [1.0]]).repeat(60, 1), torch.arange(2).repeat(60)
    market = market_of(data=from_arrays(x, y, x_test=x, y_test=1 - y), n_agents=2, max_cycles=6)
    now = rounds.begin(market, torch.arange(2))
    while now.playing:
        now, report = rounds.advance(market, now, {"trader": actions_of(market, 2)})
    found, scored = market.phase(Train).test_scores(now.floor, None), report.of(Scored)
    assert scored.accuracy.eq(1).all() and found.accuracy.eq(0).all()
    assert (found.loss > scored.loss).all()


def test_everybody_is_shown_what_it_paid_and_what_it_earned():
    """Trader 0 buys and trader 1, which bids nothing, sells: 0 has paid and earned nothing, 1
    the other way round.
    """
    market = market_of(n_agents=2)
    actions = actions_of(market, 4)
    actions[:, 1, 0] = -1.0
    after, report = rounds.advance(
        market, rounds.begin(market, torch.arange(4)), {"trader": actions}
    )
    seen, price = shown(market, after), report.transfers[:, 0, 1].float()
    assert price.any()
    assert torch.equal(seen["last_paid"][..., 0], torch.stack([price, 0 * price], 1))
    assert torch.equal(seen["last_received"][..., 0], torch.stack([0 * price, price], 1))


def test_disclosed_bounds_reach_over_the_whole_prior():
    """Who gains values that at m times it, m in [1, 3]: at least once the lower bound, at most
    three times the upper.

    The seller merges at weight .9 and gains .25, the buyer at .1: 1 - .9 - .1 = 0, so the sharp
    form of Theorem 4.1 has ((1 -+ .1 sqrt(.25)) / (1 - .1))^2 = (.95 / .9)^2 and (1.05 / .9)^2.
    """
    market = linear_market(valuation="error_ratio", money_per_loss=(1.0, 3.0), n_agents=2)
    gains, alpha = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    gains[0, 1, 0], alpha[0, 1, 0], alpha[0, 0, 1] = 0.25, 0.9, 0.1  # trader 1 sells to trader 0
    low, high = market.phase(Trade).broker.disclosure.bounds(
        Gain(shown=gains, worth=gains - 1), alpha, torch.zeros(1, 2)
    )
    assert float(low[0, 0, 1]) == pytest.approx((0.95 / 0.9) ** 2 - 1, rel=1e-5)
    assert float(high[0, 0, 1]) == pytest.approx(3 * ((1.05 / 0.9) ** 2 - 1), rel=1e-5)


def test_a_truthful_bid_goes_up_to_bid_max():
    """Of bid_max 10 a worth of 8 is a = 2 * 8 / 10 - 1 = .6; what is worth more than 10 is bid
    10 for, a = 1.
    """
    market = market_of(bid_mode="absolute", bid_max=10.0, n_agents=3)
    move = market.moves[0]
    nothing = {field.name: torch.zeros(1, field.size) for field in move.observation.items}
    seen = move.observation.pack(
        **(nothing | {"gain": torch.tensor([[0.8, 1.2]]), "money_per_loss": torch.tensor([[10.0]])})
    )
    assert market.policies["truthful"](seen, move, torch.zeros(1).long())[
        0
    ].tolist() == pytest.approx([0.6, 1.0, -1.0, 1.0])


def test_sabotage_noise_is_another_for_every_market_round_and_agent():
    """Independent normal numbers in d > 2,000 parameters stand at right angles, up to 1 /
    sqrt(d) = .02.
    """
    market = market_of(n_agents=3, alignment="none", sabotage=(0.5, 0.5, 0.0))
    now, noise = rounds.begin(market, torch.arange(2)), []
    for _ in range(2):
        noise.append(now.quotes.offers[:, 2, :2] - now.quotes.trained[:, :2])
        now, _ = rounds.advance(market, now, {"trader": actions_of(market, 2)})
    # [rounds x markets x agents, params]
    flat = torch.nn.functional.normalize(torch.stack(noise).flatten(0, 2), dim=1)
    assert flat.shape[1] > 2000
    angles = flat @ flat.T - torch.eye(len(flat))
    assert float(angles.abs().max()) < 0.1


def test_effort_is_the_share_of_the_box():
    # a = -1/2 is a quarter of the way from -1 to 1
    market = market_of(effort_cost=(0.4, 0.4))
    now = rounds.begin(market, torch.arange(2))
    after, _ = rounds.advance(market, now, {"trader": actions_of(market, 2, effort=-0.5)})
    _, second = step(market, after, actions_of(market, 2))
    assert second.of(Trained).effort.eq(0.25).all()


def test_sellers_are_told_what_their_own_buyers_gain():
    """With full disclosure seller s is told m_low and m_high times the gain that each buyer b
    has from s, not it from b.
    """
    market = market_of(disclosure="full", money_per_loss=(5.0, 10.0))
    now = rounds.begin(market, torch.arange(2))
    seen, gain = shown(market, now), others(now.quotes.gain.worth.mT).clamp(min=0)
    assert torch.allclose(seen["buyer_low"], 5 * gain) and torch.allclose(
        seen["buyer_high"], 10 * gain
    )
    assert not torch.allclose(gain, others(now.quotes.gain.worth).clamp(min=0))


def test_no_bound_is_told_of_a_pair_with_noise():
    """Theorem 4.1 speaks of the models themselves: where either side's has noise, any gain up
    to the largest is possible.
    """
    market = linear_market(
        valuation="error_ratio",
        money_per_loss=(1.0, 1.0),
        bid_max=1e6,
        sabotage=(0.5, 0.0, 0.0, 0.0),
    )
    quotes, largest = quotes_of(market, *range(8)), market.phase(Trade).scales.largest
    for pairs in ((slice(None), slice(1, None), 0), (slice(None), 0, slice(1, None))):
        assert quotes.low[pairs].eq(0).all() and quotes.high[pairs].eq(largest).all()
    assert bool((quotes.high[:, 1:, 1:] < largest).any())


def test_who_diverges_starts_its_optimiser_afresh():
    training = Training(optimizer="sgd", learning_rate=1e30, momentum=0.9, batch_size=32, steps=3)
    now = rounds.begin(market_of(training=training), torch.arange(2))
    slots = models(now).slots
    assert now.quotes.diverged.all() and slots.shape[-1] > 0 and slots.eq(0).all()


def test_a_second_purchase_is_paid_from_what_the_first_leaves():
    # a purse of 3: the bid of 2 leaves 1, which does not cover the bid of 1.5
    market = market_of(n_agents=3, max_purchases=2, cash=3.0)
    quotes, inputs = quoted(market, [[0.0, 1.0, 1.0], [-1.0, 0.0, -1.0], [-1.0, -1.0, 0.0]])
    bid, nothing = (
        torch.zeros(1, 3, 3, dtype=torch.float64),
        torch.zeros(1, 3, 3, dtype=torch.float64),
    )
    bid[0, 0, 1:] = torch.tensor([2.0, 1.5])
    result = trade(quotes, Messages(bid, nothing[:, 0], nothing, nothing, torch.ones(1, 3)), inputs)
    assert result.trades[0, 0].tolist() == [False, True, False]


def test_who_buys_nothing_keeps_its_optimiser():
    training = Training(optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=32, steps=3)
    market = market_of(training=training, after_purchase="reset")
    now, actions = rounds.begin(market, torch.arange(2)), actions_of(market, 2)
    actions[:, 0, :3] = -1.0  # trader 0 bids nothing
    after, report = step(market, now, actions)
    bought = report.of(Traded).bought
    assert bought[:, 0].eq(0).all() and bought.any()
    assert models(now).slots[:, 0].any() and torch.equal(
        models(after).slots[:, 0], models(now).slots[:, 0]
    )


def test_every_round_draws_minibatches_of_its_own():
    market = market_of()
    start = rounds.opened(market, torch.arange(2))
    floors = (dataclasses.replace(start.floor, round=start.floor.round + k) for k in (0, 0, 1))
    first, again, later = (
        rounds.begun(market, dataclasses.replace(start, floor=f)).quotes.trained for f in floors
    )
    assert torch.equal(first, again) and not torch.equal(first, later)


def test_options_may_differ_from_market_to_market():
    """What line-ups need: the noise of a config, set in one of two markets of a batch, is the
    noise of that market alone.
    """
    plain, noised = market_of(n_agents=3), market_of(n_agents=3, sabotage=(0.5, 0.0, 0.0))
    start = rounds.opened(plain, torch.tensor([4, 4]))
    own = start.owns["trade"]
    noise = own.options.sabotage.clone()
    noise[1, 0] = 0.5
    own = dataclasses.replace(own, options=dataclasses.replace(own.options, sabotage=noise))
    now = rounds.begun(plain, dataclasses.replace(start, owns={**start.owns, "trade": own}))
    both = quotes_of(plain, 4, 4).offers, quotes_of(noised, 4, 4).offers
    assert torch.equal(now.quotes.offers[0], both[0][0]) and torch.equal(
        now.quotes.offers[1], both[1][1]
    )
    assert not torch.equal(*both)


# --- breakpoints ----------------------------------------------------------------------------------


def replies_of(market, now, actions, agent, fields=None):
    """The actions that the trade names, and what each earns its agent in this round: [markets,
    candidates].
    """
    part = market.phase(Breakpoints)
    named = part.breakpoints(
        now.floor, now.owns["trade"], now.quotes, {"trader": actions}, ("trader", agent), fields
    )
    return named, earned(market, now, actions, agent, named)


def earned(market, now, actions, agent, replies):
    count = replies.shape[1]
    index = torch.arange(len(actions)).repeat_interleave(count)
    tried = actions[index]
    tried[:, agent] = replies.flatten(0, 1)
    _, report = step(market, tree.rows(now, index), tried)
    return report.rewards[:, agent].unflatten(0, (-1, count))


@pytest.mark.long
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"bid_mode": "absolute"},
        {"mechanism": "second_price"},
        {"externality": 0.5},
        {"partners": 1, "bid_mode": "absolute"},
    ],
    ids=str,
)
def test_no_reply_is_better_than_the_best_breakpoint(config):
    small = {"learner_options": {"hidden": (8,)}, "data_options": {"max_examples": 400}}
    market, seeds = market_of(n_agents=3, **small, **config), torch.arange(4)
    now = rounds.begin(market, seeds)
    move, keys = market.moves[0], draws.agent_keys(seeds, 3, "others")
    actions = 2 * draws.uniform(keys, move.action.dim).float() - 1
    for agent in (0, 2):
        named, best = replies_of(market, now, actions, agent)
        others_ = (
            2 * draws.uniform(draws.fold(seeds, "replies", agent), 100, move.action.dim).float() - 1
        )
        assert (
            named.shape[2] == move.action.dim
            and named[..., -1].eq(actions[:, agent, None, -1]).all()
        )
        assert (earned(market, now, actions, agent, others_).amax(1) <= best.amax(1) + 1e-9).all()
        assert (best.amax(1) > best.amin(1)).any()


def test_breakpoints_of_some_fields_leave_the_others_as_they_were():
    market = market_of(n_agents=3)
    now, actions = (
        rounds.begin(market, torch.arange(2)),
        actions_of(market, 2, bid=0.25, ask=-0.5, effort=0.75),
    )
    bids, _ = replies_of(market, now, actions, 1, ("bid",))
    asks, _ = replies_of(market, now, actions, 1, ("ask",))
    assert bids[..., 2:].eq(torch.tensor([-0.5, 0.75])).all() and bids[..., :2].unique().numel() > 2
    assert (
        asks[..., [0, 1, 3]].eq(torch.tensor([0.25, 0.25, 0.75])).all()
        and asks[..., 2].unique().numel() > 2
    )


@pytest.mark.parametrize(
    "config",
    [
        {"exchange": "fedavg"},
        {"max_purchases": 2},
        {"coalition": (0, 1)},
        {"mechanism": lambda b, a: posted_price(b, a)},
    ],
    ids=["fedavg", "two purchases", "coalition", "a rule of one's own"],
)
def test_breakpoints_are_none_where_they_are_not_known(config):
    market = market_of(n_agents=3, **config)
    now, actions = rounds.begin(market, torch.arange(2)), actions_of(market, 2)
    part = market.phase(Breakpoints)
    assert (
        part.breakpoints(
            now.floor, now.owns["trade"], now.quotes, {"trader": actions}, ("trader", 0), None
        )
        is None
    )
