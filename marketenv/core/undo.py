"""A call of a door that fails leaves the door as it was.

The failure may come after the market's own step, as in infos or in a round in words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def undone(*things: Any) -> Iterator[None]:
    """Put back the attributes of these objects where the body fails; the call can be made again.

    It puts back which values attributes hold. What the body wrote into a value stays, but batches
    and doors never write into values, they only bind new ones.

    >>> from types import SimpleNamespace
    >>> door = SimpleNamespace(round=0)
    >>> try:
    ...     with undone(door):
    ...         door.round = 1
    ...         raise RuntimeError("no words for it")
    ... except RuntimeError:
    ...     print(door.round)
    0
    """
    before = [dict(vars(thing)) for thing in things]
    try:
        yield
    except BaseException:
        for thing, attributes in zip(things, before, strict=True):
            vars(thing).clear()
            vars(thing).update(attributes)
        raise
