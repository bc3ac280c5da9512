"""Networks under vmap on any device: the memory they take, and the time of a paper's step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from agents.benchmarks.case import Case, case
from agents.benchmarks.instruments import allocated, timed
from agents.benchmarks.learners import synthetic
from agents.papers.train_n_trade.settings import SETTINGS, ImageSetting
from marketenv.core.shards import Shards
from marketenv.learners import LEARNERS, ModuleLearner, Training
from marketenv.learners.exams import Exam

GIB, MS = 2**30, 1e3


def networks(width: int = 32, depth: int = 22) -> dict[str, tuple[str, tuple[int, ...], Any]]:
    """Name, shape of an example, and options of the learners whose memory is measured."""
    mlp = nn.Sequential(
        nn.Linear(64, width, device="cpu", dtype=torch.float32),
        nn.ReLU(),
        nn.Linear(width, 10, device="cpu", dtype=torch.float32),
    )
    return {
        f"MLP 64-{width}-10": ("module", (64,), {"module": mlp}),
        "CNN on 1x12x12": ("cnn", (1, 12, 12), {}),
        f"ResNet-{depth} on 3x32x32": ("resnet", (3, 32, 32), {"depth": depth}),
    }


def memory_under_vmap(
    device: torch.device, models: int = 16, batch: int = 32, width: int = 32, depth: int = 22
) -> Iterator[list[Case]]:
    """Memory of gradients and of scores under vmap against what the learner estimates."""
    for title, (name, shape, options) in networks(width, depth).items():
        training = Training(batch_size=batch)
        learner = LEARNERS[name](
            shape, 10, "classification", training, engine="vmap", memory=2**60, **options
        )
        assert isinstance(learner, ModuleLearner)
        calls = vmap_calls(learner, models, batch, device)
        with torch.no_grad():
            most = {what: allocated(call, device) for what, call in calls.items()}
        for (what, _, _), cost in learner.passes.costs.items():
            text = f"{models} learners under vmap, {title}, batch {batch}: memory of {what}"
            share = most[what] / (models * cost) * 100
            yield [
                case(text, most[what] / GIB, "GiB"),
                case(f"{text} against the estimate", share, "%"),
            ]


def vmap_calls(
    learner: ModuleLearner, models: int, batch: int, device: torch.device
) -> dict[str, Callable[[], Any]]:
    """One step's gradients, scores on one exam for all, and on an exam each."""
    params = learner.init(torch.arange(models, device=device))
    x = torch.ones(models, batch, *learner.feature_shape, dtype=torch.float32, device=device)
    y = torch.zeros(models, batch, dtype=torch.int64, device=device)
    share = torch.full_like(y, 1, dtype=torch.float32) / batch
    shared, own = Exam(x[:1], y[:1], share[:1]), Exam(x, y, share)
    return {
        "gradients": partial(learner.passes.gradients, params, x, y, share),
        "scores of a shared exam": partial(learner.scores, params[None], shared),
        "scores of own exams": partial(learner.scores, params[:, None], own),
    }


def paper_step(
    device: torch.device,
    setting: ImageSetting = SETTINGS["cifar10_full"],
    examples: int = 50_000,
    side: int = 32,
    steps: int = 3,
    repeats: int = 2,
) -> Iterator[list[Case]]:
    """Time of a step and of an epoch of a paper's setting on images, with two agents.

    On images of CIFAR-10's shape, filled at random and not augmented.
    """
    training = Training(
        optimizer=setting.optimizer,
        learning_rate=setting.learning_rate,
        batch_size=setting.batch,
        steps=steps,
    )
    flat = synthetic(2, 4 * setting.batch, 3 * side * side, 10, device)
    shards = Shards(flat.x.view(-1, 3, side, side), flat.y, flat.index, flat.size)
    options, keys = dict(setting.options), torch.arange(2, device=device)
    epoch = -(-examples * 11 // 20) // setting.batch + 1  # an agent owns 55 % of the rows
    name = f"two ResNets {options}, {side} x {side} images, batch {setting.batch}"
    for engine in ("vmap", "loop"):
        learner = LEARNERS[setting.learner](
            (3, side, side),
            10,
            "classification",
            training,
            engine=engine,
            memory=2**35,
            **options,
        )
        params, slots = learner.init(keys), learner.fresh_slots(2, device)
        effort = torch.ones(2, dtype=torch.float32, device=device)
        call = partial(learner.train, params, slots, learner.prepare(shards), effort, keys)
        seconds = timed(call, device, repeats) / steps
        yield [
            case(f"{name}, {engine}: training", seconds * MS, "ms/step"),
            case(f"{name}, {engine}: an epoch, from {steps} steps", seconds * epoch / 60, "min"),
        ]


def tiny_paper() -> dict[str, Any]:
    """A network and images so small that a CPU trains them in a moment."""
    setting = ImageSetting(
        data="cifar10",
        learner="resnet",
        options=(("depth", 10), ("width", 1)),
        optimizer="adam",
        learning_rate=1e-2,
        batch=4,
    )
    return {"setting": setting, "examples": 40, "side": 8, "steps": 1, "repeats": 1}
