"""Find a part by name in a table that one can read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any


def unknown(kind: str, name: object, known: Mapping[str, Any] | tuple[str, ...]) -> ValueError:
    """Describe an unknown name with its nearest neighbour, ready to be raised.

    >>> unknown("mechanism", "secondprice", ("first_price", "second_price"))
    ValueError("no mechanism 'secondprice'. Did you mean 'second_price'? Known: first_price, second_price.")
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"no {kind} {name!r}.{hint} Known: {', '.join(names)}.")


def check_choice(known: tuple[str, ...], value: object, kind: str) -> None:
    """Refuse a value that is none of the known names.

    Raises ValueError that names the nearest one.

    >>> check_choice(("keep", "reset"), "keep", "after_purchase")
    """
    if not isinstance(value, str) or value not in known:
        raise unknown(kind, value, known)


def lookup(table: Mapping[str, Any], part: Any, kind: str) -> Any:
    """Return the table's entry of that name, or the part itself when it is not a name.

    table: names to parts; part: a name, or any object that already is such a part; kind: the word used in errors.

    Raises ValueError for a name that the table lacks, naming the nearest one.

    >>> lookup({"mean": sum}, "mean", "rule") is sum
    True
    """
    if not isinstance(part, str):
        return part
    if part not in table:
        raise unknown(kind, part, table)
    return table[part]
