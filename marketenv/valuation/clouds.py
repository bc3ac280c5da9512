"""Weighted clouds of points: how they are checked, and the cost of moving one point to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

Points = Float[Tensor, "*#batch n e"]
OtherPoints = Float[Tensor, "*#batch m e"]
Weights = Float[Tensor, "*#batch n"]
OtherWeights = Float[Tensor, "*#batch m"]
Costs = Float64[Tensor, "*batch n m"]
PerRow = Float64[Tensor, "*batch n"]
PerColumn = Float64[Tensor, "*batch m"]
PerPair = Float64[Tensor, "*batch"]
Rows = Float64[Tensor, "*batch problems n"]
Columns = Float64[Tensor, "*batch problems m"]
Totals = Float64[Tensor, "*batch problems"]

NOTHING = 1e-12  # of the largest cost: a total below it is a sum of rounding errors


@dataclass(frozen=True)
class Clouds:
    """Two clouds of equal leading axes in float64; weights sum to 1, points of weight 0 lie at 0.

    a [*batch, n, e], b [*batch, m, e]; weights_a [*batch, n], weights_b [*batch, m]
    """

    a: Float64[Tensor, "*batch n e"]
    b: Float64[Tensor, "*batch m e"]
    weights_a: Float64[Tensor, "*batch n"]
    weights_b: Float64[Tensor, "*batch m"]

    def costs(self) -> Costs:
        """Squared Euclidean distance of each point of a from each of b [*batch, n, m]."""
        return squared_costs(self.a, self.b)


def clouds(a: Tensor, b: Tensor, weights_a: Tensor | None, weights_b: Tensor | None) -> Clouds:
    """Check two clouds and bring them to one form; ValueError as ``wasserstein2`` says."""
    (a, weights_a), (b, weights_b) = cloud(a, weights_a, "a"), cloud(b, weights_b, "b")
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"a {list(a.shape)} and b {list(b.shape)} differ in their last axis; embed both in the"
            " same way."
        )
    try:  # torch.broadcast_shapes would import sympy, which takes half a second
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError as error:
        raise ValueError(
            f"the leading axes of a {list(a.shape)} and b {list(b.shape)} do not broadcast."
        ) from error
    a, b = (x.expand(*batch, *x.shape[-2:]) for x in (a, b))
    return Clouds(a, b, weights_a.expand(*batch, -1), weights_b.expand(*batch, -1))


def cloud(points: Tensor, weights: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """Check one cloud: its points in float64, 0 where the weight is 0, and its weights with sum 1.

    points [*batch, n, e]; weights >= 0 [*batch, n], None for equal ones
    Raises ValueError for a cloud without points or coordinates, weights of another shape, negative
    or not finite or without a positive one, and coordinates that are not finite where the weight is
    positive.

    >>> cloud(torch.tensor([[1.0], [9.0]]), torch.tensor([3.0, 0.0]), "a")
    (tensor([[1.], [0.]], dtype=torch.float64), tensor([1., 0.], dtype=torch.float64))
    """
    if points.dim() < 2 or 0 in points.shape[-2:]:
        raise ValueError(
            f"{name} is of shape {list(points.shape)}, wanted [..., points, coordinates], at least"
            " one of each."
        )
    if weights is None:
        weights = points.new_ones(points.shape[:-1])
    elif weights.shape != points.shape[:-1]:
        raise ValueError(
            f"weights of {name} are {list(weights.shape)}, wanted {list(points.shape[:-1])}: one a"
            f" point of {name} {list(points.shape)}."
        )
    points, weights = points.double(), weights.double()
    totals = weights.sum(-1, keepdim=True)
    if not bool(((weights >= 0).all(-1) & (totals[..., 0] > 0) & totals[..., 0].isfinite()).all()):
        raise ValueError(
            f"weights of {name} must be finite, >= 0 and not all 0 in any cloud; found"
            f" {_worst(weights)}."
        )
    points = torch.where(weights[..., None] > 0, points, 0.0)
    if not bool(points.isfinite().all()):
        raise ValueError(
            f"{name} has {int((~points.isfinite()).sum())} coordinates that are NaN or infinite;"
            " drop those points or give them weight 0."
        )
    return points, weights / totals


def squared_costs(
    a: Float64[Tensor, "*#batch n e"], b: Float64[Tensor, "*#batch m e"]
) -> Float64[Tensor, "*batch n m"]:
    """||a_i - b_j||^2 by one matrix product, exact to 1e-15 of squared distances from b's mean."""
    centre = b.mean(-2, keepdim=True)
    a, b = a - centre, b - centre
    lengths = (a * a).sum(-1)[..., :, None] + (b * b).sum(-1)[..., None, :]
    return (lengths - 2 * (a @ b.mT)).clamp(min=0)


def largest_costs(costs: Costs, a: Rows, b: Columns) -> Totals:
    """Largest cost between points of positive weight in each problem; they share their costs.

    A column counts where any of the problems gives it weight.
    """
    counted = (b > 0).any(-2)[..., None, :]
    of_rows = torch.where(counted, costs, 0.0).amax(-1)
    return torch.where(a > 0, of_rows[..., None, :], 0.0).amax(-1)


def without_rounding(total: Tensor, largest: Tensor) -> Tensor:
    """A total cost, exactly 0 where it is no more than rounding of the largest cost; NaN stays."""
    return torch.where(total <= NOTHING * largest, 0.0, total)


def _worst(weights: Tensor) -> str:
    bad = weights[~(weights >= 0) | weights.isinf()]
    return f"{float(bad[0]):g}" if bad.numel() else "a cloud whose weights sum to 0 or overflow"
