"""Settings of local training, and the models that take part in each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.bank import finite
from marketenv.core.checks import Check, check_fields, number, or_none, refused, text, whole

# (x [active, batch, *features], keys int64 [active], models int64 [active]) -> x of the same shape
Augment = Callable[[Tensor, Tensor, Tensor], Tensor]

DUST = 1e-6  # a step's weight below this is float32 rounding of effort * steps, not effort


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of one round of local training.

    optimizer:     a name of OPTIMIZERS, "sgd" or "adam"
    learning_rate: size of a step
    momentum:      share of the last step's direction that is kept (SGD only; Adam has its own)
    weight_decay:  L2 coefficient, added to the gradient as weight_decay * params (Adam too, as in
                   torch.optim.Adam)
    batch_size:    examples per step; None takes the whole shard every step
    steps:         local steps per round at effort 1
    augment:       changes a step's examples before a model learns from them: augment(x, keys,
                   models) -> x of the same shape, by draws from its keys alone; ``models`` are
                   numbers in the caller's order. Data and scores never change.
                   ``marketenv.data.augmentation`` makes one from names
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int | None = None
    steps: int = 10
    augment: Augment | None = None

    def __post_init__(self) -> None:
        check_fields(self, _FIELDS)


def _augment(value: Any, name: str) -> Augment:
    if not callable(value):
        raise refused(name, value, "augment(x, keys, models) -> x, or None; see augmentation()")
    change: Augment = value
    return change


_FIELDS: dict[str, Check] = {
    "optimizer": text,
    "learning_rate": partial(number, above=0.0),
    "momentum": partial(number, least=0.0, below=1.0, fix="; 0 is plain SGD"),
    "weight_decay": partial(number, least=0.0),
    "batch_size": or_none(whole, least=1, fix=", or None for the whole shard"),
    "steps": partial(whole, least=1, fix="; to skip training give effort 0"),
    "augment": or_none(_augment),
}
DEFAULT = Training()


def check_training(value: Any, name: str) -> Training:
    """Take a ``Training``; ValueError for anything else, such as a dict of its settings."""
    if isinstance(value, Training):
        return value
    settings = "steps=10"
    if isinstance(value, Mapping):
        settings = ", ".join(f"{key}={entry!r}" for key, entry in value.items())
    fix = f"pass Training({settings}), which marketenv.learners has"
    raise refused(name, value, f"a Training: {fix}")


@dataclass(frozen=True, eq=False)
class Pull:
    """Draw each model of a round towards a point of its own.

    loss + strength / 2 * |theta - centre|^2, so every gradient gains strength * (theta - centre),
    before weight decay, momentum and Adam's means, as a term of a torch loss would; a model of
    strength 0 trains as without a pull

    centre:   the point of each model, in the order of params    float [models, params]
    strength: >= 0                                               float [models]

    Raises ValueError for other shapes, and numbers that are negative, NaN or infinite.

    Source: Li et al., "Federated optimization in heterogeneous networks" (FedProx, MLSys 2020), eq.
    2; Dinh, Tran, Nguyen, "Personalized federated learning with Moreau envelopes" (NeurIPS 2020),
    eq. 2.

    >>> Pull(torch.zeros(2, 3), torch.tensor([0.1, -1.0]))
    Traceback (most recent call last):
    ValueError: strength has -1, wanted finite numbers >= 0; 0 pulls nowhere.
    """

    centre: Float[Tensor, "..."]  # shapes are checked below, so that a wrong one gets its own words
    strength: Float[Tensor, "..."]

    def __post_init__(self) -> None:
        centre, strength = self.centre, self.strength
        if centre.dim() != 2 or strength.shape != centre.shape[:1]:
            raise ValueError(
                f"centre and strength have shapes {list(centre.shape)} and {list(strength.shape)},"
                " wanted [models, params] and [models]: one point and one number for every model."
            )
        wrong = ~(strength.isfinite() & (strength >= 0))
        if bool(wrong.any()):
            raise ValueError(
                f"strength has {strength[wrong][0]:g}, wanted finite numbers >= 0; 0 pulls nowhere."
            )
        wrong = ~finite(centre)
        if bool(wrong.any()):
            raise ValueError(
                f"centre is not finite for model {int(wrong.nonzero()[0])}, wanted finite numbers:"
                " give a model that shall not be pulled strength 0 and any finite centre, such as"
                " zeros."
            )

    def ordered(self, order: Int[Tensor, "models"] | None, dtype: torch.dtype) -> Pull:
        """The pull of models in another order (None: in this order), as numbers of the type."""
        centre, strength = self.centre.to(dtype), self.strength.to(dtype)
        if order is not None:
            return Pull(centre[order], strength[order])
        same = centre is self.centre and strength is self.strength
        return self if same else Pull(centre, strength)


@dataclass(frozen=True)
class Step:
    """One local step of the models that take part in it: the first ``active`` by effort.

    number:  the step's place in the round, from 0
    active:  how many models take part
    weight:  factor of each model's move, in (0, 1]    [active]
    partial: whether any weight is below 1
    """

    number: int
    active: int
    weight: Float[Tensor, "active"]
    partial: bool

    def shaped(self, like: Float[Tensor, "active *rest"]) -> Tensor:
        """The weights with trailing axes of length 1, ready to scale ``like``."""
        return self.weight.view(-1, *[1] * (like.dim() - 1))

    def part(self, some: slice) -> Step:
        """The same step of some models; perhaps none of them takes part."""
        active = min(max(self.active - some.start, 0), some.stop - some.start)
        return Step(self.number, active, self.weight[some], self.partial)


def parts_of(steps: list[Step], some: slice) -> list[Step]:
    """The steps of a round in which some models take part.

    >>> _, plan = schedule(torch.tensor([1.0, 0.25]), 2)
    >>> [(s.number, s.active) for s in parts_of(plan, slice(1, 2))]
    [(0, 1)]
    """
    parts = [step.part(some) for step in steps]
    return [part for part in parts if part.active]


def schedule(
    effort: Float[Tensor, "models"], steps: int
) -> tuple[Int[Tensor, "models"] | None, list[Step]]:
    """Sort models by falling effort, so that those that still train are always the first ones.

    weight[s, i] = clip(effort[i] * steps - s, 0, 1); steps in which no model takes part are left
    out

    Returns (order, steps of the round); order is None when all efforts are equal.

    >>> order, plan = schedule(torch.tensor([0.25, 1.0]), 2)
    >>> order, [(s.active, s.weight) for s in plan]
    (tensor([1, 0]), [(2, tensor([1.0000, 0.5000])), (1, tensor([1.]))])
    """
    order = None
    if not bool((effort == effort[:1]).all()):
        order = effort.argsort(descending=True, stable=True)
    work = (effort if order is None else effort[order]).float() * steps
    weights = (work - torch.arange(steps, device=effort.device)[:, None]).clamp(0.0, 1.0)
    weights = torch.where(weights < DUST, 0.0, weights)
    active = (weights > 0).sum(1).tolist()
    partial = ((weights > 0) & (weights < 1)).any(1).tolist()
    numbered = enumerate(zip(active, partial, strict=True))
    return order, [Step(s, n, weights[s, :n], p) for s, (n, p) in numbered if n]


def check_round(
    size: int,
    n_slots: int,
    params: Tensor,
    slots: Tensor,
    effort: Float[Tensor, "models"],
    keys: Int[Tensor, "models"],
    pull: Pull | None = None,
) -> None:
    """Refuse arguments of ``train`` that do not fit each other, and an effort outside [0, 1]."""
    n = params.shape[0]
    shapes = tuple(tuple(part.shape) for part in (params, slots, effort, keys))
    if shapes != ((n, size), (n, n_slots), (n,), (n,)):
        raise ValueError(
            f"train got params, slots, effort, keys of shapes {shapes}, wanted [models, {size}],"
            f" [models, {n_slots}], [models], [models]. Flatten markets x agents to models; make"
            " slots with fresh_slots(n_models, device)."
        )
    if pull is not None and pull.centre.shape != (n, size):
        raise ValueError(
            f"pull.centre has shape {list(pull.centre.shape)}, wanted {[n, size]} as params: one"
            " point for every model."
        )
    inside = (effort >= 0) & (effort <= 1)  # no NaN is
    if not bool(inside.all()):
        raise ValueError(
            f"effort has {effort[~inside][0]:g}, wanted numbers in [0, 1]; clip it first."
        )
