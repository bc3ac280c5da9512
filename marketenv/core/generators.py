"""The random generators that a whole process shares; no market may draw from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def no_hidden_draws(who: str, instead: str) -> Iterator[None]:
    """Refuse draws from torch's or NumPy's generators inside, and put the generators back.

    Python's own ``random`` is left alone: type checkers such as beartype draw from it.

    who: what runs inside;   instead: what was wanted, in words

    Raises ValueError that names the generators from which something was drawn.

    >>> with no_hidden_draws("a lottery", "draws from keys"):
    ...     _ = torch.rand(1)
    Traceback (most recent call last):
    ValueError: a lottery draws from torch's generator, so equal seeds would give other numbers;
    wanted: draws from keys.
    """
    before = states()
    try:
        yield
        names = moved(before)
    finally:
        _restore(before)
    if names:
        raise ValueError(
            f"{who} draws from {', '.join(names)}, so equal seeds would give other numbers; wanted:"
            f" {instead}."
        )


def moved(before: dict[str, Any]) -> list[str]:
    """The generators that no longer stand where they stood, by their names in ``states``."""
    return [name for name, state in states().items() if not _same(state, before.get(name, state))]


def states() -> dict[str, Any]:
    """Where each generator stands; those of CUDA devices where they are in use."""
    states = {"torch's generator": [torch.get_rng_state()], "NumPy's random": np.random.get_state()}
    if torch.cuda.is_initialized():
        states["torch's CUDA generator"] = torch.cuda.get_rng_state_all()
    return states


def _same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _restore(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch's generator"][0])
    np.random.set_state(states["NumPy's random"])
    if "torch's CUDA generator" in states:
        torch.cuda.set_rng_state_all(states["torch's CUDA generator"])
