"""Claims about private distances, dishonest sellers and many sellers: evidence and a rule each."""

from __future__ import annotations

from functools import partial

from ..core.claim import Claim
from ..core.rules import Above, AtMost, InMost, Never
from ..core.words import AS_STATED
from . import exploits, learned_sellers, many_sellers, market, private
from .numbers import DERIVED, FEDWAD, PAPER, TRIANGLE
from .wording import OURS, paper_claim

# --- wad_private ----------------------------------------------------------------------------------

POINTS, SIGMAS = tuple(private.POINTS), tuple(private.SIGMAS)
PRIVATE = (
    paper_claim(
        "fedwad_error",
        (
            "After ten iterations FedWaD has an error below 4 % on two Gaussians, where"
            " every interpolation draws its own t."
        ),
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
        (
            "With a fixed t FedWaD stops far from the distance, while with a random t it"
            " still comes nearer."
        ),
        Above(),
        private.fixed_freezes,
        paper=OURS,
        place=DERIVED,
        conditions=POINTS,
        unit="of W2",
        statistic=(
            "error of t = 0.5 less error of random t after ten iterations, and fall of the"
            " error in the last five: random t less t = 0.5"
        ),
    ),
    paper_claim(
        "triangle_wad_one_anchor",
        "TriangleWad is exact where the reference is a single point.",
        Never(1e-9),
        private.one_anchor,
        paper=TRIANGLE,
        place="its claim of exactness, as our design page states it",
        conditions=(AS_STATED,),
        unit="of W2",
        statistic="relative error, seed by seed",
    ),
    paper_claim(
        "triangle_wad_error",
        "TriangleWad has an error of at most 5 % at its defaults k = 100, t = 0.5.",
        AtMost(0.05),
        private.triangle_error,
        paper=OURS,
        place="our number for its source's small error; sigma is 1 there",
        conditions=SIGMAS,
        unit="of W2",
        statistic="relative error on two Gaussians of 500 points, shift 1, seed by seed",
    ),
    paper_claim(
        "triangle_wad_keeps_order",
        (
            "Uploads still separate good mixtures from bad ones: the hidden CombineWad"
            " correlates with accuracy."
        ),
        Above(),
        private.keeps_order,
        paper=TRIANGLE,
        place="the purpose of the method",
        conditions=SIGMAS,
        statistic=(
            "minus the correlation of the CombineWad of uploaded rows with accuracy, seed by seed"
        ),
    ),
    paper_claim(
        "triangle_wad_hides_rows",
        "From a seller's upload nobody can identify more than 5 % of its rows.",
        AtMost(0.05),
        private.found_again,
        paper=PAPER,
        place="summary: privacy-preserving; the number is ours",
        conditions=SIGMAS,
        unit="of the rows",
        statistic="share of rows that are nearest to their own upload scaled back, seed by seed",
    ),
)


# --- wad_exploits ---------------------------------------------------------------------------------

EXPLOITS = (
    paper_claim(
        "renaming_is_unseen",
        (
            "Renaming classes in a circle does not change CombineWad, which sees a label"
            " only by its class's moments."
        ),
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
        ("Without any defence a seller that renames its classes is paid as much as an honest one."),
        Never(1e-9),
        exploits.is_paid_in_full,
        paper=OURS,
        place=DERIVED,
        conditions=(AS_STATED,),
        unit="money",
        statistic="money of the honest seller less money of the renaming seller, seed by seed",
    ),
    paper_claim(
        "vocabulary_sees_renaming",
        ("With a common vocabulary of labels, renamed classes lie farther from the buyer's data."),
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
        (
            "A seller whose data make the model worse is paid less than nine tenths of an"
            " honest seller's payment."
        ),
        Above(),
        exploits.worse_is_paid_less,
        paper=OURS,
        place=("a question about payment by leave-one-out values; as stated there is no defence"),
        conditions=tuple(exploits.CONDITIONS),
        unit="money",
        statistic=(
            "nine tenths of the honest seller's money less the attacker's money, by attack,"
            " seed by seed"
        ),
    ),
    paper_claim(
        "harm_pays_less_in_the_market",
        (
            "In the market a scripted seller that costs the buyer money earns less than"
            " nine tenths of what it earns by truth."
        ),
        Above(),
        market.harm_pays_less,
        paper=OURS,
        place=(
            "the same question about data_market_v0: procurement, truthful others; as"
            " stated there is no defence"
        ),
        conditions=tuple(market.DEFENCES),
        unit="money",
        statistic=(
            "nine tenths of the truthful seller's utility less the strategy's utility, by"
            " strategy, seed by seed"
        ),
    ),
)


# --- sellers who learn ----------------------------------------------------------------------------


def _found(conduct: str, words: str) -> Claim:
    return paper_claim(
        f"ppo_finds_{conduct}",
        f"Without any defence, a seller that learns by PPO from truth learns to {words}.",
        InMost(),
        partial(learned_sellers.finds, conduct=conduct),
        paper=OURS,
        place=("a question about data_market_v0 with one seller and this conduct alone possible"),
        conditions=(AS_STATED,),
        unit="of the learners",
        statistic="1 for a learner that mostly does it and surely earns more than truth, else 0",
    )


LEARNED = (
    _found("permute", "rename its classes"),
    _found("bait", "deliver noise"),
    paper_claim(
        "renaming_adds_nothing_to_bait",
        (
            "A seller that delivers noise earns nothing more by also renaming classes, so a"
            " learner has no reason to learn both."
        ),
        Never(1e-9),
        learned_sellers.renaming_beside_bait,
        paper=OURS,
        place="derived from what a row costs its seller",
        conditions=(AS_STATED,),
        unit="money",
        statistic=(
            "absolute difference of the seller's utility with and without the renaming,"
            " seed by seed"
        ),
    ),
)


# --- wad_sellers ----------------------------------------------------------------------------------

SELLERS = (
    paper_claim(
        "many_sellers",
        (
            "With up to a thousand sellers, a distance added up from one upload a seller"
            " still correlates with accuracy."
        ),
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
