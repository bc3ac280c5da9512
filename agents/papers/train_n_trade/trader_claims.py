"""Claims of whether truth, full effort and taking part pay, and of where the money goes."""

from __future__ import annotations

from functools import partial
from typing import Any

from marketenv import make_market
from marketenv.core.market import Market
from marketenv.mechanisms import double_auction

from ..core.claim import Claim
from ..core.effort import Effort
from ..core.money import accounts, balance
from ..core.rationality import rationality
from ..core.truthfulness import Line, half, truthfulness
from ..core.words import AS_STATED
from .wording import MARKET, OURS, PAPER

ONE, THREE = "one round", "three traders, one round"
PAY_BID, PAY_BID_ONCE = "buyers pay their bid", "buyers pay their bid, one round"
FREE = "training costs nothing"
# a true ask is 0: at a posted price no money would move
MARKED = "posted price, the other trader asks by Myerson's rule"
MARKED_ONCE = f"{MARKED}, one round"
BETWEEN = "section 3.4, prices between ask and bid"
OTHER_ASKS = {"trader_0": "truthful", "trader_1": "myerson_seller"}
BIDS: Line = ("scale bid", 0.0, 1.5)  # times the worth of a purchase
# money above the cost, up to half of ask_max; more than that hardly any buyer pays
ASKS: Line = ("shift ask", 0.0, half)
IDLE: Line = ("scale effort", 0.0, 1.0)  # times full effort
CHANGES: dict[str, dict[str, Any]] = {
    AS_STATED: {},  # two traders, settlement in the middle, several rounds
    ONE: {"max_cycles": 1},
    THREE: {"n_agents": 3, "max_cycles": 1},
    MARKED: {"mechanism": "posted_price"},
    MARKED_ONCE: {"mechanism": "posted_price", "max_cycles": 1},
    PAY_BID: {"mechanism": partial(double_auction, weight=1.0)},
    PAY_BID_ONCE: {"mechanism": partial(double_auction, weight=1.0), "max_cycles": 1},
    FREE: {"effort_cost": (0.0, 0.0)},
}


def traders(count: int, condition: str, effort: Effort) -> Market:
    """The market on digits with so many traders, changed as a condition says."""
    sizes = {"n_agents": count, "max_cycles": effort.rounds}
    return make_market("parameter_trading_v0", **(sizes | CHANGES[condition]))


def with_a_way_out(condition: str, effort: Effort) -> Market:
    """The same with asks up to 40, above every bid, so that a trader can stay away.

    Bids end at 15 ln 10 = 34.5.
    """
    sizes = {"n_agents": 2, "max_cycles": effort.rounds, "ask_max": 40.0}
    return make_market("parameter_trading_v0", **(sizes | CHANGES[condition]))


def truth(
    name: str,
    words: str,
    conditions: tuple[str, ...],
    who: Any = "trader_0",
    count: int = 2,
    **search: Any,
) -> Claim:
    """A claim that no trader gains by other reports than its true ones."""
    return truthfulness(
        id=f"train_n_trade/{name}",
        market=MARKET,
        paper=OURS,
        place=(
            "a question put to sections 3.4 and 4, which take valuations as truthful: truth as a"
            " reply to truth"
        ),
        words=words,
        build=partial(traders, count),
        who=(who,),
        conditions=conditions,
        costly=True,
        **search,
    )


def taking_part(name: str, place: str, words: str, **rest: Any) -> Claim:
    """A claim that a trader does not lose by taking part instead of staying away."""
    return rationality(
        id=f"train_n_trade/{name}",
        market=MARKET,
        paper=PAPER,
        place=place,
        words=words,
        build=with_a_way_out,
        who=("trader_0",),
        outside="never_trade",
        costly=True,
        **rest,
    )


CLAIMS = (
    truth(
        "truthful_bids",
        "No buyer gains by bidding other than what a purchase is worth to it.",
        (AS_STATED, ONE, MARKED, MARKED_ONCE),
        plays={MARKED: OTHER_ASKS, MARKED_ONCE: OTHER_ASKS},
        lines=(BIDS,),
        attackers=(),
        ex_post=True,
        fields=("bid",),
    ),
    truth(
        "truthful_asks",
        "No seller gains by asking more than its cost.",
        (AS_STATED, ONE, THREE, PAY_BID, PAY_BID_ONCE),
        lines=(ASKS,),
        attackers=(),
    ),
    truth(
        "full_effort",
        "No trader gains by training less than it could.",
        (AS_STATED, FREE),
        lines=(IDLE,),
        attackers=(),
    ),
    truth(
        "truth",
        "No trader gains by any other bids, asks and effort than the true ones.",
        (AS_STATED, ONE),
        lines=(BIDS, ASKS, IDLE),
        learns=True,
    ),
    truth(
        "sellers_together",
        "No two of three traders gain together by other bids, asks and effort than the true ones.",
        (AS_STATED, PAY_BID_ONCE),
        who=("trader_0", "trader_1"),
        count=3,
        lines=(ASKS, BIDS),
        attackers=("cross_entropy",),  # of all fields, each member by parameters of its own
    ),
    taking_part(
        "taking_part_pays",
        "sections 1 and 6",
        "No agent earns less in the mean by taking part than by staying away, the others trading.",
        signed=True,
        tolerance=0.0,
    ),
    taking_part(
        "taking_part_never_costs",
        BETWEEN,
        "No agent ever earns less by taking part than by staying away.",
        conditions=(AS_STATED, ONE),
        rate=0.1,
    ),
    taking_part(
        "taking_part_under_lies",
        BETWEEN,
        "No truthful agent ever earns less by taking part than by staying away, whatever the"
        " others report.",
        conditions=(AS_STATED, ONE),
        others="random",
        rate=0.1,
    ),
    balance(
        id="train_n_trade/budget_balance",
        market=MARKET,
        paper=PAPER,
        place="section 3.4: the price difference is what moves between the parties",
        words="Payments sum to zero, and nobody subsidises the market, whatever is reported.",
        build=partial(traders, 2),
        costly=True,
    ),
    accounts(
        id="train_n_trade/accounts",
        market=MARKET,
        paper=OURS,
        place="sections 3.3 and 3.4: gains are bought at the middle of bid and ask",
        words=(
            "Nothing is earned but the fall of one's loss and the middle of bid and ask; nothing is"
            " lost but effort and these."
        ),
        build=partial(traders, 3),
        costly=True,
    ),
)
