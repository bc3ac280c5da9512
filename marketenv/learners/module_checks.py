"""What a module and its learner's options must be: tried and refused before anything is trained."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from marketenv.core.checks import Check, choice, each, options, or_none, refused, text, whole
from marketenv.core.generators import no_hidden_draws
from marketenv.core.lookup import lookup
from marketenv.learners.protocol import Permutations
from marketenv.learners.randomness import ADVICE, check_pure


def _random(module: nn.Module) -> bool:
    rate = getattr(module, "p" if isinstance(module, _DropoutNd) else "dropout", 0.0)
    return isinstance(rate, float | int) and rate > 0


def check_module(module: Any) -> None:
    """Refuse what is no module, and modules whose training is not a function of parameters and
    examples alone.

    Raises ValueError for a class in place of its object, dropout, frozen or non-float32 parameters,
    and no parameters.
    """
    if not isinstance(module, nn.Module):
        kind = (
            f": this is the class {module.__name__}, make an object of it"
            if isinstance(module, type)
            else ""
        )
        raise refused("module", module, f"a torch.nn.Module object{kind}")
    for name, part in module.named_modules():
        kind = f"{name or 'the module'} is a {type(part).__name__}"
        if _random(part):
            raise ValueError(
                f"{kind} that drops units at random; set its rate to 0: training must be a function"
                " of its keys."
            )
    found = dict(module.named_parameters())
    bad = [name for name, p in found.items() if p.dtype != torch.float32 or not p.requires_grad]
    if bad or not found:
        raise ValueError(
            f"parameters {bad or 'none'}: wanted at least one, all float32 and trainable; use"
            " module.float(), and make constants buffers."
        )


def count_activations(
    module: nn.Module, x: Float[Tensor, "batch *features"]
) -> tuple[int, tuple[int, ...]]:
    """Numbers per example that go into the module and come out of its innermost parts, and its
    outputs' shape.

    >>> count_activations(
    ...     nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), torch.zeros(2, 3)
    ... )
    (15, (2, 2))
    """
    seen = [x.numel()]

    def _told(part: nn.Module, given: Any, made: Any) -> None:
        seen.extend(
            t.numel()
            for t in (made if isinstance(made, tuple) else (made,))
            if isinstance(t, Tensor)
        )

    hooks = [
        part.register_forward_hook(_told) for part in module.modules() if not list(part.children())
    ]
    try:
        with torch.no_grad():
            shape = tuple(module(x).shape)
    finally:
        for hook in hooks:
            hook.remove()
    return -(-sum(seen) // len(x)), shape


def try_module(pure: nn.Module, feature_shape: tuple[int, ...], n_outputs: int, task: str) -> int:
    """Try a module in eval mode on two examples; returns the numbers per example that it computes.

    Raises ValueError for a module that cannot take examples of this shape, other outputs than
    n_outputs, and randomness.
    """
    said = (
        f"a module that maps [batch, {', '.join(map(str, feature_shape))}] to [batch, {n_outputs}]"
    )
    x = torch.zeros(2, *feature_shape, dtype=torch.float32, device="cpu")
    with torch.no_grad(), no_hidden_draws("the module", ADVICE):
        try:
            pure(x)
        except Exception as error:  # whatever a user's code may raise
            raise ValueError(
                f"the module cannot take examples of feature_shape {feature_shape} ({error}),"
                f" wanted {said}: give its first layer that shape."
            ) from error
    check_pure(pure, feature_shape)
    activations, shape = count_activations(pure, x)
    if shape != (2, n_outputs):
        why = (
            "; float targets make a regression, for a classification give whole labels"
            if task == "regression"
            else ""
        )
        raise ValueError(
            f"the module maps 2 examples to {shape}, wanted (2, {n_outputs}): {said}{why}."
        )
    return activations


def check_names(
    permutations: Permutations | None,
    layers: tuple[tuple[str, ...], ...],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    """Refuse permutations and layers that name a tensor which the module has not."""
    moved = [name for places in (permutations or {}).values() for name, _ in places]
    for name in [*moved, *(name for layer in layers for name in layer)]:
        lookup(shapes, name, "parameter")


def _permutations(value: Any, name: str) -> Permutations:
    """Names of permutations to their (tensor name, axis) pairs."""
    return {
        key: each(pairs, f"{name}[{key!r}]", _place, wanted="places")
        for key, pairs in options(value, name).items()
    }


def _place(value: Any, name: str) -> tuple[str, int]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise refused(name, value, "a pair (tensor name, axis)")
    return text(value[0], f"{name}[0]"), whole(value[1], f"{name}[1]")


OPTIONS: dict[str, Check] = {
    "permutations": or_none(_permutations),
    "layers": partial(
        each, check=partial(each, check=text, wanted="tensor names"), wanted="layers"
    ),
    "engine": partial(choice, known=("auto", "loop", "vmap")),
    "memory": partial(whole, least=1, fix=": bytes"),
}
