"""Find a part by name in a table that one can read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any


def unknown(
    kind: str, name: object, known: Mapping[str, Any] | Sequence[str], fix: str = ""
) -> ValueError:
    """Make the error for an unknown name, with its nearest neighbour and what else to do.

    >>> unknown("mechanism", "secondprice", ("first_price", "second_price"))
    ValueError("no mechanism 'secondprice'. Did you mean 'second_price'? Known: first_price,
    second_price.")
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"no {kind} {name!r}.{hint} Known: {', '.join(names)}.{fix}")


def lookup(table: Mapping[str, Any], name: Any, kind: str) -> Any:
    """Return the table's entry of that name; kind is the word used in errors.

    Raises ValueError, with the nearest name, for what is no name of the table.
    ``checks.named_part`` takes objects too.

    >>> lookup({"mean": sum}, "mean", "rule") is sum
    True
    """
    if not isinstance(name, str) or name not in table:
        raise unknown(kind, name, table)
    return table[name]
