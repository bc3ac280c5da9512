"""Claims of the reference markets, whose answers are known in closed form: what judges the
judges.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from marketenv import make_market
from marketenv.core.market import Market

from ...lineups import find_profile
from ..attack import JUDGE, Attack, seeds_of
from ..best_response import best_response, deviators
from .claim import AS_STATED, AtMost, Claim, Effort, Evidence
from .money import accounts, balance
from .truthfulness import MOST, blocks, rationality, truthfulness

MARKET = "reference"
VICKREY = "Vickrey, Journal of Finance 16 (1961)"
CHATTERJEE = "Chatterjee and Samuelson, Operations Research 31 (1983)"
OURS = "ours"
# what a bidder earns in the first-price equilibrium, two bidders, U[0, 1]: 1 / (n (n + 1)); truth
# earns 0
WORTH = 1 / 6
# what truth earns each side of the double auction on U[0, 1]: half of E[(v - c)+] = 1/6
SURPLUS = 1 / 12
BIDDERS = {AS_STATED: 2, "three bidders": 3, "five bidders": 5}
GAMES = {
    "double auction": "double_auction",
    "first price": "first_price",
    "second price": "second_price",
}


def game(name: str, condition: str, effort: Effort) -> Market:
    """A reference game; conditions on the number of bidders are obeyed."""
    bidders = {} if name == "double_auction" else {"n_buyers": BIDDERS.get(condition, 2)}
    return make_market("reference_v0", game=name, **bidders)


def any_game(condition: str, effort: Effort) -> Market:
    """The game that a condition names; as stated, the double auction."""
    return make_market("reference_v0", game=GAMES.get(condition, "double_auction"))


def equals(
    value: float,
    name: str,
    play: str,
    who: tuple[str, ...],
    gain: bool,
    condition: str,
    effort: Effort,
) -> Evidence:
    """How far a mean is from its closed form, to both sides: of the payoff of who plays along, or
    of the best gain found.

    A mean is equal within the tolerance where neither side is farther.
    """
    market, budget = (
        game(name, condition, effort),
        dataclasses.replace(effort.cheap, judge=8 * effort.cheap.judge),
    )
    profile = find_profile(market, play)
    samples: dict[str, list[float]] = {}
    told: list[str] = []
    for agent in (deviators(market, one)[0] for one in who):
        if gain:
            best = best_response(market, profile, agent, ("grid", "cross_entropy"), budget).best
            points, told = best.gains, [*told, f"{agent}: {best.told}"]
        else:
            points = Attack(
                market, profile, (agent,), seeds_of(JUDGE, budget.judge), budget.most_markets
            ).base
        samples[f"{agent} above the closed form"] = blocks(points - value)
        samples[f"{agent} below the closed form"] = blocks(value - points)
    seeds = (
        f"chosen on SELECT + 0..{budget.select - 1}, judged on JUDGE + 0..{budget.judge - 1}, means"
        f" of {MOST} blocks"
    )
    return Evidence(
        samples=samples, seeds=seeds, scale=value, notes=(f"closed form: {value:.6g} money", *told)
    )


def closed_form(
    *,
    value: float,
    game: str,
    play: str = "truthful",
    who: tuple[str, ...],
    gain: bool,
    **told: Any,
) -> Claim:
    """A claim that a payoff, or the gain of the best deviation, equals a closed form within 5 %."""
    return Claim(
        market=MARKET,
        statistic="distance from the closed form, to either side, per episode",
        unit="money",
        rule=AtMost(0.05),
        experiment=partial(equals, value, game, play, who, gain),
        **told,
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
        scale=WORTH,
    ),
    closed_form(
        id="reference/first_price_gain",
        paper=VICKREY,
        place="derived: E[max_b b (v - b)] = E[v^2 / 4] at b = v / 2",
        words=(
            "Against one truthful bidder the best first-price bid is half the value and earns 1/12"
            " more than truth."
        ),
        value=1 / 12,
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
        scale=SURPLUS,
    ),
    closed_form(
        id="reference/double_auction_gain",
        paper=CHATTERJEE,
        place="derived: best answers 2v/3 and (2c + 1)/3, 1/9 against 1/12",
        words=(
            "Against truth the best answer of either side of the double auction earns 1/36 more"
            " than truth, a third."
        ),
        value=1 / 9 - 1 / 12,
        game="double_auction",
        who=("buyer", "seller"),
        gain=True,
    ),
    closed_form(
        id="reference/double_auction_payoff",
        paper=CHATTERJEE,
        place="example 1",
        words="In the linear equilibrium of the double auction on U[0, 1] either side earns 9/128.",
        value=9 / 128,
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
        conditions=(AS_STATED, "first price", "second price"),
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
        conditions=(AS_STATED, "first price", "second price"),
    ),
    rationality(
        id="reference/rationality",
        market=MARKET,
        paper=f"{VICKREY}; {CHATTERJEE}",
        place="rules of the games",
        words="Who reports truthfully never loses by taking part where all do.",
        build=any_game,
        conditions=(AS_STATED, "first price", "second price"),
        scale=1.0,
    ),
    rationality(
        id="reference/rationality_under_lies",
        market=MARKET,
        paper=f"{VICKREY}; {CHATTERJEE}",
        place="rules of the games",
        words="Who reports truthfully never loses by taking part, whatever the others report.",
        build=any_game,
        others="random",
        conditions=(AS_STATED, "first price", "second price"),
        scale=1.0,
    ),
)
