"""Checks of a module and its learner's options, before any training."""

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
    """Refuse modules whose training is no function of parameters and examples alone.

    Raises ValueError for anything but a module, a class in place of its object, dropout, frozen or
    non-float32 parameters, and no parameters.
    """
    if not isinstance(module, nn.Module):
        is_class = isinstance(module, type)
        fix = f": this is the class {module.__name__}, make an object of it" if is_class else ""
        raise refused("module", module, f"a torch.nn.Module object{fix}")
    for name, part in module.named_modules():
        kind = f"{name or 'the module'} is a {type(part).__name__}"
        if _random(part):
            raise ValueError(
                f"{kind} that drops units at random; set its rate to 0: training must be a function"
                " of its keys."
            )
    parts = dict(module.named_parameters())
    bad = [name for name, p in parts.items() if p.dtype != torch.float32 or not p.requires_grad]
    if bad or not parts:
        raise ValueError(
            f"parameters {bad or 'none'}: wanted at least one, all float32 and trainable; use"
            " module.float(), and make constants buffers."
        )


def count_activations(
    module: nn.Module, x: Float[Tensor, "batch *features"]
) -> tuple[int, tuple[int, ...]]:
    """Count the numbers per example that a module computes, and return its outputs' shape.

    The count holds the inputs and the outputs of the module's innermost parts.

    >>> net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    >>> count_activations(net, torch.zeros(2, 3))
    (15, (2, 2))
    """
    counts = [x.numel()]

    def _count(part: nn.Module, inputs: Any, outputs: Any) -> None:
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        counts.extend(t.numel() for t in outputs if isinstance(t, Tensor))

    innermost = [part for part in module.modules() if not list(part.children())]
    hooks = [part.register_forward_hook(_count) for part in innermost]
    try:
        with torch.no_grad():
            shape = tuple(module(x).shape)
    finally:
        for hook in hooks:
            hook.remove()
    return -(-sum(counts) // len(x)), shape


def try_module(pure: nn.Module, feature_shape: tuple[int, ...], n_outputs: int, task: str) -> int:
    """Try a module in eval mode on two examples; returns the numbers per example that it computes.

    Raises ValueError for a module that cannot take examples of this shape, other outputs than
    n_outputs, and randomness.
    """
    axes = ", ".join(map(str, feature_shape))
    wanted = f"a module that maps [batch, {axes}] to [batch, {n_outputs}]"
    x = torch.zeros(2, *feature_shape, dtype=torch.float32, device="cpu")
    with torch.no_grad(), no_hidden_draws("the module", ADVICE):
        try:
            pure(x)
        except Exception as error:  # whatever a user's code may raise
            raise ValueError(
                f"the module cannot take examples of feature_shape {feature_shape} ({error}),"
                f" wanted {wanted}: give its first layer that shape."
            ) from error
    check_pure(pure, feature_shape)
    activations, shape = count_activations(pure, x)
    if shape != (2, n_outputs):
        hint = ""
        if task == "regression":
            hint = "; float targets make a regression, for a classification give whole labels"
        raise ValueError(
            f"the module maps 2 examples to {shape}, wanted (2, {n_outputs}): {wanted}{hint}."
        )
    return activations


def check_names(
    permutations: Permutations | None,
    layers: tuple[tuple[str, ...], ...],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    """Refuse permutations and layers that name a tensor which the module does not have."""
    names = [name for places in (permutations or {}).values() for name, _ in places]
    names += [name for layer in layers for name in layer]
    for name in names:
        lookup(shapes, name, "parameter")


def _permutations(value: Any, name: str) -> Permutations:
    """Names of permutations to their (tensor name, axis) pairs."""
    by_name = options(value, name).items()
    return {key: each(pairs, f"{name}[{key!r}]", _place, wanted="places") for key, pairs in by_name}


def _place(value: Any, name: str) -> tuple[str, int]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise refused(name, value, "a pair (tensor name, axis)")
    return text(value[0], f"{name}[0]"), whole(value[1], f"{name}[1]")


_layer = partial(each, check=text, wanted="tensor names")

OPTIONS: dict[str, Check] = {
    "permutations": or_none(_permutations),
    "layers": partial(each, check=_layer, wanted="layers"),
    "engine": partial(choice, known=("auto", "loop", "vmap")),
    "memory": partial(whole, least=1, fix=": bytes"),
}
