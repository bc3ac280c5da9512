"""Objectives of training.

Outputs stand as [..., outputs, examples], the order in which products write them fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from marketenv.core.checks import Check, check_fields, choice, each, whole
from marketenv.core.shards import LARGEST_TARGET, Shards
from marketenv.learners.training import check_training

ROWS = 2**14  # of a pool that are checked at once: a large pool is not doubled in memory

Outputs = Float[Tensor, "*batch outputs examples"]
Targets = Num[Tensor, "*#batch examples"]  # models may share them


def cross_entropy(outputs: Outputs, y: Targets) -> Float[Tensor, "*batch examples"]:
    """Minus the log-probability of each label: logsumexp(z) - z[y]."""
    # along the flat axis: a third of the time of a gather along the outputs
    return torch.log_softmax(outputs, -2).flatten(-2).gather(-1, _places(outputs, y)).neg()


def _places(outputs: Outputs, y: Targets) -> Int[Tensor, "*batch examples"]:
    """Where the outputs of the labels lie among all outputs of a model."""
    *batch, _, n = outputs.shape
    # in 64 bits: the places of 8-bit labels are larger numbers
    return (y.long() * n + torch.arange(n, device=y.device)).expand(*batch, n)


def cross_entropy_slope(outputs: Outputs, y: Targets) -> Outputs:
    """Derivative of each example's cross-entropy by its outputs: softmax(z) - onehot(y)."""
    slope, place = torch.softmax(outputs, -2), y.long().unsqueeze(-2)
    minus_one = slope.new_full((1,) * slope.dim(), -1.0).expand_as(place)
    return slope.scatter_add_(-2, place, minus_one)


def right_share(
    outputs: Outputs, y: Targets, share: Float[Tensor, "*shares examples"]
) -> Float[Tensor, "*batch"]:
    """Share of examples whose largest output is the label's; on a tie the first one counts."""
    flat, places = outputs.flatten(-2), _places(outputs, y)
    label, others = flat.gather(-1, places), flat.scatter(-1, places, -torch.inf)
    rival = others.view(outputs.shape).amax(-2)
    right = label > rival
    if bool((label == rival).any()):  # which of them is first takes five times as long
        right = outputs.max(-2).indices == y
    return (right.to(outputs.dtype) * share).sum(-1)


def half_square(outputs: Outputs, y: Targets) -> Float[Tensor, "*batch examples"]:
    """Half the squared error, (z - y)^2 / 2: the paper trains on half the MSE."""
    return 0.5 * (outputs.squeeze(-2) - y).square()


def half_square_slope(outputs: Outputs, y: Targets) -> Outputs:
    """Derivative of half the squared error: z - y."""
    return outputs - y.unsqueeze(-2)


def explained(
    outputs: Outputs, y: Targets, share: Float[Tensor, "*shares examples"]
) -> Float[Tensor, "*batch"]:
    """R^2 = 1 - MSE / variance of the targets, clipped below at 0; 0 for equal targets."""
    y = y.to(outputs.dtype)
    mean = (y * share).sum(-1, keepdim=True)
    variance = ((y - mean).square() * share).sum(-1)
    error = 2.0 * (half_square(outputs, y) * share).sum(-1)
    return torch.where(variance > 0, 1.0 - error / variance, 0.0).clamp(min=0.0)


@dataclass(frozen=True)
class Objective:
    """What a model is trained for.

    losses:   loss of each example;   slope: its derivative by the outputs
    accuracy: mean over examples, weighted by their share
    """

    losses: Callable[[Tensor, Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    accuracy: Callable[[Tensor, Tensor, Tensor], Tensor]


OBJECTIVES: dict[str, Objective] = {
    "classification": Objective(cross_entropy, cross_entropy_slope, right_share),
    "regression": Objective(half_square, half_square_slope, explained),
}


def by_class(
    objective: Objective, outputs: Outputs, y: Targets, sizes: tuple[int, ...]
) -> tuple[Float[Tensor, "*batch classes"], Float[Tensor, "*batch classes"]]:
    """Mean loss and accuracy on each class, where examples stand class by class.

    sizes: examples of each class
    """
    counts = torch.tensor(sizes, device=y.device)
    share = (1.0 / counts.to(outputs.dtype)).repeat_interleave(counts, output_size=sum(sizes))
    losses = (objective.losses(outputs, y) * share).split(sizes, -1)
    parts = zip(*(part.split(sizes, -1) for part in (outputs, y, share)), strict=True)
    loss = torch.stack([part.sum(-1) for part in losses], -1)
    return loss, torch.stack([objective.accuracy(*part) for part in parts], -1)


FIELDS: dict[str, Check] = {
    "feature_shape": partial(each, check=partial(whole, least=1), wanted="sizes"),
    "n_outputs": partial(whole, least=1),
    "task": partial(choice, known=OBJECTIVES),
    "training": check_training,
}


def check_task(learner: Any) -> None:
    """Refuse an unknown task, empty features, and outputs that do not fit the task."""
    check_fields(learner, FIELDS)
    n_outputs, task = learner.n_outputs, learner.task
    if task == "classification" and n_outputs < 2:
        raise ValueError(
            f"n_outputs is {n_outputs} for classification, wanted one output per class, >= 2."
        )
    if task == "regression" and n_outputs != 1:
        raise ValueError(
            f"n_outputs is {n_outputs} for regression, wanted 1: targets are one number per"
            " example."
        )


def check_shards(
    shards: Shards, feature_shape: tuple[int, ...], n_outputs: int, task: str
) -> Shards:
    """Return the shards, or refuse wrong shapes and types, missing rows, NaN and unknown labels."""
    _check_types(shards, feature_shape, task)
    _check_rows(shards)
    if not all(bool(part.isfinite().all()) for part in shards.x.split(ROWS)):
        raise ValueError(
            "features have NaN or infinite numbers; clean the data before it is given to a learner."
        )
    _check_targets(shards.y, n_outputs, task)
    return shards


def _check_types(shards: Shards, feature_shape: tuple[int, ...], task: str) -> None:
    """Refuse features of another shape, and other types than float32."""
    if tuple(shards.x.shape[1:]) != tuple(feature_shape):
        raise ValueError(
            f"features have shape {tuple(shards.x.shape[1:])}, the learner was built for"
            f" {tuple(feature_shape)}."
        )
    numbers = (shards.x, shards.y) if task == "regression" else (shards.x,)
    if any(part.dtype != torch.float32 for part in numbers):
        raise ValueError(
            f"features are {shards.x.dtype} and targets {shards.y.dtype}, wanted torch.float32; use"
            " .float()."
        )


def _check_rows(shards: Shards) -> None:
    """Refuse owners on several axes, sizes outside the index, and rows outside the pool."""
    if shards.index.dim() != 2:
        raise ValueError(
            f"shards.index has shape {tuple(shards.index.shape)}, wanted [owners, width]; pass"
            " shards.flat()."
        )
    if bool(((shards.size < 1) | (shards.size > shards.index.shape[1])).any()):
        raise ValueError(
            f"shard sizes {shards.size.tolist()} must lie in 1..{shards.index.shape[1]}, the"
            " index's width."
        )
    first, last = int(shards.index.min()), int(shards.index.max())
    rows = min(len(shards.x), len(shards.y))
    if first < 0 or last >= rows:
        raise ValueError(
            f"row numbers run from {first} to {last}, wanted 0..{rows - 1}, the rows of the pool;"
            " padding too."
        )


def _check_targets(y: Tensor, n_outputs: int, task: str) -> None:
    """Refuse labels outside 0..n_outputs-1, and targets that are too large or NaN."""
    if task == "classification":
        if y.is_floating_point() or bool(((y < 0) | (y >= n_outputs)).any()):
            raise ValueError(
                f"labels must be integers in 0..{n_outputs - 1}; leave unlabelled examples out of"
                " the index and pool."
            )
    elif not bool((y.abs() <= LARGEST_TARGET).all()):
        raise ValueError(
            f"targets have numbers beyond {LARGEST_TARGET:g}, or NaN; scale or clean the data"
            " before a learner gets them."
        )
