"""Rows of many owners at once, as harm is done to them: [*owners, n], with a rate and a random
key for each owner.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws

Labels = Int[Tensor, "*owners n"]
Rates = Float[Tensor, "*owners"]
Keys = Int[Tensor, "*owners"]
# [*owners, n, *features]: jaxtyping has no word for a shape with two open ends
Features = Float[Tensor, "..."]

# normal numbers drawn at once; bounds the memory that drawing takes, changes no number
CHUNK = 2**22


def over(values: Tensor, x: Tensor) -> Tensor:
    """Numbers of owners, or of rows, over all axes of x that they lack; in its type where they
    are no whole numbers.
    """
    values = values.to(x) if values.is_floating_point() else values
    return values.reshape(*values.shape, *(1,) * (x.dim() - values.dim()))


def where(chosen: Tensor, changed: Tensor, x: Tensor) -> Tensor:
    """What has changed of the owners, or of the rows, that are chosen; x elsewhere."""
    return torch.where(over(chosen, x), changed, x)


def chosen(purpose: str, rates: Tensor, keys: Tensor, n: int) -> Tensor:
    """Each row with chance ``rates``: bool [*owners, n]."""
    return draws.uniform(draws.fold(keys, purpose), n) < rates[..., None]


def normals(keys: Tensor, x: Tensor) -> Tensor:
    """Normal numbers in the shape of x, a block of rows at a time; each row has a key of its
    own.
    """
    rows = draws.fold(
        keys[..., None], "row", torch.arange(x.shape[keys.dim()], device=keys.device)
    ).flatten()
    features = math.prod(x.shape[keys.dim() + 1 :])
    blocks = [
        draws.normal(some, features).to(x) for some in rows.split(max(1, CHUNK // max(1, features)))
    ]
    return torch.cat(blocks).view(x.shape)


def check_rates(rates: Tensor, keys: Tensor, most: float = 1.0) -> None:
    """Refuse rates that are no numbers from 0 to ``most``, or not one an owner."""
    if rates.shape != keys.shape:
        raise ValueError(
            f"rates have shape {list(rates.shape)} but keys {list(keys.shape)}; give each owner one"
            " of both."
        )
    wrong = ~((rates >= 0) & (rates <= most))
    if bool(wrong.any()):
        raise ValueError(
            f"rates hold {float(rates[wrong][0]):g}, wanted numbers from 0 to {most:g}."
        )


def check_labels(y: Tensor, keys: Tensor, n_classes: int) -> None:
    """Refuse what are no labels 0..n_classes-1 of the owners' rows."""
    if y.dim() != keys.dim() + 1 or y.shape[:-1] != keys.shape:
        wanted = f"[{', '.join([*map(str, keys.shape), 'n'])}], the rows of each owner"
        raise ValueError(
            f"y has shape {list(y.shape)} but keys {list(keys.shape)}, wanted y {wanted}."
        )
    if y.is_floating_point() or n_classes < 2 or bool(((y < 0) | (y >= n_classes)).any()):
        found = (
            f"{y.dtype} from {y.min().item():g} to {y.max().item():g} with n_classes {n_classes}"
        )
        raise ValueError(
            f"y is {found}, wanted int64 labels 0..n_classes-1 of two classes or more."
        )


def check_features(x: Tensor, keys: Tensor) -> None:
    """Refuse what are no features of the owners' rows."""
    if x.dim() <= keys.dim() or x.shape[: keys.dim()] != keys.shape or not x.is_floating_point():
        wanted = (
            f"floats [{', '.join([*map(str, keys.shape), 'n', '*features'])}], the rows of each"
            " owner"
        )
        raise ValueError(
            f"x is {x.dtype} {list(x.shape)} but keys have shape {list(keys.shape)}, wanted x"
            f" {wanted}."
        )
