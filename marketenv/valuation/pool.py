"""Sellers' data and the mixtures of it that a buyer considers, checked once for every method."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.valuation.clouds import Costs, cloud, squared_costs
from marketenv.valuation.mixtures import checked_mixtures

Parts = Float[Tensor, "*batch sellers n e"]
PartWeights = Float[Tensor, "*batch sellers n"]
Mixtures = Float[Tensor, "*batch mixtures sellers"]
Target = Float[Tensor, "*batch m e"]
TargetWeights = Float[Tensor, "*batch m"]
PerMixture = Float64[Tensor, "*batch mixtures"]


@dataclass(frozen=True)
class Pool:
    """Points of the sellers and the target, and mixtures, in float64; weights of each sum to 1.

    parts [*batch, sellers, n, e], weights [*batch, sellers, n], p [*batch, mixtures, sellers]
    target [*batch, m, e], target_weights [*batch, m]
    """

    parts: Float64[Tensor, "*batch sellers n e"]
    weights: Float64[Tensor, "*batch sellers n"]
    p: Float64[Tensor, "*batch mixtures sellers"]
    target: Float64[Tensor, "*batch m e"]
    target_weights: Float64[Tensor, "*batch m"]

    def points(self) -> Float64[Tensor, "*batch pooled e"]:
        """All sellers' points in one cloud."""
        return self.parts.flatten(-3, -2)

    def costs(self) -> Costs:
        """Squared distances of all sellers' points from the target's [*batch, sellers x n, m]."""
        return squared_costs(self.points(), self.target)

    def rows(self) -> Float64[Tensor, "*batch mixtures pooled"]:
        """Weight of every pooled point in every mixture: seller i's points share p_i."""
        return (self.p[..., None] * self.weights[..., None, :, :]).flatten(-2)

    def columns(self) -> Float64[Tensor, "*batch mixtures m"]:
        """The target's weights, the same for every mixture."""
        return self.target_weights[..., None, :].expand(*self.p.shape[:-1], -1)


def pool(
    parts: Tensor,
    p: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Pool:
    """Check sellers' points, mixtures and target; ValueError as ``combine_wad`` says."""
    if parts.dim() < 3 or p.dim() < 2 or p.shape[-1] != parts.shape[-3]:
        raise ValueError(
            f"parts {list(parts.shape)} and p {list(p.shape)} do not fit; wanted [..., sellers,"
            " points, coordinates] and [..., mixtures, sellers]."
        )
    if (
        not parts.shape[:-3] == p.shape[:-2] == target.shape[:-2]
        or parts.shape[-1] != target.shape[-1]
    ):
        raise ValueError(
            f"parts {list(parts.shape)}, p {list(p.shape)} and target {list(target.shape)} differ"
            " in their leading axes or coordinates."
        )
    parts, weights = cloud(parts, weights, "parts")
    target, target_weights = cloud(target, target_weights, "target")
    return Pool(parts, weights, shares(p), target, target_weights)


def shares(p: Tensor) -> Float64[Tensor, "*batch mixtures sellers"]:
    """Mixtures as float64, with sums of exactly 1; ValueError for one off the simplex."""
    p = checked_mixtures(p).clamp(min=0)
    return p / p.sum(-1, keepdim=True)
