"""The working copy of a round: every tensor of every model as one stack, sorted by effort.

Matrix products over a batch take MKL's batched path only when they write to contiguous memory.
Views into the flat bank are not contiguous, and products of small matrices into them ran 2 to 4
times slower, so small tensors are worked on in stacks of their own and joined at the end. For large
ones a loop over models is as fast, and the copy is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.bank import Layout
from marketenv.learners.optimizers import Held, Optimizer
from marketenv.learners.training import Pull, Step

LARGE = 2**17  # numbers of a tensor from which it is worked on inside the bank


def _loosen(views: dict[str, Tensor]) -> dict[str, Tensor]:
    """Small views as contiguous copies, large ones as they are."""
    return {
        name: (
            v if math.prod(v.shape[1:]) >= LARGE else v.clone(memory_format=torch.contiguous_format)
        )
        for name, v in views.items()
    }


@dataclass(frozen=True)
class Stacks:
    """Parameters and optimiser buffers of one round, owned by it and changed in place.

    order:  which model stands at each place, None where none moved           [models]
    params, slots: the new banks, models in that order   [models, params], [models, slots]
    theta:  each tensor of all models   [models, *shape] by name
    held:   the optimiser's buffers of each tensor                            each [models, *shape]
    count:  steps that each model has begun, where the optimiser counts       [models, counters]
    pull:   what draws each model to a point of its own, models in that order; None where nothing
            does
    """

    layout: Layout
    order: Int[Tensor, "models"] | None
    params: Float[Tensor, "models params"]
    slots: Float[Tensor, "models slots"]
    theta: dict[str, Tensor]
    held: dict[str, Held]
    count: Float[Tensor, "models counters"]
    pull: Pull | None = None

    def drift(self, name: str, step: Step) -> Tensor:
        """What the pull adds to a tensor's gradient, strength * (theta - centre) [active,
        *shape], contiguous and new.
        """
        assert self.pull is not None
        theta, centre = (
            self.theta[name][: step.active],
            self.pull.centre[: step.active, self.layout.slices[name]],
        )
        return (
            theta.flatten(1)
            .sub(centre)
            .mul_(self.pull.strength[: step.active, None])
            .view(theta.shape)
        )

    def pulled(self, name: str, gradient: Float[Tensor, "active *shape"], step: Step) -> Tensor:
        """A tensor's gradient with what the pull adds to it; itself where nothing does."""
        return gradient if self.pull is None else self.drift(name, step).add_(gradient)

    def begin(self, step: Step) -> Tensor:
        """Count the step for the models that take part in it; returns their counts [active]
        (empty if none are kept).
        """
        return self.count[: step.active].add_(1.0).flatten()

    def close(self) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
        """Join the stacks into the new flat (params, slots), in the models' own order."""
        held = _by_buffer(self.held)
        homes = [self.layout.views(self.params), *_buffers(self.layout, self.slots, len(held))]
        for home, stacks in zip(homes, [self.theta, *held], strict=True):
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


def _by_buffer(held: dict[str, Held]) -> list[dict[str, Tensor]]:
    """Turn (tensor -> its buffers) into one (tensor -> buffer) per buffer."""
    return [dict(zip(held, buffers, strict=True)) for buffers in zip(*held.values(), strict=True)]


def open_stacks(
    layout: Layout,
    optimizer: Optimizer,
    params: Tensor,
    slots: Tensor,
    order: Tensor | None,
    pull: Pull | None = None,
) -> Stacks:
    """Copy flat parameters and slots, in the given order, and open them as stacks; a pull is
    sorted likewise, once.
    """
    params, slots = (t.clone() if order is None else t[order] for t in (params, slots))
    buffers = [_loosen(views) for views in _buffers(layout, slots, optimizer.buffers)]
    held = {name: tuple(buffer[name] for buffer in buffers) for name, _ in layout.shapes}
    count = slots[:, optimizer.buffers * layout.size :]
    theta = _loosen(layout.views(params))
    return Stacks(
        layout,
        order,
        params,
        slots,
        theta,
        held,
        count,
        None if pull is None else pull.ordered(order, params.dtype),
    )
