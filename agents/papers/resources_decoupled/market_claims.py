"""Claims about play in the market: pay under audits, the leader's word, and accuracy."""

from __future__ import annotations

from functools import partial

from ..core.claim import Claim
from ..core.rules import Above, Never
from . import accuracy, audits, commitment
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
        " honest data.",
        Above(),
        partial(audits.worse_earns_less, defence=defence),
        place=(ADJUSTMENT if defence == audits.LOSS_DROP else "the same question, as a control; "),
        conditions=audits.CONDITIONS[defence],
        unit="money",
        statistic=(
            "nine tenths of the honest owner's utility less the deviant's utility, by"
            " conduct, seed by seed"
        ),
        **paper,
    )


AUDITS = (
    _pays(audits.NOTHING, "Where its own report sets its pay,"),
    _pays(
        audits.LOSS_DROP,
        "Where the paper's audit, the fall of the training loss per row, sets its pay,",
    ),
    _pays(audits.HELD_OUT, "Where the fall of the leader's own loss sets its pay,"),
    _pays(audits.SHAPLEY, "Where its Shapley value for the leader's own loss sets its pay,"),
    _pays(
        audits.DISTANCE, "Where the Wasserstein distance from the leader's own rows sets its pay,"
    ),
)

COMMITMENT = (
    paper_claim(
        "word_is_kept",
        ("The leader gains nothing by paying nothing in the end, after owners have contributed."),
        Never(1e-9),
        commitment.word_is_kept,
        paper=OURS,
        place="a question about the leader's commitment; as stated nothing holds the payment",
        conditions=tuple(commitment.CONDITIONS),
        unit="money",
        statistic=(
            "utility of a leader that pays nothing less utility of a leader that pays, seed by seed"
        ),
    ),
)

ACCURACY = (
    paper_claim(
        "adjustment_raises_accuracy",
        (
            "The leader's final model is more accurate where qualities are adjusted during"
            " the training."
        ),
        Above(),
        accuracy.adjustment_helps,
        place=ADJUSTMENT,
        conditions=tuple(accuracy.CONDITIONS),
        unit="points of accuracy, %",
        statistic=(
            "test accuracy after ten rounds with the adjustment less test accuracy without,"
            " seed by seed"
        ),
    ),
)
CLAIMS = (*AUDITS, *COMMITMENT, *ACCURACY)
