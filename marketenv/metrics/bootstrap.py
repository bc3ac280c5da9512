"""The bootstrap: quantiles of a statistic over resamples of many sets of samples at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws

MOST = 4_000_000  # numbers of resamples in memory at once


@lru_cache(maxsize=4)  # intervals come in many of one length; at most 128 MB
def resample_counts(
    n: int, resamples: int, seed: int, part: int, device: torch.device
) -> Float64[Tensor, "resamples samples"]:
    """Counts of each sample in each resample of one part."""
    key = draws.fold(torch.tensor(seed, device=device), "bootstrap")
    places = draws.integers(draws.fold(key, part) if part else key, n, resamples, n)
    counts = torch.zeros(places.shape, dtype=torch.float64, device=device)
    return counts.scatter_add_(1, places, torch.ones_like(places).double())


def resampled_quantiles(
    sets: Float64[Tensor, "sets samples"],
    resamples: int,
    seed: int,
    level: float,
    statistic: Callable[[Tensor, Tensor], Tensor],
) -> Float64[Tensor, "2 sets"]:
    """Lower and upper quantile over resamples of statistic(sets, counts) [sets, resamples]."""
    n, ends = sets.shape[1], sets.new_tensor([(1 - level) / 2, (1 + level) / 2])
    most = max(1, MOST // n)
    sizes = [min(most, resamples - start) for start in range(0, resamples, most)]

    def quantiles(some: Tensor) -> Tensor:
        counts = (
            resample_counts(n, size, seed, part, sets.device) for part, size in enumerate(sizes)
        )
        return torch.cat([statistic(some, each) for each in counts], 1).quantile(ends, 1)

    return torch.cat([quantiles(some) for some in sets.split(max(1, MOST // resamples))], 1)


def studentised(centred: Tensor, counts: Tensor) -> Float64[Tensor, "sets resamples"]:
    """Mean* / sd* of resamples of sets with mean 0 and standard deviation 1."""
    n = counts.shape[1]
    mean = centred @ counts.T / n
    spread = ((centred.square() @ counts.T - n * mean.square()).clamp(min=0.0) / (n - 1)).sqrt()
    # a resample of one value has no spread
    alone = torch.where(mean.abs() > 1e-6, mean.sign() * math.inf, 0.0)
    return torch.where(spread > 1e-6, mean / spread, alone)


def interquartile(ranked: Tensor, counts: Tensor) -> Float64[Tensor, "sets resamples"]:
    """Interquartile means of resamples of sorted sets."""
    return ranked @ interquartile_weights(counts).T


def interquartile_weights(
    counts: Float64[Tensor, "*resamples samples"],
) -> Float64[Tensor, "*resamples samples"]:
    """Weight of each sorted sample in the interquartile mean of a resample with these counts."""
    n = counts.shape[-1]
    # share of the middle half at or below it
    below = ((counts.cumsum(-1) - n / 4) / (n / 2)).clamp(0.0, 1.0)
    return below.diff(dim=-1, prepend=torch.zeros_like(below[..., :1]))


def check_level(level: float, resamples: int) -> None:
    """Raise ValueError for a level outside (0, 1), or too high for so few resamples."""
    if not 0 < level < 1 or resamples * (1 - level) / 2 < 1:
        raise ValueError(
            f"a level of {level} of {resamples} resamples leaves none in a tail, or is outside"
            " (0, 1)."
        )
