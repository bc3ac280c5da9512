"""Many cases as few samples: means of blocks, or the greatest of blocks."""

from __future__ import annotations

from jaxtyping import Float64
from torch import Tensor

MOST = 1024  # samples of one statistic; of more cases a sample is the mean of a block
KEPT = 512  # samples where a sample is the greatest of a block


def blocks(samples: Float64[Tensor, "samples"], most: int = MOST) -> list[float]:
    """The samples, or the means of at most that many equal blocks.

    What is left beyond whole blocks, less than one, is dropped; where nothing is, the mean stays.

    >>> import torch
    >>> blocks(torch.arange(6, dtype=torch.float64), 3)
    [0.5, 2.5, 4.5]
    """
    size = -(-len(samples) // most)
    whole = len(samples) // size * size
    return samples[:whole].reshape(-1, size).mean(1).tolist()


def greatest(values: Float64[Tensor, "cases"], most: int = KEPT) -> list[float]:
    """The values, or the greatest of each of at most that many blocks.

    >>> import torch
    >>> greatest(torch.arange(6, dtype=torch.float64), 3)
    [1.0, 3.0, 5.0]
    """
    return [float(part.max()) for part in values.split(max(1, -(-len(values) // most)))]
