"""Speed and quality of weight matching against a NumPy loop and a naive PyTorch loop in one run.

Models are as training leaves them: all start from draws of their own and learn Gaussian classes for
a little. Times on a busy machine are noisy; the sides of a ratio are measured in turns, so all
suffer alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from agents.benchmarks.case import Case, case
from marketenv.alignment import invert, match, match_among, objective, permute, random_orders
from marketenv.alignment.spec import Orders, Permutations
from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, Learner, Training

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


def training_history(
    learner: Learner, models: int, shape: tuple[int, ...], rounds: int
) -> list[Tensor]:
    """Models before training and after each round of it."""
    keys, material = torch.arange(models), learner.prepare(classes(models, shape))
    history, slots = [learner.init(keys)], learner.fresh_slots(models)
    for number in range(rounds):
        params, slots = learner.train(
            history[-1], slots, material, torch.ones(models), draws.fold(keys, number)
        )
        history.append(params)
    return history


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
    before, times = torch.get_num_threads(), {name: list[float]() for name in sides}
    torch.set_num_threads(threads)
    for _ in range(repeats):
        for name, side in sides.items():
            side()
            for _ in range(2):
                start = time.perf_counter()
                side()
                times[name].append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return {name: median(times) for name, times in times.items()}


def against_loops(models: int = 10, repeats: int = 5) -> list[Case]:
    """All pairs of the paper's MLP by three ways, at random and at trained models."""
    learner = LEARNERS["mlp"]((784,), 10, "classification", TRAINING, hidden=PAPER)
    history = training_history(learner, models, (784,), 3)
    states = {"random": history[0], "trained": history[-1]}
    return [
        row for state, params in states.items() for row in _ways(learner, params, state, repeats)
    ]


def _ways(learner: Learner, params: Tensor, state: str, repeats: int) -> list[Case]:
    """Times and objectives of the three ways at these models."""
    spec, pairs = learner.permutations or {}, len(gaps(params)[0])
    name = f"{pairs} pairs of {state} MLPs 784-32-32-32-16-10"
    sides: dict[str, Callable[[], Orders]] = {
        "ours": partial(ours, learner, params),
        "NumPy loop": partial(plain, learner.layout, spec, params),
        "naive PyTorch loop": partial(naive, learner.layout, spec, params),
    }
    times = seconds(sides, repeats)
    qualities = {side: quality(learner, params, run()) for side, run in sides.items()}
    # what a user who sets nothing gets
    default = seconds({"": sides["naive PyTorch loop"]}, 1, OWN_THREADS)[""]
    title = f"{name}: naive PyTorch loop, {OWN_THREADS} threads"
    rows = [case(title, default / pairs * 1e3, "ms/pair")]
    rows += [case(f"{name}: {side}", times[side] / pairs * 1e3, "ms/pair") for side in sides]
    for side in list(sides)[1:]:
        faster, better = times[side] / times["ours"], qualities["ours"] / qualities[side]
        rows.append(case(f"{name}: faster than the {side}", faster, "times"))
        rows.append(case(f"{name}: objective against the {side}", better, "ratio"))
    return rows


def cold_and_warm(name: str, learner: Learner, history: list[Tensor], repeats: int) -> list[Case]:
    """Match the last models anew, and from the orders of the models one training round before."""
    before, now = history[-2:]
    orders, pairs = ours(learner, before), len(gaps(now)[0])
    sides: dict[str, Callable[[], Orders]] = {
        "cold": partial(ours, learner, now),
        "warm": partial(ours, learner, now, orders),
    }
    times = seconds(sides, repeats)
    qualities = {side: quality(learner, now, run()) for side, run in sides.items()}
    return [
        *(case(f"{name}: {side}", times[side] / pairs * 1e3, "ms/pair") for side in sides),
        case(f"{name}: warm is faster", times["cold"] / times["warm"], "times"),
        case(
            f"{name}: warm objective against cold", qualities["warm"] / qualities["cold"], "ratio"
        ),
    ]


def paper_mlp_warm(models: int = 10, repeats: int = 5) -> list[Case]:
    """The paper's MLP, matched again after a round of training."""
    learner = LEARNERS["mlp"]((784,), 10, "classification", TRAINING, hidden=PAPER)
    history = training_history(learner, models, (784,), 4)
    return cold_and_warm("MLP 784-32-32-32-16-10", learner, history, repeats)


def wide_mlp(models: int = 2, repeats: int = 3, width: int = 512) -> list[Case]:
    """Wide layers, where the assignments take most of the time."""
    learner = LEARNERS["mlp"]((784,), 10, "classification", TRAINING, hidden=(width,) * 3)
    history = training_history(learner, models, (784,), 2)
    return cold_and_warm(f"MLP 784-{width}-{width}-{width}-10", learner, history, repeats)


def residual(models: int = 4, repeats: int = 3, depth: int = 22) -> list[Case]:
    """All pairs of a wide ResNet of width 1."""
    training = Training(steps=2, batch_size=32, learning_rate=0.02)
    learner = LEARNERS["resnet"]((3, 8, 8), 10, "classification", training, depth=depth)
    history = training_history(learner, models, (3, 8, 8), 2)
    return cold_and_warm(f"ResNet {depth}, width 1", learner, history, repeats)


def recovery(models: int = 20, repeats: int = 1, depth: int = 22) -> list[Case]:
    """How often matching recovers a planted reordering, and the time that restarts cost."""
    kind = "classification"
    learners = {
        "MLP 784-32-32-32-16-10": LEARNERS["mlp"]((784,), 10, kind, hidden=PAPER),
        "CNN of width 8": LEARNERS["cnn"]((1, 8, 8), 10, kind),
        f"ResNet {depth}, width 1": LEARNERS["resnet"]((3, 8, 8), 10, kind, depth=depth),
    }
    rows, keys = [], torch.arange(models)
    for name, learner in learners.items():
        layout, spec, fresh = learner.layout, learner.permutations or {}, learner.init(keys)
        hidden = random_orders(layout, spec, draws.fold(keys, "hide"))
        moved, inverse = permute(layout, spec, fresh, hidden), invert(hidden)
        for restarts in (1, 2, 4):
            matched = match(layout, spec, fresh, moved, keys, restarts=restarts)
            right = torch.stack([(matched[n] == inverse[n]).all(-1) for n in spec]).all(0)
            share = float(right.double().mean())
            rows.append(case(f"{name}, {restarts} starts: planted found", share, "rate"))
    return rows


def cases(wide: int = 512) -> list[Callable[..., list[Case]]]:
    """The benchmarks of this file; each runs at its full size by default and takes smaller ones.

    wide: width of the wide layers
    """
    return [against_loops, paper_mlp_warm, partial(wide_mlp, width=wide), residual, recovery]
