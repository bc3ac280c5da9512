"""What papers report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """A number that somebody reports, and where it stands."""

    value: float
    place: str
