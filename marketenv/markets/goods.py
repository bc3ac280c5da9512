"""Rows of data as they change hands: what every owner shows, or delivers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Goods:
    """Padded rows of every seller; ``size`` rows of each count.

    x:           [markets, sellers, width, *features]
    y, labelled: [markets, sellers, width];   size: [markets, sellers]
    """

    x: Float[Tensor, "markets sellers width *features"]
    y: Int[Tensor, "markets sellers width"]
    labelled: Bool[Tensor, "markets sellers width"]
    size: Int[Tensor, "markets sellers"]

    def first(self, width: int) -> Goods:
        """At most the first ``width`` rows of each seller."""
        return Goods(
            self.x[:, :, :width],
            self.y[:, :, :width],
            self.labelled[:, :, :width],
            self.size.clamp(max=width),
        )

    @property
    def mask(self) -> Float[Tensor, "markets sellers width"]:
        """1 where a row counts, 0 elsewhere."""
        width = torch.arange(self.y.shape[-1], device=self.y.device)
        return (width < self.size[..., None]).double()
