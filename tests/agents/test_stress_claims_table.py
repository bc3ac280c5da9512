"""The table of claims: every entry is whole, runs, and says the same twice; what theory knows,
the verdicts say.
"""

import dataclasses
import importlib
import itertools
import json

import pytest
import torch
from claim_cases import LEAST

from agents.papers import AS_STATED, CLAIMS, EFFORTS, Evidence, measure, measured, verdict
from agents.papers.core.words import WORDS
from agents.papers.data_valuation import exploits, settings
from agents.papers.resources_decoupled import audits

ALL = pytest.mark.parametrize("name", list(CLAIMS))
MARKETS = {"reference", "parameter_trading", "model_sharing", "data_market", "resource_market"}
MARKETS |= {"marketplace"}
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


@pytest.fixture
def small_sizes(monkeypatch):
    """Small experiments that train for one step; they neither take nor leave kept results."""
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
    forget()
    yield
    forget()


@ALL
def test_every_claim_is_whole(name):
    claim = CLAIMS[name]
    assert claim.id == name and "/" in name and claim.market in MARKETS
    # it comes first, or the paper's own setting is not tested
    assert AS_STATED not in claim.conditions[1:]
    assert all((claim.paper, claim.place, claim.statistic, claim.unit)) and claim.words.endswith(
        "."
    )
    assert claim.rule.tolerance >= 0


def test_efforts_grow():
    sizes = [
        (e.cheap.judge, e.costly.judge, e.seeds, e.rounds, e.digits, *e.linear, e.cases, e.steps)
        for e in EFFORTS.values()
    ]
    assert list(EFFORTS) == ["quick", "standard", "full"] and all(
        e.name == name for name, e in EFFORTS.items()
    )
    assert all(
        all(a <= b for a, b in zip(small, large, strict=True))
        for small, large in itertools.pairwise(sizes)
    )
    assert EFFORTS["quick"].steps == 0  # learners take minutes


@ALL
def test_every_condition_runs_twice_alike_and_fits_json(name, small_sizes):
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


@pytest.mark.parametrize(
    ("name", "axis", "ends"),
    [
        ("ipfl/cost_not_overstated", "cost, times the truth", (1, 10)),
        ("ipfl/cost_not_understated", "cost, times the truth", (0.1, 1)),
        ("ipfl/truthful_sizes", "size, times the truth", (0.1, 10)),
        ("ipfl/truthful_needs", "need, times the truth", (0.1, 10)),
    ],
)
def test_claims_name_their_lines_in_units(name, axis, ends):
    claim = CLAIMS[name]
    (series,) = measured(claim, claim.conditions[0], LEAST)["series"]
    assert series["x"] == axis
    assert (series["parameters"][0], series["parameters"][-1]) == pytest.approx(ends, rel=1e-6)


# --- what theory knows ----------------------------------------------------------------------------

KNOWN = {
    "reference/second_price_truth": "holds",  # Vickrey 1961, by breakpoints
    "reference/first_price_truth": "fails",  # truth earns nothing, half the value 1/12
    "reference/double_auction_truth": "fails",  # Chatterjee and Samuelson 1983: +33.3 %
    "reference/first_price_gain": "holds",
    "reference/double_auction_gain": "holds",  # 1/9 against 1/12
    "reference/double_auction_payoff": "holds",  # 9/128
    "reference/first_price_equilibrium": "no gain above eps found",
    "reference/double_auction_equilibrium": "no gain above eps found",
    "reference/budget_balance": "holds",
    "reference/rationality": "holds",
    "reference/rationality_under_lies": "holds",  # prices lie between ask and bid
    "reference/accounts": "holds",
}


@pytest.mark.parametrize("name", list(KNOWN))
def test_quick_verdicts_are_those_that_theory_knows(name):
    claim = CLAIMS[name]
    assert (
        str(
            verdict(
                claim,
                {condition: measure(name, condition, "quick") for condition in claim.conditions},
            )
        )
        == KNOWN[name]
    )


def test_unknown_claims_are_refused_with_a_neighbour():
    with pytest.raises(ValueError, match="Did you mean 'train_n_trade/theorem_4_1'"):
        measure("train_n_trade/theorem_41", AS_STATED, "quick")


def test_measuring_leaves_the_threads_alone():
    before = torch.get_num_threads()
    measure("train_n_trade/eq_1_nobody_loses", AS_STATED, "quick")
    assert torch.get_num_threads() == before
