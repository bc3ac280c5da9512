"""How fast stacked training is, as ratios measured side by side in one run.

Each figure is a median over repeats, and each side runs at the number of threads that suits it
best. Times on a busy machine are noisy; the two sides of a ratio are measured in turns, so both
suffer alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from agents.benchmarks.case import Case, case
from marketenv.core import clock, draws
from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, MLP, Pull, Training
from marketenv.learners.reference import loop_train

CPU = torch.device("cpu")


def synthetic(
    models: int, width: int, features: int, classes: int, device: torch.device = CPU
) -> Shards:
    """Examples of no meaning: every model owns ``width`` rows of a pool of 4096."""
    keys = torch.arange(4096, device=device)
    return Shards(
        draws.normal(draws.fold(keys, "x"), features).float(),
        draws.integers(draws.fold(keys, "y"), classes),
        draws.integers(torch.arange(models, device=device), 4096, width),
        torch.full((models,), width, device=device),
    )


def seconds(
    sides: Mapping[str, Callable[[], Any]],
    repeats: int,
    threads: tuple[int, ...],
    device: torch.device = CPU,
    watch: Callable[[torch.device], float] = clock.seconds,
) -> dict[str, float]:
    """Median seconds of each side, measured in turns, at its best number of threads.

    device: where the sides compute;   watch: tells the time there
    """
    before, best = torch.get_num_threads(), dict.fromkeys(sides, float("inf"))
    for count in threads:
        torch.set_num_threads(count)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for repeat in range(repeats + 1):  # the first turn warms up
            for name, side in sides.items():
                start = watch(device)
                side()
                times[name] += [watch(device) - start] if repeat else []
        best = {name: min(best[name], median(times[name])) for name in sides}
    torch.set_num_threads(before)
    return best


def _tension(net: nn.Module, strength: float, centre: list[Tensor]) -> Tensor | float:
    """What a pull adds to a module's loss."""
    pairs = zip(net.parameters(), centre, strict=True)
    return 0.5 * strength * sum((p - c).square().sum() for p, c in pairs) if strength else 0.0


def _loop(
    learner: MLP, params: Tensor, shards: Shards, steps: int, pull: Pull | None = None
) -> Callable[[], list[nn.Module]]:
    """The usual way: a module and an optimiser a model, autograd.

    Batches are gathered beforehand, free of charge.
    """
    pulls = [0.0] * len(params) if pull is None else pull.strength.tolist()
    flats, views = params if pull is None else pull.centre, learner.layout.views
    centres = [list(views(flat).values()) for flat in flats]
    batch = learner.training.batch_size
    examples = [(shards.x[rows[:batch]], shards.y[rows[:batch]]) for rows in shards.index]
    nets: list[nn.Module] = []
    for flat in params:
        pairs = itertools.pairwise(learner.widths)
        layers = [nn.Linear(n, m, device=params.device) for n, m in pairs]
        net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
        for p, view in zip(net.parameters(), views(flat).values(), strict=True):
            p.data.copy_(view)
        nets.append(net)
    rate = learner.training.learning_rate
    optimizers = [torch.optim.SGD(net.parameters(), lr=rate) for net in nets]

    def run() -> list[nn.Module]:
        parts = zip(nets, optimizers, examples, pulls, centres, strict=True)
        for net, optimizer, (x, y), strength, centre in parts:
            for _ in range(steps):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(net(x), y)
                (loss + _tension(net, strength, centre)).backward()
                optimizer.step()
        return nets

    return run


def stacked_against_loop(
    models: int = 512,
    batch: int = 32,
    steps: int = 5,
    repeats: int = 5,
    threads: tuple[int, ...] = (1, 2),
    device: torch.device = CPU,
) -> list[Case]:
    """Stacked training of 64-32-10 networks against a loop of nn.Modules, and the difference."""
    times, apart = _both_ways(models, batch, steps, repeats, threads, device, pulled=False)
    name = f"{models} MLPs 64-32-10, batch {batch}"
    return [
        case(f"{name}: stacked, per step", times["stacked"] / steps * 1e3, "ms"),
        case(f"{name}: loop over nn.Modules, per step", times["loop"] / steps * 1e3, "ms"),
        case(f"{name}: stacked is faster", times["loop"] / times["stacked"], "times"),
        case(f"{name}: largest difference after a step", apart, "absolute"),
    ]


def pulled_against_loop(
    models: int = 256,
    batch: int = 32,
    steps: int = 5,
    repeats: int = 5,
    threads: tuple[int, ...] = (1, 2),
    device: torch.device = CPU,
) -> list[Case]:
    """Clients with a pull, stacked against a loop, and their difference after a step; target 8."""
    times, apart = _both_ways(models, batch, steps, repeats, threads, device, pulled=True)
    name = f"{models} MLP clients with a pull"
    return [
        case(f"{name}: stacked, per step", times["stacked"] / steps * 1e3, "ms"),
        case(f"{name}, stacked against the loop", times["loop"] / times["stacked"], "times"),
        case(f"{name}: largest difference after a step", apart, "absolute"),
    ]


def _both_ways(
    models: int,
    batch: int,
    steps: int,
    repeats: int,
    threads: tuple[int, ...],
    device: torch.device,
    pulled: bool,
) -> tuple[dict[str, float], float]:
    """Seconds of stacked training and of the loop, and their largest difference after a step."""
    learner, one = (
        MLP((64,), 10, "classification", Training(batch_size=batch, steps=n), hidden=(32,))
        for n in (steps, 1)
    )
    shards = synthetic(models, 4 * batch, 64, 10, device)
    keys, effort = torch.arange(models, device=device), torch.ones(models, device=device)
    params, slots = learner.init(keys), learner.fresh_slots(models, device)
    pull = Pull(learner.init(keys + models), torch.full_like(effort, 0.1)) if pulled else None
    material = learner.prepare(shards)
    sides = {
        "stacked": lambda: learner.train(params, slots, material, effort, keys, pull),
        "loop": _loop(learner, params, shards, steps, pull),
    }
    times = seconds(sides, repeats, threads, device)
    stacked, _ = one.train(params, slots, material, effort, keys, pull)
    looped, _ = loop_train(one, params, slots, shards, effort, keys, pull)
    return times, float((stacked - looped).abs().max())


def _engines(
    name: str,
    shape: tuple[int, ...],
    shards: Shards,
    outputs: int,
    steps: int,
    repeats: int,
    threads: tuple[int, ...],
) -> list[Case]:
    """Training steps of a named learner by each engine of ``ModuleLearner``."""
    models, device = len(shards.size), shards.size.device
    keys, effort = torch.arange(models, device=device), torch.ones(models, device=device)
    training = Training(batch_size=shards.index.shape[1] // 4, steps=steps)
    sides: dict[str, Callable[[], Any]] = {}
    for engine in ("loop", "vmap"):
        learner = LEARNERS[name](shape, outputs, "classification", training, engine=engine)
        params, slots = learner.init(keys), learner.fresh_slots(models, device)
        sides[engine] = partial(learner.train, params, slots, learner.prepare(shards), effort, keys)
    times = seconds(sides, repeats, threads, device)
    title = f"{models} learners {name!r}, batch {training.batch_size}"
    return [
        *(case(f"{title}: {side}, per step", t / steps * 1e3, "ms") for side, t in times.items()),
        case(f"{title}: vmap against the loop", times["loop"] / times["vmap"], "times"),
    ]


def images_by_engine(
    models: int = 32,
    batch: int = 32,
    steps: int = 3,
    repeats: int = 3,
    threads: tuple[int, ...] = (1, 2),
    device: torch.device = CPU,
) -> list[Case]:
    """CNNs on 1x12x12 images: one after another, and all at once by vmap."""
    flat = synthetic(models, 4 * batch, 144, 10, device)
    shards = Shards(flat.x.view(-1, 1, 12, 12), flat.y, flat.index, flat.size)
    return _engines("cnn", (1, 12, 12), shards, 10, steps, repeats, threads)


def text_by_engine(
    models: int = 32,
    batch: int = 32,
    steps: int = 3,
    repeats: int = 3,
    threads: tuple[int, ...] = (1, 2),
    device: torch.device = CPU,
) -> list[Case]:
    """Recurrent networks on windows of 20 characters: one by one, and at once by vmap."""
    rows = synthetic(models, 4 * batch, 1, 65, device)
    keys = torch.arange(len(rows.y), device=device)
    x = draws.integers(draws.fold(keys, "text"), 65, 20).float()
    return _engines(
        "recurrent", (20,), Shards(x, rows.y, rows.index, rows.size), 65, steps, repeats, threads
    )


def _products(
    models: int, batch: int, widths: tuple[int, ...], device: torch.device = CPU
) -> tuple[Callable[[], None], float]:
    """The bare matrix products of one training step, and their floating-point operations."""
    pairs, ones = list(itertools.pairwise(widths)), partial(torch.ones, device=device)
    weights = [0.01 * ones(models, m, n) for n, m in pairs]
    values = [
        ones(models, batch, widths[0]).mT,
        *(ones(models, width, batch) for width in widths[1:]),
    ]
    grads = [torch.empty_like(w) for w in weights]

    def run() -> None:
        for i, w in enumerate(weights):
            torch.bmm(w, values[i], out=values[i + 1])
        for i in reversed(range(len(weights))):
            torch.bmm(values[i + 1], values[i].mT, out=grads[i])
            if i:
                torch.bmm(weights[i].mT, values[i + 1], out=values[i])

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
    device: torch.device = CPU,
) -> list[Case]:
    """Training steps of 784-hidden-10 networks against the matrix products that they consist of."""
    training = Training(batch_size=batch, steps=steps)
    learner = MLP((784,), 10, "classification", training, hidden=(hidden,))
    keys, effort = torch.arange(models, device=device), torch.ones(models, device=device)
    params, slots = learner.init(keys), learner.fresh_slots(models, device)
    material = learner.prepare(synthetic(models, 4 * batch, 784, 10, device))
    products, flops = _products(models, batch, learner.widths, device)
    sides: dict[str, Callable[[], Any]] = {
        "products": lambda: [products() for _ in range(steps)],
        "round": lambda: learner.train(params, slots, material, effort, keys),
    }
    with torch.no_grad():
        times = seconds(sides, repeats, threads, device)
    name, a_round = f"{models} MLPs 784-{hidden}-10, batch {batch}", times["round"]
    title = f"{name}: training, round of {steps} steps, all costs"
    return [
        case(f"{name}: bare products", flops * steps / times["products"] / 1e9, "GFLOP/s"),
        case(title, a_round / steps * 1e3, "ms/step"),
        case(f"{name}: speed against bare products", times["products"] / a_round * 100, "%"),
    ]


def cases() -> list[Callable[..., list[Case]]]:
    """The benchmarks of this file; each runs at its full size by default and takes smaller ones."""
    return [
        stacked_against_loop,
        pulled_against_loop,
        step_against_products,
        images_by_engine,
        text_by_engine,
    ]
