"""Numbers that a user gave, in whatever holds them, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def numbers(values: Any, who: str, device: torch.device) -> Tensor:
    """Copy what a user gave, of any numeric type, into a float64 tensor without a gradient.

    Tensors may live on any device, require grad, or be of a type that NumPy lacks; lists may hold
    them.

    Raises ValueError for what holds no real numbers (words, objects, complex numbers) and for
    masked entries.
    """
    return real(values, who).to(device, torch.float64, copy=True)


def real(values: Any, who: str) -> Tensor:
    """Take real numbers, as ``numbers`` does: a tensor's own type and device stay, all else
    becomes float64 or bool.
    """
    try:
        if isinstance(values, Tensor):
            return _strided(values)
        given = np.asarray(_without_tensors(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{who} is {values!r}, wanted real numbers ({error}).") from error
    if given.dtype.kind not in "biuf":
        raise ValueError(
            f"{who} is {values!r} (dtype {given.dtype}), wanted real numbers: convert it, as with"
            " .astype(np.float32)."
        )
    return torch.tensor(given.astype(bool if given.dtype.kind == "b" else np.float64), device="cpu")


def _strided(values: Tensor) -> Tensor:
    """The tensor without its gradient; ValueError where it is complex or sparse."""
    if values.is_complex() or values.layout != torch.strided:
        raise ValueError(f"{values.dtype}, {values.layout}: give a dense tensor of real numbers")
    return values.detach()


def _without_tensors(values: Any) -> Any:
    """Lists with arrays in place of their tensors; ValueError for an array with masked entries,
    which NumPy would unmask.
    """
    if isinstance(values, Tensor):
        return _strided(values).to("cpu", torch.float64).numpy()
    if isinstance(values, list | tuple):
        return [_without_tensors(value) for value in values]
    if np.ma.is_masked(values):
        raise ValueError("it has masked entries; give a number for each")
    return values
