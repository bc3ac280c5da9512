"""What the claims of the paper have in common."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..core.claim import Claim, Experiment
from ..core.effort import Effort
from ..core.evidence import Evidence
from .numbers import PAPER

OURS = "ours"


def about(name: str, place: str, words: str, paper: str = PAPER) -> dict[str, Any]:
    """What every claim of this market says of itself."""
    return {
        "id": f"ipfl/{name}",
        "market": "model_sharing",
        "paper": paper,
        "place": place,
        "words": words,
    }


@dataclass(frozen=True)
class Lighter:
    """An experiment at a fraction of an effort's cheap search.

    A market of ten clients costs more than an auction of two.
    """

    experiment: Experiment
    select: int = 8
    judge: int = 32

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The evidence of the experiment with fewer seeds."""
        cheap, most = effort.cheap, effort.cheap.judge
        fewer = dataclasses.replace(
            cheap,
            select=max(cheap.select // self.select, 32),
            judge=max(most // self.judge, min(512, most)),
        )
        return self.experiment(condition, dataclasses.replace(effort, cheap=fewer))


def lighter(claim: Claim, select: int = 8) -> Claim:
    """The same claim with fewer seeds.

    select: by how many times fewer seeds to choose on
    """
    assert claim.experiment is not None
    return dataclasses.replace(claim, experiment=Lighter(claim.experiment, select))
