"""Claims of papers, one table by name, each with the experiment and the rule that decide it.

To add one, write it in its paper's ``claims`` (``truthfulness``, ``rationality``, ``balance`` and
``accounts`` build the usual ones) and it is in the table below; every verdict is computed from the
evidence that ``measure`` returns.

>>> from agents.papers import verdict
>>> claim = CLAIMS["train_n_trade/eq_1"]
>>> str(verdict(claim, {name: measure(claim.id, name, "quick") for name in claim.conditions}))
'not tested as stated; holds under: every bid covers its ask'
"""

from __future__ import annotations

from typing import Any

from marketenv.core.lookup import lookup

from .core.claim import Claim, measured
from .data_valuation import claims as data_valuation
from .ipfl import claims as ipfl
from .marketplace import claims as marketplace
from .reference_games import claims as reference_games
from .resources_decoupled import claims as resources_decoupled
from .train_n_trade import claims as train_n_trade

CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for claim in (
        *reference_games.CLAIMS,
        *train_n_trade.CLAIMS,
        *ipfl.CLAIMS,
        *data_valuation.CLAIMS,
        *resources_decoupled.CLAIMS,
        *marketplace.CLAIMS,
    )
}


def measure(claim_id: str, condition: str, effort: str) -> dict[str, Any]:
    """The evidence of one condition of a claim of the table, as plain data; ValueError for
    unknown names.
    """
    return measured(lookup(CLAIMS, claim_id, "claim"), condition, effort)
