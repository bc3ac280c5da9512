"""Every claim's experiment is walked through, small: it runs under every condition, says the same
twice, and fits JSON.

Whether the claims hold is judged elsewhere.
"""

import dataclasses
import importlib
import json

import pytest
from claim_cases import LEAST

from agents.papers import CLAIMS, Evidence, measured, verdict
from agents.papers.core.words import WORDS
from agents.papers.data_valuation import exploits, settings
from agents.papers.resources_decoupled import audits

KINDS = {
    "regret": {"title", "x", "y", "powers", "options", "parameters", "mean", "low", "high"},
    "learning": {"title", "steps", "utility", "truthful"},
    "lines": {"title", "x", "y", "curves"},
    "network": {"title", "names", "money"},
}

# numbers of cases that no effort sets, small: by the constant's place in agents.papers
SIZES = {
    "core.money.FEW": 16,
    "ipfl.lies.LIARS": 8,
    "marketplace.claims.ALIKE": 4,
    "resources_decoupled.accuracy.MARKETS": 2,
    "resources_decoupled.audits.ALIKE": 2,
    "resources_decoupled.audits.MARKETS": 2,
    "resources_decoupled.dynamics.GAMES": 20,
    "resources_decoupled.dynamics.LONG": 25,
    "resources_decoupled.dynamics.ROUNDS": 25,
    "resources_decoupled.equilibrium.ROUNDS": 2,
    "resources_decoupled.equilibrium.SEARCHED": 20,
    "resources_decoupled.preferences.GAMES": 20,
    "train_n_trade.asks.DRAWN": 4,
    "train_n_trade.cases.BLOCKS": 10,
}
# arguments of markets, likewise: by the mapping's place
FEW = {"points": 16, "pilots": (4, 8), "communications": 1, "mixtures": 2, "dimensions": 4}
FEW |= {"private": False, "selection": "uniform"}
PAIRS = {"n_owners": 2, "n_centres": 2}
ARGUMENTS = {
    "data_valuation.market.SMALL": FEW,
    "marketplace.settings.BOUGHT": FEW,
    "marketplace.settings.CREDIT": PAIRS,
    "marketplace.settings.DIGITS": PAIRS | {"data_options": {"max_examples": 200}},
    "resources_decoupled.audits.DIGITS": {"n_owners": 3, "n_centres": 3, "communications": 1},
}
# what keeps results by fewer sizes than these
KEPT = (
    "data_valuation.exploits._estimator",
    "data_valuation.exploits.realised",
    "data_valuation.market.earned",
    "data_valuation.mixtures.accuracy_of",
    "ipfl.attackers._honest_share",
    "marketplace.ladder.planned",
    "marketplace.ladder.welfare",
    "resources_decoupled.accuracy.accuracies",
    "resources_decoupled.audits.earned",
    "resources_decoupled.dynamics.distances",
)


def at(place):
    """A module and the name of something in it."""
    module, name = place.rsplit(".", 1)
    return importlib.import_module(module), name


def forget():
    for place in KEPT:
        module, name = at(f"agents.papers.{place}")
        getattr(module, name).cache_clear()


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    """Small experiments that train for one step.

    What claims keep is kept for the claims of this module alone.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch)
        forget()
        yield
    forget()


def make_small(monkeypatch):
    for place, number in SIZES.items():
        monkeypatch.setattr(*at(f"agents.papers.{place}"), number)
    for place, arguments in ARGUMENTS.items():
        module, name = at(f"agents.papers.{place}")
        for argument, value in arguments.items():
            monkeypatch.setitem(getattr(module, name), argument, value)
    for market in ("data_market", "model_sharing", "resource_market"):
        module, name = at(f"marketenv.markets.{market}.market.DEFAULT_TRAINING")
        monkeypatch.setattr(module, name, dataclasses.replace(getattr(module, name), steps=1))
    reported = audits.DEFENCES[audits.NOTHING]["types"]
    monkeypatch.setitem(reported, "quality", reported["quality"][:3])
    digits = settings.DATA_SETS["digits"]
    training = dataclasses.replace(digits.training, steps=1)
    monkeypatch.setitem(
        settings.DATA_SETS, "digits", dataclasses.replace(digits, training=training)
    )
    setting = dataclasses.replace(
        exploits.SETTING, shown=20, targets=24, communications=1, pilots=(20, 40), points=60
    )
    monkeypatch.setattr(exploits, "SETTING", setting)


@pytest.mark.parametrize("name", list(CLAIMS))
def test_every_condition_runs_twice_alike_and_fits_json(name):
    claim = CLAIMS[name]
    evidence = {}
    for condition in claim.conditions:
        first = measured(claim, condition, LEAST)
        text = json.dumps(first, allow_nan=False)
        assert json.loads(text) == first  # plain: lists and dictionaries with names
        assert Evidence(**first).plain() == first
        for one in first["series"]:
            assert KINDS[one["kind"]] == set(one) - {"kind"}
        for table in first["tables"]:
            assert all(len(row) == len(table["head"]) for row in table["rows"])
        evidence[condition] = first
    again = measured(claim, claim.conditions[-1], LEAST)
    assert again == evidence[claim.conditions[-1]]
    found = verdict(claim, evidence)
    assert found.word in WORDS and len(found.findings) == len(claim.conditions)
    assert [one.word == "fails" for one in found.findings] == [
        bool(one.counterexample) for one in found.findings
    ]
