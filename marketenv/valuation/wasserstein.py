"""The 2-Wasserstein distance of two clouds, by the methods of one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.checks import keywords, options
from marketenv.core.lookup import lookup
from marketenv.valuation.bures import bures_cost
from marketenv.valuation.clouds import (
    Clouds,
    OtherPoints,
    OtherWeights,
    PerPair,
    Points,
    Weights,
    clouds,
)
from marketenv.valuation.entropic import sinkhorn_potentials
from marketenv.valuation.exact import Potentials, exact_potentials
from marketenv.valuation.sliced import sliced_cost

Transport = Callable[..., PerPair]


def wasserstein2(
    a: Points,
    b: OtherPoints,
    weights_a: Weights | None = None,
    weights_b: OtherWeights | None = None,
    method: str = "exact",
    **method_options: Any,
) -> Float64[Tensor, "*batch"]:
    """Distance W2 between two weighted clouds of points: the root of the least transport cost.

    W2^2 = min over P of sum_ij P_ij ||a_i - b_j||^2,   plans P >= 0 with row sums w_a and column
    sums w_b

    a, b: points, whose leading axes broadcast       [*batch, n, e], [*batch, m, e]
    weights_a, weights_b: >= 0, scaled to sum 1; None: all equal; a point of weight 0 is padding and
        may hold anything
    method, with its options:
      exact     POT's network simplex, a problem at a time on the CPU
      sinkhorn  an upper bound, all problems at once: eps, iterations, tolerance, start (see
                ``sinkhorn``)
      sliced    the mean over directions, at most W2: directions, or keys and n_directions=200
      bures     of the Gaussians with the same moments, at most W2
    Returns float64 [*batch]. Clouds that agree point by point have distance exactly 0; so have
    permuted ones, but by sinkhorn.

    Raises ValueError for NaN and inf, clouds without points or weight, shapes that do not fit,
    unknown names and options. Sources: Flamary et al., JMLR 2021 (POT); Cuturi, NeurIPS 2013;
    Bonneel et al., 2015; Dowson and Landau, 1982.

    >>> wasserstein2(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [4.0]]))
    tensor(3., dtype=torch.float64)
    """
    transport = lookup(TRANSPORTS, method, "method")
    chosen = options(method_options, f"options of {method!r}", keywords(transport, 1))
    pair = clouds(a, b, weights_a, weights_b)
    return torch.where(_equal(pair), 0.0, transport(pair, **chosen).sqrt())


def _equal(pair: Clouds) -> Bool[Tensor, "*batch"]:
    """Whether two clouds agree point by point."""
    if pair.a.shape != pair.b.shape:
        return torch.zeros(pair.a.shape[:-2], dtype=torch.bool, device=pair.a.device)
    return (pair.a == pair.b).all(-1).all(-1) & torch.isclose(pair.weights_a, pair.weights_b).all(
        -1
    )


def _exact(pair: Clouds) -> PerPair:
    return exact_potentials(pair).cost


def _sinkhorn(
    pair: Clouds,
    eps: float = 0.01,
    iterations: int = 1000,
    tolerance: float = 1e-3,
    start: Potentials | None = None,
) -> PerPair:
    return sinkhorn_potentials(pair, eps, iterations, tolerance, start).cost


TRANSPORTS: dict[str, Transport] = {
    "exact": _exact,
    "sinkhorn": _sinkhorn,
    "sliced": sliced_cost,
    "bures": bures_cost,
}
