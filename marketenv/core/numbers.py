"""A user's numbers of any kind, as tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor


def numbers(values: Any, who: str, device: torch.device) -> Tensor:
    """Copy a user's values, of any numeric type, into a float64 tensor without a gradient.

    Tensors may live on any device, require grad, or be of a type that NumPy lacks; lists may hold
    them. Raises ValueError for values that are no real numbers (words, objects, complex numbers)
    and for masked entries.
    """
    return real(values, who).to(device, torch.float64, copy=isinstance(values, Tensor))


def real(values: Any, who: str) -> Tensor:
    """Take real numbers, as ``numbers`` does, but a tensor keeps its type and device.

    All else becomes float64 or bool on the CPU, in memory of its own.
    """
    try:
        if isinstance(values, Tensor):
            return _strided(values)
        array = np.asarray(_without_tensors(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{who} is {values!r}, wanted real numbers ({error}).") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{who} is {values!r} (dtype {array.dtype}), wanted real numbers: convert it, as with"
            " .astype(np.float32)."
        )
    kind = np.bool_ if array.dtype.kind == "b" else np.float64
    return torch.from_numpy(np.array(array, dtype=kind, order="C"))


def finite(values: Tensor, least: float = -math.inf) -> bool:
    """Whether all numbers are finite and at least ``least``: one look at the two ends.

    >>> finite(torch.tensor([0.0, 1.0])), finite(torch.tensor([0.0, torch.nan]))
    (True, False)
    >>> finite(torch.tensor([-1.0]), least=0.0), finite(torch.ones(0))
    (False, True)
    """
    if not values.numel():
        return True
    ends = values.aminmax()  # both are NaN where one number is
    low, high = float(ends.min), float(ends.max)
    return low >= least and -math.inf < low <= high < math.inf


def at_least(values: Tensor, least: float) -> bool:
    """Whether no number is below ``least`` or NaN, in one look at the least one.

    >>> at_least(torch.tensor([0.0, torch.inf]), 0.0), at_least(torch.tensor([torch.nan]), 0.0)
    (True, False)
    """
    return values.numel() == 0 or float(values.min()) >= least


def has_nan(values: Tensor) -> bool:
    """Whether a number is NaN: then the least one is, which takes one look.

    >>> has_nan(torch.tensor([0.0, torch.nan])), has_nan(torch.ones(0))
    (True, False)
    """
    return values.numel() > 0 and math.isnan(values.min())


def total(values: Tensor, axis: int) -> Tensor:
    """The sum over an axis; of one or two numbers it takes a tenth of the time of ``Tensor.sum``.

    >>> total(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    tensor([3., 7.])
    """
    count = values.shape[axis]
    if count == 1:
        return values.squeeze(axis)
    if count != 2:
        return values.sum(axis)
    one, other = values.unbind(axis)
    return one + other


def zeros(device: torch.device, *shape: int) -> Float64[Tensor, "..."]:
    """Zeros of a shape that take no memory; torch refuses to write into more than one of them.

    >>> zeros(torch.device("cpu"), 2, 2)
    tensor([[0., 0.],
            [0., 0.]], dtype=torch.float64)
    """
    return torch.zeros((), dtype=torch.float64, device=device).expand(*shape)


def _strided(values: Tensor) -> Tensor:
    """The tensor without its gradient; ValueError where it is complex or sparse."""
    if values.is_complex() or values.layout != torch.strided:
        raise ValueError(f"{values.dtype}, {values.layout}: give a dense tensor of real numbers")
    return values.detach()


def _without_tensors(values: Any) -> Any:
    """Lists with arrays in place of their tensors; ValueError for masked entries.

    NumPy would unmask them.
    """
    if isinstance(values, Tensor):
        return _strided(values).to("cpu", torch.float64).numpy()
    if isinstance(values, list | tuple):
        return [_without_tensors(value) for value in values]
    if np.ma.is_masked(values):
        raise ValueError("it has masked entries; give a number for each")
    return values
