"""Theorems 4.1 and 5.1, equation 1, optimal transfers and asks: what theory knows, verdicts say."""

import dataclasses
import math
from functools import cache, partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.papers import AS_STATED, CLAIMS, EFFORTS, measure, measured, verdict
from agents.papers.train_n_trade import descent, theorem_41, theorem_51
from agents.papers.train_n_trade.asks import NARROW, earned, intervals
from agents.papers.train_n_trade.bargaining import COVERED, nobody_loses
from agents.papers.train_n_trade.theorem_41_study import _example, count, market_bounds
from agents.papers.train_n_trade.theorem_51_study import Thm51, play_descent
from marketenv.mechanisms import PRIORS, double_auction, lower_bound
from marketenv.valuation import theorem_4_1

TINY = dataclasses.replace(
    EFFORTS["quick"], name="tiny", seeds=2, digits=2, linear=(2, 4, 8), cases=400
)


@cache
def quick(name, condition):
    """The evidence at the effort quick, measured once for all tests."""
    real = theorem_51.descend
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theorem_51, "descend", lambda market, seeds: descents(real, market, seeds))
        return measure(f"train_n_trade/{name}", condition, "quick")


DESCENTS = {}


def descents(descend, market, seeds):
    """The episodes of theorem 5.1, played once for the theorem and for its premise."""
    key = descent.parameters_of(market), seeds
    DESCENTS[key] = DESCENTS.get(key) or descend(market, seeds)
    return DESCENTS[key]


# --- verdicts -------------------------------------------------------------------------------------

KNOWN = {
    # derived, see marketenv.valuation.bounds
    "theorem_4_1": "fails as stated; holds under: inside the safe condition",
    # no finite samples obey its premise, that the broker's loss is nowhere above the agents'
    "theorem_5_1": "premise hardly ever true",
    # a fall of delta each round ends after (L0 - L*) / delta rounds
    "theorem_5_1_premise": "fails",
    # U_A + U_B is fixed: greatest product at equal shares
    "eq_1": "not tested as stated; holds under: every bid covers its ask",
    # each gets half of (y - a) + (x - b), which is negative for half of all valuations
    "eq_1_nobody_loses": "fails as stated; holds under: every bid covers its ask",
    # a sale has ask <= bid, and both get half of the difference
    "eq_1_nobody_loses_by_sales": "holds",
    # B pays Delta_b for A's model: the printed sign is wrong
    "optimal_transfer": "fails",
    # the virtual valuation maximises P (1 - F(P)), as eq. 2 says, and not what the middle brings
    "myerson_ask": "fails as stated; holds under: the buyer pays the ask",
    "myerson_ask_as_price": "holds",
    # best is max(lo, (hi + 2 c) / 3) where the middle is paid
    "lower_bound_ask": "fails as stated; holds under: a uniform prior with hi + 2 cost <= 3 lo",
}


@pytest.mark.parametrize("name", list(KNOWN))
def test_quick_verdicts_are_those_that_theory_knows(name):
    claim = CLAIMS[f"train_n_trade/{name}"]
    evidence = {condition: quick(name, condition) for condition in claim.conditions}
    assert str(verdict(claim, evidence)) == KNOWN[name]


def test_both_halves_of_theorem_4_1_are_told_apart():
    """The printed upper bound fails, the printed lower one and both sharp ones never do."""
    claim = CLAIMS["train_n_trade/theorem_4_1"]
    evidence = {condition: quick("theorem_4_1", condition) for condition in claim.conditions}
    findings = dict(zip(claim.conditions, verdict(claim, evidence).findings, strict=True))
    stated = {figure.name: figure.most for figure in findings[AS_STATED].statistics}
    assert stated["above the upper bound"] > 1 and stated["below the lower bound"] < 1e-7
    assert findings["the sharp form"].word == "holds"
    assert "lengths" in findings[AS_STATED].counterexample  # a drawn case, by its law
    # e_a = (1, 0)...
    assert (
        "Delta_b is 37, the printed bounds are [0.3251, 2.345]" in evidence[AS_STATED]["notes"][-1]
    )
    # how often bounds fail does not depend on it
    assert [len(one["tables"]) for one in evidence.values()] == [1, 0, 0]


def test_gains_on_either_side_of_their_bounds_are_told(monkeypatch):
    """Planted bounds: three to four times the gain, then a quarter to a third of it; it lies
    below by 3 - 1, above by 3 - 1.
    """
    real = theorem_41.checks
    for factors, (above, below) in (((3.0, 4.0), (0.0, 2.0)), ((1 / 4, 1 / 3), (2.0, 0.0))):

        def planted(errors, alpha, beta, factors=factors):
            facts = real(errors, alpha, beta)
            bounds = (factor * facts["gain"] for factor in factors)
            return facts | dict(zip(("low", "high"), bounds, strict=True))

        monkeypatch.setattr(theorem_41, "checks", planted)
        samples = theorem_41.theorem_41(AS_STATED, TINY).samples
        for side, excess in (("above the upper bound", above), ("below the lower bound", below)):
            assert samples[side] == pytest.approx([excess] * len(samples[side]))


def test_myersons_ask_in_the_middle_loses_what_the_closed_form_says():
    """On U[0, 1] at cost 0: ask 1/2 earns 0.3125, ask 1/3 earns 1/3, so 6.25 % are lost; nothing
    where the ask is paid.
    """
    (table,) = quick("myerson_ask", AS_STATED)["tables"]
    (row,) = [r for r in table["rows"] if r[:4] == ["uniform", 0.0, 1.0, 0.0]]
    assert row[4:] == pytest.approx([0.5, 0.3125, 1 / 3, 1 / 3, 0.0625], abs=1e-4)


def test_a_lower_bound_that_only_just_covers_its_cost_is_not_the_best_ask():
    """Uniform on [1, 3] at cost 1/4: ask (3 + 1/2) / 3 = 7/6 earns 1.2604, the lower bound
    1.25; hi <= 3 lo does not do.
    """
    prior = PRIORS["uniform"](torch.tensor([[1.0]]).double(), torch.tensor([[3.0]]).double())
    (revenue,) = earned(prior, lower_bound, torch.tensor([[0.25]]).double(), False).tolist()
    assert revenue == pytest.approx([1.0, 1.25, 7 / 6, 1.2604, 1 - 1.25 / 1.2604], abs=3e-4)
    drawn = intervals("uniform", 0, NARROW)
    # 3 conditions: 0.99^476
    assert len(drawn) > 476 and bool(
        (drawn[:, 1] + 2 * drawn[:, 2] <= 3 * drawn[:, 0] + 1e-12).all()
    )


@pytest.mark.parametrize("everything", [True, False])
def test_prices_that_are_not_the_middle_are_no_negotiated_prices(everything):
    """Nobody loses at any price between ask and bid, so that a weight of 0.6 is seen by the
    price alone.
    """
    for weight, off in ((0.5, 0.0), (0.6, 0.1)):
        settle = partial(double_auction, weight=weight)
        evidence = nobody_loses(everything, COVERED, EFFORTS["quick"], settle)
        greatest = {name: max(points) for name, points in evidence.samples.items()}
        assert greatest["loss of A"] < 1e-12 and greatest["loss of B"] < 1e-12
        # of bid - ask < 1
        assert greatest["distance of a price from the middle"] == pytest.approx(off, abs=0.01)
        claim = CLAIMS["train_n_trade/eq_1_nobody_loses"]
        assert verdict(claim, {COVERED: evidence}).word == ("holds" if weight == 0.5 else "fails")


# --- theorem 5.1 ----------------------------------------------------------------------------------


def test_theorem_5_1_counts_only_what_its_first_part_is_about():
    """A round without a gain or a purchase before the promised one takes the gradient out; a
    step above 1 / L the seed.
    """
    falls = {"slope": [9.0, 4.0, 1.0, 0.5], "gain": [0.0] * 4, "bought": [[0.0, 1.0]] * 4}
    one = {"gap": 0.01, "first": 10.0, "smoothness": 1.0, "never": falls}
    one |= {"always": falls | {"gain": [1.0] * 4}}
    barren = one | {"always": falls | {"gain": [-1.0] + [1.0] * 3}}
    idle = one | {"always": falls | {"gain": [1.0] * 4, "bought": [[0.0, 0.0]] * 4}}

    def late(episode, name):
        episodes = descent.assess([episode], theorem_51.RATE, theorem_51.EPSILONS)
        return theorem_51.late(episodes, name)

    assert len(late(one, "always")) == len(late(one, "never")) == 1
    assert late(barren, "always") == late(idle, "always") == []


def test_theorem_5_1_is_judged_where_its_premise_holds(monkeypatch):
    """Of kept promises the same samples hold where the broker's loss lies below B's own, and
    say nothing where it does not.
    """
    falls = {
        "slope": [0.05, 0.01],
        "gain": [1.0] * 2,
        "bought": [[0.0, 1.0]] * 2,
        "broker": [1.0, 1.0],
    }
    one = {"gap": 0.01, "first": 10.0, "smoothness": 1.0, "never": falls}
    claim = CLAIMS["train_n_trade/theorem_5_1"]
    for own, word in ((2.0, "holds"), (0.5, "premise hardly ever true")):
        planted = [one | {"always": falls | {"own": [own] * 2}}] * 40
        monkeypatch.setattr(theorem_51, "descend", lambda market, seeds, planted=planted: planted)
        evidence = measured(claim, AS_STATED, TINY)
        assert evidence["premise"] == [float(own > 1)] * 40
        assert verdict(claim, {AS_STATED: evidence}).findings[0].word == word


def test_theorem_5_1_counts_steps_below_one_over_l_and_rounds_that_gain(monkeypatch):
    """Planted: a curvature of 20 at a step of 0.1 leaves no seed; of gains 0, 1 and -1 two
    rounds of three gain nothing.
    """
    monkeypatch.setattr(
        theorem_51, "descend", lambda market, seeds: [{"smoothness": 20.0} for _ in seeds]
    )
    assert "not below 1 / L" in theorem_51.theorem_51(False, AS_STATED, TINY).untested
    (shares,) = theorem_51.barren(np.array([[0.0, 1.0, -1.0]]), "-").samples.values()
    assert shares == pytest.approx([2 / 3])


def test_the_trade_of_theorem_5_1_goes_one_way(tmp_path):
    arguments = Thm51(seeds=2, rounds=4, dimensions=(10, 6, 4)).arguments("same distribution")
    one = play_descent(tmp_path, 0, **arguments)
    always, never = one["always"], one["never"]
    assert not np.any(never["bought"]) and not np.any(never["rise"])
    of_a, of_b = np.array(always["bought"]).T
    assert not of_a.any() and of_b.sum() >= 3
    assert (np.array(always["gain"])[of_b > 0] > 0).all()
    # full-batch descent with a step below 1 / L lowers the loss, and the gradient of a quadratic
    # too
    assert one["smoothness"] < 10 and np.all(np.diff([one["first"], *never["slope"]]) < 0)


def test_a_quadratic_is_half_the_mean_squared_error():
    x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double(), torch.tensor([3.0, 2.0]).double()
    quadratic = descent.Quadratic(x.mT @ x / 2, x.mT @ y / 2, (y @ y) / 2)
    theta = torch.tensor([1.0, 2.0], dtype=torch.float64)  # residuals -2 and 2: (4 + 4) / 2 / 2 = 2
    # X^T (-2, 2) / 2 = (-1, 2)
    slope = torch.autograd.functional.jacobian(lambda t: (x @ t - y).square().mean() / 2, theta)
    assert float(quadratic.loss(theta[None])) == pytest.approx(2.0)
    assert (
        float(quadratic.slope(theta))
        == pytest.approx(float(slope.square().sum()))
        == pytest.approx(1 + 4)
    )
    assert quadratic.smoothness() == pytest.approx(2.0)  # X^T X / 2 = diag(1/2, 2)


def test_rounds_that_are_measured_and_promised():
    slope = np.array([[9.0, 4.0, 5.0, 1.0]])
    assert descent.reached(slope, np.array([[9.0, 4.5, 1.0, 0.5]])).tolist() == [
        [1, 2, 4, math.inf]
    ]
    gap, goals, gain = np.array([6.0]), np.array([[4.0]]), np.array([[3.0, 1.0, 1.0, 0.1]])
    # 2 * 6 / (0.5 * 4 + 2 delta): 12 / 8 -> 2 > 1;  12 / 4 = 3 > 2;  3 <= 3 rounds are enough
    assert descent.enough(gap, 0.5, goals, gain).tolist() == [[3.0]]
    # 12 / 2, beyond what was played
    assert descent.enough(gap, 0.5, goals, 0 * gain).tolist() == [[6.0]]
    measured_rounds, promised = np.array([2.0, 5.0, math.inf]), np.array([3.0, 4.0, 4.0])
    assert descent.kept(measured_rounds, promised, 10).tolist() == [1, 0, 0]
    assert np.isnan(descent.kept(np.array([math.inf]), np.array([90.0]), 10)).all()


@settings(max_examples=50)
@given(
    gap=st.floats(0.1, 1e3),
    rate=st.floats(0.01, 1.0),
    goal=st.floats(0.01, 1e2),
    delta=st.floats(0.0, 10.0),
)
def test_equal_gains_give_the_theorems_formula(gap, rate, goal, delta):
    promised = descent.enough(np.array([gap]), rate, np.array([[goal]]), np.full((1, 7), delta))
    assert promised.tolist() == [[math.ceil(2 * gap / (rate * goal + 2 * delta))]]


def test_the_theorems_arithmetic_by_hand():
    """Errors of squares 1 and 4 at a right angle: (1 - a)^2 + 4 a^2 is least at a = 1/5; 2 gap
    / (2 delta) = 2 / (2 / 4) = 4.
    """
    one = torch.ones(1, dtype=torch.float64)
    alpha, beta = theorem_41.best_weights(theorem_41.Products(one, 4 * one, 0 * one))
    assert (float(alpha), float(beta)) == pytest.approx((0.2, 0.8))
    assert descent.enough(np.ones(1), 0.1, np.zeros((1, 1)), np.full((1, 6), 0.25)).tolist() == [
        [4.0]
    ]
    # 2 / (0.1 * 5)
    assert descent.enough(np.ones(1), 0.1, np.full((1, 1), 5.0), np.zeros((1, 6))).tolist() == [
        [4.0]
    ]


# --- theorem 4.1 ----------------------------------------------------------------------------------


def test_the_counterexample_of_theorem_4_1():
    # e_a = (1, 0), e_b = (-0.9, 0.3): the line through both is sqrt(0.09 / 3.7) from 0, so Delta_b
    # = 0.9 * 3.7 / 0.09 = 37
    rows = {row.what.split(": ")[1]: row.points[0] for row in _example()}
    assert rows["true Delta_b"] == pytest.approx(37.0)
    assert (rows["paper's lower bound"], rows["paper's upper bound"]) == pytest.approx(
        (0.325, 2.345), abs=5e-4
    )
    assert rows["sharp lower bound"] < 37 < rows["sharp upper bound"]


def test_how_often_theorem_4_1_fails(tmp_path):
    by_law = count(tmp_path, 5, (2,), 100_000)
    above, out = "above the paper's upper bound", "outside the safe condition"
    # tests/valuation/test_gain_bounds.py: 1e6 other draws gave 39.84 and 5.66 % with equal lengths;
    # four standard errors
    equal, exponential = (
        by_law[f"d = 2, {lengths} lengths, uniform weights"] for lengths in theorem_41.LENGTHS
    )
    assert (equal[out], equal[above]) == pytest.approx((39.84, 5.66), abs=0.63)
    # an earlier program's, in whole per cents
    assert (exponential[out], exponential[above]) == pytest.approx((36, 3.8), abs=1.1)
    # beyond 137.06 of 180 degrees, by the same file: 23.85 %
    angle = by_law["uniform angle, equal lengths, best weights"]
    assert angle[above] == pytest.approx(23.85, abs=0.55)
    # none of them is acute
    assert angle["of obtuse cases: " + above] == pytest.approx(2 * 23.85, abs=1.1)
    for facts in by_law.values():
        assert facts["below the paper's lower bound"] == facts["outside the sharp bounds"] == 0
        assert facts["the same inside the safe condition"] == 0


@settings(max_examples=20)
@given(d=st.integers(2, 6), seed=st.integers(0, 2**40))
def test_products_say_what_errors_say(d, seed):
    e_a, e_b = torch.randn(
        2, 8, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    errors = theorem_41.Products((e_a * e_a).sum(-1), (e_b * e_b).sum(-1), (e_a * e_b).sum(-1))
    alpha, beta = theorem_41.best_weights(errors)
    merged_a = (1 - alpha)[:, None] * e_a + alpha[:, None] * e_b
    facts = theorem_41.checks(errors, alpha, beta)
    assert torch.allclose(errors.merged(1 - alpha), (merged_a * merged_a).sum(-1))
    # beta = 1 - alpha: one point
    assert torch.allclose(facts["gain"], errors.b / (merged_a * merged_a).sum(-1), rtol=1e-6)
    assert not facts["outside the sharp bounds"].any()


def test_bounds_of_a_market_are_told_to_the_other_agent():
    gain, alpha = np.array([[[1.5, 1.2]]]), np.array([[[0.3, 0.6]]])
    bounds = market_bounds({"gain": gain, "alpha": alpha, "low": gain - 1.1, "high": gain})
    # what A infers of B
    low, high = theorem_4_1(*(torch.tensor(x, dtype=torch.float64) for x in (1.5, 0.3, 0.6)))
    assert (bounds["low"][0, 0, 1], bounds["high"][0, 0, 1]) == (float(low), float(high))
    # money is Delta - 1
    assert np.allclose(bounds["told_low"], gain - 0.1) and np.allclose(
        bounds["told_high"], gain + 1
    )
