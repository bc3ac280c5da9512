"""How numbers are shown in tables."""

from __future__ import annotations

from typing import Any


def short(value: Any) -> Any:
    """A float with four digits, "-" for None, and anything else as it is.

    >>> short(0.123456), short(None), short("grid")
    ('0.1235', '-', 'grid')
    """
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else value


def between(low: float | None, high: float | None, nothing: str) -> str:
    """A range, or what to say where there is none.

    >>> between(0.25, 1.0, "-"), between(None, None, "-")
    ('0.25 .. 1', '-')
    """
    return nothing if low is None or high is None else f"{low:.4g} .. {high:.4g}"
