"""Claims of the model-sharing market: what is derived about it the verdicts say, and planted
lies are found.
"""

import dataclasses
from functools import partial

import pytest
import torch
from test_stress_claims import TINY

from agents.lineups import find_profile
from agents.stress import JUDGE, ex_post_regret, seeds_of
from agents.stress.claims import CLAIMS, EFFORTS, measure, verdict
from agents.stress.claims import sharing_experiments as experiments
from agents.stress.claims.claim import Evidence
from agents.stress.claims.model_sharing import (
    ATTACKS,
    CLAIMED,
    CRITICAL,
    LIES,
    RULES,
    economy,
    small_economy,
)
from agents.stress.claims.sharing_experiments import (
    APART_1,
    APART_2,
    DRAWN,
    GIVEN_AWAY,
    SIX,
    CostRegret,
    Isolation,
    Lighter,
    above_local,
    drawn_terms,
    effort_unpaid,
    episodes,
    isolated_iff,
    most_welfare,
)
from agents.stress.claims.sharing_names import FalseNames, as_two, earned_as_two
from marketenv import make_market
from marketenv.markets.model_sharing import Leave, Share
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.mechanisms import SharingTerms, share_models

MARKET = [claim for claim in CLAIMS.values() if claim.market == "model_sharing"]
COST = ("cost",)


def regret(condition, seeds=64, **more):
    market = small_economy(condition, TINY)
    return ex_post_regret(
        market, find_profile(market), "client_0", seeds_of(JUDGE, seeds), fields=COST, **more
    )


# --- hindsight by breakpoints ---------------------------------------------------------------------


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
    blind.phase(Share).breakpoints = lambda *_: None
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


# --- what is derived, the verdicts say ------------------------------------------------------------


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
                    condition: measure(claim.id, condition, "quick")
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
    found = measure("ipfl/truthful_needs", CRITICAL, "quick")["samples"]
    gain, regret = (
        torch.tensor(found[name])
        for name in ("gain of client_0", "regret of client_0 on its lines")
    )
    assert float(gain.mean()) < 0.1 < float(regret.mean()) and float(regret.min()) >= 0


def test_no_verdict_on_exact_regrets_from_a_grid():
    """A market that names no costs leaves a grid, which could miss the best one."""

    def blind(condition, effort):
        market = small_economy(condition, effort)
        market.phase(Share).breakpoints = lambda *_: None
        return market

    found = CostRegret(blind)(CRITICAL, TINY)
    assert found.untested and not found.samples


def test_a_dominant_report_is_put_to_lying_others():
    """A seller's critical value does not depend on its report, whatever the others say; its
    marginal value always does.
    """
    assert {"truthful", "random", "size_liar", "undercutter", "eagerness_shader"} == set(LIES)
    assert CLAIMS["ipfl/truthful_costs_exactly"].experiment == CostRegret(small_economy, LIES)
    for condition, least in ((CRITICAL, 0.0), ("as stated", 0.01)):
        found = CostRegret(small_economy, LIES)(condition, TINY).samples
        assert list(found) == [f"regret where the others are {part}" for part in LIES]
        means = [sum(points) / len(points) for points in found.values()]
        # the line-ups are others indeed
        assert len(set(means)) == (1 if condition == CRITICAL else 5)
        assert max(means) < 1e-9 if condition == CRITICAL else min(means) > least


# --- the experiments ------------------------------------------------------------------------------


def test_each_attack_and_each_side_of_theorem_2_has_a_claim():
    names = {claim.id for claim in MARKET}
    assert {f"ipfl/isolates_{attack}" for attack in ATTACKS} <= names and len(MARKET) >= 24
    assert all(claim.id.startswith("ipfl/") for claim in MARKET)


SHORT = dataclasses.replace(TINY, seeds=3, digits=18)


def bought(attack, condition, **more):
    """Summed shares of buyers over seeds, by the size that was claimed."""
    found = Isolation(attack, **more)(condition, SHORT)
    return {name.rpartition(", ")[2]: sum(points) for name, points in found.samples.items()}, found


def test_isolation_tells_far_models_from_near_ones():
    """Random numbers stand at a right angle to all others, at lambda 2; the mean of the others
    stands near them all.
    """
    gauss, copied, free = (
        bought(*one)[0]["its own size"]
        for one in (("gauss", APART_2), ("copy", APART_2), ("gauss", GIVEN_AWAY))
    )
    assert gauss == 0 < copied
    assert free > gauss  # no unconditional isolation: a low hurdle is enough


def test_an_attacker_claims_more_data_than_it_has():
    """Three times the data is worth more to a buyer, and the hurdle grows alike: at lambda 1
    more buy, at ten times fewer.
    """
    shares, found = bought("shuffle", GIVEN_AWAY, claimed=CLAIMED["shuffle"])
    assert shares["3 times its size"] > shares["its own size"] > 0
    (table,) = found.tables
    assert [row[0] for row in table["rows"]] == [*shares, "an honest client"]
    assert table["rows"][-1][1] > table["rows"][0][1]  # who is near sells more
    assert {
        a for a in ATTACKS if "however much data it claims" in CLAIMS[f"ipfl/isolates_{a}"].words
    } == set(CLAIMED)


def test_training_alone_is_beaten_by_what_is_better_and_by_nothing_else(monkeypatch):
    """Planted: nobody buys at so great a lambda, so the market is training alone; and scores of
    the market that are .1 higher.
    """
    monkeypatch.setitem(experiments.DIGITS, "far apart", {"strength": 1e9})
    assert set(above_local("far apart", SHORT).samples["iPFL less local"]) == {0.0}
    real = experiments.digits

    def better(condition, n_rounds, scheme):
        market = real(condition, n_rounds, scheme=scheme)
        leave = market.phase(Leave)
        tested = leave.test_scores

        def higher(floor, own):
            seen = tested(floor, own)
            return seen._replace(accuracy=seen.accuracy + 0.1 * (scheme == "ipfl"))

        leave.test_scores = higher
        return market

    monkeypatch.setattr(experiments, "digits", better)
    assert above_local("far apart", SHORT).samples["iPFL less local"] == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("scheme", experiments.FIXED)
def test_what_needs_no_models_is_the_same_in_every_round(scheme):
    market = experiments.digits(APART_1, 3, scheme=scheme)
    first, *later = episodes(market, "truthful", seeds_of(JUDGE, 3)).dealt()
    assert all(torch.allclose(one.utility, first.utility) for one in later)


def test_welfare_is_compared_with_every_scheme(monkeypatch):
    """Without discounts the graph takes the trades that are worth their cost, so no scheme
    earns more.
    """
    monkeypatch.setitem(experiments.DIGITS, DRAWN, experiments.DIGITS[DRAWN] | {"strength": 0.0})
    found = most_welfare(DRAWN, SHORT)
    assert set(found.samples) == {f"iPFL less {scheme}" for scheme in SCHEMES if scheme != "ipfl"}
    assert all(sum(points) > 0 for points in found.samples.values())
    monkeypatch.setitem(experiments.DIGITS, DRAWN, experiments.DIGITS[DRAWN] | {"strength": 1e9})
    # nobody buys, nobody gains
    assert max(most_welfare(DRAWN, SHORT).samples["iPFL less local"]) == 0


def test_a_rider_is_compared_with_itself_as_an_honest_client(monkeypatch):
    """Where nobody trades both earn nothing; a rider that is planted as an honest client earns
    all that one does.
    """
    monkeypatch.setitem(experiments.DIGITS, "far apart", {"strength": 1e9})
    assert set(effort_unpaid("far apart", SHORT).samples["rider less .9 of honest"]) == {0.0}
    alike = effort_unpaid(GIVEN_AWAY, SHORT)
    monkeypatch.setitem(experiments.STRATEGIES, "relay_rider", experiments.STRATEGIES["truthful"])
    same = effort_unpaid(GIVEN_AWAY, SHORT)
    assert (
        "earns 1 of an honest client" in same.notes[0]
        and "earns 1 of an honest client" not in alike.notes[0]
    )
    assert min(same.samples["rider less .9 of honest"]) >= 0


def test_a_wrong_condition_for_isolation_is_found(monkeypatch):
    """Told that everybody may deal, it names the pairs that do not."""
    assert all(sum(points) == 0 for points in isolated_iff("as stated", TINY).samples.values())
    monkeypatch.setattr(experiments, "never_bought", lambda terms: torch.zeros_like(terms.pairs))
    assert all(sum(points) > 0 for points in isolated_iff("as stated", TINY).samples.values())


def test_two_names_own_what_the_one_owned():
    """Shares of the data and of the need at the same distances, and no trade between the two."""
    terms = drawn_terms(50, SIX)
    split = as_two(terms, (0.25, 1.0))
    whole, parts = terms.reported, split.reported
    torch.testing.assert_close(parts.sizes[:, [0, SIX]].sum(1), whole.sizes[:, 0])
    torch.testing.assert_close(parts.sizes[:, 0], whole.sizes[:, 0] / 4)
    assert float(parts.needs[:, SIX].max()) == 0 and torch.equal(
        parts.costs[:, SIX], whole.costs[:, 0]
    )
    assert torch.equal(parts.sizes[:, 1:SIX], whole.sizes[:, 1:])
    # lambda N_j / N_i d: of three quarters of the seller's data so much of the discount; of a
    # quarter of the buyer's four times
    torch.testing.assert_close(split.discounts[:, 1:SIX, SIX], terms.discounts[:, 1:, 0] * 3 / 4)
    torch.testing.assert_close(split.discounts[:, 0, 1:SIX], terms.discounts[:, 0, 1:] * 4)
    assert bool(split.discounts[:, 0, SIX].isinf().all()) and not bool(
        share_models(split).allocation[:, SIX, 0].any()
    )


def test_false_names_that_pay_are_found():
    """Planted: 100 for every sale of who says that it needs nothing, so that a second name that
    only sells pays at once.
    """

    def alms(terms, bought, graph):
        return bought * 100.0 * (terms.reported.needs == 0).double()[:, None]

    planted = {"planted": {"graph": "break", "payment": alms}}
    found, plain = FalseNames(planted)("planted", TINY), FalseNames(RULES)("as stated", TINY)
    gains = {name: gain for name, gain, _ in found.tables[0]["rows"]}
    assert gains["halves, one only sells"] > max(0.0, gains["halves, both buy"])
    assert sum(found.samples["best way"]) > sum(plain.samples["best way"]) > 0


def test_episodes_are_what_the_market_plays():
    market = economy("as stated", TINY)
    done = episodes(market, "truthful", torch.arange(16))
    (dealt,) = done.dealt()
    assert torch.equal(done.utility(), dealt.utility) and torch.equal(
        done.end.owns["share"].bought, dealt.trades
    )
    assert done.start.at == 0 and done.start.floor.seeds.tolist() == list(range(16))


def test_a_lighter_experiment_asks_for_fewer_seeds_and_never_for_hardly_any():
    seen = []

    def note(condition, effort):
        seen.append((effort.cheap.select, effort.cheap.judge))
        return Evidence(samples={"x": [0.0]})

    for effort in (EFFORTS["full"], EFFORTS["quick"], TINY):
        Lighter(note)("as stated", effort)
    assert seen == [(2048, 16384), (256, 1024), (32, 512)]


# --- what only a mistake would change -------------------------------------------------------------


def test_an_attacker_is_watched_after_the_first_round_only():
    """A client that is honest in the first round, where it sells, and leaves in the second has
    no buyers from there on.
    """
    market = make_market("model_sharing_v0", learner=None, n_agents=SIX, max_cycles=3, strength=0.0)

    def leaves(observation, role, keys):
        actions = market.policies["truthful"](observation, role, keys).clone()
        actions[:, role.action.slices["stay"]] = torch.where(
            role.observation.unpack(observation)["round"] > 0, -1.0, 1.0
        )
        return actions

    seeds = torch.arange(16)
    assert episodes(market, {"client_0": leaves}, seeds).dealt()[0].sold[:, 0].sum() > 0
    assert experiments.share_of_buyers(market, leaves, seeds).eq(0).all()


def test_a_rider_is_held_to_nine_tenths(monkeypatch):
    """A rider that is planted as an honest client earns all that one does: a tenth more than
    the claim wants.
    """
    monkeypatch.setitem(experiments.STRATEGIES, "relay_rider", experiments.STRATEGIES["truthful"])
    found = effort_unpaid(DRAWN, SHORT)
    mean = sum(found.samples["rider less .9 of honest"]) / len(
        found.samples["rider less .9 of honest"]
    )
    assert mean == pytest.approx(0.1 * found.scale) and found.scale > 0.01


@pytest.mark.parametrize("side", ["buys", "sells"])
def test_both_names_money_and_costs_count(side):
    """Planted: 100 for every model that the second name buys, or sells; beside that nobody pays
    anything.
    """
    terms, way, paid = drawn_terms(64, SIX), (0.5, 0.5), {}

    def toll(price, split, bought, graph):
        second = torch.zeros_like(bought)
        second[:, SIX] = side == "buys"
        second[:, :, SIX] |= side == "sells"
        return (bought & second).double() * price

    for price in (0.0, 100.0):
        paid[price] = earned_as_two(terms, way, {"graph": "break", "payment": partial(toll, price)})
    bought = share_models(as_two(terms, way)).allocation
    count = (bought[:, SIX] if side == "buys" else bought[:, :, SIX]).sum(1)
    assert count.sum() > 0
    torch.testing.assert_close(
        paid[100.0] - paid[0.0], (-100.0 if side == "buys" else 100.0) * count.double()
    )


def test_every_sale_of_either_name_costs():
    """Who needs nothing and is paid its cost for every model that either name sells is left
    with nothing.
    """
    drawn = drawn_terms(64, SIX)
    needs = drawn.reported.needs.clone()
    needs[:, 0] = 0.0
    terms = SharingTerms(
        dataclasses.replace(drawn.reported, needs=needs), drawn.discounts, drawn.gain
    )
    rules = {
        "graph": "break",
        "payment": lambda split, bought, graph: bought * split.reported.costs[:, None],
    }
    assert share_models(as_two(terms, (0.5, 0.5)), **rules).allocation[:, :, SIX].any()
    earned = earned_as_two(terms, (0.5, 0.5), rules)
    torch.testing.assert_close(earned, torch.zeros_like(earned))
