"""The table of claims: every entry is whole; what theory knows, the verdicts say."""

import itertools

import pytest
from claim_cases import LEAST

from agents.papers import AS_STATED, CLAIMS, EFFORTS, measure, measured, verdict

ALL = pytest.mark.parametrize("name", list(CLAIMS))
MARKETS = {"reference", "parameter_trading", "model_sharing", "data_market", "resource_market"}
MARKETS |= {"marketplace"}


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
    for small, large in itertools.pairwise(sizes):
        assert all(a <= b for a, b in zip(small, large, strict=True)) and small != large
    assert EFFORTS["quick"].steps == 0  # learners take minutes


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
