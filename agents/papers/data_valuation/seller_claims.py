"""Claims about private distances, dishonest sellers, many sellers and payments: evidence and a
rule each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from marketenv.mechanisms import DATA_RULES

from ...stress.claims.claim import AS_STATED, Above, AtMost, Claim, InMost, Never
from . import exploits, learned_sellers, many_sellers, market, payments, private
from .numbers import DERIVED, FEDWAD, PAPER, TRIANGLE
from .wording import OURS, paper_claim

# --- wad_private ----------------------------------------------------------------------------------

POINTS, SIGMAS = tuple(private.POINTS), tuple(private.SIGMAS)
PRIVATE = (
    paper_claim(
        "fedwad_error",
        "After ten iterations FedWaD errs by less than 4 % on two Gaussians, t drawn anew for every"
        " interpolation.",
        AtMost(0.04),
        private.fedwad_error,
        paper=FEDWAD,
        place=DERIVED,
        conditions=POINTS,
        unit="of W2",
        statistic="relative error, seed by seed",
    ),
    paper_claim(
        "fedwad_fixed_t_freezes",
        "With a fixed t FedWaD stops far from the distance, where a random t still comes nearer.",
        Above(),
        private.fixed_freezes,
        paper=OURS,
        place=DERIVED,
        conditions=POINTS,
        unit="of W2",
        statistic=(
            "error of t = .5 less that of random t after ten iterations, and what the last five"
            " gained less"
        ),
    ),
    paper_claim(
        "triangle_wad_one_anchor",
        "TriangleWad is exact where the reference is a single point.",
        Never(1e-9),
        private.one_anchor,
        paper=TRIANGLE,
        place="its claim of exactness, as the design page has it",
        conditions=(AS_STATED,),
        unit="of W2",
        statistic="relative error, seed by seed",
    ),
    paper_claim(
        "triangle_wad_error",
        "TriangleWad errs by at most 5 % at its defaults k = 100, t = .5.",
        AtMost(0.05),
        private.triangle_error,
        paper=OURS,
        place="a number for what its source calls a small error; sigma is 1 there",
        conditions=SIGMAS,
        unit="of W2",
        statistic="relative error on two Gaussians of 500 points, shift 1, seed by seed",
    ),
    paper_claim(
        "triangle_wad_keeps_order",
        "What is uploaded still tells good mixtures from bad ones: hidden CombineWad goes with"
        " accuracy.",
        Above(),
        private.keeps_order,
        paper=TRIANGLE,
        place="the purpose of the method",
        conditions=SIGMAS,
        statistic=(
            "minus the correlation of CombineWad of uploaded rows with accuracy, seed by seed"
        ),
    ),
    paper_claim(
        "triangle_wad_hides_rows",
        "From what a seller uploads nobody finds more than a twentieth of its rows again.",
        AtMost(0.05),
        private.found_again,
        paper=PAPER,
        place="summary: privacy-preserving; ours is the number",
        conditions=SIGMAS,
        unit="of the rows",
        statistic="rows that are nearest to their own image scaled back, seed by seed",
    ),
)


# --- wad_exploits ---------------------------------------------------------------------------------

EXPLOITS = (
    paper_claim(
        "renaming_is_unseen",
        "To rename classes in a circle changes CombineWad by nothing: it sees labels by the moments"
        " of their classes alone.",
        Never(1e-9),
        partial(exploits.renaming_changes, defence="none"),
        paper=OURS,
        place="derived from the label-aware cost",
        conditions=(AS_STATED,),
        unit="of W2",
        statistic="relative change of W, seed by seed",
    ),
    paper_claim(
        "renaming_is_paid_in_full",
        "Who renames its classes is paid as if it had not, where nothing defends.",
        Never(1e-9),
        exploits.is_paid_in_full,
        paper=OURS,
        place=DERIVED,
        conditions=(AS_STATED,),
        unit="money",
        statistic="money of the honest seller less that of the renaming one, seed by seed",
    ),
    paper_claim(
        "vocabulary_sees_renaming",
        "A common vocabulary of labels makes renamed classes lie farther off.",
        Above(),
        partial(exploits.renaming_changes, defence="vocabulary"),
        paper=OURS,
        place="derived from the label-aware cost",
        conditions=(AS_STATED,),
        unit="of W2",
        statistic="relative rise of W, seed by seed",
    ),
    paper_claim(
        "worse_data_are_paid_less",
        "Whose data make the model worse is paid less than nine tenths of what an honest seller is"
        " paid.",
        Above(),
        exploits.worse_is_paid_less,
        paper=OURS,
        place="a question put to the payment by leave-one-out values; as stated nothing defends",
        conditions=tuple(exploits.CONDITIONS),
        unit="money",
        statistic=(
            "nine tenths of the honest seller's money less the attacker's, by attack, seed by seed"
        ),
    ),
    paper_claim(
        "harm_pays_less_in_the_market",
        "In the market a scripted seller who costs the buyer something earns less than nine tenths"
        " of what its truth earns.",
        Above(),
        market.harm_pays_less,
        paper=OURS,
        place=(
            "the same question put to data_market_v0: procurement, truthful others; as stated"
            " nothing defends"
        ),
        conditions=tuple(market.DEFENCES),
        unit="money",
        statistic=(
            "nine tenths of the truthful seller's utility less the strategy's, by strategy, seed by"
            " seed"
        ),
    ),
)


# --- sellers who learn ----------------------------------------------------------------------------


def _found(conduct: str, words: str) -> Claim:
    return paper_claim(
        f"ppo_finds_{conduct}",
        "Where no defence stands, a seller that learns by PPO and begins with truth comes to"
        f" {words}.",
        InMost(),
        partial(learned_sellers.finds, conduct=conduct),
        paper=OURS,
        place="a question put to data_market_v0 with this conduct alone open, one seller",
        conditions=(AS_STATED,),
        unit="of the learners",
        statistic="1 for a learner that mostly does it and surely earns more than truth, else 0",
    )


LEARNED = (
    _found("permute", "rename its classes"),
    _found("bait", "deliver noise"),
    paper_claim(
        "renaming_adds_nothing_to_bait",
        "Who delivers noise alone earns nothing more by renaming classes too, so that both are no"
        " two things to be learned.",
        Never(1e-9),
        learned_sellers.renaming_beside_bait,
        paper=OURS,
        place="derived from what a row costs its seller",
        conditions=(AS_STATED,),
        unit="money",
        statistic="difference of the seller's utility with and without the renaming, seed by seed",
    ),
)


# --- wad_sellers ----------------------------------------------------------------------------------

SELLERS = (
    paper_claim(
        "many_sellers",
        "With up to a thousand sellers a distance that is added up from one upload each still goes"
        " with accuracy.",
        Above(),
        many_sellers.follows,
        paper=PAPER,
        place="summary, next check: hundreds to thousands of sources",
        conditions=("100 sellers", "1000 sellers"),
        statistic=(
            "minus the correlation of the additive sliced distance with accuracy, seed by seed"
        ),
    ),
)


# --- payments -------------------------------------------------------------------------------------


def _payments(rules: Sequence[str]) -> tuple[Claim, ...]:
    ask = tuple(
        paper_claim(
            f"truthful_ask_{rule}",
            f"By the rule {rule} no seller gains by another ask than its cost, whatever the others"
            " ask.",
            Never(1e-9),
            partial(payments.truthful, rule=rule),
            paper=OURS,
            place="DATA_RULES; the paper has no payment rule",
            conditions=(AS_STATED,),
            unit="money",
            statistic="regret of the truthful ask: the greatest of the sellers, auction by auction",
        )
        for rule in rules
    )
    budget = tuple(
        paper_claim(
            f"within_budget_{rule}",
            f"The rule {rule} never spends more than the budget, and pays nobody less than its"
            " ask.",
            Never(0.0),
            partial(payments.within_budget, rule=rule),
            paper=OURS,
            place="DATA_RULES; the paper has no payment rule",
            conditions=(AS_STATED,),
            unit="money",
            statistic=(
                "money beyond the budget, and below an ask: the greatest of blocks of auctions"
            ),
        )
        for rule in rules
    )
    return ask + budget


PAYMENTS = (
    *_payments(tuple(DATA_RULES)),
    paper_claim(
        "hold_back_keeps_money",
        "What is held back is released or returned to the last bit, and more gain never costs a"
        " seller money.",
        Never(0.0),
        payments.nothing_vanishes,
        paper=OURS,
        place="hold_back; the paper has no payment rule",
        conditions=(AS_STATED,),
        unit="money",
        statistic=(
            "money that vanishes, and money that a greater gain costs: the greatest of blocks of"
            " prices"
        ),
    ),
)
