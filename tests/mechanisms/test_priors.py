"""Every prior of the table: a worked value, and what makes it a distribution."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from marketenv.mechanisms import (
    PRIORS,
    BoundedPareto,
    LogUniform,
    Power,
    Prior,
    TruncatedExponential,
    TruncatedLognormal,
    TruncatedNormal,
    Uniform,
)

# name: (prior, price, cdf there, pdf there, where they come from)
WORKED = {
    "uniform": (Uniform(1.0, 4.0), 2.0, 1 / 3, 1 / 3, "closed form (p - lo) / (hi - lo) = 1/3"),
    "truncated_exponential": (
        TruncatedExponential(1.0, 4.0, 0.5),
        2.0,
        (1 - math.exp(-0.5)) / (1 - math.exp(-1.5)),
        0.5 * math.exp(-0.5) / (1 - math.exp(-1.5)),
        "closed form with rate 1/2 over a width of 3",
    ),
    "truncated_normal": (
        TruncatedNormal(1.0, 4.0),
        2.5,
        0.5,
        math.exp(0) / math.sqrt(2 * math.pi) / 0.75 / 0.9544997361036416,
        (
            "symmetric about 2.5; sd (4-1)/4, so that the ends lie at z = 2 and hold .9545 (the"
            " two-sigma rule)"
        ),
    ),
    "truncated_lognormal": (
        TruncatedLognormal(1.0, 4.0, math.log(2.0), 0.5),
        2.0,
        0.5,
        1 / math.sqrt(2 * math.pi) / (2 * 0.5) / math.erf(2 * math.log(2.0) / math.sqrt(2)),
        (
            "symmetric in the log about ln 2, ends at z = 2 ln 2, between which erf(2 ln 2 / sqrt"
            " 2) lies"
        ),
    ),
    "log_uniform": (
        LogUniform(1.0, 4.0),
        2.0,
        0.5,
        1 / (2 * math.log(4.0)),
        "closed form log(p/lo)/log(hi/lo) = 1/2",
    ),
    "power": (
        Power(0.0, 4.0, 2.0),
        2.0,
        0.25,
        0.25,
        "closed form (p/hi)^q = (1/2)^2 and q p / hi^2 = 4/16",
    ),
    "bounded_pareto": (
        BoundedPareto(1.0, 4.0, 1.0),
        2.0,
        2 / 3,
        1 / 3,
        "closed form (1 - lo/p) / (1 - lo/hi) = (1/2)/(3/4); pdf lo p^-2 / (3/4) = 1/3",
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(PRIORS))


def test_every_prior_has_a_worked_example():
    assert WORKED.keys() == PRIORS.keys()
    assert all(
        isinstance(prior, PRIORS[name]) and isinstance(prior, Prior)
        for name, (prior, *_) in WORKED.items()
    )


@EVERY
def test_worked_example(name):
    prior, price, cdf, pdf, reason = WORKED[name]
    at = torch.tensor(price, dtype=torch.float64)
    assert float(prior.cdf(at)) == pytest.approx(cdf, rel=1e-9), reason
    assert float(prior.pdf(at)) == pytest.approx(pdf, rel=1e-9), reason


@EVERY
@settings(max_examples=30)
@given(lo=st.floats(0.1, 5.0), width=st.floats(0.05, 20.0))
def test_is_a_distribution_on_its_interval(name, lo, width):
    prior = PRIORS[name](lo, lo + width)
    at = torch.linspace(lo, lo + width, 4001, dtype=torch.float64)
    at[0], at[-1] = lo, lo + width
    cdf, pdf = prior.cdf(at), prior.pdf(at)
    assert cdf[0] == 0 and cdf[-1] == 1 and (cdf.diff() >= 0).all() and (pdf >= 0).all()
    integral = torch.cumulative_trapezoid(pdf, at)  # the cdf is the integral of the pdf
    assert torch.allclose(integral, cdf[1:], atol=2e-3)
    outside = torch.tensor([lo - 1, lo + width + 1], dtype=torch.float64)
    assert prior.cdf(outside).tolist() == [0, 1] and prior.pdf(outside).tolist() == [0, 0]


@EVERY
def test_a_batch_of_intervals_is_its_singles(name):
    lo, hi = torch.tensor([[0.5], [1.0]]).double(), torch.tensor([[2.0, 3.0], [4.0, 9.0]]).double()
    at = torch.tensor(1.7).double()
    whole = PRIORS[name](lo, hi)
    for m in range(2):
        for s in range(2):
            alone = PRIORS[name](float(lo[m, 0]), float(hi[m, s]))
            assert float(whole.cdf(at)[m, s]) == pytest.approx(float(alone.cdf(at)), rel=1e-14)
            assert float(whole.pdf(at)[m, s]) == pytest.approx(float(alone.pdf(at)), rel=1e-14)


def test_against_scipy():
    at = torch.linspace(1.1, 3.9, 30, dtype=torch.float64)
    theirs = {
        TruncatedExponential(1.0, 4.0, 2.0): stats.truncexpon(6.0, loc=1.0, scale=0.5),
        TruncatedNormal(1.0, 4.0, 3.0, 0.4): stats.truncnorm(-5.0, 2.5, loc=3.0, scale=0.4),
        # far in the right tail
        TruncatedNormal(1.0, 4.0, -3.0, 0.4): stats.truncnorm(10.0, 17.5, loc=-3.0, scale=0.4),
        LogUniform(1.0, 4.0): stats.loguniform(1.0, 4.0),
        BoundedPareto(1.0, 4.0, 2.5): stats.truncpareto(2.5, 4.0),
        Power(0.0, 4.0, 0.3): stats.powerlaw(0.3, scale=4.0),
    }
    for ours, scipys in theirs.items():
        assert torch.allclose(
            ours.cdf(at), torch.from_numpy(scipys.cdf(at.numpy())), rtol=1e-9, atol=1e-12
        ), ours
        assert torch.allclose(
            ours.pdf(at), torch.from_numpy(scipys.pdf(at.numpy())), rtol=1e-9, atol=1e-12
        ), ours


@EVERY
def test_a_sure_value_is_a_step(name):
    prior = PRIORS[name](2.0, 2.0)
    assert prior.cdf(torch.tensor([1.9, 2.0, 2.1]).double()).tolist() == [0, 1, 1]
    assert prior.pdf(torch.tensor([1.9, 2.0, 2.1]).double()).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(2.0, 1.0), "lo 2.0 > hi 1.0"),
        (lambda: Uniform(0.0, math.inf), "Uniform.hi is inf"),
        (lambda: Uniform(torch.tensor([0.0, math.nan]).double(), 1.0), "Uniform.lo is"),
        (lambda: TruncatedExponential(0.0, 1.0, 0.0), "rate is 0.0; wanted finite numbers > 0"),
        (lambda: TruncatedNormal(0.0, 1.0, 0.5, -1.0), "sd is -1.0"),
        (lambda: TruncatedNormal(0.0, 1.0, 900.0, 1.0), "no mass between"),
        (lambda: TruncatedLognormal(-1.0, 1.0), "lo is -1.0; wanted finite numbers >= 0"),
        (lambda: LogUniform(0.0, 1.0), "LogUniform.lo is 0.0"),
        (lambda: Power(0.0, 1.0, 0.0), "q is 0.0"),
        (lambda: BoundedPareto(1.0, 2.0, -1.0), "shape is -1.0"),
    ],
)
def test_impossible_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_defaults_are_set_from_the_interval():
    """Exponential: rate 2 / (hi - lo), so the density falls by e^2; normal: a quarter of the
    width, so by e^(2^2 / 2).
    """
    ends, middle = torch.tensor([1.0, 5.0]).double(), torch.tensor(3.0).double()
    low, high = TruncatedExponential(1.0, 5.0).pdf(ends)
    assert float(low / high) == pytest.approx(math.exp(2))
    normal = TruncatedNormal(1.0, 5.0)
    assert float(normal.pdf(middle) / normal.pdf(ends)[0]) == pytest.approx(math.exp(2))
