"""How far the union of sellers' data, mixed in given shares, lies from what a buyer wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.axes import Keys
from marketenv.core.checks import choice, keywords, options
from marketenv.core.lookup import lookup
from marketenv.valuation.bures import gaussian_cost, moments
from marketenv.valuation.fast import Combined, exact_combination, fast_combination
from marketenv.valuation.pool import (
    Mixtures,
    Parts,
    PartWeights,
    PerMixture,
    Pool,
    Target,
    TargetWeights,
    pool,
)
from marketenv.valuation.sliced import Directions, chosen_directions, line_cost, projected
from marketenv.valuation.wasserstein import wasserstein2

Potentials = Float[Tensor, "*batch mixtures m"]

BLOCK = 2**23  # numbers that a block of sliced mixtures may take at once


def combine_wad(
    parts: Parts,
    p: Mixtures,
    target: Target,
    weights: PartWeights | None = None,
    target_weights: TargetWeights | None = None,
    method: str = "fast",
    **method_options: Any,
) -> PerMixture:
    """Distance of every mixture of the sellers' data from the target.

    CombineWad(p) = W2(sum_i p_i D_i, Q)

    parts: sellers' points D_i, embedded                    [*batch, sellers, n, e]
    p: mixtures, shares >= 0 that sum to 1                  [*batch, mixtures, sellers]
    target: the buyer's points Q, embedded in the same way  [*batch, m, e]
    weights [*batch, sellers, n], target_weights [*batch, m]: >= 0, or None for equal ones; a point
    of weight 0 is padding
    method, with its options:
      fast    all mixtures together, each within ``tolerance`` (0.01 of W2) by its own bounds; start
              (see ``combine``)
      exact   one transport problem for each mixture
      sliced  the mean over directions: directions, or keys and n_directions=200
      bures   of Gaussians with the mixtures' moments
    Returns W2, float64 [*batch, mixtures].

    Raises ValueError for NaN and inf, sellers without points, mixtures off the simplex, shapes that
    do not fit, unknown names. Source: arXiv 2509.18104.

    >>> sellers, wanted = torch.tensor([[[0.0]], [[2.0]]]), torch.tensor([[0.0], [2.0]])
    >>> combine_wad(sellers, torch.tensor([[1.0, 0.0], [0.5, 0.5]]), wanted).round(decimals=4)
    tensor([1.4142, 0.0000], dtype=torch.float64)
    """
    combination = lookup(COMBINATIONS, method, "method")
    chosen = options(method_options, f"options of {method!r}", keywords(combination, 1))
    return combination(pool(parts, p, target, weights, target_weights), **chosen)


def combine(
    parts: Parts,
    p: Mixtures,
    target: Target,
    weights: PartWeights | None = None,
    target_weights: TargetWeights | None = None,
    method: str = "fast",
    tolerance: float = 0.01,
    start: Potentials | None = None,
) -> Combined:
    """``combine_wad`` with its bounds and its gradient in p.

    method: "fast" or "exact"; tolerance: > 0, inf accepts any bounds
    start: ``g`` of a call for like data and mixtures, from which "fast" goes on; 0 for all of a
        mixture's: from nothing
    Other arguments and errors as in ``combine_wad``. A mixture that the fast method does not know
    to the tolerance is solved exactly, as is every mixture at distance 0.
    Bounds: Altschuler et al., NeurIPS 2017 (high), the dual problem (low). Gradient: derived here.

    >>> sellers, wanted = torch.tensor([[[0.0]], [[3.0]]]), torch.tensor([[1.0]])
    >>> combine(sellers, torch.tensor([[0.5, 0.5]]), wanted).gradient.round(
    ...     decimals=4
    ... )  # W^2 = p_1 + 4 p_2
    tensor([[-0.4743,  0.4743]], dtype=torch.float64)
    """
    known = choice(method, "method of combine", ("fast", "exact"))
    checked = pool(parts, p, target, weights, target_weights)
    return (
        exact_combination(checked)
        if known == "exact"
        else fast_combination(checked, tolerance, start)
    )


def combine_gradient(
    parts: Parts,
    p: Mixtures,
    target: Target,
    weights: PartWeights | None = None,
    target_weights: TargetWeights | None = None,
    method: str = "fast",
) -> Float64[Tensor, "*batch mixtures sellers"]:
    """Slopes of W2 of every mixture in its shares, centred: ``combine(...).gradient``."""
    return combine(parts, p, target, weights, target_weights, method).gradient


def agg_wad(
    parts: Parts,
    p: Mixtures,
    target: Target,
    weights: PartWeights | None = None,
    target_weights: TargetWeights | None = None,
    method: str = "exact",
    **method_options: Any,
) -> PerMixture:
    """Mean of the sellers' own distances: blind to what they are worth together.

    AggWad(p) = sum_i p_i W2(D_i, Q)

    Arguments and errors as in ``combine_wad``, methods as in ``wasserstein2``. Inferred from arXiv
    2509.18104, its ablation.

    >>> sellers, wanted = torch.tensor([[[0.0]], [[2.0]]]), torch.tensor([[0.0], [2.0]])
    >>> agg_wad(sellers, torch.tensor([[0.5, 0.5]]), wanted).round(
    ...     decimals=4
    ... )  # together they are what is wanted
    tensor([1.4142], dtype=torch.float64)
    """
    checked = pool(parts, p, target, weights, target_weights)
    goal, shares = checked.target[..., None, :, :], checked.target_weights[..., None, :]
    own = wasserstein2(checked.parts, goal, checked.weights, shares, method, **method_options)
    return (checked.p @ own[..., None])[..., 0]


def _fast(checked: Pool, tolerance: float = 0.01, start: Potentials | None = None) -> PerMixture:
    return fast_combination(checked, tolerance, start).wad


def _exact(checked: Pool) -> PerMixture:
    return exact_combination(checked).wad


def _sliced(
    checked: Pool,
    directions: Directions | None = None,
    keys: Keys | None = None,
    n_directions: int = 200,
) -> PerMixture:
    """Places are sorted once; a mixture only changes how much weight lies up to each."""
    directions = chosen_directions(directions, keys, n_directions, checked.target)
    x, order = (directions @ checked.points().mT).sort(-1)
    y, share_y = projected(checked.target, checked.target_weights, directions)
    size = max(1, BLOCK // x.numel())
    costs = []
    for rows in checked.rows().split(size, -2):
        of_mixture = order[..., None, :, :].expand(*rows.shape[:-1], *order.shape[-2:])
        share_x = rows[..., None, :].expand(of_mixture.shape).gather(-1, of_mixture).cumsum(-1)
        costs.append(
            line_cost(
                x[..., None, :, :], share_x, y[..., None, :, :], share_y[..., None, :, :]
            ).mean(-1)
        )
    return torch.cat(costs, -1).sqrt()


def _bures(checked: Pool) -> PerMixture:
    """Moments of a mixture from those of the sellers."""
    means, covariances = moments(checked.parts, checked.weights)
    mean = checked.p @ means
    apart = means[..., None, :, :] - mean[..., None, :]  # [*batch, mixtures, sellers, e]
    within = (checked.p @ covariances.flatten(-2)).unflatten(-1, covariances.shape[-2:])
    covariance = within + (checked.p[..., None] * apart).mT @ apart
    goal_mean, goal_covariance = moments(checked.target, checked.target_weights)
    return gaussian_cost(
        mean, covariance, goal_mean[..., None, :], goal_covariance[..., None, :, :]
    ).sqrt()


COMBINATIONS: dict[str, Callable[..., PerMixture]] = {
    "fast": _fast,
    "exact": _exact,
    "sliced": _sliced,
    "bures": _bures,
}
