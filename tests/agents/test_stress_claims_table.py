"""The table of claims: every entry is whole, runs, and says the same twice; what theory knows, the verdicts say."""

import itertools
import json

import pytest
import torch
from test_stress_claims import TINY

from agents.stress.claims import AS_STATED, CLAIMS, EFFORTS, Evidence, measure, measured, verdict
from agents.stress.claims.claim import WORDS
from agents.stress.claims.tables import mnist_folder

ALL = pytest.mark.parametrize("name", list(CLAIMS))
MARKETS = {"reference", "parameter_trading"}
KINDS = {
    "regret": {"title", "x", "y", "parameters", "mean", "low", "high"},
    "learning": {"title", "steps", "utility", "truthful"},
    "lines": {"title", "x", "y", "curves"},
    "network": {"title", "names", "money"},
}


@ALL
def test_every_claim_is_whole(name):
    claim = CLAIMS[name]
    assert claim.id == name and "/" in name and claim.market in MARKETS
    assert claim.conditions[0] == AS_STATED
    assert all((claim.paper, claim.place, claim.statistic, claim.unit)) and claim.words.endswith(".")
    assert claim.rule.tolerance >= 0


def test_efforts_grow():
    sizes = [(e.cheap.judge, e.costly.judge, e.seeds, e.rounds, e.digits, *e.linear, e.cases, e.steps) for e in EFFORTS.values()]
    assert list(EFFORTS) == ["quick", "standard", "full"] and all(e.name == name for name, e in EFFORTS.items())
    assert all(all(a <= b for a, b in zip(small, large, strict=True)) for small, large in itertools.pairwise(sizes))
    assert EFFORTS["quick"].steps == 0  # learners take minutes


@ALL
def test_every_condition_runs_twice_alike_and_fits_json(name):
    claim = CLAIMS[name]
    evidence = {}
    for condition in claim.conditions:
        first = measured(claim, condition, TINY)
        text = json.dumps(first, allow_nan=False)
        assert json.loads(text) == first  # plain: lists and dictionaries with names
        assert Evidence(**first).plain() == first
        for one in first["series"]:
            assert KINDS[one["kind"]] == set(one) - {"kind"}
        for table in first["tables"]:
            assert all(len(row) == len(table["head"]) for row in table["rows"])
        evidence[condition] = first
    again = measured(claim, claim.conditions[-1], TINY)
    assert again == evidence[claim.conditions[-1]]
    found = verdict(claim, evidence)
    assert found.word in WORDS and len(found.found) == len(claim.conditions)
    assert [one.word == "fails" for one in found.found] == [bool(one.counterexample) for one in found.found]


# --- what theory knows ------------------------------------------------------------------------------------------------------

KNOWN = {
    "reference/second_price_truth": "holds",  # Vickrey 1961, by breakpoints
    "reference/first_price_truth": "fails",  # truth earns nothing, half the value 1/12
    "reference/double_auction_truth": "fails",  # Chatterjee and Samuelson 1983: +33.3 %
    "reference/first_price_gain": "holds",
    "reference/double_auction_payoff": "holds",  # 9/128
    "reference/double_auction_equilibrium": "no gain above eps found",
    "reference/budget_balance": "holds",
    "reference/rationality": "holds",
    "reference/rationality_under_lies": "holds",  # prices lie between ask and bid
    "train_n_trade/theorem_4_1": "holds under: inside the safe condition",  # derived, see marketenv.valuation.bounds
    "train_n_trade/eq_1": "holds",  # U_A + U_B is fixed, so the product is greatest at equal shares
    "train_n_trade/eq_1_nobody_loses": "holds under: every bid covers its ask",  # both get half of the surplus
    "train_n_trade/myerson_ask": "holds under: the buyer pays the ask",  # where the middle is paid a lower ask earns more
    "train_n_trade/lower_bound_ask": "holds under: a uniform prior with hi <= 3 lo",  # best is max(lo, hi / 3) at cost 0
}


@pytest.mark.parametrize("name", list(KNOWN))
def test_quick_verdicts_are_those_that_theory_knows(name):
    claim = CLAIMS[name]
    assert str(verdict(claim, {condition: measure(name, condition, "quick") for condition in claim.conditions})) == KNOWN[name]


def test_both_halves_of_theorem_4_1_are_told_apart():
    """The printed upper bound fails, the printed lower one and both sharp ones never do."""
    claim = CLAIMS["train_n_trade/theorem_4_1"]
    found = {c: verdict(claim, {c: measure(claim.id, c, "quick")}).found[claim.conditions.index(c)] for c in claim.conditions}
    stated = {figure.name: figure.most for figure in found[AS_STATED].figures}
    assert stated["above the upper bound"] > 1 and stated["below the lower bound"] < 1e-7
    assert found["the sharp form"].word == "holds"
    assert "Delta_b is 37, the printed bounds are [0.3251, 2.345]" in found[AS_STATED].counterexample  # e_a = (1, 0)...


def test_myersons_ask_in_the_middle_loses_what_the_closed_form_says():
    """On U[0, 1] at cost 0: ask 1/2 earns .3125, ask 1/3 earns 1/3, so 6.25 % are lost; nothing where the ask is paid."""
    (table,) = measure("train_n_trade/myerson_ask", AS_STATED, "quick")["tables"]
    (row,) = [r for r in table["rows"] if r[:4] == ["uniform", 0.0, 1.0, 0.0]]
    assert row[4:] == pytest.approx([0.5, 0.3125, 1 / 3, 1 / 3, 0.0625], abs=1e-4)


def test_mnist_waits_for_its_folder_and_the_full_effort(monkeypatch):
    monkeypatch.delenv("MARKETENV_DATA", raising=False)
    assert mnist_folder() is None
    found = measure("train_n_trade/table_1_order_mnist", AS_STATED, "quick")
    assert "MARKETENV_DATA" in found["untested"] and not found["samples"]


def test_unknown_claims_are_refused_with_a_neighbour():
    with pytest.raises(ValueError, match="Did you mean 'train_n_trade/theorem_4_1'"):
        measure("train_n_trade/theorem_41", AS_STATED, "quick")


def test_measuring_leaves_the_threads_alone():
    before = torch.get_num_threads()
    measure("train_n_trade/eq_1", AS_STATED, "quick")
    assert torch.get_num_threads() == before
