"""The claims of the paper, of its readers, and ours about its game: evidence and a rule each."""

from __future__ import annotations

from functools import partial

from ...stress.claims.claim import AS_STATED, Above, AtMost, Claim, Never
from . import (
    agreements,
    dynamics,
    equilibrium,
    golden,
    market_claims,
    misreports,
    preferences,
    utilities,
)
from .numbers import DERIVED, RANGES, SAVED
from .wording import OURS, paper_claim

# --- equilibrium ----------------------------------------------------------------------------------

TERMS = tuple(equilibrium.GAMES)
UNILATERAL = "summary: the equilibrium; here the followers answer another payment anew"
EQUILIBRIUM = (
    paper_claim(
        "one_equilibrium",
        "The game has one equilibrium: owners and centres that answer each other end there from"
        " wherever they begin, and a search finds the same payment.",
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
            "gain of the exact best answer, the greatest of the owners and of blocks of games"
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
            "gain of the exact best answer, the greatest of the centres and of blocks of games"
        ),
    ),
    paper_claim(
        "no_payment_gains",
        "In equilibrium the leader gains by no other payment, the owners answering each anew.",
        Never(1e-6),
        equilibrium.leader_gain,
        place=UNILATERAL,
        conditions=TERMS,
        unit="of alpha k",
        statistic="gain of the best of 121 payments, the greatest of blocks of games",
    ),
    paper_claim(
        "printed_definition",
        "By the definition as it is printed, which holds the followers' moves fixed, no other"
        " payment gains the leader.",
        Never(1e-9),
        equilibrium.followers_held,
        place="definition of the equilibrium, as transcribed",
        conditions=(AS_STATED, "followers answer anew"),
        corrections=("followers answer anew",),
        unit="of alpha k",
        statistic=(
            "gain of eta = 0, or under the condition of the best of many payments, the greatest of"
            " blocks of games"
        ),
    ),
    paper_claim(
        "derived_numbers",
        "The numbers that were derived beforehand are measured again to the last digit that was"
        " printed.",
        Never(1e-6),
        golden.as_printed,
        paper=OURS,
        place=DERIVED,
        unit="units of the last digit",
        statistic="distance of the measured number beyond the half unit that rounding may be",
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
            statistic="sum over N above that of the baseline, seed by seed",
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
        unit="points of %",
        statistic=(
            "how far the gain lies outside of the range, to either side and for either baseline,"
            " seed by seed"
        ),
    )
    return *above, reported


UTILITIES = (
    *_utilities(utilities.LEADER),
    *_utilities(utilities.OWNERS),
    paper_claim(
        "few_owners_above_fixed",
        "With two or three owners, too, the mean owner earns more in equilibrium than under a fixed"
        " payment of 1.",
        Above(),
        partial(utilities.above, side=utilities.OWNERS, baseline=utilities.FIXED),
        paper=OURS,
        place="the same question put to few owners, whom the public code plays too",
        conditions=(utilities.FEW_OWNERS,),
        unit="%",
        statistic="sum over N above that of the baseline, seed by seed",
    ),
)


# --- dynamics -------------------------------------------------------------------------------------

DYNAMICS = (
    paper_claim(
        "owners_arrive",
        "Owners that answer each other all at once, round after round, arrive at the equilibrium.",
        Never(1e-6),
        dynamics.settle,
        paper=OURS,
        place="a question put to the game: can the equilibrium be learned by best responses?",
        conditions=tuple(dynamics.CONDITIONS),
        unit="of total effort",
        statistic=(
            "distance from the equilibrium after the last round, the greatest of all numbers of"
            " owners, game by game"
        ),
    ),
)


# --- misreports -----------------------------------------------------------------------------------

MISREPORTS = (
    paper_claim(
        "self_reports_are_true",
        "No owner gains by reporting another quality than its own where it is paid by its report.",
        Never(1e-9),
        misreports.truthful,
        paper=OURS,
        place="a question put to the self-report with which the paper's protocol begins",
        conditions=tuple(misreports.CONDITIONS),
        unit="money",
        statistic="gain of the best report of the first owner, the greatest of blocks of games",
    ),
    paper_claim(
        "one_identity_is_enough",
        "No owner gains by taking part under two names.",
        Never(1e-9),
        misreports.one_name,
        paper=OURS,
        place="a question put to the contest",
        conditions=tuple(misreports.CONDITIONS),
        unit="money",
        statistic="gain of the first owner by a second identity, the greatest of blocks of games",
    ),
    paper_claim(
        "matching_moves_no_fee",
        "Where fees go by the work that is offered, as in the paper, no order that centres report"
        " moves a fee.",
        Never(1e-12),
        preferences.order_moves_no_fee,
        place="utility of a computing centre",
        conditions=(AS_STATED, "paid by its match"),
        unit="money",
        statistic=(
            "the greatest change of what a centre earns where one centre reports an order at"
            " random, game by game"
        ),
    ),
    paper_claim(
        "centres_tell_their_order",
        "Where a centre is paid by its match, none gains by another order of the owners than the"
        " public code reports for it.",
        Never(1e-9),
        preferences.tell_their_order,
        paper=OURS,
        place="a question put to the matching; truthful for owners, who propose, is proven",
        conditions=preferences.CONDITIONS,
        unit="of all fees",
        statistic=(
            "greatest gain of the ten centres by an owner moved to the top or the bottom of the"
            " order, game by game"
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
            "a question put to the game, one round as stated; for ever with a trigger that ends the"
            " agreement"
        ),
        conditions=agreements.patience_of(*deltas),
        unit="of the agreed utility",
        statistic="the most that a breach gains a round",
    )


AGREEMENTS = (
    _kept(
        "owners_keep_half",
        "Owners that agree on half of their supply all keep to it.",
        "owners",
        0.62,
        0.65,
    ),
    _kept(
        "centres_keep_still",
        "Centres that agree on hardly any work all keep to it.",
        "centres",
        0.9,
        0.92,
    ),
    _kept(
        "centres_keep_a_price",
        "Two centres that agree on the collusive price both keep to it.",
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
        "Three centres that undercut each other by 1 % from the collusive price on end at the"
        " competitive price.",
        Never(0.02),
        agreements.prices_fall,
        paper=OURS,
        place="the price extension",
        conditions=agreements.PRICES_FALL,
        unit="of the competitive price",
        statistic="distance of the lowest price after 400 rounds, the greatest of blocks of games",
    ),
)
CLAIMS = (*EQUILIBRIUM, *UTILITIES, *DYNAMICS, *MISREPORTS, *AGREEMENTS, *market_claims.CLAIMS)
