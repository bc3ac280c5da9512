"""Claims of the reference games, whose answers are known in closed form: they test the audit."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.claim import Claim
from ..core.money import accounts, balance
from ..core.rationality import rationality
from ..core.reported import Reported
from ..core.rules import AtMost
from ..core.truthfulness import truthfulness
from .closed_form import ClosedForm
from .numbers import (
    CHATTERJEE,
    DOUBLE_AUCTION_GAIN,
    EQUILIBRIUM_PAYOFF,
    FIRST_PRICE_GAIN,
    FIRST_PRICE_PAYOFF,
    TRUTHFUL_PAYOFF,
    VICKREY,
)
from .settings import BIDDERS, GAMES, MARKET, any_game, game

OURS = "ours"


def closed_form(
    *,
    number: Reported,
    game: str,
    play: str = "truthful",
    who: tuple[str, ...],
    gain: bool,
    **about: Any,
) -> Claim:
    """A claim that a payoff, or the gain of the best deviation, equals a closed form within 5 %.

    number: the closed form
    game, play, who, gain: as ``ClosedForm`` takes them;   about: id, paper and words of the claim
    """
    return Claim(
        market=MARKET,
        place=number.place,
        statistic="distance from the closed form, to either side, per episode",
        unit="money",
        rule=AtMost(0.05),
        experiment=ClosedForm(value=number.value, name=game, play=play, who=who, gain=gain),
        **about,
    )


CLAIMS = (
    truthfulness(
        id="reference/second_price_truth",
        market=MARKET,
        paper=VICKREY,
        place="section II",
        words=(
            "In a second-price auction no bid earns more than to bid one's value, whatever the"
            " others bid."
        ),
        build=partial(game, "second_price"),
        who=("buyer",),
        conditions=tuple(BIDDERS),
        against=("random", "shade"),
        ex_post=True,
    ),
    truthfulness(
        id="reference/first_price_truth",
        market=MARKET,
        paper=OURS,
        place="a question put to the other rule of Vickrey (1961), who says no",
        words="In a first-price auction no bid earns more than to bid one's value.",
        build=partial(game, "first_price"),
        who=("buyer",),
        scale=FIRST_PRICE_PAYOFF.value,
    ),
    closed_form(
        id="reference/first_price_gain",
        paper=VICKREY,
        words=(
            "Against one truthful bidder the best first-price bid is half the value and earns 1/12"
            " more than truth."
        ),
        number=FIRST_PRICE_GAIN,
        game="first_price",
        who=("buyer",),
        gain=True,
    ),
    truthfulness(
        id="reference/first_price_equilibrium",
        market=MARKET,
        paper=VICKREY,
        place="section II",
        words=(
            "Bidding v (n - 1) / n is an equilibrium of the first-price auction with n bidders,"
            " values uniform."
        ),
        build=partial(game, "first_price"),
        who=("buyer",),
        play="first_price_equilibrium",
        conditions=tuple(BIDDERS),
    ),
    truthfulness(
        id="reference/double_auction_truth",
        market=MARKET,
        paper=OURS,
        place="a question put to example 1 of Chatterjee and Samuelson (1983), who say no",
        words=(
            "In the double auction that settles in the middle no report earns either side more than"
            " to report its type."
        ),
        build=partial(game, "double_auction"),
        who=("buyer", "seller"),
        scale=TRUTHFUL_PAYOFF.value,
    ),
    closed_form(
        id="reference/double_auction_gain",
        paper=CHATTERJEE,
        words=(
            "Against truth the best answer of either side of the double auction earns 1/36 more"
            " than truth, a third."
        ),
        number=DOUBLE_AUCTION_GAIN,
        game="double_auction",
        who=("buyer", "seller"),
        gain=True,
    ),
    closed_form(
        id="reference/double_auction_payoff",
        paper=CHATTERJEE,
        words="In the linear equilibrium of the double auction on U[0, 1] either side earns 9/128.",
        number=EQUILIBRIUM_PAYOFF,
        game="double_auction",
        play="linear_equilibrium",
        who=("buyer", "seller"),
        gain=False,
    ),
    truthfulness(
        id="reference/double_auction_equilibrium",
        market=MARKET,
        paper=CHATTERJEE,
        place="example 1",
        words="The linear equilibrium of the double auction is one: no deviation gains.",
        build=partial(game, "double_auction"),
        who=("buyer", "seller"),
        play="linear_equilibrium",
    ),
    balance(
        id="reference/budget_balance",
        market=MARKET,
        paper=f"{VICKREY}; {CHATTERJEE}",
        place="rules of the games",
        words="Payments sum to zero, and nobody subsidises the game, whatever is reported.",
        build=any_game,
        conditions=tuple(GAMES),
    ),
    accounts(
        id="reference/accounts",
        market=MARKET,
        paper=OURS,
        place="rules of the games",
        words=(
            "Nothing is earned but goods and payments by the rule, and nothing is lost but costs"
            " and these."
        ),
        build=any_game,
        conditions=tuple(GAMES),
    ),
    rationality(
        id="reference/rationality",
        market=MARKET,
        paper=f"{VICKREY}; {CHATTERJEE}",
        place="rules of the games",
        words=(
            "An agent that reports truthfully never loses"
            " by taking part where all report truthfully."
        ),
        build=any_game,
        conditions=tuple(GAMES),
        scale=1.0,
    ),
    rationality(
        id="reference/rationality_under_lies",
        market=MARKET,
        paper=f"{VICKREY}; {CHATTERJEE}",
        place="rules of the games",
        words=(
            "An agent that reports truthfully never loses"
            " by taking part, whatever the others report."
        ),
        build=any_game,
        others="random",
        conditions=tuple(GAMES),
        scale=1.0,
    ),
)
