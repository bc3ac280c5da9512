"""The same numbers whatever torch's global settings are: products keep their types."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

DEVICES = ("cpu", "cuda", "xpu", "mps")
P = ParamSpec("P")
T = TypeVar("T")


class full_precision:
    """Switch ``torch.autocast`` off inside, on every kind of device; also a decorator.

    Autocast rounds the factors of float32 products to 8 or 11 bits, so that rewards would depend on
    who calls the market. A user's policy is no part of the market and runs outside. The decorator
    costs nothing where autocast is off.

    >>> with torch.autocast("cpu", dtype=torch.bfloat16), full_precision():
    ...     print((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
    torch.float32
    """

    def __enter__(self) -> None:
        self._stack = contextlib.ExitStack()
        for kind in DEVICES:
            if torch.is_autocast_enabled(kind):
                self._stack.enter_context(torch.autocast(kind, enabled=False))

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, which then runs inside."""

        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> T:
            if not any(map(torch.is_autocast_enabled, DEVICES)):
                return function(*args, **kwargs)
            with full_precision():
                return function(*args, **kwargs)

        return inside
