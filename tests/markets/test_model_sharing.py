"""The model-sharing market: counterexamples, properties of random markets, joining, leaving, refusals and broken models."""

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from marketenv import make_market, make_parallel
from marketenv.core import rounds, tree
from marketenv.core.batch import Batch
from marketenv.core.market import agent_names
from marketenv.core.shards import Shards
from marketenv.core.transfers import net
from marketenv.data import make_source
from marketenv.data.dataset import from_arrays
from marketenv.data.linear import SyntheticLinear
from marketenv.learners import Training
from marketenv.markets import model_sharing
from marketenv.markets.model_sharing import ACTION, POLICIES
from marketenv.markets.model_sharing_types import REASONS
from marketenv.markets.sharing_schemes import SCHEMES
from marketenv.mechanisms import GAINS, GRAPHS, SHARING_PAYMENTS

LEGAL = [(g, p) for g in GRAPHS for p in SHARING_PAYMENTS if p != "vcg" or g == "exact"]
PLACES = {"cost": 0, "size": 1, "need": 2, "effort": 3, "upload": 4, "stay": 5}
THREE = {"sizes": (1.0, 1.0, 1.0), "costs": (0.0, 1.5, 2.0), "needs": (100.0, 0.0, 0.0)}  # of the counterexamples


def market_of(**config):
    return make_market("model_sharing_v0", **({"max_cycles": 3, "n_agents": 4, "learner": None} | config))


def trained_market(**config):
    training = Training(optimizer="sgd", learning_rate=0.1, batch_size=16, steps=3)
    return market_of(**({"learner": "mlp", "learner_options": {"hidden": (8,)}, "training": training} | config))


def truth(market, now, edits=()):
    """Truthful actions with some entries changed: ((client, field, action), ...), the action of a choice by its option."""
    actions = rounds.act(market, dict.fromkeys(agent_names(market), POLICIES["truthful"]), now)
    for client, name, action in edits:
        field = ACTION[name]
        actions[:, client, PLACES[name]] = field.write(field.number(action)) if isinstance(action, str) else action
    return actions


def one_round(market, *edits, seeds=(0,)):
    now = rounds.begin(market, torch.as_tensor(seeds))
    return rounds.advance(market, now, truth(market, now, edits))[1]


def episode(market, seeds, *edits, turns=None):
    """Situations and reports of an episode; turns: {round: edits} that come on top."""
    now, seen = rounds.begin(market, torch.as_tensor(seeds)), []
    while now.quotes is not None:
        more = (turns or {}).get(len(seen), ())
        after, report = rounds.advance(market, now, truth(market, now, (*edits, *more)))
        seen.append((now, after, report))
        now = after
    return seen


ROWS = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")  # a small data set of three classes
LABELS = np.arange(90) % 3


def lie(report, true):
    return math.log10(report / true)


def test_the_actions_lie_where_these_tests_write_them():
    slices = market_of().roles[0].action.slices
    assert {name: s.start for name, s in slices.items()} == PLACES and all(s.stop == s.start + 1 for s in slices.values())


# --- the counterexamples, through the market --------------------------------------------------------------------------------


def three(*edits, seed=0, **config):
    """Buyer 0's two prices and everybody's utility to the four digits printed with the examples."""
    options = {"n_agents": 3, "types": THREE, "strength": 0.0} | config
    report = one_round(market_of(**options), *edits, seeds=(seed,))
    assert not report.trades[0, 1:].any()  # sellers need nothing
    return report.prices[0, 0, 1:].tolist(), report.utility[0].tolist()


def printed(found, prices, left):
    return found[0] == pytest.approx(prices, abs=6e-5) and found[1] == pytest.approx(left, abs=6e-5)


def test_understating_a_cost():
    # 10 - 10 / sqrt(2) = 2.9289 for one model; 10 / sqrt(2) - 10 / sqrt(3) = 1.2976 for each of two
    assert printed(three(), [2.9289, 0], [0, 1.4289, 0])
    assert printed(three((2, "cost", lie(1.4, 2.0))), [0, 2.9289], [0, 0, 0.9289])
    both = ((1, "cost", lie(1.2, 1.5)), (2, "cost", lie(1.2, 2.0)))
    assert printed(three(*both), [1.2976, 1.2976], [1.6314, -0.2024, -0.7024])


def test_understating_a_need():
    # the edge is K = (1.5 / (1 - 1 / sqrt(2)))^2 = 26.228
    assert printed(three((0, "need", lie(26.3, 100))), [1.5021, 0], [1.4269, 0.0021, 0])
    assert printed(three((0, "need", lie(26.2, 100))), [0, 0], [0, 0, 0])


def test_a_type_of_nothing_is_told_by_the_markets_mean():
    """Needs 100, 0, 0 have a mean of 100/3: a seller that says half of the box needs that, at its ends nothing or twice that."""
    said = {-1.0: 0.0, 0.0: 100 / 3, 0.5: 50.0, 1.0: 200 / 3}
    for action, need in said.items():
        report = one_round(market_of(n_agents=3, types=THREE), (1, "need", action))
        assert report.reported.needs[0].tolist() == pytest.approx([100, need, 0])


def test_overstating_the_data_on_sale():
    # reported N = 3: 10 - 10 / sqrt(4) = 5 for one true sample that is worth 2.9289
    assert printed(three((1, "size", lie(3, 1))), [5, 0], [-2.0711, 3.5, 0])
    # lambda = 1 / d makes lambda d = 1 between buyer 0 and seller 1; the best N' is 5^(2/3) - 1 = 1.924
    types = THREE | {"costs": (0.0, 0.2, 2.0)}
    apart = float(one_round(market_of(n_agents=3, types=types)).distance[0, 0, 1])
    config = {"types": types, "strength": 1 / apart}
    assert three(**config)[0][0] == pytest.approx(1.9289, abs=6e-5)
    prices = [three((1, "size", lie(n, 1)), **config)[0][0] for n in (1.87, 5 ** (2 / 3) - 1, 1.98)]
    assert prices[1] == pytest.approx(2.2279, abs=6e-5) and max(prices) == prices[1]
    assert three((1, "size", lie(9, 1)), **config)[0] == [0, 0]  # .2 + 9 > 10 - 10 / sqrt(10): isolated


def test_overstating_ones_own_data():
    # sqrt(100 / 1.5) - sqrt(100 / 2.5) = 1.8404, the gain by the truth is 2.9289
    assert printed(three((0, "size", lie(1.5, 1))), [1.8404, 0], [1.0885, 0.3404, 0])


def test_uploading_a_distant_model():
    # ones stand at distance 1 to all, lambda = 1.4 takes 1.4 off the price and nothing off the buyer's gain
    assert printed(three((0, "upload", "ones"), strength=1.4), [1.5289, 0], [1.4, 0.0289, 0])


def test_a_zero_type_reports_a_share_of_the_mean():
    # (1 + a) * mean: mean cost 3.5 / 3, mean need 100 / 3; -1 is the truth
    report = one_round(market_of(n_agents=3, types=THREE), (0, "cost", -1.0), (1, "need", 0.5), (2, "need", 1.0))
    assert report.reported.costs[0].tolist() == pytest.approx([0, 1.5, 2])
    assert report.reported.needs[0].tolist() == pytest.approx([100, 1.5 * 100 / 3, 2 * 100 / 3])
    assert one_round(market_of(n_agents=3, types=THREE)).reported.needs[0].tolist() == [100, 0, 0]


# --- random markets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("graph", "payment"), LEGAL)
def test_ten_thousand_truthful_markets(graph, payment):
    """Theorem 1: nobody loses by the truth; money is conserved; overstating a cost never gains."""
    market = market_of(graph=graph, payment=payment)
    seeds = torch.arange(10_000)
    honest = one_round(market, seeds=seeds)
    assert honest.utility.min() >= -1e-9
    assert net(honest.transfers).sum(1).abs().max() <= 1e-9
    assert 0.2 < honest.trades.double().sum() / (10_000 * 12) < 0.9  # a test of markets that trade
    for times in (1.05, 1.5, 4.0, 10.0):
        assert (one_round(market, (1, "cost", lie(times, 1)), seeds=seeds).utility[:, 1] <= honest.utility[:, 1] + 1e-9).all()
    if payment != "marginal":  # understating gains nothing either
        for times in (0.2, 0.7):
            lied = one_round(market, (1, "cost", lie(times, 1)), seeds=seeds).utility[:, 1]
            assert (lied <= honest.utility[:, 1] + 1e-9).all()


@pytest.mark.parametrize("graph", GRAPHS)
def test_critical_prices_are_at_most_the_marginal_ones(graph):
    low, high = (one_round(market_of(graph=graph, payment=p, n_agents=6), seeds=range(500)) for p in ("critical", "marginal"))
    assert torch.equal(low.trades, high.trades)
    assert (low.prices <= high.prices + 1e-9).all() and (low.prices < high.prices - 1e-3).any()


@pytest.mark.parametrize("n", [3, 8])
def test_with_equal_sizes_the_papers_graph_is_the_best(n):
    equal = {"n_agents": n, "sizes": (5000.0, 5000.0)}
    a, b = (one_round(market_of(graph=graph, **equal), seeds=range(200)) for graph in ("break", "exact"))
    assert torch.equal(a.trades, b.trades) and a.trades.any()


@pytest.mark.parametrize("name", SCHEMES)
def test_only_the_market_moves_money_and_exports_cost_everywhere(name):
    report = one_round(market_of(scheme=name, costs=(0.5, 0.5)), seeds=range(5))
    assert bool(report.transfers.any()) == SCHEMES[name].money
    # U = gain - c * sold - paid + received with c = 1/2
    assert torch.allclose(report.utility, report.gain - 0.5 * report.sold - report.paid + report.received)
    if name in ("fedavg", "fedprox", "ditto"):
        assert report.sold.eq(3).all() and report.reason.eq(7).all()  # one model to each of the others


def test_rewards_are_utility_less_the_cost_of_the_effort_made():
    market = market_of(effort_cost=(0.4, 0.4))
    seen = episode(market, range(3), (2, "effort", -1.0), (1, "effort", 0.0))
    # the first training is at full effort, then (1 + a) / 2; 0.4 for a full one
    for r, (_, _, report) in enumerate(seen):
        made = torch.tensor([1, 1, 1, 1] if r == 0 else [1, 0.5, 0, 1]).double()
        assert torch.allclose(report.effort.double(), made.expand(3, -1))
        assert torch.allclose(report.utility - report.rewards, 0.4 * made)


# --- who is there -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [market_of, trained_market])
def test_joining_and_leaving_in_the_middle(make):
    """Client 1 joins in round 2, client 2 leaves in round 1 (a stay of -1) and would come back in vain."""
    market = make(joins=(0, 2, 0, 0), max_cycles=5, cash=10.0)
    seen = episode(market, range(3), (1, "cost", lie(3, 1)), turns={1: ((2, "stay", -1.0),)})
    there = [[1, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1]]
    for r, (before, after, report) in enumerate(seen):
        absent = ~torch.tensor(there[r]).bool()
        assert report.present.eq(~absent).all()
        assert torch.allclose(report.cash.sum(1), torch.full((3,), 40.0, dtype=torch.float64), atol=1e-9)  # 4 * 10
        assert not report.trades[:, absent].any() and not report.trades[:, :, absent].any()
        assert not report.transfers[:, absent].any() and not report.transfers[:, :, absent].any()
        assert report.reason[:, absent].eq(1).all() and not (report.reason[:, ~absent] == 1).any()
        was_there = before.quotes.present
        assert torch.equal(report.effort > 0, was_there)  # who leaves has still trained in this round
        assert torch.allclose((report.utility - report.rewards)[~was_there], torch.zeros(()).double())
        assert torch.equal(before.quotes.trained[~was_there], before.state.params[~was_there])
        assert torch.equal(after.state.gone, torch.tensor([[False, False, r >= 1, False]]).expand(3, -1))
        if r >= 1:
            assert torch.equal(after.state.params[:, 2], after.state.best[:, 2])
            assert torch.equal(after.state.best[:, 2], seen[1][1].state.best[:, 2])
    # read when it joins: three times the true cost, and not before
    costs = seen[0][0].state.types.costs[:, 1]
    assert torch.allclose(seen[1][2].reported.costs[:, 1], costs)
    assert all(torch.allclose(s[2].reported.costs[:, 1], 3 * costs, rtol=1e-6) for s in seen[2:])
    assert seen[2][2].effort[:, 1].eq(1).all()  # its first training is at full effort, as everybody's


def test_a_joining_client_trains_from_the_common_start():
    market = trained_market(joins=(0, 2, 0, 0), max_cycles=4)
    seen = episode(market, [0, 1])
    for before, _, _ in seen[:2]:
        assert torch.equal(before.quotes.trained[:, 1], before.state.start[:, 0])
    assert not torch.equal(seen[2][0].quotes.trained[:, 1], seen[2][0].state.start[:, 0])


def test_who_loses_leaves_where_exits_are_strict():
    # seller 2 and 1 both at 1.2 of 1.5 and 2.0: -.2024 and -.7024, both leave; the buyer stays and finds nobody
    edits = ((1, "cost", lie(1.2, 1.5)), (2, "cost", lie(1.2, 2.0)))
    seen = episode(market_of(n_agents=3, types=THREE, strength=0.0, exits="ir_strict"), [0], *edits)
    assert seen[0][2].present.all()  # they were there in the round that they lost in
    assert seen[0][1].state.gone.tolist() == [[False, True, True]]
    assert not seen[1][2].trades.any() and seen[1][2].reason.tolist() == [[3, 1, 1]]


def test_about_half_of_the_losers_leave_where_exits_are_by_chance():
    edits = ((1, "cost", lie(1.2, 1.5)), (2, "cost", lie(1.2, 2.0)))
    market = market_of(n_agents=3, types=THREE, strength=0.0, exits="ir_prob")
    gone = episode(market, range(1000), *edits)[0][1].state.gone
    assert not gone[:, 0].any()
    assert 0.45 < float(gone[:, 1:].double().mean()) < 0.55  # 2,000 draws of 1/2: deviation .011


@pytest.mark.parametrize(("graph", "payment"), LEGAL)
@pytest.mark.parametrize("decades", [6, 10, 16])
def test_sizes_far_apart_drive_nobody_out(graph, payment, decades):
    """T - N_j of totals has lost the small sizes: at ten decades that drove out 38 of the paper's 2,304 truthful clients."""
    gone = 0
    for draw in range(32):
        exponents = torch.rand(9, generator=torch.Generator().manual_seed(draw), dtype=torch.float64)
        types = {"sizes": (10 ** (decades * exponents)).tolist()}
        free = {"strength": 0.0, "costs": (0.0, 0.2), "exits": "ir_strict", "max_cycles": 1}
        market = market_of(n_agents=9, graph=graph, payment=payment, types=types, **free)
        ((_, after, report),) = episode(market, range(8))
        gone += int(after.state.gone.sum())
        assert (report.prices >= 0).all() and report.prices.isfinite().all()
    assert gone == 0


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize(("graph", "payment"), LEGAL)
def test_rounding_drives_nobody_out(graph, payment, unit):
    """At lambda = 0 a price may take all of a buyer's gain, which leaves it 0 or -1e-15 of it: it has not lost."""
    money = {"costs": (0.2 * unit, 2.0 * unit), "needs": (50.0 * unit**2, 100.0 * unit**2)}  # a gain grows as the root of K
    market = market_of(strength=0.0, exits="ir_strict", graph=graph, payment=payment, **money)
    assert all(not after.state.gone.any() for _, after, _ in episode(market, range(1000)))


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_a_loss_drives_out_whatever_money_is_counted_in(unit):
    # the counterexample of an understated cost in another unit: both sellers lose .2024 and .7024 of it
    types = {"sizes": (1.0,) * 3, "costs": (0.0, 1.5 * unit, 2.0 * unit), "needs": (100.0 * unit**2, 0.0, 0.0)}
    edits = ((1, "cost", lie(1.2, 1.5)), (2, "cost", lie(1.2, 2.0)))
    seen = episode(market_of(n_agents=3, types=types, strength=0.0, exits="ir_strict"), [0], *edits)
    assert seen[0][1].state.gone.tolist() == [[False, True, True]]


def test_a_best_model_is_the_most_accurate_and_of_equals_the_one_of_least_loss():
    """R^2 is clipped at 0, so a regression's first models are all equally accurate."""
    market, seeds = trained_market(max_cycles=5), torch.arange(1)
    state, marks = market.reset(seeds), []
    for accuracy, loss in ((0.0, 5.0), (0.0, 3.0), (0.0, 4.0), (0.1, 9.0), (0.1, 9.0)):
        quotes = market.quote(state, ())
        said = {"accuracy": torch.full((1, 4), accuracy), "loss": torch.full((1, 4), loss)}
        quotes = dataclasses.replace(quotes, **said)
        state, _ = market.clear(state, ((quotes, truth(market, rounds.Situation(state, (), quotes))),))
        marks.append(torch.equal(state.best, quotes.trained))
    assert marks == [True, True, False, True, False]
    assert state.best_accuracy.tolist() == [[pytest.approx(0.1)] * 4] and state.best_loss.tolist() == [[9.0] * 4]


def test_a_relay_under_averaging_uploads_the_mean_that_was_sent():
    market = trained_market(scheme="fedavg")
    relays = ((0, "upload", "relay"), (1, "upload", "relay"))
    seen = episode(market, range(2), turns={1: relays})
    assert torch.equal(seen[0][1].state.centre, seen[0][1].state.params)
    # both were sent the same mean, which is none of the trained models
    assert seen[1][2].distance[:, 0, 1].abs().max() < 1e-6 < seen[1][2].distance[:, 2, 3].abs().min()
    assert not any(after.state.pull.any() for _, after, _ in seen)


def test_reports_are_read_once_or_each_round():
    for reports, costs in (("once", [2.0, 2.0, 2.0]), ("each_round", [2.0, 0.5, 1.0])):
        market = market_of(reports=reports, costs=(1.0, 1.0))
        turns = {0: ((0, "cost", lie(2, 1)),), 1: ((0, "cost", lie(0.5, 1)),)}
        seen = episode(market, [0], turns=turns)
        assert [float(s[2].reported.costs[0, 0]) for s in seen] == pytest.approx(costs)


def test_types_drift_by_their_seed_and_reports_once_do_not():
    market = market_of(cost_drift=0.1, need_drift=0.2, max_cycles=40)
    a, b = (episode(market, range(100)) for _ in range(2))
    for (_, x, _), (_, y, _) in zip(a, b, strict=True):
        assert torch.equal(x.state.types.costs, y.state.types.costs) and torch.equal(x.state.types.needs, y.state.types.needs)
    first, last = a[0][0].state.types, a[-1][1].state.types
    # 40 steps of deviation .1 and .2: logs deviate by .1 sqrt(40) = .632 and 1.265; 400 clients, so within 4 of 3.5 %
    assert (last.costs / first.costs).log().std() == pytest.approx(0.1 * 40**0.5, rel=0.15)
    assert (last.needs / first.needs).log().std() == pytest.approx(0.2 * 40**0.5, rel=0.15)
    assert torch.equal(first.sizes, last.sizes)
    assert torch.allclose(a[-1][2].reported.costs, first.costs)


@pytest.mark.parametrize("payment", ["marginal", "critical"])
def test_types_that_drift_without_measure_stay_numbers(payment):
    """A step of 500 in the log takes float64 from 1 beyond its largest number, and to 0, where a need would be none."""
    market = market_of(cost_drift=500.0, need_drift=500.0, max_cycles=12, reports="each_round", exits="ir_prob", payment=payment)
    for now, _, report in episode(market, range(20)):
        for types in (now.state.types.costs, now.state.types.needs):
            assert ((types >= 1e-12) & (types <= 1e12)).all()
        assert report.rewards.isfinite().all() and report.prices.isfinite().all()


def test_types_beyond_the_drifts_bounds_may_be_given():
    market = market_of(types={"costs": (0.0, 1e15, 1e-15, 1.0)}, cost_drift=0.1)
    (now, _, _), *_ = episode(market, [0])
    costs = market._drifted(now.state).costs[0].tolist()
    assert costs[0] == 0 and costs[1] <= 1e15 and costs[2] >= 1e-15 and 0.5 < costs[3] < 2


def test_data_drift_exchanges_a_growing_share_of_the_examples():
    market, still = trained_market(data_drift=0.25, max_cycles=6), trained_market(max_cycles=6)
    seeds = torch.arange(2)
    world, train = (m.open_worlds(seeds) for m in (market, still))
    train = train.content.train
    assert torch.equal(world.content.train.index, train.index)
    moved = [world.owned(torch.full((2,), r)).index != train.index for r in range(6)]
    # a quarter more in every round, and what has moved never comes back; all after four
    assert not moved[0].any() and torch.equal(moved[4], moved[5])
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(moved))
    shares = [float(m.sum() / moved[5].sum()) for m in moved]
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1], abs=0.08)
    a, b = episode(market, [0, 1]), episode(market, [0, 1])
    assert torch.equal(a[-1][1].state.params, b[-1][1].state.params)
    c = episode(still, [0, 1])
    assert torch.equal(a[0][0].quotes.trained, c[0][0].quotes.trained)  # nothing has moved in the first round
    assert not torch.equal(a[2][0].quotes.trained, c[2][0].quotes.trained)


def test_under_drift_scores_count_the_labels_of_the_round():
    """All examples are exchanged after the first round, so the second one's classes count as in the later partition."""
    market, seeds = trained_market(data_drift=1.0, select="test"), torch.arange(2)
    (_, first, _), (before, after, _), _ = episode(market, seeds)
    owned, federation = market.open_worlds(seeds).owned(torch.ones(2).long()), market.source.federation(seeds)

    def expected(judge):
        """Accuracy by hand: on each class's examples, times the share of the class in the client's own."""
        right = torch.zeros(2, 4)
        for label in range(10):
            rows = judge.index[0][judge.y[judge.index[0]] == label]
            exam = market.learner.exam(Shards(judge.x, judge.y, rows[None], torch.tensor([len(rows)])))
            share = (owned.mask & (owned.y[owned.index] == label)).sum(-1) / owned.size
            right += share * market.learner.scores(before.quotes.trained, exam).accuracy
        return right

    assert torch.allclose(before.quotes.accuracy, expected(federation.validation), atol=1e-6)
    tested = expected(federation.test)
    assert torch.allclose(market.test_scores(after.state).accuracy, tested, atol=1e-6)
    assert torch.allclose(after.state.best_accuracy, first.state.best_accuracy.maximum(tested), atol=1e-6)
    last = before.quotes.trained
    old = market.open_worlds(seeds).score(last, torch.zeros(2).long()).accuracy
    assert not torch.allclose(before.quotes.accuracy, old, atol=1e-2)  # the labels of the first round would say something else


BY_GROUP = {"data": from_arrays(ROWS, LABELS, groups=np.arange(90) // 15), "partition": "by_group"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"data": "linear"}, "every seed draws examples of its own"),
        ({"data": SyntheticLinear(n_agents=4, dimension=3)}, "every seed draws examples of its own"),
        (BY_GROUP, "own the same rows whatever the seed"),
    ],
    ids=["linear", "a finished linear source", "by_group"],
)
def test_data_that_cannot_drift_are_refused(config, said):
    trained_market(**config)
    with pytest.raises(ValueError, match=f"data_drift is 0.2, but .*{said}"):
        trained_market(data_drift=0.2, **config)


def test_groups_can_drift_where_each_client_draws_some_rows_of_its_own():
    market = trained_market(data_drift=1.0, data_options={"max_size": 3}, **BY_GROUP)
    world = market.open_worlds(torch.arange(2))
    assert not torch.equal(world.owned(torch.ones(2).long()).index.sort(-1).values, world.content.train.index.sort(-1).values)


# --- what clients own -------------------------------------------------------------------------------------------------------


def npz(folder):
    np.savez(folder / "mine.npz", x=ROWS, y=LABELS)
    return folder / "mine.npz"


DATA = {
    "digits": lambda _: "digits",
    "german_credit": lambda _: "german_credit",
    "breast_cancer": lambda _: "breast_cancer",
    "linear": lambda _: "linear",
    "npz": lambda folder: str(npz(folder)),
    "npz path": npz,
    "arrays": lambda _: (ROWS, LABELS),
    "dataset": lambda _: from_arrays(ROWS, LABELS),
    "finished source": lambda _: make_source("digits", "balanced", 4),
    "finished linear source": lambda _: SyntheticLinear(n_agents=4, dimension=3),
}


@pytest.mark.parametrize("kind", DATA)
def test_every_kind_of_data_trades_with_the_default_arguments(kind, tmp_path):
    """The Dirichlet partition's options go where it deals the rows out, and nowhere else."""
    market = make_market("model_sharing_v0", data=DATA[kind](tmp_path), n_agents=4, max_cycles=1)
    report = one_round(market)
    assert report.loss.isfinite().all() and report.rewards.isfinite().all()
    sizes = market.reset(torch.arange(20)).types.sizes
    uneven = bool((sizes.amax(1) > 1.5 * sizes.amin(1)).any())
    assert uneven == ("linear" not in kind and kind != "finished source")  # dealt out by Dirichlet .1
    assert sizes.min() >= 5  # its min_size


def test_the_scale_of_a_gain_is_the_mean_size_of_a_client():
    given = {"types": {"sizes": (10.0, 20.0, 30.0, 60.0)}}
    assert market_of(gain="log", **given).gain.scale == 30  # (10 + 20 + 30 + 60) / 4
    assert market_of(gain="log", sizes=(100.0, 300.0)).gain.scale == 200  # the interval's middle
    assert market_of(gain="log", sizes=(100.0, 300.0), **given).gain.scale == 30  # given types stand before drawn ones
    drawn = market_of(gain="log")  # a lognormal of median 5000 and deviation .6 has the mean 5000 exp(.18) = 5986
    assert drawn.gain.scale == pytest.approx(5986.1, abs=0.1)
    sizes = drawn.reset(torch.arange(5000)).types.sizes
    assert float(sizes.mean()) == pytest.approx(drawn.gain.scale, rel=0.02)  # 20,000 draws of deviation .66: .5 %
    assert trained_market(gain="log").gain.scale == pytest.approx(1079 / 4, abs=1)  # training rows of digits
    assert trained_market(gain="log", sizes=(100.0, 300.0)).gain.scale == 200
    assert market_of(sizes=(100.0, 300.0)).gain.scale == 1  # the paper's gain has none


# --- money and broken models ------------------------------------------------------------------------------------------------


def test_who_lacks_credit_buys_nothing_and_no_money_moves():
    rich, poor, least = (one_round(market_of(n_agents=3, types=THREE, strength=0.0, credit=c)) for c in (3.0, 2.9, 0.0))
    assert rich.reason.tolist() == [[0, 2, 2]] and rich.cash[0].tolist() == pytest.approx([-2.9289, 2.9289, 0], abs=6e-5)
    for report in (poor, least):  # the price is 2.9289
        assert report.reason.tolist() == [[4, 2, 2]] and not report.trades.any()
        assert not report.cash.any() and not report.transfers.any() and not report.utility.any()


def test_cash_never_falls_below_its_credit():
    for _, _, report in episode(market_of(credit=4.0, cash=1.0, max_cycles=6, n_agents=6), range(50)):
        assert report.cash.min() >= -4 - 1e-9
        assert torch.allclose(report.cash.sum(1), torch.full((50,), 6.0, dtype=torch.float64), atol=1e-9)


def everybody(terms):
    return terms.pairs


def anybody(terms):
    """Whatever is not for sale, and oneself, may be named too: it is left out."""
    return torch.ones_like(terms.pairs)


def half(terms, bought, graph):
    """A payment of one's own: half of what a model adds, less the discount, which may be below 0."""
    return SHARING_PAYMENTS["marginal"](terms, bought, graph) - 0.5 * terms.reported.costs[:, None] * bought


MONEY = [*LEGAL, *[(own, pay) for own in (everybody, anybody) for pay in ("marginal", half)], *[(g, half) for g in GRAPHS]]


@pytest.mark.parametrize("policy", ["truthful", "random"])
@pytest.mark.parametrize(("graph", "payment"), MONEY)
def test_no_purse_is_overdrawn_and_no_batch_stops(graph, payment, policy):
    """strength 5 makes distant models worth less than their discount: prices below 0, which the seller owes the buyer."""
    market = market_of(graph=graph, payment=payment, strength=5.0, cash=0.0, credit=5.0, max_cycles=3, reports="each_round")
    batch, players = Batch(market, 200), dict.fromkeys(agent_names(market), market.policies[policy])
    batch.reset(0)
    while batch.running().quotes is not None:
        report = batch.step(batch.act(players)).report
        assert report.cash.min() >= -5 - 1e-9 and report.cash.sum(1).abs().max() < 1e-9
        assert not report.trades.diagonal(dim1=1, dim2=2).any() and report.discounts[report.trades].isfinite().all()
        if graph is everybody and int(batch.running().state.round[0]) == 1:
            assert (report.prices < 0).any() and (report.reason == 4).any()  # what this test is for does happen


def isolated(market, quotes, now, *edits):
    """Clear a round with these quotes; client 0 must be out of it and all the others in it."""
    after, report = market.clear(now.state, ((quotes, truth(market, now, edits)),))
    assert not report.trades[:, 0].any() and not report.trades[:, :, 0].any() and not report.transfers[:, 0].any()
    assert report.trades[:, 1:].any() and report.rewards.isfinite().all() and report.cash.isfinite().all()
    assert after.centre.isfinite().all() and after.params.isfinite().all() and after.second.isfinite().all()
    return after, report


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "local"])
def test_who_diverges_is_out_of_the_round_and_back_in_the_next(scheme):
    market = trained_market(scheme=scheme, costs=(0.2, 0.3))
    now = rounds.begin(market, torch.arange(3))
    first = torch.zeros(3, 4, dtype=torch.bool)
    first[:, 0] = True
    after, report = isolated(market, dataclasses.replace(now.quotes, diverged=first), now)
    assert report.reason[:, 0].eq(6).all() and not report.reason[:, 1:].eq(6).any()
    quotes = market.quote(after, ())
    _, report = market.clear(after, ((quotes, truth(market, rounds.Situation(after, (), quotes))),))
    assert report.trades[:, 0].any() and quotes.trained.isfinite().all()


@pytest.mark.parametrize("distance", ["cosine", "squared_l2"])
def test_an_upload_that_overflows_is_out_of_the_round(distance):
    market = trained_market(costs=(0.2, 0.3), distance=distance, strength=1e-3)
    now = rounds.begin(market, torch.arange(3))
    trained = now.quotes.trained.clone()
    trained[:, 0] = 2e38  # finite, but ten times as much is not: float32 ends at 3.4e38
    after, report = isolated(market, dataclasses.replace(now.quotes, trained=trained), now, (0, "upload", "scaled"))
    assert report.reason[:, 0].eq(5).all() and report.upload[:, 0].eq(4).all()
    assert report.distance[:, 0, 1:].isinf().all()
    for _ in range(2):
        quotes = market.quote(after, ())
        situation = rounds.Situation(after, (), quotes)
        assert market.observe(after, (), quotes).isfinite().all()
        after, report = market.clear(after, ((quotes, truth(market, situation, ((0, "upload", "scaled"),))),))
        assert after.params.isfinite().all() and report.rewards.isfinite().all() and report.trades[:, 1:, 1:].any()


@pytest.mark.parametrize("distance", ["cosine", "squared_l2"])
def test_a_huge_model_that_is_finite_stops_no_market(distance):
    """Its squared length overflows float32; whatever its distance is, it is a number or inf."""
    market = trained_market(costs=(0.2, 0.3), distance=distance, strength=1e-3, n_agents=5)
    now = rounds.begin(market, torch.arange(3))
    trained = now.quotes.trained.clone()
    trained[:, :2] = 1e25
    quotes = dataclasses.replace(now.quotes, trained=trained)
    after, report = market.clear(now.state, ((quotes, truth(market, now)),))
    assert not report.distance.isnan().any() and report.trades[:, 2:, 2:].any() and report.rewards.isfinite().all()
    assert after.centre[:, 2:].isfinite().all() and market.quote(after, ()).trained.isfinite().all()


def test_where_everybody_diverges_everybody_goes_back_to_the_start():
    market = trained_market(training=Training(optimizer="sgd", learning_rate=1e30, batch_size=16, steps=3))
    for before, after, report in episode(market, range(2)):
        assert before.quotes.diverged.all() and report.reason.eq(6).all() and not report.transfers.any()
        assert torch.equal(after.state.params, before.state.start.expand_as(after.state.params))
        assert report.loss.isfinite().all()


def overflowing(market, client=0):
    """The market with a client whose training ends with finite numbers that are too large to compute with."""
    train = market._train
    market._train = lambda *args: train(*args).index_fill(1, torch.tensor([client]), 1e30)
    return market


def test_a_model_whose_outputs_overflow_counts_as_diverged():
    plain, market, seeds = trained_market(costs=(0.2, 0.3)), overflowing(trained_market(costs=(0.2, 0.3))), torch.arange(2)
    honest, now = rounds.begin(plain, seeds), rounds.begin(market, seeds)
    assert now.quotes.diverged.tolist() == [[True, False, False, False]] * 2
    assert torch.equal(now.quotes.trained[:, 0], now.state.params[:, 0])
    assert torch.equal(now.quotes.trained[:, 1:], honest.quotes.trained[:, 1:])
    # judged again, by what it goes on from: everybody's first model knows nothing of ten classes, whose loss is log 10
    assert now.quotes.loss[:, 0] == pytest.approx(torch.full((2,), math.log(10)), abs=0.5)
    _, report = isolated(market, now.quotes, now)
    assert report.reason[:, 0].eq(6).all() and torch.equal(report.loss, now.quotes.loss)


def test_where_even_the_last_finite_model_overflows_all_that_is_told_is_finite():
    market = trained_market(costs=(0.2, 0.3))
    state = market.reset(torch.arange(2))
    huge = state.params.index_fill(1, torch.tensor([0]), 1e30)
    state = dataclasses.replace(state, params=huge)
    quotes = market.quote(state, ())
    assert quotes.diverged[:, 0].all() and market.observe(state, (), quotes).isfinite().all()
    after, report = isolated(market, quotes, rounds.Situation(state, (), quotes))
    assert report.loss[:, 0].eq(100).all() and after.loss[:, 0].eq(100).all()  # the observation's bound
    assert report.infos()["loss"].isfinite().all() and report.reason[:, 0].eq(6).all()


@pytest.mark.parametrize("scheme", ["ipfl", "fedavg"])
def test_a_pull_is_made_only_where_something_pulls(scheme, monkeypatch):
    made, real = [], model_sharing.Pull
    monkeypatch.setattr(model_sharing, "Pull", lambda *given: made.append(given) or real(*given))
    market = trained_market(scheme=scheme)
    now = rounds.begin(market, torch.arange(2))
    assert not made  # in the first round nobody has bought anything
    now, _ = rounds.advance(market, now, truth(market, now))
    assert bool(made) == bool((now.state.pull > 0).any()) == (scheme == "ipfl")


# --- refusals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, 1.5])
def test_a_bad_action_through_the_door_changes_nothing(bad):
    env = make_parallel("model_sharing_v0", n_agents=3, max_cycles=2, learner=None)
    env.reset(seed=1)
    before, good = env.market_state, {a: env.action_space(a).sample() * 0 for a in env.agents}
    wrong = good | {"client_1": good["client_1"] + bad}
    with pytest.raises(ValueError, match="'cost' is"):
        env.step(wrong)
    assert env.market_state is before and env.report is None
    env.step(good)
    assert int(env.market_state.round[0]) == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"types": {"sizes": (1.0, 1.0, 0.0, 1.0)}}, r"types\['sizes'\]\[2\] is 0.0, wanted a finite number >= 1e-12"),
        ({"types": {"sizes": (1.0, 1.0, -2.0, 1.0)}}, r"types\['sizes'\]"),
        ({"types": {"costs": (1.0, 1.0, -1.0, 1.0)}}, r"types\['costs'\]\[2\] is -1.0, wanted a finite number >= 0"),
        ({"types": {"needs": (1.0, 1.0, -1.0, 1.0)}}, r"types\['needs'\]"),
        ({"types": {"costs": (1.0, 1.0, math.nan, 1.0)}}, r"types\['costs'\]"),
        ({"types": {"needs": (1.0, 1.0, math.inf, 1.0)}}, r"types\['needs'\]"),
        ({"types": {"sizes": (1e-300,) * 4}}, r"types\['sizes'\].*finite number >= 1e-12 and <= 1e\+100"),
        ({"types": {"sizes": (1.0, 1.0, 1.0, 1e101)}}, r"types\['sizes'\]"),
        ({"types": {"needs": (1.0, 1.0, 1.0, 1e308)}}, r"types\['needs'\]"),
        ({"sizes": (1e-300, 1e-300)}, r"sizes is .*wanted an interval \(low, high\), 1e-12 <= low <= high <= 1e\+100"),
        ({"needs": (1.0, 1e308)}, "needs is"),
        ({"types": {"costs": (1.0, 1.0)}}, "wanted a tuple of 4 numbers >= 0, one for each agent"),
        ({"types": {"cost": (1.0,) * 4}}, "no entry of types 'cost'. Did you mean 'costs'"),
        ({"payment": "vcg"}, "payment is 'vcg' with graph 'break'"),
        ({"payment": "vcg", "graph": "continue"}, "graph='exact'"),
        ({"graph": "brake"}, "no graph 'brake'. Did you mean 'break'"),
        ({"payment": "margin"}, "no payment 'margin'"),
        ({"scheme": "fedavrg"}, "no scheme 'fedavrg'. Did you mean 'fedavg'"),
        ({"distance": "cosinus"}, "no distance 'cosinus'"),
        ({"gain": "inverse"}, "no gain 'inverse'"),
        ({"reports": "twice"}, "no reports 'twice'"),
        ({"exits": "ir"}, "no exits 'ir'"),
        ({"select": "train"}, "no select 'train'"),
        ({"n_agents": 1}, "n_agents is 1"),
        ({"max_cycles": 0}, "max_cycles is 0"),
        ({"horizon": "cuts"}, "Did you mean 'cut'"),
        ({"strength": -1.0}, "strength is -1"),
        ({"strength": math.nan}, "strength is nan"),
        ({"eta": math.inf}, "eta is inf"),
        ({"cost_drift": -0.1}, "cost_drift is -0.1"),
        ({"credit": -1.0}, "credit is -1"),
        ({"credit": math.nan}, "credit is nan"),
        ({"cash": math.nan}, "cash is nan"),
        ({"costs": (2.0, 1.0)}, "costs is"),
        ({"costs": (math.nan, 1.0)}, "costs is"),
        ({"sizes": (0.0, 1.0)}, "sizes is"),
        ({"joins": (0, 0)}, "joins is"),
        ({"joins": (0, 0, -1, 0)}, r"joins\[2\] is -1, wanted a whole number >= 0"),
        ({"data_drift": 0.1}, "learner=None has no data"),
        ({"effort_cost": (0.0, math.inf)}, "effort_cost is"),
        ({"joins": ()}, r"joins is \(\), wanted a tuple of 4 rounds"),
        ({"strength": 1.0, "eta": 1e-40}, "strength / eta is 1.0 / 1e-40, wanted a pull of at most 3.4e"),
        ({"learner_options": {"hidden": (8,)}}, "learner is None, which is told neither learner_options nor training"),
        ({"training": Training()}, "learner is None"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(config, said):
    with pytest.raises(ValueError, match=said):
        market_of(**config)


@pytest.mark.parametrize("payment", ["critical", SHARING_PAYMENTS["critical"]], ids=["by name", "a function"])
def test_critical_payments_want_a_graph_by_name(payment):
    with pytest.raises(ValueError, match=r"payment is 'critical' with graph .*wanted a graph by name"):
        market_of(payment=payment, graph=GRAPHS["break"])


@pytest.mark.parametrize("graph", ["exact", GRAPHS["exact"]], ids=["by name", "a function"])
def test_the_exact_graph_is_refused_above_twelve_clients(graph):
    assert one_round(market_of(n_agents=12, graph=graph)).trades.any()
    with pytest.raises(ValueError, match="graph is 'exact' with 13 clients"):
        market_of(n_agents=13, graph=graph)


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"reports": None}, "no reports None.*once"),
        ({"exits": True}, "no exits True"),
        ({"select": ("test",)}, "no select"),
        ({"costs": (1.0,)}, r"costs is \(1.0,\), wanted an interval"),
        ({"costs": 1.0}, "costs is 1.0, wanted an interval"),
        ({"costs": ()}, r"costs is \(\), wanted an interval"),
        ({"costs": None}, "costs is None, wanted an interval"),
        ({"costs": ("1", "2")}, "costs is .*wanted an interval"),
        ({"needs": ()}, r"needs is \(\), wanted an interval"),
        ({"sizes": (1.0, 2.0, 3.0)}, "sizes is .*wanted an interval"),
        ({"joins": 1}, "joins is 1, wanted a tuple of 4 rounds"),
        ({"types": {"costs": 1.0}}, r"types\['costs'\] is 1.0, wanted a tuple of 4 numbers"),
        ({"types": {"costs": ("1",) * 4}}, r"types\['costs'\]"),
        ({"strength": "1"}, "strength is '1', wanted a finite number"),
        ({"cash": None}, "cash is None"),
        ({"credit": "inf"}, "credit is 'inf'"),
    ],
    ids=str,
)
def test_values_of_a_wrong_type_are_refused(config, said):
    with pytest.raises(ValueError, match=said):
        market_of(**config)


@pytest.mark.usefixtures("as_for_a_user")
def test_numbers_of_other_types_are_taken():
    config = {
        "strength": 1,
        "eta": np.float64(5.0),
        "costs": [1, 2],
        "types": {"sizes": np.arange(1.0, 5.0)},
        "joins": [0, 0, 1, 0],
    }
    assert one_round(market_of(**config)).reported.sizes[0].tolist() == [1, 2, 3, 4]
    assert one_round(market_of(eta=0.0)).trades.any()


@pytest.mark.parametrize("told", [{"learner_options": {"hidden": (8,)}}, {"training": Training()}], ids=str)
def test_a_ready_made_learner_is_told_nothing_more(told):
    learner = trained_market().learner
    assert one_round(market_of(learner=learner)).loss.isfinite().all()
    with pytest.raises(ValueError, match=r"learner is a ready-made \w+, which is told neither"):
        market_of(learner=learner, **told)


def test_a_market_without_models_has_no_test_scores():
    market = market_of()
    with pytest.raises(ValueError, match="learner is None"):
        market.test_scores(market.reset(torch.arange(1)))


# --- batches, seeds, files --------------------------------------------------------------------------------------------------


def test_a_batch_and_its_singles_agree():
    config = {"exits": "ir_prob", "cost_drift": 0.1, "joins": (0, 1, 0, 0)}
    edits = ((1, "upload", "relay"), (2, "cost", -0.5), (3, "upload", "gauss"))
    together = episode(market_of(**config), [4, 5, 6], *edits)
    for k, seed in enumerate((4, 5, 6)):
        for (_, _, a), (_, _, b) in zip(together, episode(market_of(**config), [seed], *edits), strict=True):
            for name in ("rewards", "prices", "distance", "cash", "present"):
                assert torch.equal(getattr(a, name)[k], getattr(b, name)[0]), name


def test_a_batch_of_trained_models_and_its_singles_agree_in_each_stage():
    market = trained_market()
    for before, _, report in episode(market, [4, 5, 6]):
        for k in range(3):
            now = tree.rows(before, torch.tensor([k]))
            quotes = market.quote(now.state, ())
            assert torch.allclose(quotes.trained[0], before.quotes.trained[k], atol=1e-5)
            _, alone = market.clear(now.state, ((quotes, truth(market, rounds.Situation(now.state, (), quotes))),))
            assert torch.allclose(alone.distance[0], report.distance[k], atol=1e-5)
            assert torch.allclose(alone.prices[0], report.prices[k], atol=1e-4)
            assert torch.equal(alone.trades[0], report.trades[k])


@pytest.mark.parametrize("scheme", ["ipfl", "ditto"])
def test_a_saved_market_goes_on_to_the_bit(tmp_path, scheme):
    market = trained_market(scheme=scheme, exits="ir_prob", cost_drift=0.1, data_drift=0.1, joins=(0, 0, 2, 0), max_cycles=5)
    a, b = Batch(market, 2), Batch(make_market("model_sharing_v0", **vars(market.config)), 2)
    policies = dict.fromkeys(agent_names(market), POLICIES["truthful"])
    a.reset(3)
    for _ in range(2):
        a.step(a.act(policies))
    a.save(tmp_path / "market.safetensors")
    assert torch.equal(b.load(tmp_path / "market.safetensors"), rounds.observe(market, a.running()))
    for _ in range(3):
        x, y = a.step(a.act(policies)), b.step(b.act(policies))
        assert torch.equal(x.seen, y.seen) and torch.equal(x.rewards, y.rewards) and torch.equal(x.terminated, y.terminated)
    assert torch.equal(a.running().state.params, b.running().state.params) and x.terminated.all()


def test_a_seed_decides_everything_and_markets_differ():
    a, b = episode(trained_market(), [5, 6]), episode(trained_market(), [5, 7])
    assert torch.equal(a[-1][2].rewards[0], b[-1][2].rewards[0])
    assert not torch.equal(a[-1][2].rewards[1], b[-1][2].rewards[1])
    c = episode(trained_market(), [5, 6])
    assert torch.equal(a[-1][1].state.params, c[-1][1].state.params) and torch.equal(a[-1][2].rewards, c[-1][2].rewards)


@pytest.mark.parametrize("number", REASONS)
def test_every_reason_is_told_in_words(number):
    assert list(REASONS) == list(range(10))
    report, agents = one_round(market_of()), [f"client_{i}" for i in range(4)]
    assert sum("reports size" in line for line in report.story(agents)) == 4
    told = dataclasses.replace(report, reason=torch.full_like(report.reason, number)).story(agents)
    assert sum(line.startswith(f"  {REASONS[number]}; gain") for line in told) == 4
    page = Path(__file__).parents[2] / "docs" / "environments" / "model_sharing.md"
    assert f"| {number} | {REASONS[number]} |" in page.read_text("utf8")


# --- best reports of a cost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("graph", "payment"), LEGAL)
def test_no_cost_of_a_grid_is_better_than_the_markets_breakpoints(graph, payment):
    market = market_of(graph=graph, payment=payment)
    now = rounds.begin(market, torch.arange(20))
    actions = truth(market, now)

    def worth(mine):
        """Client 2's utilities by its actions [markets, candidates, width]."""
        found = []
        for k in range(mine.shape[1]):
            tried = actions.clone()
            tried[:, 2] = mine[:, k]
            found.append(market.clear(now.state, ((now.quotes, tried),))[1].utility[:, 2])
        return torch.stack(found, 1)

    candidates = market.cost_breakpoints(now.state, ((now.quotes, actions),), 2)
    assert torch.equal(candidates[..., 1:], actions[:, 2:3, 1:].expand(-1, candidates.shape[1], -1))
    grid = actions[:, 2:3].repeat(1, 81, 1)
    grid[..., 0] = torch.linspace(-1, 1, 81)
    best, fine, honest = worth(candidates).amax(1), worth(grid), worth(actions[:, 2:3])
    assert (fine.amax(1) <= best + 1e-9).all()
    assert (fine[:, 41:] <= honest + 1e-9).all()  # from the truth on, at 40
    if payment != "marginal":
        assert (best <= honest[:, 0] + 1e-9).all()


def test_breakpoints_are_none_where_they_are_not_known():
    def found(agent=0, **config):
        market = market_of(**config)
        now = rounds.begin(market, torch.arange(1))
        return market.cost_breakpoints(now.state, ((now.quotes, truth(market, now)),), agent)

    assert found() is not None
    assert found(scheme="fedavg") is None
    assert found(graph=GRAPHS["break"]) is None
    assert found(joins=(1, 0, 0, 0)) is None and found(joins=(1, 0, 0, 0), reports="each_round") is not None
    assert found(types={"costs": (0.0, 1.0, 1.0, 1.0)}) is None


# --- effort is not paid for -------------------------------------------------------------------------------------------------


COSTLESS = (0.0, *(1.0,) * 9)


# Client 0 costs nothing, the others 1; K = 100 times the mean size; the paper's 50 rounds. Known from simulations made before
# this market: bought by 7.5 to 9 of 9 a round, and a mean ratio over 8 seeds in [.9, 1.05]. Measured here, and with two other
# groups of 8 seeds: label skew (alpha .1) and equal sizes 1.01, 1.02, 1.01; even labels .92, .93, .92; 9.0 sales in all. It takes
# so many rounds: after 20 the ratios are 1.05 and .86.
@pytest.mark.parametrize(
    "config",
    [{"types": {"costs": COSTLESS, "sizes": (140.0,) * 10}}, {"types": {"costs": COSTLESS}, "partition": "balanced"}],
    ids=["label skew", "balanced"],
)
def test_effort_is_not_paid_for(config):
    """Who trains once and relays what it was sent earns about what it would earn by training in the same market."""
    market = make_market("model_sharing_v0", max_cycles=50, needs=(100.0, 100.0), **config)
    lazy = [r for *_, r in episode(market, range(8), (0, "effort", -1.0), (0, "upload", "relay"))]
    works = [r for *_, r in episode(market, range(8))]
    assert torch.stack([r.sold[:, 0].double() for r in lazy]).mean() >= 7  # of 9
    assert all(r.effort[:, 0].eq(float(k == 0)).all() for k, r in enumerate(lazy))
    ratio = sum(r.utility[:, 0] for r in lazy) / sum(r.utility[:, 0] for r in works)
    assert 0.9 <= float(ratio.mean()) <= 1.05


def test_no_breakpoints_are_named_where_a_buyer_can_go_broke():
    for credit, named in ((math.inf, True), (5.0, False)):
        market = market_of(credit=credit)
        now = rounds.begin(market, torch.arange(2))
        found = market.cost_breakpoints(now.state, ((now.quotes, truth(market, now)),), 0)
        assert (found is not None) == named


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("name", ["sizes", "costs", "needs"])
@pytest.mark.parametrize("values", [(1e-12, 1e-12, 1e-12), (1e-12, 1.0, 1e100), (1e100, 1e100, 1e100)], ids=str)
def test_types_at_the_ends_of_their_range_have_finite_rewards(gain, name, values):
    market = make_market("model_sharing_v0", learner=None, n_agents=3, max_cycles=2, gain=gain, types={name: values})
    for policy in ("truthful", "random"):
        policies = dict.fromkeys(agent_names(market), market.policies[policy])
        for seen, _, report in rounds.play(market, policies, torch.arange(5)):
            assert bool(report.rewards.isfinite().all()) and bool(seen.isfinite().all())


def test_given_types_are_copied():
    sizes = [1.0, 2.0, 3.0]
    market = make_market("model_sharing_v0", learner=None, n_agents=3, types={"sizes": sizes})
    sizes[0] = 9.0
    assert market.reset(torch.tensor([0])).types.sizes.tolist() == [[1.0, 2.0, 3.0]]


# --- what only a mistake would change ---------------------------------------------------------------------------------------


def test_costs_and_needs_drift_on_their_own():
    """Two independent walks: of 400 clients' steps the correlation deviates by 1 / sqrt(400) = .05."""
    market = market_of(cost_drift=0.1, need_drift=0.2)
    before, after, _ = episode(market, range(100))[0]
    steps = [(getattr(after.state.types, name) / getattr(before.state.types, name)).log() for name in ("costs", "needs")]
    assert abs(float(torch.corrcoef(torch.stack([step.flatten() for step in steps]))[0, 1])) < 0.2


def test_every_client_is_shown_what_it_paid_and_what_it_earned():
    # client 0 needs models and its own costs nothing, the others need none: it pays 2.9289 to client 1, nobody else anything
    market = market_of(n_agents=3, types=THREE, strength=0.0)
    after = episode(market, [0])[0][1]
    seen = market.roles[0].observation.unpack(rounds.observe(market, after))
    assert seen["last_paid"].flatten().tolist() == pytest.approx([2.9289, 0, 0], abs=6e-5)
    assert seen["last_earned"].flatten().tolist() == pytest.approx([0, 2.9289, 0], abs=6e-5)


def test_clients_are_tested_on_rows_that_judged_nobody():
    """Labels of the test part are turned round, so who is right on validation rows is wrong on all of these."""
    x, y = np.tile(np.array([[-1.0], [1.0]], dtype="float32"), (60, 1)), np.arange(120) % 2
    market = trained_market(data=from_arrays(x, y, x_test=x, y_test=1 - y), partition="balanced", max_cycles=8)
    after = episode(market, [0])[-1][1]
    assert bool((after.state.accuracy > 0.999).all())  # a sum of shares, so 1 up to rounding
    assert all(market.test_scores(after.state, at).accuracy.eq(0).all() for at in ("last", "best"))


def test_a_quarter_of_the_box_is_a_quarter_of_the_effort():
    # a = -1/2 is a quarter of the way from -1 to 1
    seen = episode(market_of(), [0], (1, "effort", -0.5))
    assert seen[1][2].effort[0].tolist() == [1.0, 0.25, 1.0, 1.0]


def test_needs_are_multiples_of_the_mean_size():
    # of the paper's gain K runs from 50 to 100 times the mean size of a client, which is about 5,000
    types = market_of(n_agents=6).reset(torch.arange(50)).types
    ratio = types.needs / types.sizes.mean(1, keepdim=True)
    assert 50 <= float(ratio.min()) < 52 and 98 < float(ratio.max()) <= 100


@pytest.mark.parametrize("select", ["validation", "test"])
def test_a_best_model_is_chosen_by_the_scores_that_select_names(select):
    """Two halves of one data set: the best accuracy so far is that of the named half, which the other half does not know."""
    market = trained_market(data=from_arrays(ROWS, LABELS, x_test=ROWS[::-1].copy(), y_test=LABELS), select=select, max_cycles=4)
    found = []
    for _, after, report in episode(market, [0, 1]):
        found.append(market.test_scores(after.state).accuracy if select == "test" else report.accuracy)
        assert torch.equal(after.state.best_accuracy, torch.stack(found).amax(0))


def test_the_best_model_and_the_last_one_have_scores_of_their_own():
    market = trained_market(max_cycles=2)
    state = episode(market, [0])[-1][1].state
    begun = dataclasses.replace(state, best=state.start.expand_as(state.best))
    first = dataclasses.replace(state, trained=begun.best)
    assert torch.equal(market.test_scores(begun, "best").loss, market.test_scores(first).loss)
    assert not torch.equal(market.test_scores(begun, "best").loss, market.test_scores(begun).loss)
