"""Plain forms of arguments: Python's own numbers and lists, from values of every kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

LONGEST = 100  # characters of a value that an error shows


def refused(name: str, value: object, wanted: str) -> ValueError:
    """Describe a value that cannot be taken, ready to be raised.

    >>> refused("steps", 0, "a whole number >= 1")
    ValueError('steps is 0, wanted a whole number >= 1.')
    """
    text = " ".join(repr(value).split())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ... (a {type(value).__name__})"
    return ValueError(f"{name} is {text}, wanted {wanted}.")


def scalar(value: Any) -> Any:
    """The Python number in an array, tensor or NumPy number without axes; else the value itself.

    None for arrays with axes or masked entries, and for tensors without values.
    """
    if np.ma.is_masked(value) or getattr(value, "ndim", None) not in (None, 0):
        return None
    try:
        return value.item() if hasattr(value, "ndim") else value
    except (AttributeError, RuntimeError):  # a tensor without values
        return None


def real_number(value: Any) -> float:
    """The value as a float; NaN, which no range has, where it is no real number."""
    plain = scalar(value)
    try:
        return float(plain) if isinstance(plain, Real) and not isinstance(plain, bool) else math.nan
    except OverflowError:
        return math.nan


def entries(value: Any) -> list[Any] | None:
    """The entries of a tuple, list, range or array of one axis; None for anything else."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return list(value)
    array = getattr(value, "ndim", None) == 1 and hasattr(value, "tolist")
    if not array or isinstance(value, memoryview):
        return None
    try:
        return list(value.tolist())
    except (RuntimeError, NotImplementedError):  # a sparse tensor, or one without values
        return None


def plain(value: Any) -> Any:
    """Tuples for lists and arrays, and Python's numbers for those of NumPy, at every depth.

    >>> plain({"caps": np.array([0.5, 1.0]), "joins": [[0], np.int64(2)], "rule": "posted"})
    {'caps': (0.5, 1.0), 'joins': ((0,), 2), 'rule': 'posted'}
    """
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    parts, number = entries(value), scalar(value)
    if parts is not None:
        return tuple(map(plain, parts))
    return value if number is None else number
