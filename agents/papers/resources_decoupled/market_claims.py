"""Claims about play in the market itself: what audits pay, whether the leader keeps its word,
and accuracy.
"""

from __future__ import annotations

from functools import partial

from ...stress.claims.claim import Above, Claim, Never
from . import accuracy, audits, commitment
from .numbers import DERIVED
from .wording import OURS, paper_claim

ADJUSTMENT = (
    "summary: a dynamic optimization mechanism that evaluates the contribution of data quality"
    " during real training"
)


def _pays(defence: str, by: str) -> Claim:
    paper = {} if defence == audits.LOSS_DROP else {"paper": OURS}
    return paper_claim(
        f"worse_data_earn_less_{defence.replace(' ', '_')}",
        f"{by} an owner that delivers bad data earns less than nine tenths of what it earns with"
        " honest ones.",
        Above(),
        partial(audits.worse_earns_less, defence=defence),
        place=(
            ADJUSTMENT
            if defence == audits.LOSS_DROP
            else f"the same question, as a control; {DERIVED}"
        ),
        conditions=audits.CONDITIONS[defence],
        unit="money",
        statistic=(
            "nine tenths of the honest owner's utility less the deviant's, by conduct, seed by seed"
        ),
        **paper,
    )


AUDITS = (
    _pays(audits.NOTHING, "Paid by its own report,"),
    _pays(audits.LOSS_DROP, "Paid by the paper's audit, the fall of the training loss per row,"),
    _pays(audits.HELD_OUT, "Paid by the fall of the leader's own loss,"),
    _pays(audits.SHAPLEY, "Paid by its Shapley value for the leader's own loss,"),
    _pays(audits.DISTANCE, "Paid by the Wasserstein distance from the leader's own rows,"),
)

COMMITMENT = (
    paper_claim(
        "word_is_kept",
        "The leader gains nothing by paying nothing in the end, owners having contributed.",
        Never(1e-9),
        commitment.word_is_kept,
        paper=OURS,
        place="a question put to the leader's commitment; as stated nothing holds the payment",
        conditions=tuple(commitment.CONDITIONS),
        unit="money",
        statistic="utility of a leader that pays nothing less that of one that pays, seed by seed",
    ),
)

ACCURACY = (
    paper_claim(
        "adjustment_raises_accuracy",
        "The leader's model is more accurate in the end where qualities are adjusted during the"
        " training.",
        Above(),
        accuracy.adjustment_helps,
        place=ADJUSTMENT,
        conditions=tuple(accuracy.CONDITIONS),
        unit="points of accuracy, %",
        statistic=(
            "test accuracy after ten rounds with the adjustment less that without, seed by seed"
        ),
    ),
)
CLAIMS = (*AUDITS, *COMMITMENT, *ACCURACY)
