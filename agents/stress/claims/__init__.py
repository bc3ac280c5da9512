"""Claims of papers, one table by name, each with the experiment and the rule that decide it.

To add one, write it in its market's file (``truthfulness``, ``rationality``, ``balance`` and
``accounts`` build the usual ones) and it is in the table below; every verdict is computed from the
evidence that ``measure`` returns.

>>> claim = CLAIMS["train_n_trade/eq_1"]
>>> str(verdict(claim, {name: measure(claim.id, name, "quick") for name in claim.conditions}))
'not tested as stated; holds under: every bid covers its ask'
"""

from __future__ import annotations

from typing import Any

from marketenv.core.lookup import lookup

from ...papers.data_valuation import claims as data_valuation
from ...papers.resources_decoupled import claims as resources_decoupled
from . import model_sharing, reference, train_n_trade
from .claim import (
    AS_STATED,
    EFFORTS,
    WORDS,
    Above,
    AtLeast,
    AtMost,
    Claim,
    Effort,
    Evidence,
    Finding,
    InMost,
    Never,
    NoGain,
    Rule,
    Verdict,
    measured,
    verdict,
)
from .money import Books, accounts, balance
from .truthfulness import rationality, truthfulness

CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for claim in (
        *reference.CLAIMS,
        *train_n_trade.CLAIMS,
        *model_sharing.CLAIMS,
        *data_valuation.CLAIMS,
        *resources_decoupled.CLAIMS,
    )
}


def measure(claim_id: str, condition: str, effort: str) -> dict[str, Any]:
    """The evidence of one condition of a claim of the table, as plain data; ValueError for
    unknown names.
    """
    return measured(lookup(CLAIMS, claim_id, "claim"), condition, effort)


__all__ = [
    "AS_STATED",
    "CLAIMS",
    "EFFORTS",
    "WORDS",
    "Above",
    "AtLeast",
    "AtMost",
    "Books",
    "Claim",
    "Effort",
    "Evidence",
    "Finding",
    "InMost",
    "Never",
    "NoGain",
    "Rule",
    "Verdict",
    "accounts",
    "balance",
    "measure",
    "measured",
    "rationality",
    "truthfulness",
    "verdict",
]
