"""Claims about payment rules and money that is held back: evidence and a rule each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from marketenv.mechanisms import DATA_RULES

from ..core.claim import Claim
from ..core.rules import Never
from ..core.words import AS_STATED
from . import payments
from .wording import OURS, paper_claim


def _payments(rules: Sequence[str]) -> tuple[Claim, ...]:
    ask = tuple(
        paper_claim(
            f"truthful_ask_{rule}",
            f"Under the rule {rule} no seller gains by another ask than its cost, whatever the"
            " others ask.",
            Never(1e-9),
            partial(payments.truthful, rule=rule),
            paper=OURS,
            place="DATA_RULES; the paper has no payment rule",
            conditions=(AS_STATED,),
            unit="money",
            statistic="regret of the truthful ask, the greatest of all sellers, auction by auction",
        )
        for rule in rules
    )
    budget = tuple(
        paper_claim(
            f"within_budget_{rule}",
            f"The rule {rule} never spends more than the budget, and pays no seller less than its"
            " ask.",
            Never(0.0),
            partial(payments.within_budget, rule=rule),
            paper=OURS,
            place="DATA_RULES; the paper has no payment rule",
            conditions=(AS_STATED,),
            unit="money",
            statistic=(
                "money above the budget, and money below an ask, the greatest of each block of"
                " auctions"
            ),
        )
        for rule in rules
    )
    return ask + budget


PAYMENTS = (
    *_payments(tuple(DATA_RULES)),
    paper_claim(
        "hold_back_keeps_money",
        (
            "Money that is held back is released or returned to the last bit, and a greater"
            " gain never costs a seller money."
        ),
        Never(0.0),
        payments.nothing_vanishes,
        paper=OURS,
        place="hold_back; the paper has no payment rule",
        conditions=(AS_STATED,),
        unit="money",
        statistic=(
            "money that vanishes, and money that a greater gain costs, the greatest of each"
            " block of prices"
        ),
    ),
)
