"""What the claims of the paper have in common."""

from __future__ import annotations

from typing import Any

from ..core.claim import Claim
from ..core.rules import Rule
from .numbers import PAPER

MARKET = "resource_market"
OURS = "ours"
SUMMARY = (
    "summary: derive and solve the optimal strategies of all parties to achieve the equilibrium"
)


def paper_claim(id: str, words: str, rule: Rule, experiment: Any, **about: Any) -> Claim:
    """A claim of this paper; what is not named is as in most of them."""
    parts: dict[str, Any] = {"paper": PAPER, "place": SUMMARY} | about
    return Claim(
        id=f"resources_decoupled/{id}",
        market=MARKET,
        words=words,
        rule=rule,
        experiment=experiment,
        **parts,
    )
