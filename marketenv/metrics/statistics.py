"""Means, interquartile means, ratios and shares with intervals, where samples are enough."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from marketenv.metrics.bootstrap import (
    check_level,
    interquartile,
    interquartile_weights,
    resampled_quantiles,
    studentised,
)

MINIMUM = 20  # with fewer samples the studentised bootstrap covers too little: show the points
# the same where half of the samples or more are one value, as gains that are mostly 0
MINIMUM_INFLATED = 256
MINIMUM_INTERQUARTILE = 50  # for the percentile bootstrap of interquartile means

# mean, low, high
Bounds = tuple[Float64[Tensor, "*batch"], Float64[Tensor, "*batch"], Float64[Tensor, "*batch"]]


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, by default of 95 %; bounds are None where samples are too few."""

    mean: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def least_samples(samples: Float64[Tensor, "*batch samples"]) -> Int[Tensor, "*batch"]:
    """Least number of samples for an interval: 20, or 256 where half or more are one value.

    Samples mostly of one value (gains that are mostly 0, yes and no) hide how the rest varies; so
    do constant ones, which may have missed what is rare. Values that differ by rounding only are
    the same.

    samples: independent along the last axis, any unit   float64 [*batch, samples]
    Returns counts [*batch]. Of yes and no, ``share_interval`` is exact for any number.

    >>> least_samples(torch.tensor([[0.0, 0, 1, 2], [0, 1, 2, 3]], dtype=torch.float64)).tolist()
    [256, 20]
    """
    return torch.where(_inflated(samples), MINIMUM_INFLATED, MINIMUM)


def mean_intervals(
    samples: Float64[Tensor, "*batch samples"],
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Bounds:
    """Means of many sets of independent samples at once, with studentised bootstrap intervals.

    t* = (mean* - mean) / se*;  [mean - q(1 - a) se, mean - q(a) se], a = (1 - level) / 2, q the
    quantiles of t* over resamples

    samples: independent along the last axis, any unit   float64 [*batch, samples]
    level:   chance that an interval covers the mean, in (0, 1)
    Returns mean, low and high, each [*batch]; low and high are NaN below ``least_samples``. Every
    set meets the same resampled places. Raises ValueError for NaN, no samples, and a level that so
    few resamples cannot tell.

    A resample of one value has se* = 0 and t* = -inf or inf. Where so many have that a quantile is
    infinite, low and high are NaN: at 95 %, where only 1 to 3 samples differ from all others, for
    exp(-3) of the resamples miss 3. Equal samples of ``least_samples`` or more keep [c, c]: it
    tells nothing of what is rarer than ``share_interval(0, n)`` allows, 1.4 % for 256.

    Source: Efron and Tibshirani (1993), chapter 12. Measured coverage at 95 %: 20 normal or
    exponential samples 94 to 95 %, uniform 97 %, lognormal 91 %. 256 samples with up to 97 % zeros,
    the rest uniform, Exp(1) or 1: 95 to 98 %. Of samples that are rarely not 0, that of the
    intervals that are given, but for [0, 0]:

        not 0   256 samples: given, covers     1,024 samples: given, covers
        2 %     73 %, 96 to 98 %               all, 94 to 96 %
        1 %     24 %, 95 %                     99 %, 96 to 98 %
        0.5 %    4 %, 60 to 84 %               76 %, 96 to 97 %

    >>> mean, low, high = mean_intervals(torch.arange(40, dtype=torch.float64).reshape(2, 20))
    >>> mean.tolist(), bool((low < mean).all() and (mean < high).all())
    ([9.5, 29.5], True)
    """
    _check(samples, "mean_intervals")
    check_level(level, resamples)
    n, mean = samples.shape[-1], samples.mean(-1)
    known = (least_samples(samples) <= n).flatten().nonzero()[:, 0]  # the others need no work
    if not len(known):
        return mean, torch.full_like(mean, math.nan), torch.full_like(mean, math.nan)
    spread = samples.std(-1).flatten()
    spread = spread.where(spread > _rounding(samples).flatten(), 0.0)
    unit = spread[known, None].where(spread[known, None] > 0, math.inf)
    centred = (samples - mean[..., None]).reshape(-1, n)[known] / unit
    t = resampled_quantiles(centred, resamples, seed, level, studentised)
    # too many resamples of one value: the tail is not known
    t = t.where(t.isfinite().all(0), math.nan)
    bounds = samples.new_full((2, mean.numel()), math.nan)
    bounds[:, known] = mean.flatten()[known] - t.flip(0) * spread[known]
    return mean, bounds[0].reshape(mean.shape), bounds[1].reshape(mean.shape)


def mean_interval(
    samples: Float64[Tensor, "samples"], resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean of independent samples with a studentised bootstrap interval.

    samples: independent values, any unit [samples]. Formula, options and errors are those of
        ``mean_intervals``; bounds are None below ``least_samples``.

    >>> mean_interval(torch.zeros(3, dtype=torch.float64))
    Interval(mean=0.0, low=None, high=None)
    """
    return _interval(mean_intervals(samples, resamples, seed, level))


def paired_difference(
    ours: Float64[Tensor, "samples"], theirs: Float64[Tensor, "others"], seed: int = 0
) -> Interval:
    """Mean of ours - theirs over pairs of the same seeds, with its 95 % interval.

    Raises ValueError where the two differ in length.
    """
    if ours.shape != theirs.shape:
        raise ValueError(
            f"paired_difference got {len(ours)} and {len(theirs)} samples; wanted one pair per"
            " seed."
        )
    return mean_interval(ours - theirs, seed=seed)


def ratio_interval(
    upper: Float64[Tensor, "samples"], lower: Float64[Tensor, "others"], seed: int = 0
) -> Interval:
    """Ratio of two paired means with its 95 % interval, to first order in the noise of both.

    R = mean(upper) / mean(lower);
    the interval is that of the mean of R + (upper - R lower) / mean(lower)

    upper, lower: one pair per seed, any unit [samples]
    Raises ValueError for NaN and where the mean of ``lower`` is not above 0: no ratio is meant
    then.

    Source: the delta method for ratio estimators, Cochran, Sampling Techniques (1977), sec. 6.3.

    >>> two = torch.full((256,), 2.0, dtype=torch.float64)
    >>> ratio_interval(two, 2 * two)
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    if upper.shape != lower.shape:
        raise ValueError(
            f"ratio_interval got {len(upper)} and {len(lower)} samples; wanted one pair per seed."
        )
    _check(upper + lower, "ratio_interval")
    if float(lower.mean()) <= 0:
        raise ValueError(
            f"ratio_interval got a mean of {float(lower.mean()):g} to divide by; wanted one"
            " above 0."
        )
    ratio = upper.mean() / lower.mean()
    interval = mean_interval(ratio + (upper - ratio * lower) / lower.mean(), seed=seed)
    enough = len(upper) >= int(least_samples(upper))
    return interval if enough else Interval(interval.mean, None, None)


def interquartile_mean(samples: Float64[Tensor, "*batch samples"]) -> Float64[Tensor, "*batch"]:
    """Mean of the middle half of the samples, so that no outlier counts.

    sum_k w_k x_(k) over the sorted samples, w_k = 2/n times the share of ((k-1)/n, k/n] that lies
    in (1/4, 3/4]

    samples: any unit   float64 [*batch, samples]
    Raises ValueError for NaN and no samples. Source: Agarwal et al., Deep reinforcement learning at
    the edge of the statistical precipice, NeurIPS 2021. We differ where 4 does not divide the
    number of samples: the samples at the quartiles count by their share, so that exactly one half
    counts.

    >>> float(interquartile_mean(torch.tensor([1.0, 2, 3, 100], dtype=torch.float64)))
    2.5
    """
    _check(samples, "interquartile_mean")
    once = torch.ones_like(samples[(0,) * (samples.dim() - 1)])
    return samples.sort(-1).values @ interquartile_weights(once)


def interquartile_intervals(
    samples: Float64[Tensor, "*batch samples"],
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Bounds:
    """Interquartile means of many sets of samples at once, with percentile bootstrap intervals.

    [q(a), q(1 - a)], a = (1 - level) / 2, q the quantiles of the interquartile means of resamples

    samples: independent along the last axis, any unit   float64 [*batch, samples]
    Returns mean, low and high, each [*batch]; low and high are NaN below 50 samples, and below 256
    where half of them or more are one value. Raises ValueError for NaN, no samples, and a level
    that so few resamples cannot tell.

    >>> mean, low, high = interquartile_intervals(torch.arange(60, dtype=torch.float64))
    >>> bool(low < mean < high)
    True
    """
    mean = interquartile_mean(samples)
    check_level(level, resamples)
    n = samples.shape[-1]
    if n < MINIMUM_INTERQUARTILE:
        return mean, torch.full_like(mean, math.nan), torch.full_like(mean, math.nan)
    ranked = samples.sort(-1).values.reshape(-1, n)
    bounds = resampled_quantiles(ranked, resamples, seed, level, interquartile)
    bounds = bounds.masked_fill(least_samples(samples).flatten() > n, math.nan)
    low, high = bounds.reshape(2, *mean.shape)
    return mean, low, high


def interquartile_interval(
    samples: Float64[Tensor, "samples"], resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interquartile mean with a percentile bootstrap interval; no bounds below 50 samples.

    samples: independent values, any unit [samples]. Formula, options and errors are those of
        ``interquartile_intervals``.

    >>> interquartile_interval(torch.tensor([1.0, 2, 3, 100], dtype=torch.float64))
    Interval(mean=2.5, low=None, high=None)
    """
    return _interval(interquartile_intervals(samples, resamples, seed, level))


def share_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """How often something happens, with an exact interval for any number of trials.

    low and high are the shares at which so many successes or more, or so few or fewer, have chance
    (1 - level) / 2

    successes of n: counts of independent trials. Raises ValueError unless 0 <= successes <= n and n
    >= 1. Source: Clopper and Pearson, Biometrika 26 (1934). Never covers less than it promises,
    often more.

    >>> str(share_interval(0, 100))  # high = 1 - .025^(1/100)
    '+0.000 [+0.000, +0.036]'
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(
            f"share_interval got {successes} of {n}; wanted 0 <= successes <= n and n >= 1."
        )
    return Interval(successes / n, *_exact_bounds(successes, n, level))


@functools.lru_cache(maxsize=4096)  # a search for roots, wanted again and again for equal counts
def _exact_bounds(successes: int, n: int, level: float) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a share."""
    from scipy.stats import binomtest  # most of a second, for those alone who use it

    bounds = binomtest(successes, n).proportion_ci(level, method="exact")
    return float(bounds.low), float(bounds.high)


# --- checks ---------------------------------------------------------------------------------------


def _rounding(samples: Float64[Tensor, "*batch samples"]) -> Float64[Tensor, "*batch"]:
    """The difference that is only rounding."""
    return 1e-12 * samples.abs().amax(-1)


def _inflated(samples: Float64[Tensor, "*batch samples"]) -> Bool[Tensor, "*batch"]:
    """True where half of the samples or more are one and the same value."""
    half, ranked = (samples.shape[-1] + 1) // 2, samples.sort(-1).values
    # one run is short: half have one value
    runs = ranked[..., half - 1 :] - ranked[..., : ranked.shape[-1] - half + 1]
    return (runs <= _rounding(samples)[..., None]).any(-1)


def _check(samples: Tensor, who: str) -> None:
    if samples.numel() == 0 or not bool(samples.isfinite().all()):
        raise ValueError(
            f"{who} got samples {list(samples.shape)}, none or with NaN or infinity; wanted >= 1"
            " finite ones."
        )


def _interval(bounds: Bounds) -> Interval:
    mean, low, high = (float(bound) for bound in bounds)
    return Interval(mean, None, None) if math.isnan(low) else Interval(mean, low, high)
