"""Sellers, mixtures and a buyer's data, drawn from a seed or of real digits."""

import torch

from marketenv.core import draws
from marketenv.data import DATASETS
from marketenv.valuation import label_aware

# 21 mixtures of three
GRID = torch.tensor([(i, j, 5 - i - j) for i in range(6) for j in range(6 - i)]) / 5


def problem(seed, *batch, sellers=3, n=8, m=6, e=3, mixtures=5):
    key = torch.tensor(seed)
    centres = 2 * draws.normal(draws.fold(key, "centres"), *batch, sellers, 1, e)
    parts = draws.normal(key, *batch, sellers, n, e) + centres
    p = -draws.uniform(draws.fold(key, "p"), *batch, mixtures, sellers).log()
    weights = draws.uniform(draws.fold(key, "w"), *batch, sellers, n)
    target_weights = draws.uniform(draws.fold(key, "tw"), *batch, m)
    target = draws.normal(draws.fold(key, "target"), *batch, m, e)
    return parts, p / p.sum(-1, keepdim=True), target, weights, target_weights


def skewed_digits(n=60, m=60):
    """Three sellers with digits 0-3, 4-6 and 7-9, and a buyer who wants all, embedded with
    their labels.
    """
    digits = DATASETS["digits"]()
    x, y = digits.x.double(), digits.y
    rows = [
        torch.nonzero((y >= low) & (y <= high))[:n, 0] for low, high in ((0, 3), (4, 6), (7, 9))
    ]
    wanted = torch.arange(1000, 1000 + m)
    return torch.stack([label_aware(x[i], y[i], 10) for i in rows]), label_aware(
        x[wanted], y[wanted], 10
    )
