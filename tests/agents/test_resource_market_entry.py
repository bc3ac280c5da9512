"""What is told of a round of the resource market: numbers by name, and what was true beside
what was said.
"""

import math

import pytest
import torch

from agents.lineups import find_profile, play, seat
from agents.markets import ENTRIES
from agents.scripted.resource_owners import owner
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names

KIND = "resource_market_v0"
GAME = {
    "learner": None,
    "n_owners": 2,
    "n_centres": 2,
    "max_cycles": 2,
    "types": {"quality": (1.0, 0.8)},
}


def told(market, parts=None):
    """Means of the first market's facts, by name, in the order of the agents."""
    policies, who = seat(market, find_profile(market, parts or {}), torch.arange(2))
    found = play(market, policies, who[None], torch.arange(2), facts=True).facts
    return {name: values[0].tolist() for name, values in found.items()}


def test_facts_are_those_of_the_role_that_they_tell_of():
    """kappa = 1 / (1 + 1/.8) = 4/9, eta* = 2.5 - 9/4 = .25; x = kappa eta (1 - c kappa) / f =
    .0617284 each; V = .1234568.
    """
    facts = told(make_market(KIND, **GAME))
    assert facts["payment"] == pytest.approx([0.25, 0, 0, 0, 0], rel=1e-5)
    assert facts["kept"] == [1, 0, 0, 0, 0] and facts["dishonest"] == [0] * 5
    assert facts["share"] == pytest.approx([0, 0.0617284, 0.0617284, 0, 0], rel=1e-4)
    assert facts["report / quality"] == pytest.approx([0, 1, 1, 0, 0], abs=1e-6)
    assert facts["names"] == [0, 1, 1, 0, 0]
    assert facts["work"] == pytest.approx([0, 0, 0, 0.0308642, 0.0308642], rel=1e-4)
    assert facts["gain"][0] == pytest.approx(
        2.5 * math.log(1 + 0.25 * 4 / 9), rel=1e-4
    ) and not any(facts["gain"][1:])
    assert not {"price", "accuracy"} & set(facts)


def test_facts_tell_lies_names_and_broken_commitments():
    market = make_market(KIND, **GAME, escrow=False, identities=2, pricing="posted")
    parts = {"owner_0": "sybil", "owner_1": "over_reporter", "leader": "reneging_leader"}
    facts = told(market, parts)
    assert facts["names"] == [0, 2, 1, 0, 0] and facts["kept"][0] == 0
    assert facts["report / quality"][1:3] == pytest.approx([1, 1.25], rel=1e-6)
    assert facts["price"][3:] == pytest.approx([1, 1], rel=1e-4) and facts["price"][:3] == [0, 0, 0]
    assert told(market, {"owner_1": "junk_supplier"})["dishonest"] == [0, 0, 1, 0, 0]


def test_accuracy_is_the_leaders():
    market = make_market(KIND, n_owners=2, n_centres=2, max_cycles=1)
    accuracy = told(market)["accuracy"]
    assert 0.1 < accuracy[0] < 1 and accuracy[1:] == [0] * 4


def test_what_was_said_stands_beside_what_was_true():
    market = make_market(KIND, **GAME)
    lie = owner(market, conduct="junk", report=0.9)
    before, now = None, rounds.begin(market, torch.arange(1))
    profile, report = find_profile(market, {"owner_1": lie}), None
    while report is None:
        before = now
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))
    said = list(ENTRIES[KIND].statements(market, before, report, agent_names(market)))
    assert [line[:3] for line in said] == [
        (f"owner_{k}", "quality and report", "report") for k in (0, 1)
    ]
    assert [line[3:] for line in said] == [pytest.approx((1, 1)), pytest.approx((0, 0.9), abs=1e-6)]
