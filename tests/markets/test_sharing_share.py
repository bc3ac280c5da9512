"""The phase Share of model sharing: counterexamples, properties of random markets, reports, and
what is told.
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from sharing_market import (
    LEGAL,
    PLACES,
    THREE,
    episode,
    lie,
    market_of,
    models_of,
    one_round,
    told,
    trained_market,
    truth,
)

from marketenv.core import rounds
from marketenv.core.ledger import net
from marketenv.markets.model_sharing import Shared
from marketenv.markets.model_sharing.reports import REASONS
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.mechanisms import GRAPHS


def test_the_actions_lie_where_these_tests_write_them():
    slices = market_of().moves[0].action.slices
    assert {name: s.start for name, s in slices.items()} == PLACES and all(
        s.stop == s.start + 1 for s in slices.values()
    )


# --- the counterexamples, through the market ------------------------------------------------------


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
    """Needs 100, 0, 0 have a mean of 100/3: a seller that says half of the box needs that, at
    its ends nothing or twice that.
    """
    said = {-1.0: 0.0, 0.0: 100 / 3, 0.5: 50.0, 1.0: 200 / 3}
    for action, need in said.items():
        report = one_round(market_of(n_agents=3, types=THREE), (1, "need", action))
        assert report.reported.needs[0].tolist() == pytest.approx([100, need, 0])


def test_overstating_the_data_on_sale():
    # reported N = 3: 10 - 10 / sqrt(4) = 5 for one true sample that is worth 2.9289
    assert printed(three((1, "size", lie(3, 1))), [5, 0], [-2.0711, 3.5, 0])
    # lambda = 1 / d makes lambda d = 1 between buyer 0 and seller 1; the best N' is 5^(2/3) - 1 =
    # 1.924
    types = THREE | {"costs": (0.0, 0.2, 2.0)}
    apart = float(one_round(market_of(n_agents=3, types=types)).distance[0, 0, 1])
    config = {"types": types, "strength": 1 / apart}
    assert three(**config)[0][0] == pytest.approx(1.9289, abs=6e-5)
    prices = [three((1, "size", lie(n, 1)), **config)[0][0] for n in (1.87, 5 ** (2 / 3) - 1, 1.98)]
    assert prices[1] == pytest.approx(2.2279, abs=6e-5) and max(prices) == prices[1]
    # .2 + 9 > 10 - 10 / sqrt(10): isolated
    assert three((1, "size", lie(9, 1)), **config)[0] == [0, 0]


def test_overstating_ones_own_data():
    # sqrt(100 / 1.5) - sqrt(100 / 2.5) = 1.8404, the gain by the truth is 2.9289
    assert printed(three((0, "size", lie(1.5, 1))), [1.8404, 0], [1.0885, 0.3404, 0])


def test_uploading_a_distant_model():
    # ones stand at distance 1 to all, lambda = 1.4 takes 1.4 off the price and nothing off the
    # buyer's gain
    assert printed(three((0, "upload", "ones"), strength=1.4), [1.5289, 0], [1.4, 0.0289, 0])


def test_a_zero_type_reports_a_share_of_the_mean():
    # (1 + a) * mean: mean cost 3.5 / 3, mean need 100 / 3; -1 is the truth
    report = one_round(
        market_of(n_agents=3, types=THREE), (0, "cost", -1.0), (1, "need", 0.5), (2, "need", 1.0)
    )
    assert report.reported.costs[0].tolist() == pytest.approx([0, 1.5, 2])
    assert report.reported.needs[0].tolist() == pytest.approx([100, 1.5 * 100 / 3, 2 * 100 / 3])
    assert one_round(market_of(n_agents=3, types=THREE)).reported.needs[0].tolist() == [100, 0, 0]


# --- random markets -------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(("graph", "payment"), LEGAL)
def test_ten_thousand_truthful_markets(graph, payment):
    """Theorem 1: nobody loses by the truth; money is conserved; overstating a cost never gains."""
    market = market_of(graph=graph, payment=payment)
    now = rounds.begin(market, torch.arange(10_000))

    def played(*edits):
        return rounds.advance(market, now, truth(market, now, edits))[1]

    honest = told(played())
    assert honest.utility.min() >= -1e-9
    assert net(honest.transfers).sum(1).abs().max() <= 1e-9
    assert 0.2 < honest.trades.double().sum() / (10_000 * 12) < 0.9  # a test of markets that trade
    for times in (1.05, 1.5, 4.0, 10.0):
        lied = played((1, "cost", lie(times, 1))).of(Shared).utility[:, 1]
        assert (lied <= honest.utility[:, 1] + 1e-9).all()
    if payment != "marginal":  # understating gains nothing either
        for times in (0.2, 0.7):
            lied = played((1, "cost", lie(times, 1))).of(Shared).utility[:, 1]
            assert (lied <= honest.utility[:, 1] + 1e-9).all()


@pytest.mark.parametrize("graph", GRAPHS)
def test_critical_prices_are_at_most_the_marginal_ones(graph):
    low, high = (
        one_round(market_of(graph=graph, payment=p, n_agents=6), seeds=range(500))
        for p in ("critical", "marginal")
    )
    assert torch.equal(low.trades, high.trades)
    assert (low.prices <= high.prices + 1e-9).all() and (low.prices < high.prices - 1e-3).any()


@pytest.mark.parametrize("n", [3, 8])
def test_with_equal_sizes_the_papers_graph_is_the_best(n):
    equal = {"n_agents": n, "sizes": (5000.0, 5000.0)}
    a, b = (
        one_round(market_of(graph=graph, **equal), seeds=range(200)) for graph in ("break", "exact")
    )
    assert torch.equal(a.trades, b.trades) and a.trades.any()


@pytest.mark.parametrize("name", SCHEMES)
def test_only_the_market_moves_money_and_exports_cost_everywhere(name):
    report = one_round(market_of(scheme=name, costs=(0.5, 0.5)), seeds=range(5))
    assert bool(report.transfers.any()) == SCHEMES[name].money
    # U = gain - c * sold - paid + received with c = 1/2
    assert torch.allclose(
        report.utility, report.gain - 0.5 * report.sold - report.paid + report.received
    )
    if name in ("fedavg", "fedprox", "ditto"):
        # one model to each of the others
        assert report.sold.eq(3).all() and report.reason.eq(7).all()


def test_rewards_are_utility_less_the_cost_of_the_effort_made():
    market = market_of(effort_cost=(0.4, 0.4))
    seen = episode(market, range(3), (2, "effort", -1.0), (1, "effort", 0.0))
    # the first training is at full effort, then (1 + a) / 2; 0.4 for a full one
    for r, (_, _, report) in enumerate(seen):
        made = torch.tensor([1, 1, 1, 1] if r == 0 else [1, 0.5, 0, 1]).double()
        assert torch.allclose(report.effort.double(), made.expand(3, -1))
        assert torch.allclose(report.utility - report.rewards, 0.4 * made)


# --- reports, efforts, what is seen ---------------------------------------------------------------


def test_reports_are_read_once_or_each_round():
    for reports, costs in (("once", [2.0, 2.0, 2.0]), ("each_round", [2.0, 0.5, 1.0])):
        market = market_of(reports=reports, costs=(1.0, 1.0))
        turns = {0: ((0, "cost", lie(2, 1)),), 1: ((0, "cost", lie(0.5, 1)),)}
        seen = episode(market, [0], turns=turns)
        assert [float(s[2].reported.costs[0, 0]) for s in seen] == pytest.approx(costs)


def test_a_quarter_of_the_box_is_a_quarter_of_the_effort():
    # a = -1/2 is a quarter of the way from -1 to 1
    seen = episode(market_of(), [0], (1, "effort", -0.5))
    assert seen[1][2].effort[0].tolist() == [1.0, 0.25, 1.0, 1.0]


def test_a_relay_under_averaging_uploads_the_mean_that_was_sent():
    market = trained_market(scheme="fedavg")
    relays = ((0, "upload", "relay"), (1, "upload", "relay"))
    seen = episode(market, range(2), turns={1: relays})
    assert torch.equal(models_of(seen[0][1]).centre, models_of(seen[0][1]).params)
    # both were sent the same mean, which is none of the trained models
    assert (
        seen[1][2].distance[:, 0, 1].abs().max() < 1e-6 < seen[1][2].distance[:, 2, 3].abs().min()
    )
    assert not any(models_of(after).pull.any() for _, after, _ in seen)


def test_every_client_is_shown_what_it_paid_and_what_it_earned():
    # client 0 needs models and its own costs nothing, the others need none: it pays 2.9289 to
    # client 1, nobody else anything
    market = market_of(n_agents=3, types=THREE, strength=0.0)
    after = episode(market, [0])[0][1]
    seen = market.moves[0].observation.unpack(
        rounds.observe(market, rounds.begun(market, after))["client"]
    )
    assert seen["last_paid"].flatten().tolist() == pytest.approx([2.9289, 0, 0], abs=6e-5)
    assert seen["last_received"].flatten().tolist() == pytest.approx([0, 2.9289, 0], abs=6e-5)


@pytest.mark.parametrize("number", REASONS)
def test_every_reason_is_told_in_words(number):
    assert list(REASONS) == list(range(10))
    market, agents = market_of(), [f"client_{i}" for i in range(4)]
    now = rounds.begin(market, torch.arange(1))
    shared = rounds.advance(market, now, truth(market, now))[1].of(Shared)
    assert sum("reports size" in line for line in shared.story(agents)) == 4
    lines = dataclasses.replace(shared, reason=torch.full_like(shared.reason, number)).story(agents)
    assert sum(line.startswith(f"  {REASONS[number]}; gain") for line in lines) == 4
    page = Path(__file__).parents[2] / "docs" / "environments" / "model_sharing.md"
    assert f"| {number} | {REASONS[number]} |" in page.read_text("utf8")
