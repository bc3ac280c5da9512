"""Random cases in blocks: of each block the worst case is a sample."""

from __future__ import annotations

import torch
from torch import Tensor

from marketenv.core import draws

from ..core.effort import Effort

# none of 545 samples makes 1 % for two statistics and three conditions
BLOCKS = 600


def per_block(effort: Effort) -> int:
    """Number of cases of each block."""
    return max(1, effort.cases // BLOCKS)


def uniform(name: str, effort: Effort, count: int) -> Tensor:
    """Numbers uniform on [0, 1], drawn by this name: float64 [cases, count]."""
    keys = draws.fold(torch.arange(BLOCKS), name)
    return draws.uniform(keys, per_block(effort), count).flatten(0, 1)


def worst(values: Tensor) -> list[float]:
    """The greatest value of each block, of values [cases]."""
    return values.unflatten(0, (BLOCKS, -1)).amax(1).tolist()


def pairs(effort: Effort, law: str) -> str:
    """The seeds of pairs of agents that are drawn by this law, in words."""
    return f"keys 0..{BLOCKS - 1}, {per_block(effort)} pairs each, {law}"
