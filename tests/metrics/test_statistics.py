"""Intervals cover what they promise, and say so where they cannot."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from marketenv.core import draws
from marketenv.metrics import (
    interquartile_interval,
    interquartile_intervals,
    interquartile_mean,
    least_samples,
    mean_interval,
    mean_intervals,
    paired_difference,
    ratio_interval,
    share_interval,
)
from marketenv.metrics.bootstrap import resample_counts

# 95 % of so many has a standard error of .49 points, so 93 to 97 % leaves room for more than four
SIMULATIONS = 2000


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def exponential(key, *shape):
    return -draws.uniform(draws.fold(key, "exponential"), *shape).log()


def lognormal(key, *shape):
    return draws.normal(key, *shape).exp()


def inflated(share):
    """Zeros with this chance, otherwise Exp(1): mean 1 - share."""
    return lambda key, *shape: exponential(key, *shape) * (draws.uniform(key, *shape) >= share)


def coverage(intervals, law, n, truth):
    """Share of simulations whose interval holds the truth; each has one."""
    _, low, high = intervals(law(torch.tensor(n), SIMULATIONS, n))
    assert not low.isnan().any()
    return float(((low <= truth) & (truth <= high)).double().mean())


# --- means ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "n", "truth"),
    [
        (draws.normal, 20, 0.0),
        (draws.uniform, 50, 0.5),  # at 20 it is 97 %, a little too wide
        (exponential, 20, 1.0),
        (inflated(0.7), 256, 0.3),
        (inflated(0.8), 256, 0.2),
        (inflated(0.9), 256, 0.1),
    ],
    ids=["normal", "uniform", "exponential", "70 % zeros", "80 % zeros", "90 % zeros"],
)
def test_intervals_of_means_cover_93_to_97_percent(law, n, truth):
    assert 0.93 <= coverage(mean_intervals, law, n, truth) <= 0.97


@pytest.mark.parametrize(
    ("law", "n", "truth"),
    [
        # mean of exp(N(0, 1)); a tail that 20 samples seldom show: 91 % measured
        (lognormal, 20, math.exp(0.5)),
    ],
    ids=["lognormal"],
)
def test_what_the_intervals_do_not_cover(law, n, truth):
    """The limits that the docstring tells: not 93 %, yet 88 %."""
    assert 0.88 <= coverage(mean_intervals, law, n, truth) < 0.93


@pytest.mark.parametrize(("share", "n"), [(0.98, 256), (0.99, 256), (0.995, 1024)])
def test_of_what_is_rarely_not_0_there_is_no_interval_or_one_that_covers(share, n):
    given = stats.binom.sf(3, n, 1 - share)  # chance of 4 or more that are not 0
    samples = inflated(share)(torch.tensor(n), SIMULATIONS, n)
    _, low, high = mean_intervals(samples)
    known = ~low.isnan() & (samples != 0).any(1)  # all zeros have [0, 0]
    # four standard errors of a share of 2,000
    assert float(known.double().mean()) == pytest.approx(given, abs=0.04)
    covers = float(((low <= 1 - share) & (1 - share <= high))[known].double().mean())
    assert 0.93 <= covers <= 0.985


@pytest.mark.parametrize("rare", [1, 2, 3])
def test_a_few_samples_that_differ_give_no_interval(rare):
    """e^-3 = 5 % of the resamples miss 3 of them, more than the 2.5 % of a tail; e^-4 = 1.8 %
    miss 4.
    """
    samples = (torch.arange(256) < rare).double()
    for sign in (1.0, -1.0):
        found = mean_interval(sign * samples)
        assert (found.mean, found.low, found.high) == (sign * rare / 256, None, None)
    four = mean_interval((torch.arange(256) < 4).double())
    # rare and large: longer above
    assert 0 < four.low < four.mean < four.high and four.high - four.mean > four.mean - four.low
    # 1.8 % are more than .5 %
    assert mean_interval((torch.arange(256) < 4).double(), 4000, level=0.99).low is None


def test_interval_is_close_to_students_t_for_normal_samples():
    samples = draws.normal(torch.tensor(3), 200)
    interval = mean_interval(samples)
    low, high = stats.t.interval(
        0.95, 199, loc=float(samples.mean()), scale=float(samples.std()) / 200**0.5
    )
    assert interval.mean == pytest.approx(float(samples.mean()))
    assert interval.low == pytest.approx(low, abs=0.03)
    assert interval.high == pytest.approx(high, abs=0.03)


def test_a_higher_level_is_wider():
    samples = draws.normal(torch.tensor(3), 200)
    interval, wide = mean_interval(samples), mean_interval(samples, level=0.99)
    low, high = stats.t.interval(
        0.99, 199, loc=float(samples.mean()), scale=float(samples.std()) / 200**0.5
    )
    assert wide.low < interval.low < interval.high < wide.high
    assert (wide.low, wide.high) == (pytest.approx(low, abs=0.06), pytest.approx(high, abs=0.06))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**40),
    n=st.integers(20, 60),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-10, 10),
)
def test_an_interval_moves_with_its_samples(seed, n, scale, shift):
    samples = draws.normal(torch.tensor(seed), n)
    interval, moved = mean_interval(samples), mean_interval(scale * samples + shift)
    assert interval.low <= interval.mean <= interval.high
    for ours, theirs in (
        (interval.mean, moved.mean),
        (interval.low, moved.low),
        (interval.high, moved.high),
    ):
        assert scale * ours + shift == pytest.approx(
            theirs, rel=1e-6, abs=1e-6 * (scale + abs(shift))
        )


def test_many_samples_are_resampled_in_parts():
    """More samples than one part of the resamples can hold; the bounds are close to Student's
    t, as above.
    """
    samples = exponential(torch.tensor(4), 9000)
    interval = mean_interval(samples, resamples=1000)
    low, high = stats.t.interval(
        0.95, 8999, loc=float(samples.mean()), scale=float(samples.std()) / 9000**0.5
    )
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=3e-3),
        pytest.approx(high, abs=3e-3),
    )


def test_parts_of_a_resampling_differ():
    parts = [resample_counts(30, 40, 0, part, torch.device("cpu")) for part in (0, 1, 2)]
    assert not torch.equal(parts[0], parts[1]) and not torch.equal(parts[1], parts[2])
    assert all(bool((part.sum(1) == 30).all()) for part in parts)


def test_a_batch_is_its_singles():
    samples = torch.stack(
        [
            draws.normal(torch.tensor(1), 30),
            exponential(torch.tensor(2), 30),
            torch.zeros(30).double(),
        ]
    )
    batch = torch.stack(mean_intervals(samples)).T
    for row, bounds in zip(samples, batch.tolist(), strict=True):
        single = mean_interval(row)
        assert bounds[0] == pytest.approx(single.mean)
        assert (
            math.isnan(bounds[1])
            if single.low is None
            else bounds[1:] == pytest.approx([single.low, single.high])
        )


# --- how many samples an interval needs -----------------------------------------------------------


def test_few_samples_get_no_interval():
    interval = mean_interval(torch.arange(19, dtype=torch.float64))
    assert (interval.mean, interval.low, interval.high) == (9.0, None, None)  # mean of 0..18
    assert str(interval) == "+9.000"
    assert mean_interval(torch.arange(20, dtype=torch.float64)).low is not None


@pytest.mark.parametrize(
    ("samples", "least"),
    [
        (torch.arange(40).double(), 20),
        (torch.arange(40).clamp(min=18).double(), 20),  # 18 comes 19 times of 40
        (torch.arange(40).clamp(min=19).double(), 256),  # 19 comes 20 times of 40
        (torch.arange(41).clamp(min=20).double(), 256),  # 20 comes 21 times of 41
        (torch.arange(40).double() % 2, 256),  # yes and no, evenly
        (torch.zeros(40).double(), 256),
        (1.0 + 1e-15 * torch.arange(40).double(), 256),  # they differ by rounding only
    ],
    ids=[
        "all differ",
        "less than half",
        "half",
        "more than half",
        "yes and no",
        "constant",
        "rounding",
    ],
)
def test_how_many_samples_an_interval_needs(samples, least):
    assert int(least_samples(samples)) == least
    assert (mean_interval(samples).low is None) == (least > len(samples))


def test_samples_mostly_of_one_value_get_an_interval_from_256_on():
    samples = torch.arange(256).clamp(min=200).double()
    assert mean_interval(samples[1:]).low is None and mean_interval(samples).low is not None


def test_equal_samples_have_an_interval_of_one_point():
    interval = mean_interval(torch.full((256,), 2.5, dtype=torch.float64))
    assert (interval.low, interval.mean, interval.high) == (2.5, 2.5, 2.5)
    # something rare may have been missed
    assert mean_interval(torch.full((255,), 2.5, dtype=torch.float64)).low is None


def test_pairs_cancel_what_they_share():
    shared = 100 * draws.normal(torch.tensor(1), 256)
    interval = paired_difference(shared + 0.5, shared)
    assert interval.low == pytest.approx(0.5, abs=1e-9) and interval.high == pytest.approx(
        0.5, abs=1e-9
    )


# --- interquartile means --------------------------------------------------------------------------


def mean_below(a):
    """int_0^a x exp(-x) dx"""
    return 1 - (a + 1) * math.exp(-a)


@pytest.mark.parametrize(
    ("law", "truth"),
    [
        (draws.normal, 0.0),
        (draws.uniform, 0.5),
        # Exp(1) has its quartiles at ln 4/3 and ln 4; the mean between them is 2 int x exp(-x) dx
        (exponential, 2 * (mean_below(math.log(4)) - mean_below(math.log(4 / 3)))),
    ],
    ids=["normal", "uniform", "exponential"],
)
def test_intervals_of_interquartile_means_cover_93_to_97_percent(law, truth):
    assert 0.93 <= coverage(interquartile_intervals, law, 50, truth) <= 0.97


def test_interquartile_mean_counts_exactly_one_half():
    # six samples: a quarter is 1.5 of them, so the sorted ones weigh 0, 1/2, 1, 1, 1/2, 0 of 3
    assert float(interquartile_mean(tensor(100, 0, 2, 3, 4, -50))) == pytest.approx(
        (0 / 2 + 2 + 3 + 4 / 2) / 3
    )
    assert float(interquartile_mean(tensor(7))) == 7.0


@settings(max_examples=25)
@given(seed=st.integers(0, 2**40), quarter=st.integers(1, 20))
def test_interquartile_mean_is_the_trimmed_mean_where_four_divides(seed, quarter):
    samples = exponential(torch.tensor(seed), 3, 4 * quarter)
    expected = stats.trim_mean(samples.numpy(), 0.25, axis=1)
    assert interquartile_mean(samples).tolist() == pytest.approx(expected.tolist())


def test_resampled_interquartile_means_are_those_of_the_resamples():
    """The bounds by counts equal the bounds by resampling the values themselves."""
    n, samples = 53, exponential(torch.tensor(5), 53)
    places = draws.integers(draws.fold(torch.tensor(0), "bootstrap"), n, 2000, n)
    low, high = (
        interquartile_mean(samples.sort().values[places]).quantile(tensor(0.025, 0.975)).tolist()
    )
    found = interquartile_interval(samples)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_resampled_means_are_those_of_the_resamples():
    n, samples = 33, exponential(torch.tensor(5), 33)
    again = samples[draws.integers(draws.fold(torch.tensor(0), "bootstrap"), n, 2000, n)]
    t = (again.mean(1) - samples.mean()) / again.std(1)
    low, high = (samples.mean() - t.quantile(tensor(0.975, 0.025)) * samples.std()).tolist()
    found = mean_interval(samples)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_interquartile_means_of_few_samples_have_no_interval():
    assert interquartile_interval(torch.arange(49).double()).low is None
    assert interquartile_interval(torch.arange(50).double()).low is not None


# --- ratios and shares ----------------------------------------------------------------------------


@pytest.mark.long
def test_intervals_of_ratios_cover_93_to_97_percent():
    """upper = lower / 2 + noise: the ratio of means is 1/2. One call a simulation, so fewer of
    them: 400, error 1.1 points.
    """
    hits = 0
    for simulation in range(400):
        key = torch.tensor(simulation)
        lower = 1 + draws.uniform(key, 60)
        found = ratio_interval(lower / 2 + 0.3 * draws.normal(draws.fold(key, "noise"), 60), lower)
        hits += found.low <= 0.5 <= found.high
    assert 0.93 <= hits / 400 <= 0.97


def test_a_ratio_of_something_mostly_0_has_no_interval_below_256():
    upper, lower = (
        torch.arange(100).clamp(min=80).double() - 80,
        1 + draws.uniform(torch.tensor(1), 100),
    )
    assert (
        ratio_interval(upper, lower).low is None
        and ratio_interval(lower, 1 + upper).low is not None
    )


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
def test_intervals_of_shares_cover_at_least_95_percent(p):
    """Exactly, for every p: the chance of all counts of 40 whose interval holds p."""
    chances = stats.binom.pmf(range(41), 40, p)
    holds = [share_interval(k, 40).low <= p <= share_interval(k, 40).high for k in range(41)]
    assert 0.95 <= sum(c for c, inside in zip(chances, holds, strict=True) if inside) <= 1.0


def test_a_share_of_nothing():
    found = share_interval(0, 30)
    assert (found.mean, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 30))  # where 30 times no has chance 2.5 %


# --- errors ---------------------------------------------------------------------------------------


def test_bad_samples_are_refused():
    with pytest.raises(ValueError, match="finite"):
        mean_interval(tensor(1.0, math.nan))
    with pytest.raises(ValueError, match="finite"):
        interquartile_mean(tensor())
    with pytest.raises(ValueError, match="one pair per seed"):
        paired_difference(torch.zeros(3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))
    with pytest.raises(ValueError, match="one pair per seed"):
        ratio_interval(torch.zeros(3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))
    with pytest.raises(ValueError, match="above 0"):
        ratio_interval(tensor(1.0), tensor(-1.0))
    with pytest.raises(ValueError, match="3 of 2"):
        share_interval(3, 2)


@pytest.mark.parametrize("level", [0.0, 1.0, 0.9995, math.nan])
def test_a_level_that_resamples_cannot_tell_is_refused(level):
    # .9995 leaves half a resample of 2,000 in a tail
    with pytest.raises(ValueError, match="level"):
        mean_interval(torch.arange(30).double(), level=level)


def test_a_ratios_interval_counts_the_noise_of_both_sides():
    """To first order var(R) = R^2 (var(u) / u^2 + var(l) / l^2 - 2 cov / (u l)) / n, Cochran
    (1977), sec. 6.3.
    """
    lower = 1 + 0.2 * draws.normal(draws.fold(torch.tensor(0), "lower"), 400)
    found = ratio_interval(torch.ones_like(lower), lower)  # all noise is the denominator's
    half = 1.96 * found.mean * float(lower.std() / lower.mean()) / 20  # sqrt(400)
    assert found.high - found.mean == pytest.approx(
        half, rel=0.15
    ) and found.mean - found.low == pytest.approx(half, rel=0.15)
    both = ratio_interval(3 * lower, lower)  # the two noises cancel
    assert (both.mean, both.low, both.high) == pytest.approx((3.0, 3.0, 3.0), abs=1e-9)


def test_ten_of_twenty_one_are_not_half():
    tens, elevens = (
        torch.cat([torch.zeros(k), torch.arange(1, 22 - k)]).double() for k in (10, 11)
    )
    assert (int(least_samples(tens)), int(least_samples(elevens))) == (20, 256)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_a_share_of_none_reaches_as_far_as_its_level_says(level):
    # none of 100 has chance (1 - level) / 2 where (1 - high)^100 is that
    assert share_interval(0, 100, level).high == pytest.approx(1 - ((1 - level) / 2) ** (1 / 100))
