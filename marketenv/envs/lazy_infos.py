"""Infos that are made when somebody reads them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class LazyInfos(dict[str, Any]):
    """A dict of infos that is filled when somebody first looks at it or changes it.

    make: computes the infos, () -> dict; it must not depend on what changes later

    A reader sees a dict; a training that reads no infos pays nothing for them. Copies, also pickled
    ones, are plain dicts.

    >>> infos = LazyInfos(lambda: {"utility": 0.5})
    >>> infos["utility"], "cash" in infos, {**infos, "step": 1}
    (0.5, False, {'utility': 0.5, 'step': 1})
    """

    _make: Callable[[], dict[str, Any]] | None

    def __init__(self, make: Any) -> None:
        super().__init__({"": None})  # json takes a dict without entries for an empty one, unread
        self._make = make

    def fill(self) -> None:
        """Compute the infos, once."""
        make, self._make = self._make, None
        if make is not None:
            dict.clear(self)
            dict.update(self, make())

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        """A plain dict, for pickles and copies."""
        return dict, (dict(self),)


def _after_filling(name: str) -> Callable[..., Any]:
    """The method of a dict, which fills it first."""
    method = getattr(dict, name)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.fill()
        return method(self, *args, **kwargs)

    return call


READS = "__contains__ __getitem__ __iter__ __len__ __repr__ __reversed__ copy get items"
READS += " keys values __eq__ __ne__ __or__ __ror__"
CHANGES = "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update"
for _name in f"{READS} {CHANGES}".split():
    setattr(LazyInfos, _name, _after_filling(_name))
