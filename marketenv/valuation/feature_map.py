"""Feature maps: fitted once on the buyer's validation rows, and applied to all rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.checks import whole
from marketenv.valuation.clouds import cloud


@dataclass(frozen=True)
class FeatureMap:
    """Move and turn features: x -> (x - shift) matrix.

    shift [*batch, 1, d]; matrix [*batch, d, k]
    """

    shift: Float64[Tensor, "*batch 1 d"]
    matrix: Float64[Tensor, "*batch d k"]

    def __call__(self, features: Float[Tensor, "*batch n d"]) -> Float64[Tensor, "*batch n k"]:
        """The mapped features [*batch, n, k]."""
        if features.shape[-1] != self.matrix.shape[-2]:
            raise ValueError(
                f"features {list(features.shape)} have not the {self.matrix.shape[-2]} columns of"
                " the fitted ones."
            )
        return (features.double() - self.shift) @ self.matrix


def pca(
    features: Float[Tensor, "*batch n d"], k: int, weights: Float[Tensor, "*batch n"] | None = None
) -> FeatureMap:
    """Fit the k directions of largest variance.

    features: of the validation rows  [*batch, n, d]    k: directions to keep, 1 <= k <= d
    weights: >= 0; a row of weight 0 is padding and may hold anything    [*batch, n]
    The sign of each direction is such that its largest entry is positive. Raises ValueError for
    features that are not finite.

    >>> pca(torch.tensor([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]), 1)(torch.tensor([[3.0, 3.0]]))
    tensor([[1.4142]], dtype=torch.float64)
    """
    k = whole(k, "k", 1, features.shape[-1])
    points, shares = cloud(features, weights, "features")
    # 1 for all where they are equal: nothing is rounded
    counted = (shares / shares.amax(-1, keepdim=True))[..., None]
    shift = (counted * points).sum(-2, keepdim=True) / counted.sum(-2, keepdim=True)
    centred = counted.sqrt() * (points - shift)
    directions = torch.linalg.eigh(centred.mT @ centred).eigenvectors.flip(-1)[..., :k]
    largest = directions.abs().argmax(-2, keepdim=True)
    return FeatureMap(shift, directions * directions.gather(-2, largest).sign())


def standardised(features: Float[Tensor, "*batch n d"]) -> FeatureMap:
    """Fit the map to mean 0 and standard deviation 1; a constant feature is only moved to 0.

    features [*batch, n, d]. Raises ValueError for features that are not finite.

    >>> standardised(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))(torch.tensor([[5.0, 6.0]])).tolist()
    [[3.0, 1.0]]
    """
    points, _ = cloud(features, None, "features")
    shift = points.mean(-2, keepdim=True)
    spread = points.std(-2, correction=0)
    # a constant column's deviation is its rounding
    constant = spread <= 1e-7 * points.abs().amax(-2)
    return FeatureMap(shift, torch.diag_embed(1 / torch.where(constant, 1.0, spread)))
