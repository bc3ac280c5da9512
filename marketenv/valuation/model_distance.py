"""Distances between models, their forces, and prox centres, by matrix products only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core import tree
from marketenv.core.axes import Parameters, PerPair
from marketenv.core.bank import finite
from marketenv.core.checks import named_part
from marketenv.core.parts import taken
from marketenv.core.precision import full_precision

Start = Float[Tensor, "markets #agents params"]

LEAST_NORM = 1e-12  # a shorter update has no direction


@dataclass(frozen=True)
class ModelDistance:
    """A distance between models, and the force with which it pulls at each of them.

    between(params, start) -> d [markets, agents, agents], float64
    pull(params, start, weights) -> -sum_j weights_ij grad d(theta_i, theta_j) with respect to
    theta_i, as the parameters
    """

    between: Callable[[Parameters, Start], PerPair]
    pull: Callable[[Parameters, Start, PerPair], Parameters]


@full_precision()
def cosine_distance(params: Parameters, start: Start) -> PerPair:
    """1 - cosine of the angle between two updates, for all pairs.

    d_ij = 1 - <u_i, u_j>,   u_i = (theta_i - theta^0) / ||theta_i - theta^0||

    params: models theta              [markets, agents, params]
    start:  the common start theta^0  [markets, 1, params], or one for each agent
    Returns d in [0, 2], symmetric, 0 on the diagonal: float64 [markets, agents, agents].

    An update shorter than 1e-12, or so long that its norm overflows float32, has distance 1 to all
    others; one that is not finite has distance inf, so that it is unusable.
    Source: arXiv 2505.02462.

    >>> models = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0]]])
    >>> cosine_distance(models, torch.zeros(1, 1, 2))[0, 0]
    tensor([0., 1., 2.], dtype=torch.float64)
    """
    direction, _ = _directions(params, start)
    return _between(params, 1 - _products(direction).clamp(-1.0, 1.0))


@full_precision()
def cosine_pull(params: Parameters, start: Start, weights: PerPair) -> Parameters:
    """Weighted sum of the descent directions of the cosine distance.

    -sum_j w_ij grad_i d_ij = (sum_j w_ij u_j - (sum_j w_ij <u_i, u_j>) u_i) / ||theta_i - theta^0||

    params, start as in ``cosine_distance``; weights: w_ij   float64 [markets, agents, agents]
    Returns as the parameters; 0 for an update that is not finite or shorter than 1e-12. Source:
    derived here.
    """
    direction, per_length = _directions(params, start)
    own = (weights * _products(direction)).sum(-1)
    return per_length * (_less_own(weights, own).to(params.dtype) @ direction)


@full_precision()
def squared_distance(params: Parameters, start: Start) -> PerPair:
    """Squared Euclidean distance ||theta_i - theta_j||^2 for all pairs.

    params, start: as in ``cosine_distance``; the start changes only the rounding
    Returns float64 [markets, agents, agents]. A model that is not finite, or whose squares
    overflow, has distance inf.

    >>> squared_distance(torch.tensor([[[1.0, 0.0], [0.0, 3.0]]]), torch.zeros(1, 1, 2))[0, 0]
    tensor([ 0., 10.], dtype=torch.float64)
    """
    product = _products(_updates(params, start))
    length = product.diagonal(dim1=-2, dim2=-1)
    distance = (length[..., None] + length[..., None, :] - 2 * product).clamp(min=0.0)
    # inf - inf: the squares overflowed
    return _between(params, torch.where(distance.isnan(), torch.inf, distance))


@full_precision()
def squared_pull(params: Parameters, start: Start, weights: PerPair) -> Parameters:
    """Weighted sum of descent directions of the squared distance: 2 sum_j w_ij (theta_j - theta_i).

    params, start, weights, result: as in ``cosine_pull``
    """
    return 2 * (_less_own(weights, weights.sum(-1)).to(params.dtype) @ _updates(params, start))


def prox_centres(
    params: Parameters,
    start: Start,
    trades: Bool[Tensor, "markets agents agents"],
    sizes: Float64[Tensor, "markets agents"],
    eta: float,
    distance: str | ModelDistance = "cosine",
) -> Parameters:
    """Move every model towards those that its owner buys: the centre of its next training.

    centre_i = theta_i - eta sum_j a_ij (N_j / N_i) grad_i d(theta_i, theta_j)

    params, start: as in ``cosine_distance``
    trades: a_ij, a row for each buyer   bool [markets, agents, agents]
    sizes:  reported samples N, > 0   [markets, agents]
    eta:    step, >= 0;   distance: a name of ``DISTANCES``
    Returns centres in the shape of the parameters.

    Raises ValueError for shapes that disagree, an eta that is negative or not finite, such sizes or
    0, and unknown names. Source: arXiv 2505.02462.

    >>> models = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    >>> trades = torch.tensor([[[False, True], [False, False]]])
    >>> prox_centres(models, torch.zeros(1, 1, 2), trades, torch.ones(1, 2).double(), eta=1.0)
    tensor([[[2.0000, 0.5000],
             [0.0000, 1.0000]]])
    """
    if not 0 <= eta < float("inf") or not bool((sizes.isfinite() & (sizes > 0)).all()):
        raise ValueError(
            f"eta is {eta} and the least size {float(sizes.min()):g}; wanted a finite eta >= 0 and"
            " finite sizes > 0."
        )
    if sizes.shape != params.shape[:2] or trades.shape != (*sizes.shape, sizes.shape[1]):
        raise ValueError(
            f"trades {list(trades.shape)} and sizes {list(sizes.shape)} do not fit params"
            f" {list(params.shape)}; wanted [markets, agents, agents] and [markets, agents]."
        )
    weights = trades * sizes[:, None, :] / sizes[:, :, None]
    wanted = "a ModelDistance object"
    kind: ModelDistance = named_part(distance, "distance", DISTANCES, wanted, kind=ModelDistance)
    force = tree.apart(kind.pull, kind not in DISTANCES.values())(params, start, weights)
    axes = "markets, agents, params"
    return params + eta * taken(force, "distance.pull returned forces", params, axes)


def _updates(params: Tensor, start: Tensor) -> Tensor:
    """theta - theta^0; 0 for a model that is not finite, which would spoil the others' products."""
    one_start = (params.shape[0], 1, params.shape[-1])
    if params.dim() != 3 or start.shape not in (params.shape, one_start):
        raise ValueError(
            f"params {list(params.shape)} and start {list(start.shape)} do not fit; wanted"
            " [markets, agents, params] and [markets, 1, params], or a start for each agent."
        )
    updates = params - start
    return torch.where(finite(updates)[..., None], updates, 0.0)


def _directions(params: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Unit updates and 1 / norm [markets, agents, 1]; both are 0 for one without a direction."""
    updates = _updates(params, start)
    norm = updates.norm(dim=-1, keepdim=True)
    per_length = torch.where(norm >= LEAST_NORM, 1 / norm, 0.0)
    return updates * per_length, per_length


def _products(updates: Tensor) -> PerPair:
    """Inner products of all pairs, symmetric to the bit: float64 [markets, agents, agents]."""
    product = (updates @ updates.mT).double()
    return (product + product.mT) / 2


def _less_own(weights: Tensor, own: Tensor) -> Tensor:
    return weights - torch.diag_embed(own)


def _between(params: Tensor, distance: Tensor) -> PerPair:
    """inf to and from models that are not finite, 0 on the diagonal."""
    broken = ~finite(params)
    distance = distance.masked_fill(broken[:, :, None] | broken[:, None, :], torch.inf)
    itself = torch.eye(distance.shape[-1], dtype=torch.bool, device=distance.device)
    return distance.masked_fill(itself, 0.0)


DISTANCES: dict[str, ModelDistance] = {
    "cosine": ModelDistance(cosine_distance, cosine_pull),
    "squared_l2": ModelDistance(squared_distance, squared_pull),
}
