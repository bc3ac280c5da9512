"""The evidence of an experiment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one experiment measured, as JSON can hold it; equal for equal arguments, without times.

    samples:  of all statistics that are judged: independent points by name, paired where compared
    seeds:    the seed list, in words that reproduce it
    premise:  of a claim with a premise: by seed, the share of the cases in which it was true
    scale:    what tolerances are relative to, in the claim's unit, > 0
    exact:    everything that could refute was tried: all deviations (breakpoints), or all cases
    series:   for pictures: dictionaries of plain data, each with a "kind" and a "title"
    tables:   {"title", "head": [...], "rows": [[...]]}
    counterexample: the worst case in words, where there is one
    untested: why nothing could be measured; then there are no samples
    Raises ValueError for samples that are missing or not finite, a premise that is no shares, and a
    scale that is not above 0.
    """

    samples: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    seeds: str = ""
    premise: Sequence[float] = ()
    scale: float = 1.0
    exact: bool = False
    series: Sequence[Mapping[str, Any]] = ()
    tables: Sequence[Mapping[str, Any]] = ()
    counterexample: str = ""
    notes: Sequence[str] = ()
    untested: str = ""

    def __post_init__(self) -> None:
        good = all(
            len(points) and all(map(math.isfinite, points)) for points in self.samples.values()
        )
        if not good or bool(self.samples) == bool(self.untested):
            raise ValueError(
                "evidence has the samples"
                f" { ({name: len(points) for name, points in self.samples.items()}) } and untested"
                f" is {self.untested!r}; wanted finite points for every statistic, or a reason why"
                " there are none."
            )
        if not all(0 <= share <= 1 for share in self.premise):
            raise ValueError(
                f"premise is {list(self.premise)}; wanted shares of the cases, each from 0 to 1."
            )
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale is {self.scale}, wanted a number > 0 in the claim's unit.")

    def plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only."""
        return {name: _plain(value) for name, value in vars(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # of pictures and tables; samples are finite
    return value
