"""Optimisers that move stacks of models in place, by a gradient or by the product that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from marketenv.core.lookup import lookup
from marketenv.learners.training import Step, Training

Buffers = tuple[Tensor, ...]  # of one tensor, each of its shape


@runtime_checkable
class Optimizer(Protocol):
    """Moves stacks of models [active, *shape] in place.

    A step's weight scales the move; buffers advance by whole steps.

    buffers:  numbers per parameter, such as its velocity
    counters: further numbers per model (Adam's count of steps)
    """

    @property
    def buffers(self) -> int:
        """Numbers per parameter."""
        ...

    @property
    def counters(self) -> int:
        """Further numbers per model."""
        ...

    def descend(
        self, theta: Tensor, buffers: Buffers, gradient: Tensor, step: Step, count: Tensor
    ) -> None:
        """Move theta [active, *shape] against its gradient.

        count: steps that each model has begun   [active]
        """
        ...

    def descend_product(
        self,
        theta: Tensor,
        buffers: Buffers,
        left: Tensor,
        right: Tensor,
        step: Step,
        count: Tensor,
    ) -> None:
        """Move theta [active, m, n] against the gradient left @ right.

        left: [active, m, b];   right: [active, b, n]
        """
        ...


def _move(theta: Tensor, direction: Tensor, rate: float, step: Step) -> None:
    """theta -= rate * weight * direction."""
    if step.partial:
        theta.addcmul_(direction, step.shaped(theta), value=-rate)
    else:
        theta.add_(direction, alpha=-rate)


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum if it is not 0, as torch.optim.SGD without dampening.

    velocity = momentum * velocity + gradient + weight_decay * theta;
    theta -= learning_rate * weight * velocity
    """

    training: Training
    counters: int = 0

    @property
    def buffers(self) -> int:
        """The velocity, when there is momentum."""
        return int(self.training.momentum > 0)

    def _follow(self, theta: Tensor, velocity: Tensor, step: Step) -> None:
        if self.training.weight_decay:
            velocity.add_(theta, alpha=self.training.weight_decay)
        _move(theta, velocity, self.training.learning_rate, step)

    def _decay(self, theta: Tensor, step: Step) -> float:
        """The factor by which the next product has to shrink theta.

        It is 1 in a partial step, for which theta shrinks here.
        """
        factor = self.training.learning_rate * self.training.weight_decay
        if factor and step.partial:
            theta.mul_(1.0 - factor * step.shaped(theta))
        return 1.0 if step.partial else 1.0 - factor

    def descend(
        self, theta: Tensor, buffers: Buffers, gradient: Tensor, step: Step, count: Tensor
    ) -> None:
        """Move theta against a ready gradient."""
        if buffers:
            self._follow(theta, buffers[0].mul_(self.training.momentum).add_(gradient), step)
            return
        beta = self._decay(theta, step)
        theta = theta if beta == 1.0 else theta.mul_(beta)
        _move(theta, gradient, self.training.learning_rate, step)

    def descend_product(
        self,
        theta: Tensor,
        buffers: Buffers,
        left: Tensor,
        right: Tensor,
        step: Step,
        count: Tensor,
    ) -> None:
        """Move theta inside the product that makes its gradient, which is then never stored."""
        if buffers:
            self._follow(theta, buffers[0].baddbmm_(left, right, beta=self.training.momentum), step)
            return
        beta = self._decay(theta, step)
        left = left * step.shaped(left) if step.partial else left
        theta.baddbmm_(left, right, beta=beta, alpha=-self.training.learning_rate)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba, ICLR 2015, algorithm 1), with L2 weight decay as in torch.optim.Adam.

    mean = b1 mean + (1-b1) g;  square = b2 square + (1-b2) g^2
    theta -= learning_rate * weight * (mean / (1-b1^t)) / (sqrt(square / (1-b2^t)) + epsilon)
    """

    training: Training
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    buffers: int = 2
    counters: int = 1

    def descend(
        self, theta: Tensor, buffers: Buffers, gradient: Tensor, step: Step, count: Tensor
    ) -> None:
        """Move theta against a ready gradient."""
        mean, square = buffers
        if self.training.weight_decay:
            gradient = gradient.add(theta, alpha=self.training.weight_decay)
        mean.lerp_(gradient, 1.0 - self.beta1)
        square.mul_(self.beta2).addcmul_(gradient, gradient, value=1.0 - self.beta2)
        # the two bias corrections and the weight are numbers per model: they go into the
        # denominator, one pass for all
        rate = self.training.learning_rate * step.weight.double()
        inverse = (1.0 - self.beta1 ** count.double()) / rate
        slope = inverse / (1.0 - self.beta2 ** count.double()).sqrt()
        shape = (-1, *[1] * (theta.dim() - 1))
        floor = (self.epsilon * inverse).to(theta.dtype).view(shape)
        divisor = torch.addcmul(floor, square.sqrt(), slope.to(theta.dtype).view(shape))
        theta.addcdiv_(mean, divisor, value=-1.0)

    def descend_product(
        self,
        theta: Tensor,
        buffers: Buffers,
        left: Tensor,
        right: Tensor,
        step: Step,
        count: Tensor,
    ) -> None:
        """Move theta against the gradient left @ right."""
        self.descend(theta, buffers, torch.bmm(left, right), step, count)


OPTIMIZERS: dict[str, Callable[[Training], Optimizer]] = {"sgd": SGD, "adam": Adam}


def optimizer_of(training: Training) -> Optimizer:
    """Build a training's optimiser; ValueError for an unknown name, and for Adam with momentum."""
    optimizer = lookup(OPTIMIZERS, training.optimizer, "optimizer")(training)
    if training.momentum and not isinstance(optimizer, SGD):
        raise ValueError(
            f"momentum is {training.momentum} with optimizer {training.optimizer!r}, wanted 0: only"
            " SGD has it."
        )
    return optimizer


def slot_count(training: Training, size: int) -> int:
    """Optimiser numbers of one model with ``size`` parameters.

    >>> [slot_count(Training(optimizer=name), 7) for name in ("sgd", "adam")]
    [0, 15]
    >>> slot_count(Training(momentum=0.9), 7)
    7
    """
    optimizer = optimizer_of(training)
    return optimizer.buffers * size + optimizer.counters
