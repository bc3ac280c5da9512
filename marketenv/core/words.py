"""Arguments in words that are the same in every process: what saved files are told apart by."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor


def plain(value: Any) -> str:
    """Say what a value is without any address: plain data and dataclasses by content, functions and other objects by name.

    >>> plain((1.5, {"part": functools.partial(max, 2)}))
    '(1.5, {part: max(2; {})})'
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(plain, value))})"
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(plain, value)))}}}"
    if isinstance(value, Tensor | np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, functools.partial):
        return f"{plain(value.func)}({', '.join(map(plain, value.args))}; {plain(value.keywords)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {plain(v)}" for k, v in value.items()) + "}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        facts = ", ".join(f"{f.name}={plain(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"{type(value).__qualname__}({facts})"
    return getattr(value, "__qualname__", type(value).__qualname__)
