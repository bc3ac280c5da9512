"""How fast stacked training is, as ratios measured side by side in one run.

Each figure is a median over repeats, and each side runs at the number of threads that suits it
best. Times on a busy machine are noisy; the two sides of a ratio are measured in turns, so both
suffer alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, MLP, Pull, Training
from marketenv.learners.reference import loop_train

Row = dict[str, Any]  # {"name": what, "value": number, "unit": of the number}


def synthetic(models: int, width: int, features: int, classes: int) -> Shards:
    """Examples of no meaning: every model owns ``width`` rows of a pool of 4096."""
    keys = torch.arange(4096)
    return Shards(
        draws.normal(draws.fold(keys, "x"), features).float(),
        draws.integers(draws.fold(keys, "y"), classes),
        draws.integers(torch.arange(models), 4096, width),
        torch.full((models,), width),
    )


def seconds(
    sides: dict[str, Callable[[], Any]], repeats: int, threads: tuple[int, ...]
) -> dict[str, float]:
    """Median seconds of each side, in turns, at the number of threads (of those given) that
    suits it best.
    """
    before, best = torch.get_num_threads(), dict.fromkeys(sides, float("inf"))
    for count in threads:
        torch.set_num_threads(count)
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for repeat in range(repeats + 1):  # the first turn warms up
            for name, side in sides.items():
                start = time.perf_counter()
                side()
                taken[name] += [time.perf_counter() - start] if repeat else []
        best = {name: min(best[name], median(taken[name])) for name in sides}
    torch.set_num_threads(before)
    return best


def _tension(net: nn.Module, strength: float, centre: list[Tensor]) -> Tensor | float:
    """What a pull adds to a module's loss."""
    pairs = zip(net.parameters(), centre, strict=True)
    return 0.5 * strength * sum((p - c).square().sum() for p, c in pairs) if strength else 0.0


def _loop(
    learner: MLP, params: Tensor, shards: Shards, steps: int, pull: Pull | None = None
) -> Callable[[], list[nn.Module]]:
    """The usual way: a module and an optimiser per model, autograd; batches are gathered
    beforehand, free of charge.
    """
    pulls = [0.0] * len(params) if pull is None else pull.strength.tolist()
    centres = [
        list(learner.layout.views(flat).values())
        for flat in (params if pull is None else pull.centre)
    ]
    batch, widths = learner.training.batch_size, learner.widths
    examples = [(shards.x[rows[:batch]], shards.y[rows[:batch]]) for rows in shards.index]
    nets, optimizers = [], []
    for flat in params:
        layers = [nn.Linear(n, m) for n, m in itertools.pairwise(widths)]
        net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
        for p, view in zip(net.parameters(), learner.layout.views(flat).values(), strict=True):
            p.data.copy_(view)
        nets.append(net)
        optimizers.append(torch.optim.SGD(net.parameters(), lr=learner.training.learning_rate))

    def run() -> list[nn.Module]:
        for net, optimizer, (x, y), strength, centre in zip(
            nets, optimizers, examples, pulls, centres, strict=True
        ):
            for _ in range(steps):
                optimizer.zero_grad()
                (
                    nn.functional.cross_entropy(net(x), y) + _tension(net, strength, centre)
                ).backward()
                optimizer.step()
        return nets

    return run


def stacked_against_loop(
    models: int = 512,
    batch: int = 32,
    steps: int = 5,
    repeats: int = 5,
    threads: tuple[int, ...] = (1, 2),
) -> list[Row]:
    """Stacked training of 64-32-10 networks against a loop over nn.Modules, and how equal one
    step leaves them.
    """
    learner = MLP(
        (64,), 10, "classification", Training(batch_size=batch, steps=steps), hidden=(32,)
    )
    shards, keys = synthetic(models, 4 * batch, 64, 10), torch.arange(models)
    params, slots, effort = learner.init(keys), learner.fresh_slots(models), torch.ones(models)
    material = learner.prepare(shards)
    sides = {
        "stacked": lambda: learner.train(params, slots, material, effort, keys),
        "loop": _loop(learner, params, shards, steps),
    }
    taken = seconds(sides, repeats, threads)
    one = MLP((64,), 10, "classification", Training(batch_size=batch, steps=1), hidden=(32,))
    apart = (
        one.train(params, slots, material, effort, keys)[0]
        - loop_train(one, params, slots, shards, effort, keys)[0]
    )
    name = f"{models} MLPs 64-32-10, batch {batch}"
    return [
        {
            "name": f"{name}: stacked, per step",
            "value": taken["stacked"] / steps * 1e3,
            "unit": "ms",
        },
        {
            "name": f"{name}: loop over nn.Modules, per step",
            "value": taken["loop"] / steps * 1e3,
            "unit": "ms",
        },
        {
            "name": f"{name}: stacked is faster",
            "value": taken["loop"] / taken["stacked"],
            "unit": "times",
        },
        {
            "name": f"{name}: largest difference after a step",
            "value": float(apart.abs().max()),
            "unit": "absolute",
        },
    ]


def pulled_against_loop(
    models: int = 256,
    batch: int = 32,
    steps: int = 5,
    repeats: int = 5,
    threads: tuple[int, ...] = (1, 2),
) -> list[Row]:
    """Clients that are pulled to centres of their own, stacked against a loop, and how equal
    one step leaves them; target 8.
    """
    learner = MLP(
        (64,), 10, "classification", Training(batch_size=batch, steps=steps), hidden=(32,)
    )
    shards, keys = synthetic(models, 4 * batch, 64, 10), torch.arange(models)
    params, slots, effort = learner.init(keys), learner.fresh_slots(models), torch.ones(models)
    pull, material = (
        Pull(learner.init(keys + models), torch.full((models,), 0.1)),
        learner.prepare(shards),
    )
    sides = {
        "stacked": lambda: learner.train(params, slots, material, effort, keys, pull),
        "loop": _loop(learner, params, shards, steps, pull),
    }
    taken = seconds(sides, repeats, threads)
    one = MLP((64,), 10, "classification", Training(batch_size=batch, steps=1), hidden=(32,))
    pairs = (
        one.train(params, slots, material, effort, keys, pull),
        loop_train(one, params, slots, shards, effort, keys, pull),
    )
    name = f"{models} MLP clients with a pull"
    return [
        {
            "name": f"{name}: stacked, per step",
            "value": taken["stacked"] / steps * 1e3,
            "unit": "ms",
        },
        {
            "name": f"{name}, stacked against the loop",
            "value": taken["loop"] / taken["stacked"],
            "unit": "times",
        },
        {
            "name": f"{name}: largest difference after a step",
            "value": float((pairs[0][0] - pairs[1][0]).abs().max()),
            "unit": "absolute",
        },
    ]


def _engines(
    name: str,
    shape: tuple[int, ...],
    shards: Shards,
    outputs: int,
    steps: int,
    repeats: int,
    threads: tuple[int, ...],
) -> list[Row]:
    """Training steps of a named learner by each engine of ``ModuleLearner``."""
    models = len(shards.size)
    keys, effort, training = (
        torch.arange(models),
        torch.ones(models),
        Training(batch_size=shards.index.shape[1] // 4, steps=steps),
    )
    sides = {}
    for engine in ("loop", "vmap"):
        learner = LEARNERS[name](shape, outputs, "classification", training, engine=engine)
        start = (
            learner.init(keys),
            learner.fresh_slots(models),
            learner.prepare(shards),
            effort,
            keys,
        )
        sides[engine] = partial(learner.train, *start)
    taken = seconds(sides, repeats, threads)
    title = f"{models} learners {name!r}, batch {training.batch_size}"
    per_step = [
        {"name": f"{title}: {e}, per step", "value": t / steps * 1e3, "unit": "ms"}
        for e, t in taken.items()
    ]
    return [
        *per_step,
        {
            "name": f"{title}: vmap against the loop",
            "value": taken["loop"] / taken["vmap"],
            "unit": "times",
        },
    ]


def images_by_engine(
    models: int = 32,
    batch: int = 32,
    steps: int = 3,
    repeats: int = 3,
    threads: tuple[int, ...] = (1, 2),
) -> list[Row]:
    """CNNs on 1x12x12 images: one after another, and all at once by vmap."""
    flat = synthetic(models, 4 * batch, 144, 10)
    shards = Shards(flat.x.view(-1, 1, 12, 12), flat.y, flat.index, flat.size)
    return _engines("cnn", (1, 12, 12), shards, 10, steps, repeats, threads)


def text_by_engine(
    models: int = 32,
    batch: int = 32,
    steps: int = 3,
    repeats: int = 3,
    threads: tuple[int, ...] = (1, 2),
) -> list[Row]:
    """Recurrent networks on windows of 20 out of 65 characters: one after another, and all at
    once by vmap.
    """
    drawn = synthetic(models, 4 * batch, 1, 65)
    x = draws.integers(draws.fold(torch.arange(len(drawn.y)), "text"), 65, 20).float()
    return _engines(
        "recurrent", (20,), Shards(x, drawn.y, drawn.index, drawn.size), 65, steps, repeats, threads
    )


def _products(models: int, batch: int, widths: tuple[int, ...]) -> tuple[Callable[[], None], float]:
    """The bare matrix products of one training step into memory at hand, and their
    floating-point operations.
    """
    weights = [torch.full((models, m, n), 0.01) for n, m in itertools.pairwise(widths)]
    values = [
        torch.ones(models, batch, widths[0]).mT,
        *(torch.ones(models, width, batch) for width in widths[1:]),
    ]
    grads = [torch.empty_like(w) for w in weights]

    def run() -> None:
        for i, w in enumerate(weights):
            torch.bmm(w, values[i], out=values[i + 1])
        for i in reversed(range(len(weights))):
            torch.bmm(values[i + 1], values[i].mT, out=grads[i])
            if i:
                torch.bmm(weights[i].mT, values[i + 1], out=values[i])

    pairs = list(itertools.pairwise(widths))
    return run, 2.0 * models * batch * (
        3 * sum(n * m for n, m in pairs) - pairs[0][0] * pairs[0][1]
    )


def step_against_products(
    models: int = 64,
    hidden: int = 256,
    batch: int = 64,
    steps: int = 5,
    repeats: int = 5,
    threads: tuple[int, ...] = (1, 2),
) -> list[Row]:
    """Training steps of 784-hidden-10 networks against the matrix products that they consist of."""
    learner = MLP(
        (784,), 10, "classification", Training(batch_size=batch, steps=steps), hidden=(hidden,)
    )
    keys, effort = torch.arange(models), torch.ones(models)
    params, slots = learner.init(keys), learner.fresh_slots(models)
    material = learner.prepare(synthetic(models, 4 * batch, 784, 10))
    products, flops = _products(models, batch, learner.widths)
    with torch.no_grad():
        taken = seconds(
            {
                "products": lambda: [products() for _ in range(steps)],
                "round": lambda: learner.train(params, slots, material, effort, keys),
            },
            repeats,
            threads,
        )
    name = f"{models} MLPs 784-{hidden}-10, batch {batch}"
    return [
        {
            "name": f"{name}: bare products",
            "value": flops * steps / taken["products"] / 1e9,
            "unit": "GFLOP/s",
        },
        {
            "name": f"{name}: training, round of {steps} steps, all costs",
            "value": taken["round"] / steps * 1e3,
            "unit": "ms/step",
        },
        {
            "name": f"{name}: speed against bare products",
            "value": taken["products"] / taken["round"] * 100,
            "unit": "%",
        },
    ]


def cases() -> list[Callable[..., list[Row]]]:
    """The benchmarks of this file; each runs at its full size by default and takes smaller ones."""
    return [
        stacked_against_loop,
        pulled_against_loop,
        step_against_products,
        images_by_engine,
        text_by_engine,
    ]
