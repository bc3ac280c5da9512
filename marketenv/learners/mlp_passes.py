"""Passes over stacked perceptrons in training: forward, then backward."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.learners.objectives import Objective
from marketenv.learners.optimizers import Optimizer
from marketenv.learners.stacks import Stacks
from marketenv.learners.training import Step

CACHE = 2**23  # bytes on which steps of a CPU run fastest


def at_once(widths: tuple[int, ...], batch: int, stacks: Stacks, optimizer: Optimizer) -> int:
    """How many models to train at once: on a CPU those that fit its cache, elsewhere all.

    widths: numbers that enter and leave each layer, as in ``MLP.widths``
    batch:  examples of a step
    """
    if stacks.params.device.type != "cpu":
        return max(1, len(stacks.params))
    pulled = stacks.pull is not None  # which takes its centre, and the gradient that it joins
    copies = 1 + optimizer.buffers + 2 * pulled
    numbers = copies * stacks.layout.size + batch * sum((*widths, *widths[1:-1]))
    return max(1, CACHE // (4 * numbers))


def workspace(widths: tuple[int, ...], x: Float[Tensor, "models batch features"]) -> list[Tensor]:
    """Memory for each layer's outputs and, for hidden layers, their slopes.

    widths: numbers that enter and leave each layer, as in ``MLP.widths``
    Returns tensors [models, width, batch].
    """
    shapes = [(x.shape[0], width, x.shape[1]) for width in (*widths[1:], *widths[1:-1])]
    return [x.new_empty(shape) for shape in shapes]


@dataclass(frozen=True, eq=False)
class Descent:
    """Steps of one round of training: forward, then backward; a layer moves in its own product.

    layers:    names of each layer's weight and bias, input first
    objective: of the training
    stacks:    the models' parameters and optimiser buffers, changed in place
    optimizer: changes them
    space:     memory of ``workspace``, overwritten by every step
    """

    layers: tuple[tuple[str, ...], ...]
    objective: Objective
    stacks: Stacks
    optimizer: Optimizer
    space: list[Tensor]

    def take(self, step: Step, x: Tensor, y: Tensor, share: Tensor) -> None:
        """Take one step with all models that take part in it."""
        depth, count = len(self.layers), self.stacks.begin(step)
        theta, space = self.stacks.theta, [s[: step.active] for s in self.space]
        weights = [theta[w][: step.active] for w, _ in self.layers]
        biases = [theta[b][: step.active, :, None] for _, b in self.layers]
        # examples stand last: the next product then reads in the order in which one writes, and
        # softmax goes along rows
        values = [x.mT]
        for i in range(depth):
            values.append(torch.baddbmm(biases[i], weights[i], values[i], out=space[i]))
            if i < depth - 1:
                values[-1].relu_()
        slope = self.objective.slope(values[-1], y).mul_(share[:, None])
        ones = x.new_ones(1, x.shape[1], 1).expand(step.active, -1, -1)
        for i in reversed(range(depth)):
            below = _slope_below(weights[i], slope, values[i], space[depth + i - 1]) if i else slope
            self._descend(self.layers[i][0], slope, values[i].mT, step, count)
            self._descend(self.layers[i][1], slope, ones, step, count)
            slope = below

    def _descend(self, name: str, left: Tensor, right: Tensor, step: Step, count: Tensor) -> None:
        """Move a tensor against left @ right inside that product.

        Where models are pulled, the sum of product and pull is computed first.
        """
        stacks, shape = self.stacks, (*left.shape[:2], -1)
        theta = stacks.theta[name][: step.active].view(shape)
        buffers = tuple(buffer[: step.active].view(shape) for buffer in stacks.buffers[name])
        if stacks.pull is None:
            self.optimizer.descend_product(theta, buffers, left, right, step, count)
        else:
            gradient = stacks.drift(name, step).view_as(theta).baddbmm_(left, right)
            self.optimizer.descend(theta, buffers, gradient, step, count)


def _slope_below(weight: Tensor, slope: Tensor, value: Tensor, out: Tensor) -> Tensor:
    """Pass the slope through a layer's weight and the ReLU below it, into ``out``."""
    torch.bmm(weight.mT, slope, out=out)
    return torch.ops.aten.threshold_backward.grad_input(out, value, 0, grad_input=out)
