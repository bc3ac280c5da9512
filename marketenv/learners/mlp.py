"""Multilayer perceptrons as stacked matrix products, with a backward pass written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import slices
from marketenv.core.bank import Layout
from marketenv.core.checks import Check, check_fields, choice, each, or_none, whole
from marketenv.core.precision import full_precision
from marketenv.core.shards import Shards
from marketenv.learners import exams, objectives
from marketenv.learners.exams import Exam
from marketenv.learners.feed import Feed, open_feed
from marketenv.learners.mlp_passes import Descent, at_once, workspace
from marketenv.learners.mlp_scores import Scorer
from marketenv.learners.optimizers import optimizer_of, slot_count
from marketenv.learners.protocol import FirstLinear, Permutations, Scores
from marketenv.learners.randomness import check_augment
from marketenv.learners.stacks import open_stacks
from marketenv.learners.training import (
    DEFAULT,
    Pull,
    Training,
    check_round,
    parts_of,
    schedule,
)

# inputs of a layer -> (bound of its weights, bound of its biases), both drawn uniformly
INITS: dict[str, Callable[[int], tuple[float, float]]] = {
    # variance 2 / inputs (He et al., ICCV 2015, eq. 10)
    "he": lambda inputs: (math.sqrt(6.0 / inputs), 0.0),
    "torch": lambda inputs: (inputs**-0.5, inputs**-0.5),  # those of torch.nn.Linear
}


_WIDTHS = " such as (32,); () is a linear model"
_FIELDS: dict[str, Check] = {
    "hidden": partial(each, check=partial(whole, least=1), wanted="widths", fix=_WIDTHS),
    "init_rule": partial(choice, known=INITS),
    "memory": or_none(whole, least=1, fix=": bytes, or None"),
}


@dataclass(frozen=True)
class MLP:
    """Train and score stacks of ReLU networks, every layer of all models as one batched product.

    h_0 = x;  h_l = max(W_l h_{l-1} + b_l, 0);  outputs = W_L h_{L-1} + b_L

    Loss: cross-entropy of softmax(outputs), or half the squared error. Weights are [out, in],
    biases [out], named ``layer0.weight``, ``layer0.bias``, ``layer1.weight``, ...; ``hidden=()`` is
    a linear model with bias.

    feature_shape: shape of one example, flattened
    n_outputs:     classes, or 1;   task: "classification" | "regression"
    hidden:        width of each hidden layer;   init_rule: a name of INITS
    memory:        bytes of temporaries in scores; None: 256 MiB, but 8 MiB on a CPU, where they
                   then stay in its cache and scoring is twice as fast

    Raises ValueError for an unknown task, init or optimiser and for widths below 1.

    >>> mlp = MLP((4,), 3, "classification", Training(steps=2), hidden=(8,))
    >>> mlp.layout.size, mlp.permutations
    (67, {'hidden0': (('layer0.weight', 0), ('layer0.bias', 0), ('layer1.weight', 1))})
    """

    feature_shape: tuple[int, ...]
    n_outputs: int
    task: str
    training: Training = DEFAULT
    hidden: tuple[int, ...] = (32,)
    init_rule: str = "he"
    memory: int | None = None

    def __post_init__(self) -> None:
        objectives.check_task(self)
        check_fields(self, _FIELDS)
        optimizer_of(self.training)
        check_augment(self.training.augment, self.feature_shape)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Numbers that enter and leave each layer: inputs, hidden widths, outputs."""
        return (math.prod(self.feature_shape), *self.hidden, self.n_outputs)

    @cached_property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """Names of each layer's weight and bias, input first."""
        return tuple((f"layer{i}.weight", f"layer{i}.bias") for i in range(len(self.widths) - 1))

    @cached_property
    def layout(self) -> Layout:
        """Where weights and biases lie in the flat parameters."""
        pairs = zip(self.layers, self.widths[:-1], self.widths[1:], strict=True)
        return Layout(tuple(item for (w, b), n, m in pairs for item in ((w, (m, n)), (b, (m,)))))

    @cached_property
    def permutations(self) -> Permutations:
        """Units of each hidden layer: rows of its weight and bias, columns of the next weight."""
        pairs = enumerate(zip(self.layers[:-1], self.layers[1:], strict=True))
        return {f"hidden{i}": ((w, 0), (b, 0), (after, 1)) for i, ((w, b), (after, _)) in pairs}

    @property
    def slots(self) -> int:
        """Optimiser numbers per model."""
        return slot_count(self.training, self.layout.size)

    def init(self, keys: Int[Tensor, "models"]) -> Float[Tensor, "models params"]:
        """Draw weights and biases uniformly within the bounds of ``init_rule``; a model per key."""
        parts, widths = [], zip(self.layers, self.widths[:-1], self.widths[1:], strict=True)
        for names, inputs, outputs in widths:
            bounds, sizes = INITS[self.init_rule](inputs), (outputs * inputs, outputs)
            for name, bound, size in zip(names, bounds, sizes, strict=True):
                chance = draws.uniform(draws.fold(keys, "init", name), size)
                parts.append(bound * (2.0 * chance - 1.0))
        return torch.cat(parts, 1).float()

    def fresh_slots(
        self, n_models: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "models slots"]:
        """Optimiser numbers before the first step: zeros."""
        return torch.zeros(n_models, self.slots, dtype=torch.float32, device=device)

    def prepare(self, shards: Shards) -> Shards:
        """Check the models' data; minibatches are drawn from the data as they are."""
        shards = objectives.check_shards(shards, self.feature_shape, self.n_outputs, self.task)
        return Shards(shards.x.flatten(1), shards.y, shards.index, shards.size)

    @full_precision()
    def train(
        self,
        params: Float[Tensor, "models params"],
        slots: Float[Tensor, "models slots"],
        material: Shards,
        effort: Float[Tensor, "models"],
        keys: Int[Tensor, "models"],
        pull: Pull | None = None,
    ) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
        """Train every model for one round of steps; a model of effort 0 does not change.

        A step's weight below 1 scales its move; momentum and Adam's means advance by whole steps.
        On a CPU as many models as its cache holds take all their steps before the next ones begin.
        """
        check_round(self.layout.size, self.slots, params, slots, effort, keys, pull)
        optimizer = optimizer_of(self.training)
        with torch.no_grad():
            order, steps = schedule(effort, self.training.steps)
            stacks = open_stacks(self.layout, optimizer, params, slots, order, pull)
            objective, batch = objectives.OBJECTIVES[self.task], self.training.batch_size
            width = at_once(self.widths, batch or material.index.shape[1], stacks, optimizer)
            for some in slices(len(params), width):
                feed = self._feed(material, order, keys, some)
                space = workspace(self.widths, feed.x)
                descent = Descent(self.layers, objective, stacks.part(some), optimizer, space)
                for step in parts_of(steps, some):
                    descent.take(step, *feed.batch(step))
            return stacks.close()

    def _feed(
        self,
        material: Shards,
        order: Int[Tensor, "models"] | None,
        keys: Int[Tensor, "models"],
        some: slice,
    ) -> Feed:
        """The examples of some of the models, which stand in ``order`` (None: as they are)."""
        if order is None and some.stop - some.start < len(keys):
            order = torch.arange(len(keys), device=keys.device)
        models, augment = None if order is None else order[some], self.training.augment
        return open_feed(
            material, self.training.batch_size, models, keys, augment, self.feature_shape
        )

    def forward(
        self, views: dict[str, Tensor], x: Float[Tensor, "batch *features"]
    ) -> Float[Tensor, "batch outputs"]:
        """Outputs of one model by plain torch, with which autograd can check the backward pass."""
        value = x.flatten(1)
        for i, (w, b) in enumerate(self.layers):
            value = value @ views[w].mT + views[b]
            value = value.relu() if i < len(self.layers) - 1 else value
        return value

    def exam(self, shards: Shards) -> Exam:
        """Gather each owner's examples; owners [markets], or [1] to be shared by all markets."""
        return exams.exam_of(self.prepare(shards))

    def scores(self, params: Float[Tensor, "markets k params"], exam: Exam) -> Scores:
        """Score k models of every market: mean loss, and share of right labels or R^2."""
        return self._scorer.scores(params, exam)

    def losses(
        self, params: Float[Tensor, "markets k params"], exam: Exam
    ) -> Float[Tensor, "markets k"]:
        """Mean losses alone, equal to those of ``scores`` and a fifth faster.

        A search for weights needs nothing else.
        """
        return self._scorer.scores(params, exam, graded=False).loss

    def class_scores(
        self, params: Float[Tensor, "markets k params"], exam: Exam, sizes: tuple[int, ...]
    ) -> Scores:
        """Scores on each class of a shared exam in one pass, as ``ByClass`` says."""
        exams.check_sizes(exam, sizes)
        return self._scorer.scores(params, exam, sizes=sizes)

    @property
    def first_linear(self) -> FirstLinear:
        """How models are scored in two parts: the first layer, and all that follows."""
        scorer = self._scorer
        return FirstLinear(self.layers[0], scorer.first, scorer.rest, scorer.at_once)

    @cached_property
    def _scorer(self) -> Scorer:
        objective = objectives.OBJECTIVES[self.task]
        return Scorer(self.layers, self.layout, self.widths, objective, self.memory)
