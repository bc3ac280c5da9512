"""Arguments of a market on a command line, such as ``n_agents=3``, checked by its own config."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from marketenv.cli.words import key_and_text, twice, value_of
from marketenv.core.lookup import lookup
from marketenv.envs.make import MARKETS, short_name
from marketenv.markets.table import unknown_argument


def read_arguments(
    market: str, words: Sequence[str], apart: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The Python values of a market's arguments; text that is no Python literal stands for itself.

    apart: arguments that have an option of their own, by name
    Raises ValueError for a word that is not key=value, for an unknown market or argument, for a
    value of another type, for an argument that is given twice, and for one that has an option of
    its own.

    >>> read_arguments("reference_v0", ("game=first_price", "values=(0, 2)"))
    {'game': 'first_price', 'values': (0, 2)}
    """
    market = short_name(market)
    hints = typing.get_type_hints(lookup(MARKETS, market, "market").config)
    values: dict[str, Any] = {}
    for word in words:
        key, text = key_and_text(word)
        if key not in hints:
            raise unknown_argument(market, key)
        if key in (apart or {}):
            raise ValueError(f"arguments has {word!r}; give {key} by {(apart or {})[key]}.")
        if key in values:
            raise twice(word, key)
        values[key] = value_of(text)
        if not _fits(values[key], hints[key]):
            kind = hints[key].__name__ if type(hints[key]) is type else hints[key]
            raise ValueError(
                f"arguments has {word!r}: {key} of {market} is {values[key]!r}, wanted {kind}."
            )
    return values


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value fits an annotation; the config itself checks ranges."""
    kind, parts = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if kind is tuple:
        if not isinstance(value, tuple | list):
            return False
        each = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(value) == len(each) and all(map(_fits, value, each))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is not None:  # a mapping or another collection
        return isinstance(value, kind)
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint)
