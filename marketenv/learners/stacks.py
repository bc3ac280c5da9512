"""The working copy of a round: every tensor of every model as one stack, sorted by effort.

Matrix products over a batch take MKL's batched path only when they write to contiguous memory.
Views into the flat bank are not contiguous, and products of small matrices into them ran 2 to 4
times slower, so small tensors get stacks of their own, which are joined at the end. For large ones
a loop over models is as fast, and a copy is slow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.bank import Layout
from marketenv.learners.optimizers import Buffers, Optimizer
from marketenv.learners.training import Pull, Step

LARGE = 2**17  # a tensor of so many numbers stays inside the bank


def _loosen(views: dict[str, Tensor]) -> dict[str, Tensor]:
    """Small views as contiguous copies, large ones as they are."""
    stacks = {}
    for name, view in views.items():
        small = math.prod(view.shape[1:]) < LARGE
        stacks[name] = view.clone(memory_format=torch.contiguous_format) if small else view
    return stacks


@dataclass(frozen=True)
class Stacks:
    """Parameters and optimiser buffers of one round, owned by it and changed in place.

    order:  number of the model at each place; None: in its own order        [models]
    params, slots: the new banks, models in that order   [models, params], [models, slots]
    theta:  each tensor of all models, by name                               [models, *shape]
    buffers: the optimiser's, of each tensor                                 each [models, *shape]
    count:  steps that each model has begun, where the optimiser counts      [models, counters]
    pull:   draws each model to a point of its own, models in that order; None: there is no pull
    """

    layout: Layout
    order: Int[Tensor, "models"] | None
    params: Float[Tensor, "models params"]
    slots: Float[Tensor, "models slots"]
    theta: dict[str, Tensor]
    buffers: dict[str, Buffers]
    count: Float[Tensor, "models counters"]
    pull: Pull | None = None

    def drift(self, name: str, step: Step) -> Tensor:
        """The pull's term of a tensor's gradient: strength * (theta - centre) [active, *shape].

        It is contiguous and new.
        """
        assert self.pull is not None
        theta = self.theta[name][: step.active]
        centre = self.pull.centre[: step.active, self.layout.slices[name]]
        strength = self.pull.strength[: step.active, None]
        return theta.flatten(1).sub(centre).mul_(strength).view(theta.shape)

    def pulled(self, name: str, gradient: Float[Tensor, "active *shape"], step: Step) -> Tensor:
        """A tensor's gradient with the pull's term; itself without a pull."""
        return gradient if self.pull is None else self.drift(name, step).add_(gradient)

    def part(self, some: slice) -> Stacks:
        """Some of the models, which change with it in place."""
        return Stacks(
            self.layout,
            None if self.order is None else self.order[some],
            self.params[some],
            self.slots[some],
            {name: tensor[some] for name, tensor in self.theta.items()},
            {name: tuple(b[some] for b in buffers) for name, buffers in self.buffers.items()},
            self.count[some],
            None if self.pull is None else Pull(self.pull.centre[some], self.pull.strength[some]),
        )

    def begin(self, step: Step) -> Tensor:
        """Count the step for the models that take part in it, and return their counts [active].

        They are empty where the optimiser counts no steps.
        """
        return self.count[: step.active].add_(1.0).flatten()

    def close(self) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
        """Join the stacks into the new flat (params, slots), in the models' own order."""
        by_buffer = _by_buffer(self.buffers)
        homes = [self.layout.views(self.params), *_buffers(self.layout, self.slots, len(by_buffer))]
        for home, stacks in zip(homes, [self.theta, *by_buffer], strict=True):
            for name, view in home.items():
                if stacks[name].data_ptr() != view.data_ptr():
                    view.copy_(stacks[name])
        if self.order is None:
            return self.params, self.slots
        back = self.order.argsort()
        return self.params[back], self.slots[back]


def _buffers(layout: Layout, slots: Tensor, count: int) -> list[dict[str, Tensor]]:
    """Views of the optimiser's parameter-shaped buffers in the slots."""
    return [layout.views(slots[:, b * layout.size : (b + 1) * layout.size]) for b in range(count)]


def _by_buffer(buffers: dict[str, Buffers]) -> list[dict[str, Tensor]]:
    """Turn (tensor -> its buffers) into one (tensor -> buffer) per buffer."""
    by_buffer = zip(*buffers.values(), strict=True)
    return [dict(zip(buffers, tensors, strict=True)) for tensors in by_buffer]


def open_stacks(
    layout: Layout,
    optimizer: Optimizer,
    params: Tensor,
    slots: Tensor,
    order: Tensor | None,
    pull: Pull | None = None,
) -> Stacks:
    """Copy flat parameters, slots and pull, in this order (None: as they are), as stacks."""
    params, slots = (t.clone() if order is None else t[order] for t in (params, slots))
    stacks = [_loosen(views) for views in _buffers(layout, slots, optimizer.buffers)]
    buffers = {name: tuple(stack[name] for stack in stacks) for name, _ in layout.shapes}
    count = slots[:, optimizer.buffers * layout.size :]
    theta = _loosen(layout.views(params))
    pull = None if pull is None else pull.ordered(order, params.dtype)
    return Stacks(layout, order, params, slots, theta, buffers, count, pull)
