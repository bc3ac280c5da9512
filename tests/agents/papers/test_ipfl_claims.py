"""Claims of iPFL without training: the verdicts say what is derived, and planted lies are found."""

from functools import cache

import pytest
import torch
from claim_cases import TINY

from agents.lineups import find_profile
from agents.papers import CLAIMS, EFFORTS, measure, verdict
from agents.papers.core.evidence import Evidence
from agents.papers.core.played import steps
from agents.papers.ipfl import graphs
from agents.papers.ipfl.claims import LIES, economy, small_economy
from agents.papers.ipfl.graphs import isolated_iff
from agents.papers.ipfl.lies import CostRegret
from agents.papers.ipfl.settings import CRITICAL, RULES
from agents.papers.ipfl.sharing import shared, utility
from agents.papers.ipfl.sharing_claims import ATTACKS
from agents.papers.ipfl.wording import Lighter
from agents.stress import JUDGE, ex_post_regret, seeds_of
from marketenv import make_market
from marketenv.markets.model_sharing import Shared, ShareModels

MARKET = [claim for claim in CLAIMS.values() if claim.market == "model_sharing"]
COST = ("cost",)
measured = cache(measure)  # several tests read the same evidence


def regret(condition, seeds=64, **more):
    market = small_economy(condition, TINY)
    return ex_post_regret(
        market, find_profile(market), "client_0", seeds_of(JUDGE, seeds), fields=COST, **more
    )


@pytest.mark.parametrize("condition", list(RULES))
def test_the_regret_of_a_cost_is_exact_and_nothing_where_the_critical_value_is_paid(condition):
    """A seller that is paid what it could have asked at most cannot move its price; the
    marginal value lies above that.
    """
    found = regret(condition)
    assert found.exact and float(found.regret.min()) >= 0
    if condition == "as stated":
        assert (
            float(found.regret.mean()) > 0.1 and float((found.regret > 1e-6).double().mean()) > 0.2
        )
    else:
        assert float(found.regret.max()) < 1e-9
    # nothing else is changed
    assert torch.equal(found.actions[:, 1:], found.actions[:1, 1:].expand(64, -1))


def test_breakpoints_find_what_a_fine_grid_finds():
    """A grid is a lower bound; 801 costs from a tenth to ten times the truth come near."""
    market = small_economy("as stated", TINY)
    exact, blind = regret("as stated", 24), make_market("model_sharing_v0", **vars(market.config))
    blind.phase(ShareModels).breakpoints = lambda *_: None
    grid = ex_post_regret(
        blind, find_profile(blind), "client_0", seeds_of(JUDGE, 24), fields=COST, points=801
    )
    assert exact.exact and not grid.exact
    assert bool((grid.regret <= exact.regret + 1e-9).all()) and float(
        grid.regret.sum()
    ) > 0.9 * float(exact.regret.sum())


def test_breakpoints_of_costs_say_nothing_of_other_fields():
    market = small_economy("as stated", TINY)
    for fields in (("size",), ("cost", "size"), None):
        found = ex_post_regret(
            market, find_profile(market), "client_0", seeds_of(JUDGE, 4), fields=fields, points=5
        )
        assert not found.exact


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        # derived: concave gain, every purchase is worth its price
        ("individual_rationality", "holds"),
        # a model of one sample sold as three costs 5, is worth 2.9
        ("individual_rationality_under_false_sizes", "fails"),
        # what is bought and its price depend on sizes and needs
        ("individual_rationality_under_false_costs", "holds"),
        # a seller is paid its hurdle or more by anybody
        ("individual_rationality_under_false_needs", "holds"),
        ("cost_not_overstated", "no gain above eps found"),  # derived for all three payments
        # marginal values lie above critical ones
        ("cost_not_understated", f"fails as stated; no gain above eps found under: {CRITICAL}"),
        ("truthful_sizes", "fails"),  # the price grows with the reported size
        ("truthful_needs", "fails"),  # a buyer that needs less pays less for what it still buys
        ("truthful_costs_exactly", f"fails as stated; holds under: {CRITICAL}"),
        ("budget_balance", "holds"),
        ("accounts", "holds"),
        ("never_bought_condition", "holds"),
    ],
)
def test_quick_verdicts_are_those_that_are_derived(name, wanted):
    claim = CLAIMS[f"ipfl/{name}"]
    assert (
        str(
            verdict(
                claim,
                {
                    condition: measured(claim.id, condition, "quick")
                    for condition in claim.conditions
                },
            )
        )
        == wanted
    )


def test_hindsight_finds_lies_that_pay_in_some_episodes_only():
    """Where the critical value is paid, needs told too small bring nothing in the mean, and
    much in single episodes.
    """
    found = measured("ipfl/truthful_needs", CRITICAL, "quick")["samples"]
    gain, regret = (
        torch.tensor(found[name])
        for name in ("gain of client_0", "regret of client_0 on its lines")
    )
    assert float(gain.mean()) < 0.1 < float(regret.mean()) and float(regret.min()) >= 0


def test_no_verdict_on_exact_regrets_from_a_grid():
    """A market that names no costs leaves a grid, which could miss the best one."""

    def blind(condition, effort):
        market = small_economy(condition, effort)
        market.phase(ShareModels).breakpoints = lambda *_: None
        return market

    found = CostRegret(blind)(CRITICAL, TINY)
    assert found.untested and not found.samples


def test_a_dominant_report_is_put_to_lying_others():
    """A seller's critical value does not depend on its report, whatever the others say; its
    marginal value always does.
    """
    assert {"truthful", "random", "size_liar", "undercutter", "eagerness_shader"} == set(LIES)
    name = "ipfl/truthful_costs_exactly"
    assert CLAIMS[name].experiment == CostRegret(small_economy, LIES)
    for condition, least in ((CRITICAL, 0.0), ("as stated", 0.01)):
        found = measured(name, condition, "quick")["samples"]
        assert list(found) == [f"regret where the others are {part}" for part in LIES]
        means = [sum(points) / len(points) for points in found.values()]
        # the line-ups are others indeed
        assert len(set(means)) == (1 if condition == CRITICAL else 5)
        assert max(means) < 1e-9 if condition == CRITICAL else min(means) > least


def test_each_attack_and_each_side_of_theorem_2_has_a_claim():
    names = {claim.id for claim in MARKET}
    assert {f"ipfl/isolates_{attack}" for attack in ATTACKS} <= names and len(MARKET) >= 24
    assert all(claim.id.startswith("ipfl/") for claim in MARKET)


def test_a_wrong_condition_for_isolation_is_found(monkeypatch):
    """Told that everybody may deal, it names the pairs that do not."""
    assert all(sum(points) == 0 for points in isolated_iff("as stated", TINY).samples.values())
    monkeypatch.setattr(graphs, "never_bought", lambda terms: torch.zeros_like(terms.pairs))
    assert all(sum(points) > 0 for points in isolated_iff("as stated", TINY).samples.values())


def test_what_is_played_is_what_the_market_plays():
    """One round: its utility is that of the episode, and the market remembers its trades."""
    market, seeds = economy("as stated", TINY), torch.arange(16)
    (sharing,) = shared(market, "truthful", seeds)
    assert torch.equal(utility(market, "truthful", seeds), sharing.utility)
    *_, (before, report, end) = steps(market, "truthful", seeds)
    assert torch.equal(end.owns["share"].trades, sharing.trades)
    assert torch.equal(report.of(Shared).trades, sharing.trades)
    assert before.at == 0 and before.floor.seeds.tolist() == list(range(16))


def test_a_lighter_experiment_asks_for_fewer_seeds_and_never_for_hardly_any():
    seen = []

    def note(condition, effort):
        seen.append((effort.cheap.select, effort.cheap.judge))
        return Evidence(samples={"x": [0.0]})

    for effort in (EFFORTS["full"], EFFORTS["quick"], TINY):
        Lighter(note)("as stated", effort)
    assert seen == [(2048, 16384), (256, 1024), (32, 512)]
