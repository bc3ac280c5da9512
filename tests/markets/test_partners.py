"""Buyers that try a few sellers: what is tried, what is left out, and what stays as it was."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest
import torch
from partner_cases import SEEDS, SMALL, episode, everybody_plays, linear_market, market_of

from marketenv import make_market, make_parallel, make_vec
from marketenv.alignment import ALIGNMENTS
from marketenv.core import rounds, tree
from marketenv.core.pairs import others
from marketenv.core.policy import uniform_random
from marketenv.markets.parameter_trading import Trade, Traded
from marketenv.markets.parameter_trading.exchanges import trade
from marketenv.markets.parameter_trading.partners import PARTNER_RULES
from marketenv.markets.parameter_trading.weights import WEIGHTS
from marketenv.testing import _same, check_market_env
from marketenv.valuation import Gain

# --- what is tried is tried as ever ---------------------------------------------------------------


@pytest.mark.parametrize("partners", [3, 7])
@pytest.mark.parametrize("rule", PARTNER_RULES)
def test_as_many_partners_as_others_are_the_whole_market_to_the_bit(partners, rule):
    few, whole = market_of(partners=partners, partner_rule=rule), market_of()
    (played, end), (wanted, wanted_end) = episode(few), episode(whole)
    for (quotes, report), (quotes_, report_) in zip(played, wanted, strict=True):
        for one, other in ((quotes, quotes_), (report, report_)):
            parts, parts_ = tree.leaves(one), tree.leaves(other)
            assert parts.keys() == parts_.keys()
            assert all(torch.equal(parts[name], parts_[name]) for name in parts)
    parts, parts_ = tree.leaves(end.owns), tree.leaves(wanted_end.owns)
    assert parts.keys() == parts_.keys()
    assert all(torch.equal(parts[name], parts_[name]) for name in parts)


CONFIGS = {
    "digits": (market_of, {}),
    "digits, two layers": (market_of, {"learner_options": {"hidden": (6, 5)}}),
    "by share": (market_of, {"alpha": "by_share"}),
    "sabotage": (market_of, {"sabotage": (0.5, 0.0, 0.2, 0.0, 0.1)}),
    "offered layers": (market_of, {"offered_layers": ((0,), None, (1,), None, None)}),
    "one layer": (market_of, {"layers": (0,)}),
    "as they are": (market_of, {"alignment": "none"}),
    "closed form": (linear_market, {}),
    "error ratio": (linear_market, {"valuation": "error_ratio", "disclosure": "full"}),
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_tried_has_the_offers_weights_and_gains_of_the_whole_market(name, count):
    """In the first round, before purchases of few partners make other models."""
    make, config = CONFIGS[name]
    few, whole = (make(n_agents=5, **config, **more) for more in ({"partners": count}, {}))
    quotes, wanted = (rounds.begin(market, SEEDS).quotes for market in (few, whole))
    tried = quotes.partners.tried
    assert tried.sum(2).eq(count).all() and not tried.diagonal(0, 1, 2).any()
    for mine, theirs, rest in (
        (quotes.alpha, wanted.alpha, 0.0),
        (quotes.gain.worth, wanted.gain.worth, 0.0),
        (quotes.gain.shown, wanted.gain.shown, 1.0 if name == "error ratio" else 0.0),
    ):
        torch.testing.assert_close(mine[tried], theirs[tried], rtol=1e-4, atol=1e-5)
        assert mine[~tried].eq(rest).all()
    market = torch.arange(3)[:, None, None]
    buyer = torch.arange(5)[:, None]
    torch.testing.assert_close(
        quotes.offers, wanted.offers[market, buyer, quotes.partners.sellers], rtol=0, atol=1e-6
    )


def test_a_whole_episode_is_that_of_a_market_in_which_only_partners_have_a_gain():
    """By a rule that always chooses the same partners, with models as they are: the whole market
    whose valuation gives no gain to other purchases plays the same.
    """
    partners = torch.tensor([[1, 2], [0, 3], [3, 4], [0, 4], [1, 2]])
    allowed = torch.zeros(5, 5).scatter(1, partners, 1.0)

    def only_partners(trial):
        gain = trial.loss_before[..., None] - trial.loss_after
        gain = torch.where(gain.isfinite() & allowed.bool(), gain, 0.0)
        return Gain(gain, gain)

    few = market_of(
        n_agents=5,
        alignment="none",
        partners=2,
        partner_rule=lambda candidates: allowed.expand_as(candidates.gain),
    )
    whole = market_of(n_agents=5, alignment="none", valuation=only_partners)
    (played, _), (wanted, _) = episode(few), episode(whole)
    assert sum(int(report.of(Traded).trades.sum()) for _, report in played) > 20
    for (_, report), (_, report_) in zip(played, wanted, strict=True):
        assert torch.equal(report.of(Traded).trades, report_.of(Traded).trades)
        torch.testing.assert_close(report.rewards, report_.rewards, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(report.transfers, report_.transfers, rtol=1e-4, atol=1e-4)


def test_a_purchase_gives_the_model_of_the_partner_that_is_paid():
    market = market_of(n_agents=5, partners=2, max_purchases=1)
    now = rounds.begin(market, SEEDS)
    quotes = now.quotes
    after, report = rounds.play_stage(market, now, rounds.act(market, everybody_plays(market), now))
    trades = report.of(Traded).trades
    assert trades.any() and not (trades & ~quotes.partners.tried).any()
    for place in trades.nonzero().tolist():
        m, b, s = place
        offer = quotes.offers[m, b, quotes.partners.sellers[m, b].tolist().index(s)]
        own = quotes.trained[m, b]
        merged = own + quotes.alpha[m, b, s] * (offer - own)
        torch.testing.assert_close(after.floor.models["trader"].params[m, b], merged)


def test_only_partners_are_aligned_each_pair_once_and_nothing_holds_all_pairs_of_models():
    calls, merged = [], []

    def spy(params, layout, permutations, keys, orders):
        calls.append(params.shape)
        return ALIGNMENTS["weight_matching"](params, layout, permutations, keys, orders)

    def weights(merger):
        merged.append(merger.offers.shape)
        return WEIGHTS["grid"](merger)

    market = market_of(n_agents=6, partners=2, alignment=spy, alpha=weights)
    played, _ = episode(market)
    for (quotes, _), aligned, offers in zip(played, calls, merged, strict=True):
        pairs = {(m, *sorted((b, s))) for m, b, s in quotes.partners.tried.nonzero().tolist()}
        assert aligned == (len(pairs), 2, market.phase(Trade).learner.layout.size)
        assert offers == quotes.offers.shape == (3, 6, 2, aligned[2])
        assert quotes.orders.shape == (3, 12, 6)


def test_a_pair_that_is_tried_again_is_aligned_from_where_it_ended_and_others_anew():
    starts, ends = [], []

    def spy(params, layout, permutations, keys, orders):
        aligned = ALIGNMENTS["weight_matching"](params, layout, permutations, keys, orders)
        starts.append(orders[:, 0]), ends.append(aligned.orders[:, 0])
        return aligned

    market = market_of(n_agents=5, partners=2, alignment=spy, max_cycles=6)
    played, _ = episode(market, torch.arange(1))
    last, again, anew = {}, 0, 0
    for (quotes, _), start, end in zip(played, starts, ends, strict=True):
        tried = quotes.partners.tried[0]
        pairs = (tried | tried.T).triu(1).nonzero().tolist()
        for row, pair in enumerate(map(tuple, pairs)):
            known = pair in last
            again, anew = again + known, anew + (not known)
            assert torch.equal(start[row], last[pair] if known else torch.full((6,), -1))
        last = dict(zip(map(tuple, pairs), end, strict=True))
    assert again > 10 and anew > 10


def test_agents_in_another_order_try_and_gain_the_same():
    order = torch.tensor([3, 0, 4, 1, 2])  # the new agent k is the old agent order[k]
    market = market_of(n_agents=5, partners=2, partner_rule="nearest", disclosure="full")
    now = rounds.begin(market, SEEDS)
    models = tree.mapped(lambda tensor: tensor[:, order], now.floor.models)
    phase, quotes = market.phase(Trade), now.quotes
    moved = phase.quote(now.floor.but(models=models), rounds.opened(market, SEEDS).owns["trade"])
    assert torch.equal(moved.partners.tried, quotes.partners.tried[:, order][:, :, order])
    for name in ("alpha", "low", "high"):
        one, other = getattr(moved, name), getattr(quotes, name)
        torch.testing.assert_close(one, other[:, order][:, :, order], rtol=1e-4, atol=1e-5)
    gain = quotes.gain.worth[:, order][:, :, order]
    torch.testing.assert_close(moved.gain.worth, gain, rtol=1e-4, atol=1e-5)


def test_a_batch_and_its_singles_agree():
    market = market_of(n_agents=6, partners=2, partner_rule="nearest")
    together = rounds.begin(market, SEEDS).quotes
    for seed in range(3):
        alone = rounds.begin(market, torch.tensor([seed])).quotes
        assert torch.equal(alone.partners.sellers[0], together.partners.sellers[seed])
        assert torch.allclose(alone.gain.worth[0], together.gain.worth[seed], atol=1e-5)


# --- what is not tried ----------------------------------------------------------------------------


def test_who_is_not_tried_shows_zeros_and_observations_keep_their_shape():
    few, whole = market_of(n_agents=5, partners=2), market_of(n_agents=5)
    assert few.moves[0].observation.dim == whole.moves[0].observation.dim
    assert few.moves[0].action.dim == whole.moves[0].action.dim
    now = rounds.begin(few, SEEDS)
    fields = few.moves[0].observation.unpack(rounds.observe(few, now)["trader"])
    tried = now.quotes.partners.tried
    for market, buyer, place in itertools.product(range(3), range(5), range(4)):
        seller = place + (place >= buyer)
        weight = float(fields["alpha"][market, buyer, place])
        gain = float(fields["gain"][market, buyer, place])
        assert (weight > 0) == bool(tried[market, buyer, seller])
        assert gain == 0 or bool(tried[market, buyer, seller])


def test_a_seller_is_told_nothing_of_buyers_that_it_does_not_know_and_no_gain_of_who_does_not_try():
    """By Theorem 4.1 a seller needs its own gain from the buyer. Where it has none, any value is
    possible; where the buyer does not try it, and it tries the buyer, the value is 0.
    """
    market = linear_market(n_agents=6, partners=2, valuation="error_ratio", disclosure="bounds")
    quotes, bid_max = rounds.begin(market, SEEDS).quotes, market.phase(Trade).scales.bid_max
    tries = quotes.partners.tried
    off = ~torch.eye(6, dtype=torch.bool).expand(3, -1, -1)
    blind = off & ~tries.mT  # [buyer, seller]: this seller does not try this buyer
    assert quotes.low[blind].eq(0).all() and (quotes.high[blind] >= min(bid_max, 100)).all()
    # a seller whose own weight is at most 0.001 is as blind
    useless = off & tries.mT & ~tries & (quotes.alpha.mT > 1e-3)
    assert useless.any() and quotes.high[useless].eq(0).all() and quotes.low[useless].eq(0).all()


def money_actions(market, bids):
    """Actions of one market by bids [buyers, sellers] in money, asks of 0 and full effort."""
    like = torch.zeros(1, len(bids), 0)
    return market.moves[0].action.write(like, bid=others(bids[None]), ask=0.0, effort=1.0)


def test_a_bid_for_a_seller_that_is_not_tried_is_void_and_said_to_be():
    market = market_of(n_agents=4, partners=1, bid_mode="absolute", max_cycles=1)
    now = rounds.begin(market, torch.tensor([5]))
    tried = now.quotes.partners.tried[0]
    bids = (3.0 * ~tried).fill_diagonal_(0.0)
    bids[1] = 3.0  # agent 1 bids for all, agent 2 for nobody
    bids[2] = 0.0
    _, report = rounds.play_stage(market, now, {"trader": money_actions(market, bids)})
    traded = report.of(Traded)
    assert traded.reason[0, [0, 3]].tolist() == [9, 9]
    assert not traded.trades[0][~tried].any()
    gains = bool((now.quotes.gain.worth[0, 1] > 0).any())
    assert int(traded.reason[0, 1]) == (0 if gains else 1)
    assert int(traded.reason[0, 2]) in (1, 2)
    story = "\n".join(traded.story([f"trader_{k}" for k in range(4)]))
    assert story.count("not tried, so that the bid 3.0000 is void") == 2 + 2 + 2
    assert "trader_0: bids only for sellers that it does not try: its bids are void." in story


def test_an_exchange_of_ones_own_gets_no_void_bid_and_cannot_sell_what_is_not_tried():
    bids = []

    def spy(quotes, messages, inputs):
        bids.append(messages.bids[~quotes.partners.tried])
        return trade(quotes, messages, inputs)

    config = {"n_agents": 4, "partners": 1, "bid_mode": "absolute"}
    episode(market_of(exchange=spy, **config), policy=uniform_random)
    assert all(bool(each.eq(0).all()) for each in bids)

    def seller_of_all(quotes, messages, inputs):
        settlement = trade(quotes, messages, inputs)
        untried = ~quotes.partners.tried & ~torch.eye(4, dtype=torch.bool)
        return dataclasses.replace(settlement, trades=untried, prices=settlement.prices * 0)

    with pytest.raises(ValueError, match=r"exchange let agent 0 .* which it did not try"):
        episode(market_of(exchange=seller_of_all, **config))


def test_a_valuation_of_ones_own_gives_no_gain_to_what_is_not_tried():
    ones = lambda trial: Gain(  # noqa: E731
        torch.ones_like(trial.loss_after), torch.ones_like(trial.loss_after)
    )
    market = market_of(n_agents=4, partners=1, valuation=ones)
    played, _ = episode(market)
    for quotes, report in played:
        assert torch.equal(quotes.gain.worth > 0, quotes.partners.tried)
        assert not (report.of(Traded).trades & ~quotes.partners.tried).any()


# --- money, memory and doors ----------------------------------------------------------------------


@pytest.mark.parametrize("rule", PARTNER_RULES)
@pytest.mark.parametrize("config", [{}, {"bid_mode": "absolute", "max_purchases": 2}], ids=str)
def test_money_is_conserved(rule, config):
    market = market_of(n_agents=5, partners=2, partner_rule=rule, **config)
    for policy in ("truthful", uniform_random):
        played, now = episode(market, policy=policy)
        assert any(bool(report.transfers.any()) for _, report in played)
        for quotes, report in played:
            assert torch.allclose(report.paid.sum(1), report.received.sum(1), atol=1e-9)
            assert not report.transfers[~quotes.partners.tried].any()
        total = now.floor.cash("trader").sum(1)
        assert torch.allclose(total, torch.full_like(total, 5 * 20.0), atol=1e-9)


FEW = {"n_agents": 4, "partners": 2, "partner_rule": "best_gain", **SMALL}


def steps(env, count, seed=3):
    generator, results = np.random.default_rng(seed), []
    for _ in range(count):
        actions = {
            agent: generator.uniform(-1, 1, env.action_space(agent).shape).astype(np.float32)
            for agent in env.agents
        }
        results.append(env.step(actions))
    return tuple(results)


def test_a_saved_and_a_pickled_environment_go_on_equally(tmp_path):
    env, other = (make_parallel("parameter_trading_v0", **FEW) for _ in range(2))
    env.reset(seed=8)
    steps(env, 1)
    env.save(tmp_path / "state.safetensors")
    other.load(tmp_path / "state.safetensors")
    copy = pickle.loads(pickle.dumps(env))
    rest = steps(env, 2)
    assert _same(rest, steps(other, 2)) and _same(rest, steps(copy, 2))


def test_a_file_of_the_whole_market_is_refused_by_the_name_of_the_argument(tmp_path):
    whole = make_parallel("parameter_trading_v0", n_agents=4, **SMALL)
    whole.reset(seed=0)
    whole.save(tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match="partners=None, wanted partners=2"):
        make_parallel("parameter_trading_v0", **FEW).load(tmp_path / "state.safetensors")


def test_a_market_that_starts_anew_has_no_partners_of_the_old_one():
    """After a restart a market plays as a fresh one of the same seed."""
    market = make_market("parameter_trading_v0", **FEW)
    _, end = episode(market)
    fresh = rounds.opened(market, torch.tensor([7]))
    begun = tree.put(end.owns["trade"], torch.tensor([1]), fresh.owns["trade"])
    assert begun.past.gain[1].isinf().all() and not begun.past.gain[0].isinf().all()
    venv = make_vec("parameter_trading_v0", 2, agent="trader_0", **FEW)
    venv.reset(seed=1)
    for _ in range(7):
        observations, rewards, *_ = venv.step(venv.action_space.sample())
        assert np.isfinite(observations).all() and np.isfinite(rewards).all()


@pytest.mark.long
def test_the_environment_passes_all_checks_of_an_environment():
    assert check_market_env(make_parallel("parameter_trading_v0", **FEW))


def test_the_marketplace_takes_the_arguments_for_its_developers():
    config = {"n_developers": 4, "n_owners": 0, "rule": None, "max_cycles": 2}
    config |= {"data_options": {"max_examples": 300}, "learner_options": {"hidden": (6,)}}
    parts = {"partners": 2, "partner_rule": "nearest", "bid_mode": "absolute"}
    market = make_market("marketplace_v0", **config, parameter_trading=parts)
    reports = [
        report
        for _, _, report in rounds.play(market, everybody_plays(market), SEEDS)
        if report is not None
    ]
    assert len(reports) == 2
    for report in reports:
        traded = report.of(Traded)
        assert traded.tried.sum(2).eq(2).all() and not (traded.trades & ~traded.tried).any()
        assert torch.allclose(report.ledger.cash.sum(1), torch.tensor(4000.0).double())
    whole = make_market("marketplace_v0", **config)
    few = make_market("marketplace_v0", **config, parameter_trading={"partners": 3})
    for (_, _, one), (_, _, other) in zip(
        rounds.play(few, everybody_plays(few), SEEDS),
        rounds.play(whole, everybody_plays(whole), SEEDS),
        strict=True,
    ):
        assert one is None or torch.equal(one.rewards, other.rewards)
