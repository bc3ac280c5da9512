"""Training one model after another, with autograd and torch.optim: the reference of all tests."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.precision import full_precision
from marketenv.core.shards import Shards
from marketenv.learners.objectives import OBJECTIVES
from marketenv.learners.training import DUST, Pull, Training


def _optimizer(
    training: Training, layout: Layout, leaves: dict[str, Tensor], slots: Tensor
) -> torch.optim.Optimizer:
    """The named torch optimiser over the leaves, with its state from the slots."""
    settings: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    count = len(slots) - (training.optimizer == "adam")
    parts = [layout.views(part) for part in slots[:count].view(-1, layout.size)]
    if training.optimizer == "adam":
        adam = torch.optim.Adam(leaves.values(), **settings)
        for name, leaf in leaves.items():
            moments = {"exp_avg": parts[0][name].clone(), "exp_avg_sq": parts[1][name].clone()}
            adam.state[leaf] = {"step": slots[-1].clone()} | moments
        return adam
    sgd = torch.optim.SGD(leaves.values(), momentum=training.momentum, **settings)
    for name, leaf in leaves.items():
        if training.momentum:
            sgd.state[leaf] = {"momentum_buffer": parts[0][name].clone()}
    return sgd


def _slots_of(
    training: Training, layout: Layout, leaves: dict[str, Tensor], state: dict[Tensor, Any]
) -> list[Tensor]:
    """Read a torch optimiser's state back into slots."""
    adam = training.optimizer == "adam"
    names = ("exp_avg", "exp_avg_sq") if adam else ("momentum_buffer",) if training.momentum else ()
    parts = [layout.flat({n: state[leaf][part] for n, leaf in leaves.items()}) for part in names]
    return [*parts, *([next(iter(state.values()))["step"].reshape(1)] if adam else [])]


def _places(training: Training, size: int, key: Tensor, step: int) -> Tensor:
    """The places in the shard of one model's examples in one step."""
    if training.batch_size is None:
        return torch.arange(size, device=key.device)
    order = draws.permutation(draws.fold(key, "minibatches"), size)
    place = torch.arange(training.batch_size, device=key.device)
    return order[(step * training.batch_size + place) % size]


def _examples(
    training: Training, shards: Shards, key: Tensor, step: int, number: int
) -> tuple[Tensor, Tensor]:
    """The examples of model ``number`` in one step, augmented where the training wants it."""
    rows = shards.index[_places(training, int(shards.size), key, step)]
    x, own = shards.x[rows], draws.fold(key[None], "augment", step)
    if training.augment is not None:
        x = training.augment(x[None], own, torch.full_like(own, number))[0]
    return x, shards.y[rows]


def _tension(theta: Tensor, pull: Pull, number: int) -> Tensor:
    """The term of the pull in the loss of model ``number``."""
    return 0.5 * pull.strength[number] * (theta - pull.centre[number]).square().sum()


def _train_one(
    learner: Any,
    params: Tensor,
    slots: Tensor,
    shards: Shards,
    effort: float,
    key: Tensor,
    number: int,
    pull: Pull | None,
) -> tuple[Tensor, Tensor]:
    """One model's round; shards have no owner axis."""
    training, layout = learner.training, learner.layout
    leaves = {name: view.clone().requires_grad_() for name, view in layout.views(params).items()}
    optimizer = _optimizer(training, layout, leaves, slots)
    steps = math.ceil(effort * training.steps - DUST)
    for step in range(steps):
        weight = min(effort * training.steps - step, 1.0)
        x, y = _examples(training, shards, key, step, number)
        outputs = learner.forward(leaves, x)
        before = {name: leaf.detach().clone() for name, leaf in leaves.items()}
        optimizer.zero_grad()
        loss = OBJECTIVES[learner.task].losses(outputs.mT, y).mean()
        (loss if pull is None else loss + _tension(layout.flat(leaves), pull, number)).backward()
        optimizer.step()
        for name, leaf in leaves.items():
            leaf.data = before[name] + weight * (leaf.data - before[name])
    if not steps:
        return params.clone(), slots.clone()
    parts = _slots_of(training, layout, leaves, optimizer.state)
    new = layout.flat({name: leaf.detach() for name, leaf in leaves.items()})
    return new, torch.cat([slots[:0], *parts])


@full_precision()
def loop_train(
    learner: Any,
    params: Float[Tensor, "models params"],
    slots: Float[Tensor, "models slots"],
    shards: Shards,
    effort: Float[Tensor, "models"],
    keys: Int[Tensor, "models"],
    pull: Pull | None = None,
) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
    """Train models one by one with autograd and torch.optim, as ``learner.train`` does.

    learner: any learner of this room (its layout, task, training and ``forward``)
    shards:  owners [models]
    pull:    its term is added to the loss of autograd

    A step of weight w ends at params + w * (where torch's step ends - params). Slow: for tests and
    benchmarks, on a CPU.
    """
    new_params, new_slots = [], []
    for i, share in enumerate(effort.double().tolist()):
        own = Shards(shards.x, shards.y, shards.index[i], shards.size[i])
        one = _train_one(learner, params[i], slots[i], own, share, keys[i], i, pull)
        new_params.append(one[0])
        new_slots.append(one[1])
    return torch.stack(new_params), torch.stack(new_slots)
