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

import torch
from torch import Tensor

from agents.benchmarks.case import Case, case
from agents.benchmarks.loops import naive, plain
from marketenv.alignment import (
    invert,
    match,
    match_among,
    objective,
    permute,
    random_orders,
    weight_matching,
)
from marketenv.alignment.spec import Orders
from marketenv.core import draws
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


def cpu_seconds(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least CPU seconds of each side on one thread, in turns of one call that warms up and five."""
    before, times = torch.get_num_threads(), {name: list[float]() for name in sides}
    torch.set_num_threads(1)
    for _ in range(repeats):
        for name, side in sides.items():
            side()
            for _ in range(5):
                start = time.process_time()
                side()
                times[name].append(time.process_time() - start)
    torch.set_num_threads(before)
    return {name: min(some) for name, some in times.items()}


def single_pairs(models: int = 12, repeats: int = 3, width: int = 512) -> list[Case]:
    """Pairs of models alone, in the way of many pairs, and by two loops.

    The naive PyTorch loop takes the steps of the public code of Git Re-Basin.

    width: of the layers of the wide model
    """
    rows = []
    for hidden, turns in ((PAPER, 5 * repeats), ((width,) * 3, 1)):
        learner = LEARNERS["mlp"]((784,), 10, "classification", TRAINING, hidden=hidden)
        fresh, trained = training_history(learner, models, (784,), 1)
        name = "MLP 784-" + "-".join(map(str, (*hidden, 10)))
        rows += _single(f"{name}, untrained", learner, fresh, turns)
        rows += _single(f"{name}, trained", learner, trained, turns)
    return rows


def _single(name: str, learner: Learner, models: Tensor, repeats: int) -> list[Case]:
    """CPU time per pair, and objectives, of pairs (0, 1), (2, 3), ..., each matched alone."""
    layout, spec = learner.layout, learner.permutations or {}
    ways: dict[str, Callable[[Tensor], Orders]] = {
        "a pair alone": partial(ours, learner),
        "the way of many pairs": partial(_as_many, learner),
        "NumPy loop": partial(plain, layout, spec),
        "naive PyTorch loop": partial(naive, layout, spec),
    }
    pairs = [models[[row, row + 1]] for row in range(0, len(models) - 1, 2)]
    times = [
        cpu_seconds({way: partial(run, two) for way, run in ways.items()}, repeats) for two in pairs
    ]
    sums = {way: sum(some[way] for some in times) for way in ways}
    fits = {way: sum(quality(learner, two, run(two)) for two in pairs) for way, run in ways.items()}
    rows = [case(f"{name}: {way}", sums[way] / len(pairs) * 1e3, "CPU ms/pair") for way in ways]
    own, *others = ways
    for way in others:
        rows.append(case(f"{name}: faster than {way}", sums[way] / sums[own], "times"))
        rows.append(case(f"{name}: objective against {way}", fits[own] / fits[way], "ratio"))
    return rows


def _as_many(learner: Learner, models: Tensor) -> Orders:
    """Match pairs in the way that is taken where they are many."""
    few, wide = weight_matching.FEW_PAIRS, weight_matching.WIDE
    weight_matching.FEW_PAIRS, weight_matching.WIDE = 0, max(models.shape[1], 1)
    try:
        return ours(learner, models)
    finally:
        weight_matching.FEW_PAIRS, weight_matching.WIDE = few, wide


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
    return [
        against_loops,
        partial(single_pairs, width=wide),
        paper_mlp_warm,
        partial(wide_mlp, width=wide),
        residual,
        recovery,
    ]
