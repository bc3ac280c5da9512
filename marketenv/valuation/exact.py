"""Exact optimal transport by POT's network simplex."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.valuation.clouds import (
    Clouds,
    Columns,
    Costs,
    OtherPoints,
    OtherWeights,
    PerColumn,
    PerRow,
    Points,
    Rows,
    Totals,
    Weights,
    clouds,
    largest_costs,
    without_rounding,
)
from marketenv.valuation.scaling_kernel import conjugate

PIVOTS = 10**8  # of the simplex, which needs far fewer; POT's own limit ends at about 1,000 points
# largest cost below which costs get another unit: POT adds 1 to them, and rounds both together
SMALL = 1e-6


@dataclass(frozen=True)
class Potentials:
    """What moving one cloud to another costs, and the prices that prove it.

    cost: of the plan, W2^2 where it is exact   [*batch]
    f, g: dual potentials [*batch, n], [*batch, m]: what weight at a point costs, up to a constant.
      Exact ones hold f_i + g_j <= cost_ij; sinkhorn's may exceed it by the smoothing
    """

    cost: Float64[Tensor, "*batch"]
    f: Float64[Tensor, "*batch n"]
    g: Float64[Tensor, "*batch m"]


def exact_transport(
    a: Points,
    b: OtherPoints,
    weights_a: Weights | None = None,
    weights_b: OtherWeights | None = None,
) -> Potentials:
    """Solve the transport problem to optimality, in float64 on the CPU.

    Arguments and errors as in ``wasserstein2``; n = m = 1000 takes about a second.
    Source: Bonneel et al., SIGGRAPH Asia 2011, as POT has it.

    >>> exact_transport(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [4.0]])).cost
    tensor(9., dtype=torch.float64)
    """
    return exact_potentials(clouds(a, b, weights_a, weights_b))


def exact_potentials(pair: Clouds) -> Potentials:
    """``exact_transport`` for checked clouds."""
    solution = solved(pair.costs(), pair.weights_a[..., None, :], pair.weights_b[..., None, :])
    return Potentials(solution.cost[..., 0], solution.f[..., 0, :], solution.g[..., 0, :])


def solved(
    costs: Costs, a: Rows, b: Columns, wanted: Bool[Tensor, "*batch problems"] | None = None
) -> Potentials:
    """Optimal cost [*batch, problems] and potentials of problems that share their costs.

    costs [*batch, n, m]; weights a [*batch, problems, n], b [*batch, problems, m]; wanted: problems
    to solve, None: all of them
    """
    wanted = _all_of(a) if wanted is None else wanted
    totals, g = a.new_zeros(a.shape[:-1]), torch.zeros_like(b)
    largest = largest_costs(costs, a, b)
    for place, solution in _solutions(costs, a, b, wanted, largest):
        totals[place], g[place] = solution.cost, solution.g.to(g)
    totals = without_rounding(totals, largest)
    f = conjugate(costs, g, b)
    return Potentials(totals, f, g)


def coupling(
    costs: Costs, weights_a: PerRow, weights_b: PerColumn
) -> Float64[Tensor, "*batch n m"]:
    """An optimal plan: how much of each point goes to which [*batch, n, m]."""
    plans = torch.zeros_like(costs)
    a, b = weights_a[..., None, :], weights_b[..., None, :]
    for (*place, _), solution in _solutions(costs, a, b, _all_of(a), largest_costs(costs, a, b)):
        plans[tuple(place)] = solution.plan.to(plans)
    return plans


def _all_of(a: Rows) -> Bool[Tensor, "*batch problems"]:
    """Every problem is wanted; on the CPU, where they are solved."""
    return torch.ones(a.shape[:-1], dtype=torch.bool, device="cpu")


@dataclass(frozen=True)
class _Solution:
    plan: Tensor
    cost: float
    g: Tensor


def _solutions(
    costs: Tensor, a: Tensor, b: Tensor, wanted: Tensor, largest: Totals
) -> Iterator[tuple[tuple[int, ...], _Solution]]:
    """Place [*batch, problem] and solution of each wanted problem.

    The one loop over problems of this room: POT solves a problem at a time. POT is imported here
    because that takes a second.
    """
    import ot

    arrays = [x.cpu().numpy() for x in (costs, a, b)]
    for place in map(tuple, wanted.nonzero().tolist()):
        unit = _unit(float(largest[place]))
        one, two, prices = arrays[1][place], arrays[2][place], arrays[0][place[:-1]] / unit
        plan, log = ot.emd(one, two, prices, numItermax=PIVOTS, log=True)
        if log["warning"] is not None:
            raise ValueError(
                f"the exact solver gave up ({log['warning']}); use method='sinkhorn' or fewer"
                " points."
            )
        g = torch.from_numpy(log["v"] * unit)
        yield place, _Solution(torch.from_numpy(plan), float(log["cost"]) * unit, g)


def _unit(largest: float) -> float:
    """The power of 2 by which small costs are divided: it rounds nothing. 1 for all others."""
    return 2.0 ** math.frexp(largest)[1] if 0 < largest < SMALL else 1.0
