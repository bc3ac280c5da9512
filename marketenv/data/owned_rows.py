"""Tools to corrupt rows of many owners at once: [*owners, n], with a rate and a key an owner."""

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
    """Numbers of owners, or of rows, with all axes that x has beside theirs.

    They get the type of x, but whole numbers keep theirs.
    """
    values = values.to(x) if values.is_floating_point() else values
    return values.reshape(*values.shape, *(1,) * (x.dim() - values.dim()))


def where(mask: Tensor, changed: Tensor, x: Tensor) -> Tensor:
    """``changed`` for the owners, or the rows, of the mask; x elsewhere."""
    return torch.where(over(mask, x), changed, x)


def random_rows(purpose: str, rates: Tensor, keys: Tensor, n: int) -> Tensor:
    """Each row with chance ``rates``: bool [*owners, n]."""
    return draws.uniform(draws.fold(keys, purpose), n) < rates[..., None]


def normals(keys: Tensor, x: Tensor) -> Tensor:
    """Normal numbers in the shape of x; each row has a key of its own."""
    places = torch.arange(x.shape[keys.dim()], device=keys.device)
    rows = draws.fold(keys[..., None], "row", places).flatten()
    features = math.prod(x.shape[keys.dim() + 1 :])
    blocks = rows.split(max(1, CHUNK // max(1, features)))
    return torch.cat([draws.normal(block, features).to(x) for block in blocks]).view(x.shape)


def check_rates(rates: Tensor, keys: Tensor, most: float = 1.0) -> None:
    """Refuse rates that are no numbers from 0 to ``most``, or not one for each owner."""
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
    """Refuse labels that are not 0..n_classes-1, or not one for each row of the owners."""
    if y.dim() != keys.dim() + 1 or y.shape[:-1] != keys.shape:
        wanted = f"[{', '.join([*map(str, keys.shape), 'n'])}], the rows of each owner"
        raise ValueError(
            f"y has shape {list(y.shape)} but keys {list(keys.shape)}, wanted y {wanted}."
        )
    if y.is_floating_point() or n_classes < 2 or bool(((y < 0) | (y >= n_classes)).any()):
        values = f"{y.dtype} from {y.min().item():g} to {y.max().item():g}"
        raise ValueError(
            f"y is {values} with n_classes {n_classes}, wanted int64 labels 0..n_classes-1 of two"
            " classes or more."
        )


def check_features(x: Tensor, keys: Tensor) -> None:
    """Refuse features that are no floats of the owners' rows."""
    if x.dim() <= keys.dim() or x.shape[: keys.dim()] != keys.shape or not x.is_floating_point():
        axes = ", ".join([*map(str, keys.shape), "n", "*features"])
        raise ValueError(
            f"x is {x.dtype} {list(x.shape)} but keys have shape {list(keys.shape)}, wanted x"
            f" floats [{axes}], the rows of each owner."
        )
