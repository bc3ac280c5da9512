"""Checks that modules and augmentations draw from their keys alone."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from marketenv.core.generators import no_hidden_draws
from marketenv.learners.training import Augment

ADVICE = "a function of parameters and examples, without noise or dropout"


def check_pure(module: nn.Module, feature_shape: tuple[int, ...]) -> None:
    """Refuse a module that draws random numbers, or answers the same examples in two ways.

    Models are trained and scored in eval mode, so draws in training mode alone, as those of
    dropout, would be missing. Raises ValueError that names the fault.

    >>> check_pure(nn.Linear(2, 1).eval(), (2,))
    """
    x = _ramp(2, *feature_shape)
    with torch.no_grad(), no_hidden_draws("the module", ADVICE):
        first, second = module(x), module(x)
    if not isinstance(first, Tensor):
        raise ValueError(
            f"the module returned a {type(first).__name__}, wanted a tensor of outputs [examples,"
            " n_outputs]."
        )
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise ValueError(
            "the module answers the same examples in two ways: it draws or remembers; wanted:"
            f" {ADVICE}."
        )
    with torch.no_grad(), no_hidden_draws("the module in training mode", ADVICE):
        copy.deepcopy(module).train()(x)


def check_augment(augment: Augment | None, feature_shape: tuple[int, ...]) -> None:
    """Refuse an augmentation that draws from anything but its keys, by a ValueError."""
    if augment is None:
        return
    x, zero = _ramp(1, 2, *feature_shape), torch.zeros(1, dtype=torch.int64, device="cpu")
    advice = "draws from the keys that it is given, as marketenv.core.draws makes them"
    with torch.no_grad(), no_hidden_draws("augment", advice):
        first, second = (augment(x.clone(), zero, zero) for _ in range(2))
    if not torch.equal(first, second):
        raise ValueError(
            f"augment changes the same examples in two ways for the same keys; wanted: {advice}."
        )


def _ramp(*shape: int) -> Tensor:
    """Numbers in [0, 1): not all 0, which hides all factors, and 0 as indices of a module."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, device="cpu").float() / max(count, 1)).view(shape)
