"""What fails in a door leaves it as it was: also what comes after the market's own step, such
as infos and a round in words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def undone(*things: Any) -> Iterator[None]:
    """Put back the attributes of these objects where anything fails inside, so that the same call
    can be made again.

    It puts back which values attributes hold, not what was written into a value: batches and doors
    only ever bind new ones.

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
