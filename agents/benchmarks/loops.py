"""Weight matching by two plain loops over pairs, to compare with: in NumPy and in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from marketenv.alignment.spec import Orders, Permutations
from marketenv.core.bank import Layout


def plain(layout: Layout, spec: Permutations, models: Tensor) -> Orders:
    """Loop over pairs in NumPy and SciPy, in float64 as ours; each model is converted only once."""
    arrays = [
        {name: view.double().numpy() for name, view in layout.views(model).items()}
        for model in models
    ]
    users = {
        tensor: [(axis, n) for n, places in spec.items() for of, axis in places if of == tensor]
        for tensor in arrays[0]
    }
    orders = [
        _plain_pair(arrays[b], arrays[s], spec, users, b)
        for b in range(len(models))
        for s in range(b + 1, len(models))
    ]
    return {name: torch.from_numpy(np.stack([order[name] for order in orders])) for name in spec}


def _plain_pair(
    a: dict[str, np.ndarray],
    b: dict[str, np.ndarray],
    spec: Permutations,
    users: dict[str, list[tuple[int, str]]],
    seed: int,
) -> dict[str, np.ndarray]:
    def product(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        x, y = (w if axis == 0 else np.moveaxis(w, axis, 0) for w in (x, y))
        return x.reshape(len(x), -1) @ y.reshape(len(y), -1).T

    orders = {name: np.arange(a[places[0][0]].shape[places[0][1]]) for name, places in spec.items()}
    names, rng, progress = list(spec), np.random.default_rng(seed), True
    while progress:
        progress = False
        for i in rng.permutation(len(names)):
            score: Any = 0.0
            for tensor, axis in spec[names[i]]:
                moved = b[tensor]
                for at, name in users[tensor]:
                    moved = moved.take(orders[name], at) if at != axis else moved
                score = score + product(a[tensor], moved, axis)
            rows, new = linear_sum_assignment(score, maximize=True)
            if score[rows, new].sum() > score[rows, orders[names[i]]].sum() + 1e-9:
                orders[names[i]], progress = new, True
    return orders


def naive(layout: Layout, spec: Permutations, models: Tensor) -> Orders:
    """The usual PyTorch way: dicts of parameters, all products anew for each permutation."""
    views = [dict(layout.views(model)) for model in models]
    orders = [
        _naive_pair(views[b], views[s], spec, b)
        for b in range(len(models))
        for s in range(b + 1, len(models))
    ]
    return {name: torch.stack([order[name] for order in orders]) for name in spec}


def _naive_pair(
    a: dict[str, Tensor], b: dict[str, Tensor], spec: Permutations, seed: int
) -> dict[str, Tensor]:
    def permuted(tensor: str, but: int) -> Tensor:
        value = b[tensor]
        for name, places in spec.items():
            for of, axis in places:
                if of == tensor and axis != but:
                    value = torch.index_select(value, axis, orders[name])
        return value

    orders = {
        name: torch.arange(a[places[0][0]].shape[places[0][1]]) for name, places in spec.items()
    }
    rng, names, progress = np.random.default_rng(seed), list(spec), True
    while progress:
        progress = False
        for i in rng.permutation(len(names)):
            n = len(orders[names[i]])
            score = torch.zeros(n, n)
            for tensor, axis in spec[names[i]]:
                x, y = (
                    torch.moveaxis(w, axis, 0).reshape(n, -1)
                    for w in (a[tensor], permuted(tensor, axis))
                )
                score += torch.tensordot(x, y, dims=([1], [1]))
            new = torch.from_numpy(linear_sum_assignment(score.numpy(), maximize=True)[1])
            eye = torch.eye(n)
            gain = torch.tensordot(score, eye[new]) - torch.tensordot(score, eye[orders[names[i]]])
            if float(gain) > 1e-5:
                orders[names[i]], progress = new, True
    return orders
