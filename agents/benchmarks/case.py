"""One line of a benchmark: a name, a number and its unit."""

from __future__ import annotations

from typing import Any

Case = dict[str, Any]  # {"name": what was measured, "value": number, "unit": of the number}


def case(name: str, value: float, unit: str, **more: int) -> Case:
    """A line of a benchmark; more: conditions of the measurement, such as threads.

    >>> case("reset", 0.5, "ms", threads=1)
    {'name': 'reset', 'value': 0.5, 'unit': 'ms', 'threads': 1}
    """
    return {"name": name, "value": value, "unit": unit, **more}
