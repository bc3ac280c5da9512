"""The claims of the paper, of its readers, and ours about its game: evidence and a rule each."""

from __future__ import annotations

from functools import partial

from ..core.claim import Claim
from ..core.rules import Above, AtMost, Never
from ..core.words import AS_STATED
from . import deviation_claims, dynamics, equilibrium, golden, market_claims, utilities
from .numbers import DERIVED, RANGES, SAVED
from .wording import OURS, paper_claim

# --- equilibrium ----------------------------------------------------------------------------------

TERMS = tuple(equilibrium.GAMES)
UNILATERAL = "summary: the equilibrium; here the followers answer another payment anew"
EQUILIBRIUM = (
    paper_claim(
        "one_equilibrium",
        (
            "The game has one equilibrium: owners and centres that answer each other reach"
            " it from every start, and a search finds the same payment."
        ),
        Never(1e-6),
        equilibrium.unique,
        place=UNILATERAL,
        conditions=TERMS,
        unit="of total effort, or of alpha k",
        statistic="greatest distance from the solved point, game by game",
    ),
    paper_claim(
        "no_owner_gains",
        "In equilibrium no owner gains by another contribution.",
        Never(1e-9),
        equilibrium.owners_gain,
        place=UNILATERAL,
        conditions=TERMS,
        unit="of eta",
        statistic=(
            "gain of the exact best reply, the greatest of all owners and of each block of games"
        ),
    ),
    paper_claim(
        "no_centre_gains",
        "In equilibrium no centre gains by another amount of work.",
        Never(1e-9),
        equilibrium.centres_gain,
        place=UNILATERAL,
        conditions=TERMS,
        unit="of all fees",
        statistic=(
            "gain of the exact best reply, the greatest of all centres and of each block of games"
        ),
    ),
    paper_claim(
        "no_payment_gains",
        (
            "In equilibrium the leader gains by no other payment, where the owners answer"
            " every payment anew."
        ),
        Never(1e-6),
        equilibrium.leader_gain,
        place=UNILATERAL,
        conditions=TERMS,
        unit="of alpha k",
        statistic="gain of the best of 121 payments, the greatest of each block of games",
    ),
    paper_claim(
        "printed_definition",
        (
            "By the printed definition, which holds the followers' moves fixed, the leader"
            " gains by no other payment."
        ),
        Never(1e-9),
        equilibrium.followers_held,
        place="definition of the equilibrium, as transcribed",
        conditions=(AS_STATED, "followers answer anew"),
        corrections=("followers answer anew",),
        unit="of alpha k",
        statistic=(
            "gain of eta = 0, or under the condition gain of the best of many payments, the"
            " greatest of each block of games"
        ),
    ),
    paper_claim(
        "derived_numbers",
        (
            "Measurements reproduce the numbers that were derived beforehand to their last"
            " printed digit."
        ),
        Never(1e-6),
        golden.as_printed,
        paper=OURS,
        place=DERIVED,
        unit="units of the last digit",
        statistic="distance of the measured number beyond the half unit of rounding",
    ),
)


# --- utilities ------------------------------------------------------------------------------------

DATA = tuple(name for name in utilities.CONDITIONS if name != utilities.FEW_OWNERS)
WHO = {utilities.LEADER: "the leader", utilities.OWNERS: "the mean owner"}
PAYS = {
    utilities.FIXED: "a fixed payment of 1",
    utilities.RANDOM: "a payment drawn from half of eta* to eta*",
}


def _utilities(side: str) -> tuple[Claim, ...]:
    least, most = (one.value for one in RANGES[side])
    above = tuple(
        paper_claim(
            f"{side}_above_{baseline.lower()}",
            f"With 10 to 60 owners {WHO[side]} earns more in equilibrium than under"
            f" {PAYS[baseline]}.",
            Above(),
            partial(utilities.above, side=side, baseline=baseline),
            place=(
                "summary: maximizing global utility and data asset value; baselines of the public"
                " code"
            ),
            conditions=DATA,
            unit="%",
            statistic="relative gain of the sum over N over the baseline's sum, seed by seed",
        )
        for baseline in utilities.BASELINES
    )
    reported = paper_claim(
        f"{side}_gain_as_reported",
        f"With 10 to 60 owners {WHO[side]} earns {least:g} to {most:g} % more than under either"
        " baseline.",
        AtMost(0.0),
        partial(utilities.in_range, side=side, least=least, most=most),
        place=SAVED,
        conditions=DATA,
        unit="percentage points",
        statistic=(
            "distance of the gain outside of the range, to either side and for either"
            " baseline, seed by seed"
        ),
    )
    return *above, reported


UTILITIES = (
    *_utilities(utilities.LEADER),
    *_utilities(utilities.OWNERS),
    paper_claim(
        "few_owners_above_fixed",
        (
            "With two or three owners, too, the mean owner earns more in equilibrium than"
            " under a fixed payment of 1."
        ),
        Above(),
        partial(utilities.above, side=utilities.OWNERS, baseline=utilities.FIXED),
        paper=OURS,
        place="the same question about few owners, whom the public code plays too",
        conditions=(utilities.FEW_OWNERS,),
        unit="%",
        statistic="relative gain of the sum over N over the baseline's sum, seed by seed",
    ),
)


# --- dynamics -------------------------------------------------------------------------------------

DYNAMICS = (
    paper_claim(
        "owners_arrive",
        ("Owners that all answer each other at once, round after round, reach the equilibrium."),
        Never(1e-6),
        dynamics.settle,
        paper=OURS,
        place="a question about the game: can best responses learn the equilibrium?",
        conditions=tuple(dynamics.CONDITIONS),
        unit="of total effort",
        statistic=(
            "distance from the equilibrium after the last round, the greatest of all"
            " numbers of owners, game by game"
        ),
    ),
)

CLAIMS = (
    *EQUILIBRIUM,
    *UTILITIES,
    *DYNAMICS,
    *deviation_claims.CLAIMS,
    *market_claims.CLAIMS,
)
