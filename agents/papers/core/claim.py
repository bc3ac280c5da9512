"""A claim of a paper: what is measured, and the rule that decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from marketenv.core.checks import named_part
from marketenv.core.lookup import unknown

from .effort import EFFORTS, Effort
from .evidence import Evidence
from .rules import Rule
from .words import AS_STATED

Experiment = Callable[[str, Effort], Evidence]  # (condition, effort) -> what was measured


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement of a paper, and its test.

    id:         "paper/name"
    market:     the target of the audit that it belongs to
    paper:      that states it; "ours" for a question that we put to a market
    place:      where in the paper it stands
    words:      the statement in short
    statistic:  what the samples are
    unit:       of the samples
    rule:       that decides
    conditions: listed beforehand. ``AS_STATED``, which comes first, is the claim as the paper
                states it; all others say the same of a narrower or another setting. Without it the
                paper's own setting is not tested
    corrections: conditions that change the statement, such as its formula; the page says whether
                they hold, but the claim does not hold by them
    experiment: measures one condition; None for a claim that is not tested here
    why:        it is not tested here
    Raises ValueError for a claim without conditions, with one twice, with corrections that are no
    later conditions, or with neither an experiment nor a reason.
    """

    id: str
    market: str
    paper: str
    place: str
    words: str
    statistic: str
    unit: str
    rule: Rule
    experiment: Experiment | None
    conditions: tuple[str, ...] = (AS_STATED,)
    corrections: tuple[str, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        if not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise ValueError(
                f"claim {self.id} has the conditions {self.conditions}; wanted one or more, each"
                " once."
            )
        if not set(self.corrections) <= set(self.conditions[1:]):
            raise ValueError(
                f"claim {self.id} has the corrections {self.corrections}; wanted conditions after"
                f" its first, {self.conditions}."
            )
        if (self.experiment is None) == (not self.why):
            raise ValueError(
                f"claim {self.id} wants an experiment, or None and a reason why it is not tested"
                " here."
            )


def measured(claim: Claim, condition: str, effort: str | Effort) -> dict[str, Any]:
    """The evidence of one condition of a claim as plain data, measured on one thread.

    effort: a name in ``EFFORTS``, or an ``Effort``. Raises ValueError for unknown names.
    """
    if condition not in claim.conditions:
        raise unknown(f"condition of {claim.id}", condition, claim.conditions)
    size: Effort = named_part(effort, "effort", EFFORTS, "an Effort", kind=Effort)
    if claim.experiment is None:
        return Evidence(untested=claim.why).plain()
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the same numbers on every machine of a kind
    try:
        return claim.experiment(condition, size).plain()
    finally:
        torch.set_num_threads(before)
