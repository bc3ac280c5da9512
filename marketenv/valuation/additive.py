"""Additive distance: sliced W2 of a mixture from one upload a seller, linear in the shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.axes import Keys
from marketenv.core.checks import number, whole
from marketenv.valuation.clouds import Points, Weights, cloud
from marketenv.valuation.pool import Mixtures, PerMixture, Target, TargetWeights, shares
from marketenv.valuation.sliced import Directions, chosen_directions, line_cost

Upload = Float64[Tensor, "*batch directions bins"]
BLOCK = 2**22  # numbers that a block of mixtures may take at once


@dataclass(frozen=True)
class SlicedGrid:
    """What the platform announces before anybody uploads: directions, and equal bins along each.

    directions: unit vectors [directions, e]
    centres:    of the bins, in ascending order [*batch, directions, bins]
    """

    directions: Float64[Tensor, "directions e"]
    centres: Float64[Tensor, "*batch directions bins"]


def sliced_grid(
    target: Target,
    target_weights: TargetWeights | None = None,
    n_bins: int = 128,
    margin: float = 1.0,
    directions: Directions | None = None,
    keys: Keys | None = None,
    n_directions: int = 200,
) -> SlicedGrid:
    """Bins over the range of the target's projections, wider by ``margin`` on either side.

    target [*batch, m, e]; target_weights [*batch, m] or None; n_bins >= 2; margin >= 0
    directions, keys, n_directions: as in ``wasserstein2``'s method "sliced"
    Raises ValueError as ``wasserstein2`` does, and for a target of a single place: its range is 0.

    >>> sliced_grid(
    ...     torch.tensor([[0.0], [4.0]]), n_bins=4, margin=0.0, directions=torch.ones(1, 1)
    ... ).centres
    tensor([[0.5000, 1.5000, 2.5000, 3.5000]], dtype=torch.float64)
    """
    n_bins, margin = whole(n_bins, "n_bins", 2), number(margin, "margin", 0)
    points, weights = cloud(target, target_weights, "target")
    directions = chosen_directions(directions, keys, n_directions, points)
    places, counted = directions @ points.mT, weights[..., None, :] > 0
    low = torch.where(counted, places, torch.inf).amin(-1, keepdim=True)
    high = torch.where(counted, places, -torch.inf).amax(-1, keepdim=True)
    if not bool((high > low).any(-1).any(-1).all()):
        raise ValueError(
            "all points of the target are one: its range is 0 in every direction, so no bins can be"
            " laid over it."
        )
    span = (high - low).clamp(min=1e-9 * float((high - low).max()))
    steps = (torch.arange(n_bins, device=points.device) + 0.5) / n_bins
    return SlicedGrid(directions, low - margin * span + steps * (1 + 2 * margin) * span)


def sliced_upload(points: Points, grid: SlicedGrid, weights: Weights | None = None) -> Upload:
    """What one seller sends, once: along each direction the share of its weight up to each bin.

    points [*batch, n, e], whose leading axes broadcast with the grid's; weights [*batch, n] or None
    Returns shares in [0, 1], ascending, 1 at the last bin [*batch, directions, bins]; what lies
    beyond counts in the end bins.

    >>> grid = sliced_grid(
    ...     torch.tensor([[0.0], [4.0]]), n_bins=4, margin=0.0, directions=torch.ones(1, 1)
    ... )
    >>> sliced_upload(torch.tensor([[1.2], [9.0]]), grid).tolist()
    [[0.0, 0.5, 0.5, 1.0]]
    """
    points, weights = cloud(points, weights, "points")
    places = grid.directions @ points.mT
    centres = grid.centres
    width = centres[..., 1:2] - centres[..., :1]
    batch = np.broadcast_shapes(places.shape[:-2], centres.shape[:-2])
    bins = ((places - centres[..., :1]) / width).round().clamp(0, centres.shape[-1] - 1).long()
    masses = weights[..., None, :].expand(*batch, *places.shape[-2:])
    counts = masses.new_zeros(*batch, *centres.shape[-2:])
    return counts.scatter_add(-1, bins.expand(masses.shape), masses).cumsum(-1).clamp(max=1.0)


def additive_wad(
    uploads: Float[Tensor, "*batch sellers directions bins"],
    p: Mixtures,
    target: Float[Tensor, "*batch directions bins"],
    grid: SlicedGrid,
) -> PerMixture:
    """Sliced W2 between every mixture and the target, from uploads alone.

    share_p = sum_i p_i share_i along each direction; W2^2 = mean over directions of the integral of
    squared quantile gaps

    uploads: of the sellers [*batch, sellers, directions, bins]   p [*batch, mixtures, sellers]
    target: the buyer's own upload [*batch, directions, bins]   grid: the one that all of them used
    Returns float64 [*batch, mixtures]. A place is known to half a bin's width only.
    Raises ValueError for shapes that do not fit, and mixtures off the simplex. Derived here.

    >>> grid = sliced_grid(torch.tensor([[0.0], [1.0]]), n_bins=4, margin=0.0, n_directions=1)
    >>> uploads = sliced_upload(torch.tensor([[[0.1], [0.2]], [[0.8], [0.9]]]), grid)
    >>> additive_wad(
    ...     uploads,
    ...     torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
    ...     sliced_upload(torch.tensor([[0.0], [1.0]]), grid),
    ...     grid,
    ... )
    tensor([0.5303, 0.0000], dtype=torch.float64)
    """
    p, expected = shares(p), grid.centres.shape[-2:]
    if (
        uploads.shape[-2:] != expected
        or target.shape[-2:] != expected
        or p.shape[-1] != uploads.shape[-3]
    ):
        raise ValueError(
            f"uploads {list(uploads.shape)}, p {list(p.shape)} and target {list(target.shape)} do"
            f" not fit the grid's {list(expected)}; wanted [..., sellers, directions, bins], [...,"
            " mixtures, sellers], [..., directions, bins]."
        )
    sums, centres = uploads.double().flatten(-2), grid.centres[..., None, :, :]
    size, costs = max(1, BLOCK // sums[..., 0, :].numel()), []
    for part in p.split(size, -2):
        mixed = (part @ sums).unflatten(-1, expected)
        costs.append(line_cost(centres, mixed, centres, target.double()[..., None, :, :]).mean(-1))
    return torch.cat(costs, -1).sqrt()
