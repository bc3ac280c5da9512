"""Distances of private data: TriangleWad and FedWaD, what they send, and the attack on them.

This is obfuscation, not privacy: ``reidentified`` says how many rows an onlooker finds again.
"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Keys
from marketenv.core.checks import number, whole
from marketenv.valuation.clouds import (
    OtherPoints,
    OtherWeights,
    PerPair,
    Points,
    Weights,
    cloud,
    clouds,
    squared_costs,
)
from marketenv.valuation.exact import coupling
from marketenv.valuation.wasserstein import wasserstein2

SIGMA = 0.2  # of a feature's standard deviation; at 1 distances of several sellers lose their order


def reference(keys: Keys, k: int, d: int, sigma: float = SIGMA) -> Float64[Tensor, "*batch k d"]:
    """Draw the points by which all parties hide theirs: gamma = sigma N(0, I).

    keys:  one a market [*batch];   d: coordinates
    k:     points, at most as many as the smallest data set has
    sigma: > 0, in standard deviations of a feature: standardise the features first
    Returns float64 [*batch, k, d]. Source: arXiv 2404.06787, whose sigma is 1.

    >>> reference(torch.tensor([1, 2]), k=100, d=5).shape
    torch.Size([2, 100, 5])
    """
    return number(sigma, "sigma", above=0) * draws.normal(keys, whole(k, "k", 1), whole(d, "d", 1))


def interpolate(
    x: Points,
    reference: OtherPoints,
    t: float | Float[Tensor, "*#batch"],
    weights: Weights | None = None,
    reference_weights: OtherWeights | None = None,
) -> Float64[Tensor, "*batch n e"]:
    """Move every point the share t of the way to where optimal transport sends it on average.

    eta_i = (1 - t) x_i + t sum_j P_ij gamma_j / w_i,
    P the plan from (x, w) to the reference gamma

    x [*batch, n, e]; reference gamma [*batch, k, e]; t in [0, 1), a number or one a data set;
    weights w [*batch, n], reference_weights [*batch, k], or None for equal ones
    Returns as many points as x has, float64 [*batch, n, e]; a point of weight 0 becomes 0. Raises
    ValueError as ``wasserstein2`` does. Source: arXiv 2404.06787.

    >>> interpolate(torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0], [2.0]]), t=0.5)
    tensor([[0.5000],
            [3.0000]], dtype=torch.float64)
    """
    share = _share(t)
    pair = clouds(x, reference, weights, reference_weights)
    plan = coupling(pair.costs(), pair.weights_a, pair.weights_b)
    heavy = pair.weights_a > 0
    goals = (plan @ pair.b) / torch.where(heavy, pair.weights_a, 1.0)[..., None]
    share = share.to(goals)[..., None, None]
    return torch.where(heavy[..., None], (1 - share) * pair.a + share * goals, 0.0)


def triangle_wad(
    x: Points,
    y: OtherPoints,
    reference: Float[Tensor, "*#batch k e"],
    t: float = 0.5,
    weights_x: Weights | None = None,
    weights_y: OtherWeights | None = None,
) -> PerPair:
    """Estimate W2 of two data sets from what each moved towards the same reference, in one round.

    W = W2(eta_x, eta_y) / (1 - t)

    x, y: data [*batch, n, e], [*batch, m, e]; reference [*batch, k, e], see ``reference``;
    t in [0, 1)
    Warns where the reference has more points than a data set: the points then split, and the
    estimate is far too large. Raises ValueError as ``wasserstein2`` does. Source: arXiv 2404.06787.
    We differ: its defaults are k=100, t=.5, sigma=1.

    >>> triangle_wad(
    ...     torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [4.0]]), torch.tensor([[0.5]])
    ... )
    tensor(3., dtype=torch.float64)
    """
    for name, points, weights in (("x", x, weights_x), ("y", y, weights_y)):
        least = points.shape[-2] if weights is None else int((weights > 0).sum(-1).min())
        if reference.shape[-2] > least:
            warnings.warn(
                f"the reference has {reference.shape[-2]} points and {name} only {least}: the"
                f" distance will be far too large; use k <= {least}.",
                stacklevel=2,
            )
    hidden = interpolate(x, reference, t, weights_x), interpolate(y, reference, t, weights_y)
    return wasserstein2(*hidden, weights_x, weights_y) / (1 - _share(t))


def fedwad(
    x: Points,
    y: OtherPoints,
    iterations: int,
    keys: Keys,
    support: int | None = None,
    t: float | None = None,
    weights_x: Weights | None = None,
    weights_y: OtherWeights | None = None,
) -> Float64[Tensor, "*batch iterations"]:
    """Approach W2 of two data sets from above, by points between them that both sides move in turn.

    xi_x = I_t(xi, x), xi_y = I_t(xi, y), xi <- I_t(xi_y, xi_x);
    A_k = W2(x, xi) + W2(xi, y) >= W2(x, y)

    x, y: data [*batch, n, e], [*batch, m, e];   iterations: >= 1
    keys: one a pair [*batch], for xi_0 = N(0, I) and every t
    support: points of xi, None: as many as x has
    t: None draws a fresh one in (0, 1) for each interpolation; a fixed one freezes the points far
       from the geodesic (about 24 % too large for two Gaussians of 10 dimensions)
    Returns the history A_1, A_2, ... [*batch, iterations]. I_t is ``interpolate``; it averages
    plans, so A_k may rise. Source: Rakotomamonjy et al., ICLR 2024.

    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> (
    ...     fedwad(x, x + 3.0, 20, torch.tensor(0))[-1].round(decimals=1),
    ...     wasserstein2(x, x + 3.0).round(decimals=1),
    ... )
    (tensor(4.2000, dtype=torch.float64), tensor(4.2000, dtype=torch.float64))
    """
    iterations, keys = whole(iterations, "iterations", 1), keys.to(x.device)
    n, e = x.shape[-2:]
    xi = draws.normal(
        draws.fold(keys, "support"), n if support is None else whole(support, "support", 1), e
    )
    times = (
        draws.uniform(draws.fold(keys, "times"), iterations, 3)
        if t is None
        else _share(t).expand(*keys.shape, iterations, 3)
    )
    history = []
    for k in range(iterations):
        to_x = interpolate(xi, x, times[..., k, 0], None, weights_x)
        to_y = interpolate(xi, y, times[..., k, 1], None, weights_y)
        xi = interpolate(to_y, to_x, times[..., k, 2])
        history.append(wasserstein2(x, xi, weights_x) + wasserstein2(xi, y, None, weights_y))
    return torch.stack(history, -1)


def reidentified(eta: Points, x: Points, t: float) -> PerPair:
    """Attack: the share of rows that are nearest to their own image, scaled back.

    x_hat = eta / (1 - t): the reference has mean 0, so this guesses right on average

    eta: what was sent, row by row of x [*batch, n, e]; x: the data [*batch, n, e]; t: that of the
        interpolation
    Returns a share in [0, 1] [*batch]: 1 where every row is found again, about 1 / n for a guess.
    Derived here.

    >>> x = torch.tensor([[-2.0], [2.0]])
    >>> reidentified(interpolate(x, torch.tensor([[0.1], [-0.1]]), 0.5), x, 0.5)
    tensor(1., dtype=torch.float64)
    """
    if eta.shape != x.shape:
        raise ValueError(
            f"eta {list(eta.shape)} and x {list(x.shape)} differ; wanted the images of the same"
            " rows."
        )
    (eta, _), (x, _) = cloud(eta, None, "eta"), cloud(x, None, "x")
    distances = squared_costs(eta / (1 - _share(t)), x)
    return (distances.diagonal(dim1=-2, dim2=-1) <= distances.amin(-1)).double().mean(-1)


def numbers_sent(
    n: int, d: int, k: int = 100, iterations: int = 10, n_directions: int = 200, n_bins: int = 128
) -> dict[str, int]:
    """Count the numbers that one seller and the platform send each other, by scheme.

    n: the seller's points, also FedWaD's support;   d: coordinates;   k: points of the reference
    raw:      the data itself
    triangle: the reference in, eta out, the same for all partners
    fedwad:   xi in and xi_x out in each iteration, for one partner and mixture
    additive: bins out; the grid comes from a seed and two numbers a direction

    >>> numbers_sent(n=500, d=10)
    {'raw': 5000, 'triangle': 6000, 'fedwad': 100000, 'additive': 26000}
    """
    return {
        "raw": n * d,
        "triangle": (k + n) * d,
        "fedwad": 2 * iterations * n * d,
        "additive": n_directions * (n_bins + 2),
    }


def _share(t: float | Tensor) -> Tensor:
    """t as a tensor; ValueError outside [0, 1)."""
    share = t
    if not isinstance(share, Tensor):
        value = number(t, "t", 0, below=1)
        share = torch.tensor(value, dtype=torch.float64, device="cpu")
    share = share.double()
    if not bool(((share >= 0) & (share < 1)).all()):
        raise ValueError(f"t is {t}, wanted shares in [0, 1): at 1 nothing of the data is left.")
    return share
