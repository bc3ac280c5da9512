"""Rows and settings of the studies that stand on a paper's folder in ``agents/papers``."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from agents.papers.reported import Reported
from scripts.studies.study import Common, Row

STANDS = ("marketenv", "agents")  # what such a study's units stand on


def row(what: str, unit: str, points: Any, reported: Reported | None = None) -> Row:
    """One number beside what is reported."""
    values = tuple(points.tolist() if isinstance(points, Tensor) else points)
    return Row(
        what=what,
        unit=unit,
        paper=reported and reported.value,
        points=values,
        source=reported.place if reported else "",
    )


def about(config: Common) -> dict[str, Any]:
    """The arguments that results depend on."""
    where = {field.name for field in dataclasses.fields(Common)}
    return {name: value for name, value in vars(config).items() if name not in where}
