"""Linear regression without bias, trained and scored through its Gram matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.checks import check_fields, choice
from marketenv.core.precision import full_precision
from marketenv.core.shards import Shards
from marketenv.learners import exams, objectives
from marketenv.learners.optimizers import optimizer_of, slot_count
from marketenv.learners.protocol import Permutations, Scores
from marketenv.learners.stacks import open_stacks
from marketenv.learners.training import DEFAULT, Pull, Training, check_round, schedule

# (keys [models], features) -> parameters float64 [models, features]
INITS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "zeros": lambda keys, d: torch.zeros(*keys.shape, d, dtype=torch.float64, device=keys.device),
    "normal": lambda keys, d: draws.normal(draws.fold(keys, "init"), d),
}


@dataclass(frozen=True)
class Gram:
    """The statistics that fix a linear model's loss: n examples X [n, d], y [n] of each owner.

    gram:   X^T X / n    [owners, d, d]        cross: X^T y / n    [owners, d]
    energy: y^T y / n    [owners]              mean:  sum(y) / n   [owners]
    """

    gram: Float[Tensor, "owners d d"]
    cross: Float[Tensor, "owners d"]
    energy: Float[Tensor, "owners"]
    mean: Float[Tensor, "owners"]

    def select(self, owners: Int[Tensor, "some"]) -> Gram:
        """The statistics of some owners, in their order."""
        return Gram(self.gram[owners], self.cross[owners], self.energy[owners], self.mean[owners])

    def joined(self, other: Gram) -> Gram:
        """The statistics of these owners and then of others."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in vars(self))
        return Gram(*(torch.cat(pair) for pair in pairs))


def _moments(x: Tensor, y: Tensor, index: Tensor, size: Tensor) -> list[Tensor]:
    mask = torch.arange(index.shape[1], device=index.device) < size[:, None]
    rows, targets = (x[index] * mask[..., None]).double(), (y[index] * mask).double()
    n = size.double()
    gram, cross = rows.mT @ rows, (rows.mT @ targets[..., None]).squeeze(-1)
    energy, mean = targets.square().sum(1) / n, targets.sum(1) / n
    return [gram / n[:, None, None], cross / n[:, None], energy, mean]


def gram_of(shards: Shards, memory: int = 2**28) -> Gram:
    """Compute each owner's statistics in float64; at most ``memory`` bytes of examples at once.

    >>> rows = torch.tensor([[0, 1]])
    >>> stats = gram_of(Shards(torch.eye(2), torch.tensor([3.0, 4.0]), rows, torch.tensor([2])))
    >>> stats.cross, stats.energy
    (tensor([[1.5000, 2.0000]], dtype=torch.float64), tensor([12.5000], dtype=torch.float64))
    """
    x = shards.x.flatten(1)
    at_once = max(1, memory // (16 * x.shape[1] * shards.index.shape[1]))
    blocks = zip(shards.index.split(at_once), shards.size.split(at_once), strict=True)
    moments = [_moments(x, shards.y, index, size) for index, size in blocks]
    return Gram(*(torch.cat(parts) for parts in zip(*moments, strict=True)))


@dataclass(frozen=True)
class Linear:
    """Train and score stacks of linear regressions y = x . theta by full-batch steps.

    loss = |X theta - y|^2 / (2 n) = (theta^T G theta - 2 c^T theta + e) / 2,
    gradient = G theta - c with G = X^T X / n, c = X^T y / n, e = y^T y / n;
    accuracy = R^2 = 1 - MSE / variance of y, clipped below at 0.

    A round costs d^2 per step whatever n is. ``init_rule`` "zeros" starts at 0, "normal" at
    standard normal numbers.

    Raises ValueError for a task other than "regression" and for minibatches and augmentation, which
    a Gram matrix cannot give.

    Source: Huang, Vishwakarma, Sala, NeurIPS 2023, linear experiment (that the gradient is that of
    half the MSE is our inference: it replays Fig. 3).

    >>> linear = Linear((2,), 1, "regression", Training(learning_rate=0.5, steps=1))
    >>> x, y, rows = torch.eye(2), torch.tensor([3.0, 4.0]), torch.tensor([[0, 1]])
    >>> data = linear.prepare(Shards(x, y, rows, torch.tensor([2])))
    >>> params, slots = torch.zeros(1, 2), linear.fresh_slots(1)
    >>> linear.train(params, slots, data, torch.ones(1), torch.tensor([0]))[0]
    tensor([[0.7500, 1.0000]])
    """

    feature_shape: tuple[int, ...]
    n_outputs: int
    task: str
    training: Training = DEFAULT
    init_rule: str = "zeros"

    def __post_init__(self) -> None:
        objectives.check_task(self)
        check_fields(self, {"init_rule": partial(choice, known=INITS)})
        optimizer_of(self.training)
        if self.task != "regression":
            raise ValueError(
                f"task is {self.task!r}, but 'linear' is a regression; use learner 'mlp' with"
                " hidden=()."
            )
        if self.training.batch_size is not None:
            raise ValueError(
                f"batch_size is {self.training.batch_size}, but 'linear' trains on whole shards;"
                " pass training=Training(batch_size=None)."
            )
        if self.training.augment is not None:
            raise ValueError(
                "training.augment is set, but 'linear' sees its examples once, as a Gram matrix;"
                " pass None."
            )

    layers = (("weight",),)

    @cached_property
    def layout(self) -> Layout:
        """One tensor, ``weight`` [d]."""
        return Layout((("weight", (math.prod(self.feature_shape),)),))

    @property
    def permutations(self) -> Permutations:
        """Nothing can be permuted: two linear models are aligned as they are."""
        return {}

    @property
    def slots(self) -> int:
        """Optimiser numbers per model."""
        return slot_count(self.training, self.layout.size)

    def init(self, keys: Int[Tensor, "models"]) -> Float[Tensor, "models params"]:
        """Start at zeros, or at standard normal numbers; one model per key."""
        return INITS[self.init_rule](keys, self.layout.size).float()

    def fresh_slots(
        self, n_models: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "models slots"]:
        """Optimiser numbers before the first step: zeros."""
        return torch.zeros(n_models, self.slots, dtype=torch.float32, device=device)

    def prepare(self, shards: Shards) -> Gram:
        """Statistics of every model's data, float32."""
        return Gram(*(part.float() for part in vars(self.exam(shards)).values()))

    @full_precision()
    def train(
        self,
        params: Float[Tensor, "models params"],
        slots: Float[Tensor, "models slots"],
        material: Gram,
        effort: Float[Tensor, "models"],
        keys: Int[Tensor, "models"],
        pull: Pull | None = None,
    ) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
        """Take the round's steps theta - rate * weight * (G theta - c), with the pull's term.

        ``keys`` are not used.
        """
        check_round(self.layout.size, self.slots, params, slots, effort, keys, pull)
        optimizer = optimizer_of(self.training)
        with torch.no_grad():
            order, steps = schedule(effort, self.training.steps)
            stacks = open_stacks(self.layout, optimizer, params, slots, order, pull)
            data = material if order is None else material.select(order)
            for step in steps:
                n, count = step.active, stacks.begin(step)
                theta = stacks.theta["weight"][:n]
                product = torch.bmm(data.gram[:n], theta[..., None]).squeeze(-1)
                slope = stacks.pulled("weight", product.sub_(data.cross[:n]), step)
                buffers = tuple(buffer[:n] for buffer in stacks.buffers["weight"])
                optimizer.descend(theta, buffers, slope, step, count)
            return stacks.close()

    def forward(
        self, views: dict[str, Tensor], x: Float[Tensor, "batch *features"]
    ) -> Float[Tensor, "batch outputs"]:
        """Outputs of one model by plain torch, with which autograd can check the gradient."""
        return x.flatten(1) @ views["weight"][:, None]

    def exam(self, shards: Shards) -> Gram:
        """Statistics of each owner's data in float64.

        The loss is a small difference of large numbers.
        """
        shards = objectives.check_shards(shards, self.feature_shape, self.n_outputs, self.task)
        return gram_of(shards)

    @full_precision()
    def scores(self, params: Float[Tensor, "markets k params"], exam: Gram) -> Scores:
        """Score k models of every market by the quadratic form: half the MSE, and R^2."""
        exams.check_exam(params, self.layout.size, exam.gram.shape[0])
        theta, cross = params.double(), exam.cross[:, None]
        energy, variance = exam.energy[:, None], (exam.energy - exam.mean.square())[:, None]
        mse = ((theta @ exam.gram - 2.0 * cross) * theta).sum(-1).add(energy).clamp(min=0.0)
        explained = torch.where(variance > 0, 1.0 - mse / variance, 0.0).clamp(min=0.0)
        return exams.finite(params, 0.5 * mse, explained)
