"""What the claims of the paper have in common."""

from __future__ import annotations

from typing import Any

from ..core.claim import Claim

MARKET = "parameter_trading"
PAPER = "Huang, Vishwakarma, Sala: Train 'n Trade (NeurIPS 2023)"
OURS = "ours"  # no claim of the paper but a question that we put to its market


def paper_claim(name: str, place: str, words: str, paper: str = PAPER, **rest: Any) -> Claim:
    """A claim of this paper."""
    return Claim(
        id=f"train_n_trade/{name}", market=MARKET, paper=paper, place=place, words=words, **rest
    )
