"""The same numbers whatever torch's global settings are: tensors name their types, and products keep theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

DEVICES = ("cpu", "cuda", "xpu", "mps")


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Switch ``torch.autocast`` off inside, on every kind of device; a decorator as well.

    Autocast rounds the factors of float32 products to 8 or 11 bits, so that rewards would depend on who calls the market.
    What a user's policy computes is not the market's, and runs outside.

    >>> with torch.autocast("cpu", dtype=torch.bfloat16), full_precision():
    ...     print((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
    torch.float32
    """
    with contextlib.ExitStack() as stack:
        for kind in DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
