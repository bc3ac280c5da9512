"""Who owns which rows of a pool of examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

# target of a regression: ten times its square bounds observations and is still a float32 number
LARGEST_TARGET = 1e18


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
        """The same data with all owner axes joined into one: index [owners, width]."""
        index = self.index.reshape(-1, self.index.shape[-1])
        return Shards(self.x, self.y, index, self.size.reshape(-1))

    def select(self, owners: Int[Tensor, "some"]) -> Shards:
        """Some owners' data, by their place on the first owner axis, no wider than they need.

        The pool stays as it is.
        """
        return Shards(self.x, self.y, self.index[owners], self.size[owners]).trimmed()

    def trimmed(self) -> Shards:
        """The same data, no wider than the owners need."""
        return Shards(self.x, self.y, self.index[..., : int(self.size.max())], self.size)

    def joined(self, other: Shards) -> Shards:
        """The data of these owners and then of others.

        Two pools become one, without the rows that nobody owns.
        """
        one, two = self, other
        if not _same(self.x, other.x) or not _same(self.y, other.y):
            one, two = self._compact(), other._compact()
            x, y = torch.cat([one.x, two.x]), torch.cat([one.y, two.y])
            two = Shards(x, y, two.index + len(one.x), two.size)
        width = max(one.index.shape[-1], two.index.shape[-1])
        index = torch.cat([_widened(one.index, width), _widened(two.index, width)])
        return Shards(two.x, two.y, index, torch.cat([one.size, two.size]))

    def _compact(self) -> Shards:
        """The same data with a pool of the owners' rows alone, padded with an owner's first row."""
        index = torch.where(self.mask, self.index, self.index[..., :1])
        rows, index = index.unique(return_inverse=True)
        return Shards(self.x[rows], self.y[rows], index, self.size)

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """All examples: x [*owners, width, *features], y and mask [*owners, width]."""
        return self.x[self.index], self.y[self.index], self.mask


def _widened(index: Tensor, width: int) -> Tensor:
    """The same index padded to a width with each owner's first row."""
    padding = index[..., :1].expand(*index.shape[:-1], width - index.shape[-1])
    return torch.cat([index, padding], -1)


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether both are views of the same memory; comparing numbers would read the whole pool."""
    same_axes = one.shape == other.shape and one.stride() == other.stride()
    return one.data_ptr() == other.data_ptr() and same_axes
