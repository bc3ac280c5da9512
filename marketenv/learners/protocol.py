"""The protocol of learners: local training and scoring of many models in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.bank import Layout
from marketenv.core.shards import Shards
from marketenv.learners.training import Pull

Permutations = dict[str, tuple[tuple[str, int], ...]]


class Scores(NamedTuple):
    """How well models do on an exam.

    loss:     mean loss; +inf for a model that is not finite      float32 [markets, k]
    accuracy: share of right labels, or R^2 clipped below at 0    float32 [markets, k]
    By class, both have a last axis more [markets, k, classes].
    """

    loss: Float[Tensor, "markets k *classes"]
    accuracy: Float[Tensor, "markets k *classes"]


class FirstLinear(NamedTuple):
    """How a learner scores models in two parts: its first layer, and all that follows.

    A model on the way from one to another has first outputs on the way between theirs:

    outputs((1 - a) own + a other) = (1 - a) outputs(own) + a outputs(other)

    names:   tensors of the first layer, the weight first
    outputs: (params [markets, k, params], exam) -> outputs of the first layer, before anything that
             is not linear [markets, k, units, ...]; a reordering of axis 0 of all tensors of the
             layer reorders the units alike
    losses:  (outputs, all other tensors by name [markets, k, *shape], exam) -> mean losses
             [markets, k], not finite where a model's is not; it may overwrite the outputs
    at_once: exam -> number of models whose losses are best computed in one call

    The exam has ``owners``, and ``part(start, stop)``, the exam of some of them, as those of
    ``marketenv.learners.exams`` have.
    """

    names: tuple[str, ...]
    outputs: Callable[[Tensor, Any], Tensor]
    losses: Callable[[Tensor, dict[str, Tensor], Any], Tensor]
    at_once: Callable[[Any], int]


@runtime_checkable
class Learner(Protocol):
    """One kind of model and how it is trained; every method is a pure function of its arguments.

    layout:       where each named tensor lies in the flat parameters
    layers:       tensor names of each layer, input first
    permutations: permutation name -> the (tensor name, axis) pairs that it permutes together; {}:
                  nothing to permute; None: unknown, cannot be aligned
    slots:        optimiser numbers per model: 0 for plain SGD, params with momentum, 2 params + 1
                  for Adam

    A learner may also have ``losses(params, exam)``, the losses of ``scores`` without the accuracy,
    where that is faster; and ``first_linear``, a ``FirstLinear``: a search for merge weights then
    computes the first layer once a model instead of once a weight.
    """

    @property
    def layout(self) -> Layout:
        """Where each named tensor lies in the flat parameters."""
        ...

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """Tensor names of each layer, input first."""
        ...

    @property
    def permutations(self) -> Permutations | None:
        """Permutation name -> (tensor name, axis) pairs; None: cannot be aligned."""
        ...

    @property
    def slots(self) -> int:
        """Optimiser numbers per model."""
        ...

    def init(self, keys: Int[Tensor, "models"]) -> Float[Tensor, "models params"]:
        """Draw fresh parameters, one model per key: float32 [models, params]."""
        ...

    def fresh_slots(
        self, n_models: int, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "models slots"]:
        """Optimiser numbers before the first step: zeros [models, slots]."""
        ...

    def prepare(self, shards: Shards) -> Any:
        """The models' data in the form that training needs; shards have owners [models]."""
        ...

    def train(
        self,
        params: Float[Tensor, "models params"],
        slots: Float[Tensor, "models slots"],
        material: Any,
        effort: Float[Tensor, "models"],
        keys: Int[Tensor, "models"],
        pull: Pull | None = None,
    ) -> tuple[Float[Tensor, "models params"], Float[Tensor, "models slots"]]:
        """Train every model for one round; returns new (params, slots) and modifies nothing.

        effort: share of the round's steps, 0..1; step s has weight
                clip(effort * steps - s, 0, 1)   [models]
        keys:   of the minibatch order           [models]
        pull:   adds strength / 2 * |theta - centre|^2 to every model's loss; None adds nothing
        """
        ...

    def exam(self, shards: Shards) -> Any:
        """The data in the form that scoring needs.

        shards: owners [markets], or [1] to be shared by all markets
        """
        ...

    def scores(self, params: Float[Tensor, "markets k params"], exam: Any) -> Scores:
        """Score k models of every market on the exam: (loss, accuracy), each [markets, k]."""
        ...


@runtime_checkable
class ByClass(Protocol):
    """What a learner may have beside ``Learner``: scores on every class from one pass."""

    def class_scores(
        self, params: Float[Tensor, "markets k params"], exam: Any, sizes: tuple[int, ...]
    ) -> Scores:
        """Score k models of every market on each class of an exam: each [markets, k, classes].

        exam:  one for all markets, whose examples stand class by class
        sizes: examples of each class, at least one
        Raises ValueError for sizes that do not sum to the exam's examples.
        """
        ...
