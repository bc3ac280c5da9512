"""Who owns which rows of a pool of examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

LARGEST_TARGET = 1e18  # of a regression: ten times its square, which bounds observations, is a float32 number


@dataclass(frozen=True)
class Shards:
    """Owners' data as padded row numbers of one shared pool, so that examples are stored once.

    x:     features of all examples        float32 [rows, *features]
    y:     labels (int64) or targets       [rows]
    index: rows of each owner, padded      int64 [*owners, width]
    size:  how many of them count, >= 1    int64 [*owners]

    Entries of ``index`` at or beyond ``size`` are valid row numbers that must not be used.
    """

    x: Float[Tensor, "rows *features"]
    y: Num[Tensor, "rows"]
    index: Int[Tensor, "*owners width"]
    size: Int[Tensor, "*owners"]

    @property
    def mask(self) -> Tensor:
        """True where the padded index counts: bool [*owners, width]."""
        return torch.arange(self.index.shape[-1], device=self.index.device) < self.size[..., None]

    def flat(self) -> Shards:
        """The same data with all owner axes joined into one: index [owners, width], size [owners]."""
        return Shards(self.x, self.y, self.index.reshape(-1, self.index.shape[-1]), self.size.reshape(-1))

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """All examples of all owners: x [*owners, width, *features], y and mask [*owners, width]."""
        return self.x[self.index], self.y[self.index], self.mask
