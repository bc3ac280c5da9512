"""Means with intervals that cover what they promise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws

MINIMUM = 20  # below this many samples the studentised bootstrap covers too little; show the points instead


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; the bounds are None below 20 samples, where no interval is honest."""

    mean: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{self.mean:+.3f}" if self.low is None else f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def mean_interval(samples: Float64[Tensor, "samples"], resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean of independent samples with a studentised bootstrap interval of 95 %.

    t* = (mean* - mean) / se*;  [mean - q(.975) se, mean - q(.025) se] with q the quantiles of t* over resamples

    samples: independent values, any unit [samples]
    Raises ValueError for NaN or an empty tensor. Source: Efron and Tibshirani (1993), chapter 12.

    >>> mean_interval(torch.zeros(3, dtype=torch.float64))
    Interval(mean=0.0, low=None, high=None)
    """
    n = len(samples)
    if n == 0 or not bool(samples.isfinite().all()):
        raise ValueError(f"mean_interval got {n} samples, of which some may be NaN or infinite; wanted >= 1 finite ones.")
    mean = samples.mean()
    if n < MINIMUM:
        return Interval(float(mean), None, None)
    least = 1e-12 * float(samples.abs().max())  # spread that is only rounding
    if float(samples.std()) <= least:
        return Interval(float(mean), float(mean), float(mean))
    again = samples[draws.integers(draws.fold(torch.tensor(seed, device=samples.device), "bootstrap"), n, resamples, n)]
    spread = again.std(1)
    t = torch.where(spread > least, (again.mean(1) - mean) / spread, 0.0)  # a resample of one value says nothing
    low, high = t.quantile(samples.new_tensor([0.975, 0.025]))
    return Interval(float(mean), float(mean - low * samples.std()), float(mean - high * samples.std()))


def paired_difference(ours: Float64[Tensor, "samples"], theirs: Float64[Tensor, "others"], seed: int = 0) -> Interval:
    """Mean of ours - theirs over pairs that share seeds (common random numbers), with its 95 % interval.

    Raises ValueError where the two differ in length.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"paired_difference got {len(ours)} and {len(theirs)} samples; wanted one pair per seed.")
    return mean_interval(ours - theirs, seed=seed)
