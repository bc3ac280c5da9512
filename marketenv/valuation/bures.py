"""The distance of the two Gaussians that have the clouds' means and covariances."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.valuation.clouds import Clouds, PerPair, without_rounding
from marketenv.valuation.embedding import matrix_root

Mean = Float64[Tensor, "*#batch e"]
Covariance = Float64[Tensor, "*#batch e e"]


def bures_cost(pair: Clouds) -> PerPair:
    """Squared W2 of Gaussians of the clouds' moments [*batch]; at most W2^2 (Gelbrich, 1990)."""
    return gaussian_cost(*moments(pair.a, pair.weights_a), *moments(pair.b, pair.weights_b))


def moments(
    points: Float64[Tensor, "*batch n e"], weights: Float64[Tensor, "*batch n"]
) -> tuple[Float64[Tensor, "*batch e"], Float64[Tensor, "*batch e e"]]:
    """Weighted mean and covariance (divided by the total weight); one point has covariance 0."""
    mean = (weights[..., None, :] @ points)[..., 0, :]
    centred = points - mean[..., None, :]
    return mean, (weights[..., None] * centred).mT @ centred


def gaussian_cost(mean_a: Mean, cov_a: Covariance, mean_b: Mean, cov_b: Covariance) -> PerPair:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_b^1/2 S_a S_b^1/2)^1/2), exactly 0 for equal moments.

    means [*batch, e], covariances [*batch, e, e], which broadcast
    Source: Dowson and Landau, 1982.
    """
    # singular values of the roots' product: eigenvalues of root S root would be known to 1e-8 of
    # the largest only
    between = torch.linalg.svdvals(matrix_root(cov_b) @ matrix_root(cov_a)).sum(-1)
    spread = cov_a.diagonal(dim1=-2, dim2=-1).sum(-1) + cov_b.diagonal(dim1=-2, dim2=-1).sum(-1)
    moved = ((mean_a - mean_b) ** 2).sum(-1)
    return without_rounding(moved + (spread - 2 * between).clamp(min=0), moved + spread)
