"""Numbers of each seed, and the rows of studies that show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import rows
from ..core.reported import Reported
from ..core.study import Row, number


def row(what: str, unit: str, points: Any, source: str = "", paper: Reported | None = None) -> Row:
    """One number a seed beside the paper's.

    points: an array, a number a seed;   source: what else is known of it, in words
    """
    places = [part for part in (paper and paper.place, source) if part]
    one = rows.row(what, unit, np.asarray(points, float).tolist(), paper)
    return dataclasses.replace(one, source="; ".join(places))


def middle(
    what: str, values: np.ndarray, source: str = "", take: Callable[[np.ndarray], Any] = np.mean
) -> Row:
    """The mean (or median) of each seed over what is known, in Delta.

    NaN for seeds of which nothing is known
    """
    seeds = [seed[np.isfinite(seed)] for seed in values.reshape(len(values), -1)]
    points = [take(known) if len(known) else np.nan for known in seeds]
    return row(what, "Delta", np.array(points), source)


def share(of: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How many of ``among`` [seeds, ...] are ``of``, % of each seed; NaN where there are none."""
    count = among.reshape(len(among), -1).sum(1)
    both = (of & among).reshape(len(among), -1).sum(1)
    return np.where(count > 0, 100 * both / count.clip(1), np.nan)


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over seeds of what is known: [seeds, ...] to [...]; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0).sum(0) / count.clip(1), np.nan)


def jsonable(values: np.ndarray) -> list[float | None]:
    """One curve, None where nothing is known."""
    return [number(value) for value in values]
