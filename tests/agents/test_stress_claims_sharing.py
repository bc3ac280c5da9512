"""Claims of the model-sharing market: what is derived about it the verdicts say, and planted lies are found."""

import pytest
import torch
from test_stress_claims import TINY

from agents.lineups import find_profile
from agents.stress import JUDGE, ex_post_regret, seeds_of
from agents.stress.claims import CLAIMS, EFFORTS, measure, verdict
from agents.stress.claims.claim import Evidence
from agents.stress.claims.model_sharing import ATTACKS, CRITICAL, RULES, economy, small_economy
from agents.stress.claims.sharing_experiments import (
    APART_1,
    APART_2,
    SIX,
    FalseNames,
    Isolation,
    Lighter,
    as_two,
    episodes,
    isolated_iff,
    random_terms,
)
from marketenv import make_market
from marketenv.mechanisms import share_models

MARKET = [claim for claim in CLAIMS.values() if claim.market == "model_sharing"]
COST = ("cost",)


def regret(condition, seeds=64, **more):
    market = small_economy(condition, TINY)
    return ex_post_regret(market, find_profile(market), "client_0", seeds_of(JUDGE, seeds), COST, **more)


# --- hindsight by breakpoints -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", list(RULES))
def test_the_regret_of_a_cost_is_exact_and_nothing_where_the_critical_value_is_paid(condition):
    """A seller that is paid what it could have asked at most cannot move its price; the marginal value lies above that."""
    found = regret(condition)
    assert found.exact and float(found.regret.min()) >= 0
    if condition == "as stated":
        assert float(found.regret.mean()) > 0.1 and float((found.regret > 1e-6).double().mean()) > 0.2
    else:
        assert float(found.regret.max()) < 1e-9
    assert torch.equal(found.actions[:, 1:], found.actions[:1, 1:].expand(64, -1))  # nothing else is changed


def test_breakpoints_find_what_a_fine_grid_finds():
    """A grid is a lower bound; 801 costs from a tenth to ten times the truth come near."""
    market = small_economy("as stated", TINY)
    exact, blind = regret("as stated", 24), make_market("model_sharing_v0", **vars(market.config))
    blind.cost_breakpoints = lambda *_: None
    grid = ex_post_regret(blind, find_profile(blind), "client_0", seeds_of(JUDGE, 24), COST, points=801)
    assert exact.exact and not grid.exact
    assert bool((grid.regret <= exact.regret + 1e-9).all()) and float(grid.regret.sum()) > 0.9 * float(exact.regret.sum())


def test_breakpoints_of_costs_say_nothing_of_other_fields():
    market = small_economy("as stated", TINY)
    for fields in (("size",), ("cost", "size"), None):
        found = ex_post_regret(market, find_profile(market), "client_0", seeds_of(JUDGE, 4), fields, points=5)
        assert not found.exact


# --- what is derived, the verdicts say ----------------------------------------------------------------------------------

SMALL = TINY.__class__(**{**vars(TINY), "cheap": EFFORTS["quick"].cheap})


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("individual_rationality", "holds"),  # derived: concave gain, every purchase is worth its price
        ("individual_rationality_under_lies", "fails"),  # a model of one sample sold as three costs 5, is worth 2.9
        ("cost_not_overstated", "no gain above eps found"),  # derived for all three payments
        ("cost_not_understated", f"no gain above eps found under: {CRITICAL}"),  # marginal values lie above critical ones
        ("truthful_sizes", "fails"),  # the price grows with the reported size
        ("truthful_costs_exactly", f"holds under: {CRITICAL}"),
        ("budget_balance", "holds"),
        ("never_bought_condition", "holds"),
        ("false_names", "no gain above eps found"),
    ],
)
def test_quick_verdicts_are_those_that_are_derived(name, wanted):
    claim = CLAIMS[f"ipfl/{name}"]
    assert str(verdict(claim, {condition: measure(claim.id, condition, "quick") for condition in claim.conditions})) == wanted


def test_needs_are_understated_where_marginal_values_are_paid():
    """A buyer that needs less pays less for what it still buys."""
    found = verdict(CLAIMS["ipfl/truthful_needs"], {"as stated": measure("ipfl/truthful_needs", "as stated", "quick")})
    assert found.word == "fails" and "shift need by -" in found.counterexample


# --- the experiments ----------------------------------------------------------------------------------------------------


def test_each_attack_and_each_side_of_theorem_2_has_a_claim():
    names = {claim.id for claim in MARKET}
    assert {f"ipfl/isolates_{attack}" for attack in ATTACKS} <= names and len(MARKET) >= 19
    assert all(claim.id.startswith("ipfl/") for claim in MARKET)


def test_isolation_tells_far_models_from_near_ones():
    """Random numbers stand at a right angle to all others, at lambda 2; the mean of the others stands near them all."""
    effort = TINY.__class__(**{**vars(TINY), "seeds": 6, "digits": 18})
    gauss, copied = (Isolation(attack)(APART_2, effort).samples["share of the others that buy"] for attack in ("gauss", "copy"))
    assert max(gauss) <= 0.12 and sum(copied) > sum(gauss)
    free = Isolation("gauss")(APART_1 + ", client_0 sells at no cost", effort).samples["share of the others that buy"]
    assert sum(free) > sum(gauss)  # no unconditional isolation: a low hurdle is enough


def test_a_wrong_condition_for_isolation_is_found(monkeypatch):
    """Told that everybody may deal, it names the pairs that do not."""
    import agents.stress.claims.sharing_experiments as module

    assert all(sum(points) == 0 for points in isolated_iff("as stated", TINY).samples.values())
    monkeypatch.setattr(module, "never_bought", lambda terms: torch.zeros_like(terms.pairs))
    assert all(sum(points) > 0 for points in isolated_iff("as stated", TINY).samples.values())


def test_two_names_own_what_the_one_owned():
    """Halves of the data and shares of the need at the same distances, and no trade between the two."""
    terms = random_terms(50, SIX)
    split = as_two(terms, (1.0, 0.0))
    whole, halves = terms.reported, split.reported
    torch.testing.assert_close(halves.sizes[:, [0, SIX]].sum(1), whole.sizes[:, 0])
    assert float(halves.needs[:, SIX].max()) == 0 and torch.equal(halves.costs[:, SIX], whole.costs[:, 0])
    assert torch.equal(halves.sizes[:, 1:SIX], whole.sizes[:, 1:])
    # lambda N_j / N_i d: half the seller's data, half the discount; half the buyer's, twice
    torch.testing.assert_close(split.discounts[:, 1:SIX, SIX], terms.discounts[:, 1:, 0] / 2)
    torch.testing.assert_close(split.discounts[:, 0, 1:SIX], terms.discounts[:, 0, 1:] * 2)
    assert bool(split.discounts[:, 0, SIX].isinf().all()) and not bool(share_models(split).allocation[:, SIX, 0].any())


def test_false_names_that_pay_are_found():
    """Planted: 100 for every sale of who says that it needs nothing, so that a second name that only sells pays at once."""

    def alms(terms, bought, graph):
        return bought * 100.0 * (terms.reported.needs == 0).double()[:, None]

    found = FalseNames({"planted": {"graph": "break", "payment": alms}})("planted", TINY).samples
    assert sum(found["one half buys, the other only sells"]) > max(0.0, sum(found["both halves buy"]))


def test_episodes_are_what_the_market_plays():
    market = economy("as stated", TINY)
    done = episodes(market, "truthful", torch.arange(16))
    assert len(done.reports) == 1 and torch.equal(done.sum("utility"), done.reports[0].utility)
    assert torch.equal(done.end.bought, done.reports[0].trades)


def test_a_lighter_experiment_asks_for_fewer_seeds_and_never_for_hardly_any():
    seen = []

    def note(condition, effort):
        seen.append((effort.cheap.select, effort.cheap.judge))
        return Evidence(samples={"x": [0.0]})

    for effort in (EFFORTS["full"], EFFORTS["quick"], TINY):
        Lighter(note)("as stated", effort)
    assert seen == [(2048, 16384), (256, 1024), (32, 512)]
