"""How fast and how good weight matching is, against a plain NumPy loop and a naive PyTorch one in
the same run.

Models are as training leaves them: all start from draws of their own and learn Gaussian classes for
a little. Times on a busy machine are noisy; the sides of a ratio are measured in turns, so all
suffer alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from marketenv.alignment import invert, match, match_among, objective, permute, random_orders
from marketenv.alignment.spec import Orders, Permutations
from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, Learner, Training

Row = dict[str, Any]  # {"name": what, "value": number, "unit": of the number}
PAPER = (32, 32, 32, 16)  # hidden widths of Train 'n Trade's MLP
OWN_THREADS = torch.get_num_threads()
TRAINING = Training(steps=60, batch_size=32, learning_rate=0.05)


def classes(models: int, shape: tuple[int, ...], rows: int = 128) -> Shards:
    """Ten Gaussian classes; every model owns examples of its own."""
    keys = torch.arange(models * rows)
    labels = draws.integers(draws.fold(keys, "label"), 10)
    centres = draws.normal(torch.arange(10), *shape)
    x = centres[labels] + 2.0 * draws.normal(draws.fold(keys, "x"), *shape)
    return Shards(x.float(), labels, keys.view(models, rows), torch.full((models,), rows))


def trained(learner: Learner, models: int, shape: tuple[int, ...], rounds: int) -> list[Tensor]:
    """Models before training and after each round of it."""
    keys, material = torch.arange(models), learner.prepare(classes(models, shape))
    found, slots = [learner.init(keys)], learner.fresh_slots(models)
    for number in range(rounds):
        params, slots = learner.train(
            found[-1], slots, material, torch.ones(models), draws.fold(keys, number)
        )
        found.append(params)
    return found


def gaps(models: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of the models of all pairs b < s."""
    buyer, seller = torch.triu_indices(len(models), len(models), 1)
    return buyer, seller


def quality(learner: Learner, models: Tensor, orders: Orders) -> float:
    """Mean objective of all pairs at given orders."""
    buyer, seller = gaps(models)
    moved = permute(learner.layout, learner.permutations or {}, models[seller], orders)
    return float(objective(models[buyer], moved).mean())


def ours(
    learner: Learner, models: Tensor, start: Orders | None = None, restarts: int = 1
) -> Orders:
    """Match all pairs at once."""
    buyer, seller = gaps(models)
    spec, keys = learner.permutations or {}, torch.arange(len(buyer))
    return match_among(learner.layout, spec, models, buyer, seller, keys, start, restarts=restarts)


def plain(layout: Layout, spec: Permutations, models: Tensor) -> Orders:
    """Loop over pairs in NumPy and SciPy, in float64 as ours; only each model's conversion is
    done once for all its pairs.
    """
    arrays = [
        {name: view.double().numpy() for name, view in layout.views(model).items()}
        for model in models
    ]
    users = {
        tensor: [(axis, n) for n, places in spec.items() for of, axis in places if of == tensor]
        for tensor in arrays[0]
    }
    found = [
        _plain_pair(arrays[b], arrays[s], spec, users, b)
        for b in range(len(models))
        for s in range(b + 1, len(models))
    ]
    return {name: torch.from_numpy(np.stack([orders[name] for orders in found])) for name in spec}


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
            score = 0.0
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
    """The usual PyTorch way: dicts of parameters, every product computed anew for each
    permutation of each pair.
    """
    found = []
    for b in range(len(models)):
        for s in range(b + 1, len(models)):
            found.append(
                _naive_pair(dict(layout.views(models[b])), dict(layout.views(models[s])), spec, b)
            )
    return {name: torch.stack([orders[name] for orders in found]) for name in spec}


def _naive_pair(
    a: dict[str, Tensor], b: dict[str, Tensor], spec: Permutations, seed: int
) -> Orders:
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


def seconds(
    sides: dict[str, Callable[[], Any]], repeats: int, threads: int = 1
) -> dict[str, float]:
    """Median seconds of each side, in turns of one call that warms up and two that count."""
    before, taken = torch.get_num_threads(), {name: list[float]() for name in sides}
    torch.set_num_threads(threads)
    for _ in range(repeats):
        for name, side in sides.items():
            side()
            for _ in range(2):
                start = time.perf_counter()
                side()
                taken[name].append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return {name: median(times) for name, times in taken.items()}


def against_loops(models: int = 10, repeats: int = 5) -> list[Row]:
    """All pairs of the paper's MLP: ours, a NumPy loop and a naive PyTorch loop, at random and
    at trained models.
    """
    learner = LEARNERS["mlp"]((784,), 10, "classification", TRAINING, hidden=PAPER)
    history, rows = trained(learner, models, (784,), 3), []
    for state, params in (("random", history[0]), ("trained", history[-1])):
        spec, pairs = learner.permutations or {}, models * (models - 1) // 2
        name = f"{pairs} pairs of {state} MLPs 784-32-32-32-16-10"
        sides: dict[str, Callable[[], Orders]] = {
            "ours": lambda params=params: ours(learner, params),
            "NumPy loop": lambda params=params, spec=spec: plain(learner.layout, spec, params),
            "naive PyTorch loop": lambda params=params, spec=spec: naive(
                learner.layout, spec, params
            ),
        }
        taken, good = (
            seconds(sides, repeats),
            {side: quality(learner, params, run()) for side, run in sides.items()},
        )
        # what a user who sets nothing gets
        own = seconds({"": sides["naive PyTorch loop"]}, 1, OWN_THREADS)[""]
        rows.append(
            {
                "name": f"{name}: naive PyTorch loop, {OWN_THREADS} threads",
                "value": own / pairs * 1e3,
                "unit": "ms/pair",
            }
        )
        for side in sides:
            rows.append(
                {"name": f"{name}: {side}", "value": taken[side] / pairs * 1e3, "unit": "ms/pair"}
            )
        for side in list(sides)[1:]:
            rows.append(
                {
                    "name": f"{name}: faster than the {side}",
                    "value": taken[side] / taken["ours"],
                    "unit": "times",
                }
            )
            rows.append(
                {
                    "name": f"{name}: objective against the {side}",
                    "value": good["ours"] / good[side],
                    "unit": "ratio",
                }
            )
    return rows


def cold_and_warm(name: str, learner: Learner, history: list[Tensor], repeats: int) -> list[Row]:
    """Match the last models anew, and from the orders of the models one round of training
    before.
    """
    before, now = history[-2:]
    known, pairs = ours(learner, before), len(gaps(now)[0])
    sides = {"cold": lambda: ours(learner, now), "warm": lambda: ours(learner, now, known)}
    taken = seconds(sides, repeats)
    good = {side: quality(learner, now, run()) for side, run in sides.items()}
    rows = [
        {"name": f"{name}: {side}", "value": taken[side] / pairs * 1e3, "unit": "ms/pair"}
        for side in sides
    ]
    return [
        *rows,
        {
            "name": f"{name}: warm is faster",
            "value": taken["cold"] / taken["warm"],
            "unit": "times",
        },
        {
            "name": f"{name}: warm objective against cold",
            "value": good["warm"] / good["cold"],
            "unit": "ratio",
        },
    ]


def paper_mlp_warm(models: int = 10, repeats: int = 5) -> list[Row]:
    """The paper's MLP, matched again after a round of training."""
    learner = LEARNERS["mlp"]((784,), 10, "classification", TRAINING, hidden=PAPER)
    return cold_and_warm(
        "MLP 784-32-32-32-16-10", learner, trained(learner, models, (784,), 4), repeats
    )


def wide_mlp(models: int = 2, repeats: int = 3, width: int = 512) -> list[Row]:
    """Wide layers, where the assignments take most of the time."""
    learner = LEARNERS["mlp"]((784,), 10, "classification", TRAINING, hidden=(width,) * 3)
    return cold_and_warm(
        f"MLP 784-{width}-{width}-{width}-10", learner, trained(learner, models, (784,), 2), repeats
    )


def residual(models: int = 4, repeats: int = 3, depth: int = 22) -> list[Row]:
    """All pairs of a wide ResNet of width 1."""
    learner = LEARNERS["resnet"](
        (3, 8, 8),
        10,
        "classification",
        Training(steps=2, batch_size=32, learning_rate=0.02),
        depth=depth,
    )
    return cold_and_warm(
        f"ResNet {depth}, width 1", learner, trained(learner, models, (3, 8, 8), 2), repeats
    )


def recovery(models: int = 20, repeats: int = 1, depth: int = 22) -> list[Row]:
    """How often a planted reordering of a fresh model is found again, and the time that
    restarts cost.
    """
    learners = {
        "MLP 784-32-32-32-16-10": LEARNERS["mlp"]((784,), 10, "classification", hidden=PAPER),
        "CNN of width 8": LEARNERS["cnn"]((1, 8, 8), 10, "classification"),
        f"ResNet {depth}, width 1": LEARNERS["resnet"](
            (3, 8, 8), 10, "classification", depth=depth
        ),
    }
    rows, keys = [], torch.arange(models)
    for name, learner in learners.items():
        layout, spec, fresh = learner.layout, learner.permutations or {}, learner.init(keys)
        hidden = random_orders(layout, spec, draws.fold(keys, "hide"))
        moved, wanted = permute(layout, spec, fresh, hidden), invert(hidden)
        for restarts in (1, 2, 4):
            found = match(layout, spec, fresh, moved, keys, restarts=restarts)
            right = torch.stack([(found[n] == wanted[n]).all(-1) for n in spec]).all(0)
            rows.append(
                {
                    "name": f"{name}, {restarts} starts: planted found",
                    "value": float(right.double().mean()),
                    "unit": "rate",
                }
            )
    return rows


def cases() -> list[Callable[..., list[Row]]]:
    """The benchmarks of this file; each runs at its full size by default and takes smaller ones."""
    return [against_loops, paper_mlp_warm, wide_mlp, residual, recovery]
