"""Claims of iPFL with training: attackers, accuracy, welfare, and planted lies."""

import dataclasses

import pytest
import torch
from claim_cases import TINY

from agents.papers import CLAIMS
from agents.papers.ipfl import attackers, schemes, settings
from agents.papers.ipfl.attackers import Isolation, effort_unpaid, share_of_buyers
from agents.papers.ipfl.schemes import FIXED, above_local, most_welfare
from agents.papers.ipfl.settings import APART_1, APART_2, DRAWN, GIVEN_AWAY, SIX
from agents.papers.ipfl.sharing import shared
from agents.papers.ipfl.sharing_claims import ATTACKS, CLAIMED
from agents.stress import JUDGE, seeds_of
from marketenv import make_market
from marketenv.markets.model_sharing import Leave
from marketenv.markets.model_sharing.schemes import SCHEMES

SHORT = dataclasses.replace(TINY, seeds=3, digits=18)  # three rounds of an attack
SHORTEST = dataclasses.replace(TINY, seeds=3, digits=3)


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
    monkeypatch.setitem(settings.DIGITS, "far apart", {"strength": 1e9})
    assert set(above_local("far apart", SHORTEST).samples["iPFL less local"]) == {0.0}
    real = schemes.digits

    def better(condition, n_rounds, scheme):
        market = real(condition, n_rounds, scheme=scheme)
        leave = market.phase(Leave)
        tested = leave.test_scores

        def higher(floor, own):
            seen = tested(floor, own)
            return seen._replace(accuracy=seen.accuracy + 0.1 * (scheme == "ipfl"))

        leave.test_scores = higher
        return market

    monkeypatch.setattr(schemes, "digits", better)
    assert above_local("far apart", SHORTEST).samples["iPFL less local"] == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("scheme", FIXED)
def test_what_needs_no_models_is_the_same_in_every_round(scheme):
    market = settings.digits(APART_1, 3, scheme=scheme)
    first, *later = shared(market, "truthful", seeds_of(JUDGE, 3))
    assert all(torch.allclose(one.utility, first.utility) for one in later)


def test_welfare_is_compared_with_every_scheme(monkeypatch):
    """Without discounts the graph takes the trades that are worth their cost, so no scheme
    earns more.
    """
    monkeypatch.setitem(settings.DIGITS, DRAWN, settings.DIGITS[DRAWN] | {"strength": 0.0})
    found = most_welfare(DRAWN, SHORT)
    assert set(found.samples) == {f"iPFL less {scheme}" for scheme in SCHEMES if scheme != "ipfl"}
    assert all(sum(points) > 0 for points in found.samples.values())
    monkeypatch.setitem(settings.DIGITS, DRAWN, settings.DIGITS[DRAWN] | {"strength": 1e9})
    # nobody buys, nobody gains
    assert max(most_welfare(DRAWN, SHORT).samples["iPFL less local"]) == 0


def test_a_rider_is_compared_with_itself_as_an_honest_client(monkeypatch):
    """Where nobody trades both earn nothing; a rider that is planted as an honest client earns
    all that one does.
    """
    monkeypatch.setitem(settings.DIGITS, "far apart", {"strength": 1e9})
    assert set(effort_unpaid("far apart", SHORTEST).samples["rider less .9 of honest"]) == {0.0}
    alike = effort_unpaid(GIVEN_AWAY, SHORTEST)
    monkeypatch.setitem(attackers.STRATEGIES, "relay_rider", attackers.STRATEGIES["truthful"])
    same = effort_unpaid(GIVEN_AWAY, SHORTEST)
    assert (
        "earns 1 of an honest client" in same.notes[0]
        and "earns 1 of an honest client" not in alike.notes[0]
    )
    assert min(same.samples["rider less .9 of honest"]) >= 0


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
    assert shared(market, {"client_0": leaves}, seeds)[0].sold[:, 0].sum() > 0
    assert share_of_buyers(market, leaves, seeds).eq(0).all()


def test_a_rider_is_held_to_nine_tenths(monkeypatch):
    """A rider that is planted as an honest client earns all that one does: a tenth more than
    the claim wants.
    """
    monkeypatch.setitem(attackers.STRATEGIES, "relay_rider", attackers.STRATEGIES["truthful"])
    found = effort_unpaid(DRAWN, SHORT)
    mean = sum(found.samples["rider less .9 of honest"]) / len(
        found.samples["rider less .9 of honest"]
    )
    assert mean == pytest.approx(0.1 * found.scale) and found.scale > 0.01
