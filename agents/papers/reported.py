"""What papers report, and the form in which many samples are kept: shared by all papers'
folders.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

KEPT = 512  # samples kept; of more cases a sample is the greatest of a block


@dataclass(frozen=True)
class Reported:
    """A number that somebody reports, and where it stands."""

    value: float
    place: str


def greatest(values: Float64[Tensor, "cases"]) -> list[float]:
    """The greatest of as many blocks as samples are kept."""
    return [float(part.max()) for part in values.split(max(1, -(-len(values) // KEPT)))]
