"""Rows and settings of studies whose experiments stand in a paper's folder."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from .reported import Reported
from .study import Common, Row

STANDS = ("marketenv", "agents")  # what such a study's units stand on


def row(what: str, unit: str, points: Any, reported: Reported | None = None) -> Row:
    """One number beside what is reported."""
    values = tuple(points.tolist() if isinstance(points, Tensor) else points)
    paper, source = (reported.value, reported.place) if reported else (None, "")
    return Row(what=what, unit=unit, paper=paper, points=values, source=source)


def about(config: Common) -> dict[str, Any]:
    """The arguments that results depend on."""
    others = {field.name for field in dataclasses.fields(Common)}
    return {name: value for name, value in vars(config).items() if name not in others}
