"""Every ask rule of the table: golden values, closed forms, and a grid of asks that none may
beat.
"""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

from marketenv.core import draws
from marketenv.mechanisms import (
    ASK_RULES,
    PRIORS,
    BoundedPareto,
    LogUniform,
    Power,
    TruncatedExponential,
    TruncatedLognormal,
    TruncatedNormal,
    Uniform,
    best_ask,
    best_midpoint,
    double_auction,
    lower_bound,
    myerson,
)

# name: (prior, cost, ask, where it comes from)
WORKED = {
    "myerson": (Uniform(1.0, 4.0), 0.0, 2.0, "Myerson 1981: hi / 2 = 2"),
    "best_midpoint": (Uniform(1.0, 4.0), 1.0, 2.0, "derived: (hi + 2c) / 3 = (4 + 2) / 3 = 2"),
    "lower_bound": (
        Uniform(1.0, 4.0),
        0.0,
        1.0,
        "Huang et al. 2023, section 6.2: the lower bound lo = 1",
    ),
}

# Myerson's price at cost 0; each is the root of eq. 2, and equal to a grid argmax (tested below)
GOLDEN = [
    (Uniform(1.0, 4.0), 2.0),
    (TruncatedExponential(1.0, 4.0, 0.5), 1.44307),
    (TruncatedExponential(1.0, 4.0, 2.0), 1.0),
    (TruncatedNormal(1.0, 4.0, 2.5, 0.75), 1.92016),
    (TruncatedLognormal(1.0, 4.0, math.log(2.5), 0.5), 1.71536),
    (LogUniform(1.0, 4.0), 1.47152),
    (Uniform(0.0, 1.0), 0.5),
    (TruncatedExponential(0.0, 1.0, 0.5), 0.46750),
    (TruncatedExponential(0.0, 1.0, 2.0), 0.36077),
    (TruncatedNormal(0.0, 1.0, 0.5, 0.25), 0.41119),
    (TruncatedLognormal(0.0, 1.0, math.log(0.5), 0.5), 0.36454),
]
# the bid's share in the price that each rule is best for
WEIGHT = {"myerson": 0.0, "best_midpoint": 0.5}


def payoff(prior, cost, weight, asks):
    """E[(w v + (1-w) s - c) 1{v >= s}] = (s - c)(1 - F(s)) + w * integral of 1 - F from s, by
    the trapezoid rule.
    """
    tail = 1 - prior.cdf(asks)
    above = torch.cumulative_trapezoid(tail, asks)
    rest = above[..., -1:] - torch.cat([torch.zeros_like(above[..., :1]), above], -1)
    return (asks - cost) * tail + weight * rest


def grid(prior, n=40001):
    return prior.lo + (prior.hi - prior.lo) * torch.linspace(0, 1, n, dtype=torch.float64)


def test_every_rule_has_a_worked_example():
    assert WORKED.keys() == ASK_RULES.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@pytest.mark.parametrize("name", sorted(ASK_RULES))
def test_worked_example(name):
    prior, cost, ask, reason = WORKED[name]
    assert float(ASK_RULES[name](prior, cost)) == pytest.approx(ask, abs=1e-12), reason


@pytest.mark.parametrize(("prior", "price"), GOLDEN, ids=str)
def test_golden_prices_are_the_best_on_a_grid(prior, price):
    asks = grid(prior)
    best = asks[payoff(prior, 0.0, 0.0, asks).argmax()]
    # the page rounds to 5 digits
    assert float(myerson(prior, 0.0)) == pytest.approx(price, abs=5e-6)
    assert float(best) == pytest.approx(price, abs=float(asks[1] - asks[0]))


@settings(max_examples=40)
@given(lo=st.floats(0.0, 5.0), width=st.floats(0.1, 10.0), cost=st.floats(0.0, 16.0))
def test_uniform_closed_forms(lo, width, cost):
    hi = lo + width
    prior = Uniform(lo, hi)
    least = max(lo, cost)
    assert float(myerson(prior, cost)) == pytest.approx(
        max(least, (hi + cost) / 2) if cost < hi else cost
    )
    assert float(best_midpoint(prior, cost)) == pytest.approx(
        max(least, (hi + 2 * cost) / 3) if cost < hi else cost
    )


@settings(max_examples=40)
@given(hi=st.floats(0.1, 10.0), rate=st.floats(0.1, 5.0), cost=st.floats(0.0, 0.09))
def test_exponential_closed_form(hi, rate, cost):
    # P = c + (1 - e^(-l (hi - P))) / l has the root (1 + l c - W0(e^(1 + l c - l hi))) / l
    root = (1 + rate * cost - lambertw(math.exp(1 + rate * cost - rate * hi)).real) / rate
    assert float(myerson(TruncatedExponential(0.0, hi, rate), cost)) == pytest.approx(
        root, rel=1e-8
    )


def between(low, high, name, n):
    """Random numbers [n, 1] of a range with its ends, the same in every run."""
    inner = draws.uniform(draws.fold(torch.tensor(0), name), n, 1)
    inner[0], inner[-1] = 0.0, 1.0
    return low + (high - low) * inner


@pytest.mark.long
def test_power_family_closed_forms():
    hi, q = between(0.1, 10.0, "hi", 200), between(0.2, 5.0, "q", 200)
    lo = between(0.01, 0.99, "part", 200) * hi
    zero = torch.zeros_like(lo)
    close = functools.partial(torch.allclose, rtol=1e-8, atol=0)
    assert close(myerson(Power(zero, hi, q), 0.0), hi * (1 + q) ** (-1 / q))
    assert close(myerson(LogUniform(lo, hi), 0.0), lo.maximum(hi / math.e))
    assert close(myerson(BoundedPareto(lo, hi, 1 + q), 0.0), lo)


@pytest.mark.parametrize("rule", sorted(WEIGHT))
@pytest.mark.parametrize("name", sorted(PRIORS))
def test_no_ask_on_a_grid_earns_more(rule, name):
    n = 24  # priors
    lo, width, part = (
        between(*ends, label, n)
        for *ends, label in ((0.05, 5.0, "lo"), (0.05, 20.0, "width"), (0.0, 1.2, "part"))
    )
    prior, cost = PRIORS[name](lo, lo + width), part * (lo + width)
    ask = ASK_RULES[rule](prior, cost)
    assert (lo <= ask).all() and (cost <= ask).all()
    mine = ask.minimum(prior.hi)
    asks = torch.cat([grid(prior, 10001), mine], 1).sort(1).values
    earned = payoff(prior, cost, WEIGHT[rule], asks)
    best = earned.gather(1, torch.searchsorted(asks, mine))
    best = torch.where(cost < prior.hi, best, 0.0)
    assert (earned.amax(1, keepdim=True) <= best + 1e-7 * (lo + width)).all()


@settings(max_examples=30)
@given(weight=st.floats(0.0, 1.0), cost=st.floats(0.0, 0.9))
def test_best_ask_for_any_weight_of_the_bid(weight, cost):
    # uniform on [0, 1]: s = c + (1 - w)(1 - s), so s = (c + 1 - w) / (2 - w); w = 1 makes the cost
    # the best ask
    assert float(best_ask(Uniform(0.0, 1.0), cost, weight)) == pytest.approx(
        (cost + 1 - weight) / (2 - weight)
    )


def test_revenue_under_midpoint_settlement():
    """A truthful buyer with v ~ U[0, 1]: the mean midpoint price at three asks (integral of (v
    + s) / 2 from s to 1).
    """
    n = 20000
    values = ((torch.arange(n).double() + 0.5) / n)[None, :, None].expand(3, n, 1)
    prior = Uniform(0.0, 1.0)
    asks = torch.stack([best_midpoint(prior, 0.0), myerson(prior, 0.0), lower_bound(prior, 0.0)])[
        :, None
    ]
    revenue = double_auction(values.contiguous(), asks).prices.mean((1, 2))
    assert revenue.tolist() == pytest.approx([1 / 3, 0.3125, 0.25], abs=1e-4)  # (1 + 2s - 3s^2) / 4


@settings(max_examples=60)
@given(lo=st.floats(0.1, 5.0), ratio=st.floats(1.01, 6.0))
def test_asking_the_lower_bound_is_best_only_for_a_narrow_prior(lo, ratio):
    asks_low = math.isclose(float(best_midpoint(Uniform(lo, ratio * lo), 0.0)), lo, rel_tol=1e-12)
    assert asks_low == (ratio <= 3) or math.isclose(ratio, 3, rel_tol=1e-9)


@pytest.mark.parametrize("rule", sorted(ASK_RULES))
@pytest.mark.parametrize("name", sorted(PRIORS))
def test_a_batch_is_its_singles(rule, name):
    lo, hi = torch.tensor([[0.5], [1.0]]).double(), torch.tensor([[2.0, 3.0], [4.0, 9.0]]).double()
    cost = torch.tensor([[0.0, 0.3], [2.0, 11.0]]).double()
    whole = ASK_RULES[rule](PRIORS[name](lo, hi), cost)
    assert whole.shape == (2, 2) and whole.dtype == torch.float64
    for m in range(2):
        for s in range(2):
            alone = ASK_RULES[rule](
                PRIORS[name](float(lo[m, 0]), float(hi[m, s])), float(cost[m, s])
            )
            assert float(whole[m, s]) == pytest.approx(float(alone), rel=1e-12)


@pytest.mark.parametrize("rule", sorted(ASK_RULES))
def test_ends_of_the_range(rule):
    ask = ASK_RULES[rule]
    assert float(ask(Uniform(2.0, 2.0), 0.0)) == 2.0  # a sure value is asked in full
    assert float(ask(Uniform(2.0, 3.0), 5.0)) == 5.0  # no buyer covers the cost: ask it
    # a harmful good (Delta - 1 < 0) is still not given below its cost
    assert float(ask(Uniform(-1.0, -0.5), 0.0)) == 0.0
    for bad in (-1.0, math.nan):
        with pytest.raises(ValueError, match="cost is"):
            ask(Uniform(0.0, 1.0), bad)


def test_weight_out_of_range_is_refused():
    with pytest.raises(ValueError, match="weight is"):
        best_ask(Uniform(0.0, 1.0), 0.0, 1.5)
