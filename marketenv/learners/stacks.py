"""The working copy of a round: every tensor of every model as a contiguous stack, sorted by effort.

Matrix products over a batch take MKL's batched path only when they write to contiguous memory. Views into the flat
bank are not contiguous, and products into them ran 1.2 to 3.6 times slower here, so a round works on stacks of its
own and joins them at its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.bank import Layout
from marketenv.learners.optimizers import Held, Optimizer
from marketenv.learners.training import Step


def _split(layout: Layout, flat: Tensor, order: Tensor | None) -> dict[str, Tensor]:
    views = layout.views(flat).items()
    if order is None:
        return {name: view.clone(memory_format=torch.contiguous_format) for name, view in views}
    return {name: view.index_select(0, order) for name, view in views}


def _join(layout: Layout, stacks: dict[str, Tensor], flat: Tensor, order: Tensor | None) -> None:
    for name, view in layout.views(flat).items():
        if order is None:
            view.copy_(stacks[name])
        else:
            view.index_copy_(0, order, stacks[name])


@dataclass(frozen=True)
class Stacks:
    """Parameters and optimiser buffers of one round, owned by it and changed in place.

    order: which model stands at each place, None where none moved    [models]
    theta: each tensor of all models                                  [models, *shape] by name
    held:  the optimiser's buffers of each tensor                     each [models, *shape]
    count: steps that each model has begun, where the optimiser counts    [models, counters]
    """

    layout: Layout
    order: Int[Tensor, "models"] | None
    theta: dict[str, Tensor]
    held: dict[str, Held]
    count: Float[Tensor, "models counters"]

    def begin(self, step: Step) -> Tensor:
        """Count the step for the models that take part in it; returns their counts [active] (empty if none are kept)."""
        return self.count[: step.active].add_(1.0).flatten()

    def close(self) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
        """Join the stacks into new flat (params, slots) in the models' own order."""
        n, size = self.count.shape[0], self.layout.size
        buffers = len(next(iter(self.held.values())))
        any_theta = next(iter(self.theta.values()))
        params = any_theta.new_empty(n, size)
        slots = any_theta.new_empty(n, buffers * size + self.count.shape[1])
        _join(self.layout, self.theta, params, self.order)
        for b in range(buffers):
            stacks = {name: held[b] for name, held in self.held.items()}
            _join(self.layout, stacks, slots[:, b * size : (b + 1) * size], self.order)
        tail = Layout((("count", (self.count.shape[1],)),))
        _join(tail, {"count": self.count}, slots[:, buffers * size :], self.order)
        return params, slots


def open_stacks(layout: Layout, optimizer: Optimizer, params: Tensor, slots: Tensor, order: Tensor | None) -> Stacks:
    """Copy flat parameters and slots into stacks of their own, in the given order."""
    size = layout.size
    buffers = [_split(layout, slots[:, b * size : (b + 1) * size], order) for b in range(optimizer.buffers)]
    held = {name: tuple(buffer[name] for buffer in buffers) for name, _ in layout.shapes}
    count = _split(Layout((("count", (optimizer.counters,)),)), slots[:, optimizer.buffers * size :], order)["count"]
    return Stacks(layout, order, _split(layout, params, order), held, count)
