"""What the claims of the paper have in common."""

from __future__ import annotations

from typing import Any

from ..core.claim import Claim
from ..core.rules import Rule
from . import correlation
from .numbers import PAPER

MARKET = "data_market"
OURS = "ours"
# CIFAR-10 at the paper's size is not run anywhere
DATA = (correlation.DIGITS_DATA, correlation.CIFAR)
SUMMARY = "summary: consistent identification of high-performing data combinations"


def paper_claim(id: str, words: str, rule: Rule, experiment: Any, **about: Any) -> Claim:
    """A claim of this paper; what is not named is as in most of them."""
    parts: dict[str, Any] = {
        "paper": PAPER,
        "place": SUMMARY,
        "conditions": DATA,
        "unit": "of correlation",
    } | about
    return Claim(
        id=f"data_valuation/{id}",
        market=MARKET,
        words=words,
        rule=rule,
        experiment=experiment,
        **parts,
    )
