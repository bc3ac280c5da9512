"""Sliced transport: the mean over directions of one-dimensional transport, by sorting."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Keys
from marketenv.core.checks import whole
from marketenv.valuation.clouds import Clouds, PerPair, without_rounding

Directions = Float[Tensor, "directions e"]


def random_directions(
    keys: Keys, n_directions: int, e: int
) -> Float64[Tensor, "*batch directions e"]:
    """Draw unit vectors, uniform on the sphere: [*batch] keys -> [*batch, directions, e].

    >>> random_directions(torch.tensor(0), 5, 3).norm(dim=-1).float()
    tensor([1., 1., 1., 1., 1.])
    """
    vectors = draws.normal(keys, whole(n_directions, "n_directions", 1), e)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def sliced_cost(
    pair: Clouds,
    directions: Directions | None = None,
    keys: Keys | None = None,
    n_directions: int = 200,
) -> PerPair:
    """Mean squared 1-D distance of the projected clouds over directions [*batch]; at most W2^2.

    directions: unit vectors [directions, e]; without them ``n_directions`` are drawn from ``keys``,
        one key (default 0)
    Source: Bonneel et al., 2015.
    """
    directions = chosen_directions(directions, keys, n_directions, pair.a)
    (x, share_x), (y, share_y) = (
        projected(points, weights, directions)
        for points, weights in ((pair.a, pair.weights_a), (pair.b, pair.weights_b))
    )
    return line_cost(x, share_x, y, share_y).mean(-1)


def chosen_directions(
    directions: Tensor | None, keys: Tensor | None, n_directions: int, points: Tensor
) -> Float64[Tensor, "directions e"]:
    """Given or drawn directions; ValueError unless they are unit vectors of the points' space."""
    if directions is None:
        keys = torch.tensor(0, device="cpu") if keys is None else keys
        if keys.dim():
            raise ValueError(
                f"keys are {list(keys.shape)}, wanted one key: all pairs are projected on the same"
                " directions."
            )
        return random_directions(keys.to(points.device), n_directions, points.shape[-1])
    if directions.dim() != 2 or directions.shape[-1] != points.shape[-1] or not len(directions):
        raise ValueError(
            f"directions are {list(directions.shape)}, wanted [directions, {points.shape[-1]}]."
        )
    directions = directions.to(points.device, torch.float64)
    if not bool(((directions.norm(dim=-1) - 1).abs() < 1e-5).all()):
        raise ValueError("directions are not of length 1; divide each by its norm.")
    return directions


def projected(
    points: Float64[Tensor, "*batch n e"],
    weights: Float64[Tensor, "*batch n"],
    directions: Float64[Tensor, "directions e"],
) -> tuple[Float64[Tensor, "*batch directions n"], Float64[Tensor, "*batch directions n"]]:
    """Sorted places of the points along each direction, and cumulated weights."""
    places, order = (directions @ points.mT).sort(-1)
    shares = weights[..., None, :].expand(places.shape).gather(-1, order).cumsum(-1)
    return places, shares


def line_cost(
    x: Float64[Tensor, "*#batch n"],
    share_x: Float64[Tensor, "*#batch n"],
    y: Float64[Tensor, "*#batch m"],
    share_y: Float64[Tensor, "*#batch m"],
) -> PerPair:
    """Squared W2 on a line: the integral over q in (0, 1) of (quantile_x(q) - quantile_y(q))^2.

    x, y: places in ascending order; share_x, share_y: share of the weight up to and with each
        place, 1 at the last
    """
    x, y = _without_padding(x, share_x), _without_padding(y, share_y)
    batch = np.broadcast_shapes(*(t.shape[:-1] for t in (x, share_x, y, share_y)))
    x, share_x, y, share_y = (t.expand(*batch, -1) for t in (x, share_x, y, share_y))
    levels, order = torch.cat((share_x, share_y), -1).sort(-1)
    widths = levels.diff(dim=-1, prepend=torch.zeros_like(levels[..., :1]))
    # the quantile at a level is the place after as many places as have their share below it
    of_x = order < x.shape[-1]
    before_x = of_x.cumsum(-1) - of_x.long()
    before_y = torch.arange(levels.shape[-1], device=x.device) - before_x
    moved = x.gather(-1, before_x.clamp(max=x.shape[-1] - 1)) - y.gather(
        -1, before_y.clamp(max=y.shape[-1] - 1)
    )
    span = torch.maximum(x[..., -1], y[..., -1]) - torch.minimum(x[..., 0], y[..., 0])
    return without_rounding((widths * moved**2).sum(-1), span**2)


def _without_padding(places: Tensor, shares: Tensor) -> Tensor:
    """The places in order, where one without weight is moved to the last one before that has some.

    Those before all weight are moved to the first place of some. So padding widens no span, and
    shares whose sum is rounded below 1 end at a place that counts.
    """
    one, others = shares[..., :1] > 0, shares[..., 1:] > shares[..., :-1]
    if bool(one.all()) and bool(others.all()):
        return places
    weighs = torch.cat((one, others), -1)
    first = torch.where(weighs, places, torch.inf).amin(-1, keepdim=True)
    return torch.where(weighs, places, first).cummax(-1).values
