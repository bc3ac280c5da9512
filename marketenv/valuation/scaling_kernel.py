"""Plans diag(u) K diag(v) of many weights and one kernel K, and their costs once feasible.

Every step is a product of [problems, n] or [problems, m] with the one kernel; no plan is ever
written down.
"""

from __future__ import annotations

import torch
from torch import Tensor

from marketenv.valuation.clouds import Columns, Costs, Rows, Totals

BLOCK = 2**18  # numbers that a block of problems takes at once: few enough for a processor's cache


def quotient(x: Tensor, y: Tensor) -> Tensor:
    """x / y for y >= 0, and 0 where both are 0: what weighs nothing needs no scale."""
    return x / y.clamp(min=torch.finfo(y.dtype).tiny)


def feasible_cost(costs: Costs, kernel: Costs, u: Rows, v: Columns, a: Rows, b: Columns) -> Totals:
    """Cost of diag(u) K diag(v) rounded to row sums a and column sums b: an upper bound of W2^2.

    Rows that hold too much are scaled down, then columns; what is missing is added as err_a err_b^T
    / |err_a|_1. Source: Altschuler, Weed, Rigollet, NeurIPS 2017, algorithm 2.
    """
    u = u * quotient(a, u * (v @ kernel.mT)).clamp(max=1.0)
    v = v * quotient(b, v * (u @ kernel)).clamp(max=1.0)
    lack_a = (a - u * (v @ kernel.mT)).clamp(min=0)
    lack_b = (b - v * (u @ kernel)).clamp(min=0)
    lack = lack_a.sum(-1)
    added = quotient(((lack_a @ costs) * lack_b).sum(-1), lack)
    return (u * (v @ (kernel * costs).mT)).sum(-1) + added


def conjugate(costs: Costs, g: Columns, b: Columns) -> Rows:
    """f_i = min over j of cost_ij - g_j: the largest feasible prices of the rows beside g.

    b: weights of the columns; a column of weight 0 binds nobody.
    """
    prices = torch.where(b > 0, g, -torch.inf)
    size = max(1, BLOCK // max(1, costs.numel()))
    blocks = [
        (costs[..., None, :, :] - part[..., None, :]).amin(-1) for part in prices.split(size, -2)
    ]
    return torch.cat(blocks, -2)
