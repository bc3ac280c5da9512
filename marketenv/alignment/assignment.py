"""Linear assignment for a stack of score matrices: lapx where it is installed, else SciPy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from numpy import ndarray
from torch import Tensor

lapjvh_batch: Any = None
# lapx is missing or too old, or another package owns the module name "lap"
with suppress(ImportError):
    from lap import lapjvh_batch

Solver = Callable[[Float64[ndarray, "pairs n n"]], Int[ndarray, "pairs n"]]


def solve_scipy(costs: Float64[ndarray, "pairs n n"]) -> Int[ndarray, "pairs n"]:
    """Column of each row in the cheapest assignment, one SciPy call per matrix."""
    from scipy.optimize import linear_sum_assignment  # half a second, for those alone who use it

    return np.stack([linear_sum_assignment(cost)[1] for cost in costs])


def solve_lapx(costs: Float64[ndarray, "pairs n n"]) -> Int[ndarray, "pairs n"]:
    """Column of each row in the cheapest assignment, by lapx, one call for all matrices.

    It is a Jonker-Volgenant solver in float64. ``lapjvh_batch`` is the fastest batch solver of lapx
    0.11 at every n from 10 to 512: SciPy takes 2 to 3 times as long, ``lapjvx_batch`` 1.5 to 4
    times.
    """
    # one thread: two gained nothing below n ~ 100, and the results are ordered either way
    columns = lapjvh_batch(costs, return_cost=False, n_threads=1)[1]
    return np.concatenate(columns).reshape(costs.shape[:2])


SOLVERS: dict[str, Solver] = (
    {"scipy": solve_scipy} if lapjvh_batch is None else {"lapx": solve_lapx, "scipy": solve_scipy}
)


def assign(scores: Float[Tensor, "pairs n n"]) -> Int[Tensor, "pairs n"]:
    """Give every row its own column so that the scores sum to the most.

    argmax over permutations s of sum_i scores[p, i, s[i]], for each pair p

    scores: finite numbers (with NaN a solver may never end)   [pairs, n, n]
    Returns columns, int64 [pairs, n], on the device of the scores; the solver breaks ties, always
    in the same way.

    Source: Jonker and Volgenant (1987), by the first entry of SOLVERS (lapx; SciPy where that is
    not installed).

    >>> assign(torch.tensor([[[0.0, 2.0], [1.0, 0.0]]]))
    tensor([[1, 0]])
    """
    if not len(scores):
        return torch.zeros(scores.shape[:2], dtype=torch.int64, device=scores.device)
    costs = scores.neg().double().cpu().contiguous().numpy()
    solver = next(iter(SOLVERS.values()))
    return torch.from_numpy(solver(costs)).to(scores.device, torch.int64)


def assign_one(scores: Float[ndarray, "n n"]) -> Int[ndarray, "n"]:
    """``assign`` for one matrix of scores in NumPy."""
    costs = np.negative(scores, dtype=np.float64)
    return next(iter(SOLVERS.values()))(costs[None])[0]
