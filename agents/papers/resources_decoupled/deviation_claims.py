"""Claims about deviations from the game: false reports, second names, orders and agreements."""

from __future__ import annotations

from functools import partial

from ..core.claim import Claim
from ..core.rules import Never
from ..core.words import AS_STATED
from . import agreements, misreports, preferences
from .wording import OURS, paper_claim

# --- misreports -----------------------------------------------------------------------------------

MISREPORTS = (
    paper_claim(
        "self_reports_are_true",
        (
            "An owner that is paid by its report gains nothing by reporting another quality"
            " than its own."
        ),
        Never(1e-9),
        misreports.truthful,
        paper=OURS,
        place="a question about the self-report with which the paper's protocol begins",
        conditions=tuple(misreports.CONDITIONS),
        unit="money",
        statistic="gain of the first owner's best report, the greatest of each block of games",
    ),
    paper_claim(
        "one_identity_is_enough",
        "No owner gains by taking part under two names.",
        Never(1e-9),
        misreports.one_name,
        paper=OURS,
        place="a question about the contest",
        conditions=tuple(misreports.CONDITIONS),
        unit="money",
        statistic=(
            "gain of the first owner by a second identity, the greatest of each block of games"
        ),
    ),
    paper_claim(
        "matching_moves_no_fee",
        (
            "Where fees follow the offered work, as in the paper, no order that a centre"
            " reports changes a fee."
        ),
        Never(1e-12),
        preferences.order_moves_no_fee,
        place="utility of a computing centre",
        conditions=(AS_STATED, "paid by its match"),
        unit="money",
        statistic=(
            "the greatest change of a centre's earnings where one centre reports a random"
            " order, game by game"
        ),
    ),
    paper_claim(
        "centres_tell_their_order",
        (
            "Where a centre is paid by its match, none gains by another order of the owners"
            " than the order that the public code reports for it."
        ),
        Never(1e-9),
        preferences.tell_their_order,
        paper=OURS,
        place=(
            "a question about the matching; for owners, who propose, truth is proven to be best"
        ),
        conditions=preferences.CONDITIONS,
        unit="of all fees",
        statistic=(
            "the greatest gain of the ten centres by moving one owner to the top or the"
            " bottom of the order, game by game"
        ),
    ),
)


# --- agreements -----------------------------------------------------------------------------------


def _kept(id: str, words: str, party: str, *deltas: float) -> Claim:
    return paper_claim(
        id,
        words,
        Never(1e-9),
        partial(agreements.nobody_breaks, party=party),
        paper=OURS,
        place=(
            "a question about the game: one round as stated; else for ever, with a trigger"
            " that ends the agreement"
        ),
        conditions=agreements.patience_of(*deltas),
        unit="of the agreed utility",
        statistic="the most that a breach gains a round",
    )


AGREEMENTS = (
    _kept(
        "owners_keep_half",
        "Owners that agree on half of their supply all keep the agreement.",
        "owners",
        0.62,
        0.65,
    ),
    _kept(
        "centres_keep_still",
        "Centres that agree on hardly any work all keep the agreement.",
        "centres",
        0.9,
        0.92,
    ),
    _kept(
        "centres_keep_a_price",
        "Two centres that agree on the collusive price both keep the agreement.",
        "prices",
        0.45,
        0.55,
    ),
    paper_claim(
        "price_at_cost_stands",
        "Where both centres post their cost as the price, neither gains by another price.",
        Never(1e-9),
        agreements.cost_is_stable,
        paper=OURS,
        place="the price extension",
        conditions=(AS_STATED,),
        unit="of the collusive profit",
        statistic="gain of the best of 2,001 prices, centre by centre",
    ),
    paper_claim(
        "undercutting_ends_at_cost",
        (
            "Three centres that undercut each other by 1 %, from the collusive price on,"
            " end at the competitive price."
        ),
        Never(0.02),
        agreements.prices_fall,
        paper=OURS,
        place="the price extension",
        conditions=agreements.PRICES_FALL,
        unit="of the competitive price",
        statistic=(
            "distance of the lowest price after 400 rounds, the greatest of each block of games"
        ),
    ),
)


CLAIMS = (*MISREPORTS, *AGREEMENTS)
