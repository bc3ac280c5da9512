"""Claims of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023): what trade brings, its
theorems, and whether truth pays.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from marketenv import make_market
from marketenv.core.market import Market
from marketenv.mechanisms import double_auction, lower_bound, myerson

from .claim import AS_STATED, Above, AtMost, Claim, Effort, InMost, Never
from .linear_experiments import figure_3_lead, figure_5
from .money import accounts, balance
from .tables import (
    DIGITS,
    DIGITS_LEAK,
    FEWER,
    LAYERS,
    METHODS,
    OWN_TASK,
    TEST_DATA,
    both_gain,
    compared,
    figure_3,
    figure_4,
)
from .theorems import ROUNDING
from .trading_experiments import (
    COVERED,
    NARROW,
    PAYS_ASK,
    PLENTY,
    REVERSED,
    SAFE,
    SHARP,
    asks_best,
    bargaining,
    nobody_loses,
    optimal_transfer,
    theorem_41,
    theorem_51,
)
from .truthfulness import Line, half, rationality, truthfulness

MARKET = "parameter_trading"
PAPER = "Huang, Vishwakarma, Sala: Train 'n Trade (NeurIPS 2023)"
OUT, FEDAVG, APART, ALIGNED = METHODS
OURS = "ours"  # no claim of the paper but a question that we put to its market


# --- truth ----------------------------------------------------------------------------------------

ONE, THREE, PAY_BID, FREE = (
    "one round",
    "three traders, one round",
    "buyers pay their bid",
    "training costs nothing",
)
PAY_BID_ONCE = "buyers pay their bid, one round"
# a true ask is 0: at a posted price no money would move
MARKED = "posted price, the other trader asks by Myerson's rule"
MARKED_ONCE = f"{MARKED}, one round"
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
    """The same, where an ask can be above every bid, so that who wants no trade has none (bids
    end at 15 ln 10 = 34.5).
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
    told: dict[str, Any] = {
        "id": f"train_n_trade/{name}",
        "market": MARKET,
        "paper": OURS,
        "words": words,
    }
    told["place"] = (
        "a question put to sections 3.4 and 4, which take valuations as truthful: truth as a reply"
        " to truth"
    )
    build = partial(traders, count)
    return truthfulness(
        **told, build=build, who=(who,), conditions=conditions, costly=True, **search
    )


# --- the table ------------------------------------------------------------------------------------


def said(name: str, place: str, words: str, paper: str = PAPER, **rest: Any) -> Claim:
    """A claim of this paper."""
    return Claim(
        id=f"train_n_trade/{name}", market=MARKET, paper=paper, place=place, words=words, **rest
    )


def left_out(name: str, place: str, words: str, command: str) -> Claim:
    """A claim of this paper that a study plays but no experiment here judges."""
    why = f"python scripts/reproduce.py {command} plays it"
    return said(
        name, place, words, statistic="none", unit="-", rule=Above(0.0), experiment=None, why=why
    )


ACCURACY: dict[str, Any] = {
    "statistic": "test accuracy less that of what it is compared with, same seeds",
    "unit": "points of %",
    "rule": Above(0.0),
}
BROKERS = (DIGITS, DIGITS_LEAK)
ORDER = ((OUT, FEDAVG), (FEDAVG, APART), (APART, ALIGNED))
SUBSETS = tuple(zip(LAYERS, (*list(LAYERS)[1:], ALIGNED), strict=True))
SIZES = (AS_STATED, FEWER)
PURCHASE: dict[str, Any] = {
    "statistic": "fall of A's loss on its own task, out of the market against in it",
    "unit": "% of the loss",
    "rule": Above(0.0),
}

LOSS: dict[str, Any] = {
    "statistic": (
        "loss of each agent, and distance of a price from the middle of bid and ask, the worst of"
        " each block of cases"
    ),
    "unit": "money",
    "rule": Never(1e-12),
}
REVENUE: dict[str, Any] = {
    "statistic": (
        "share of the best ask's revenue that the rule's ask loses, against truthful buyers"
    ),
    "unit": "of the revenue",
    "rule": Never(1e-4),
}

CLAIMS = (
    said(
        "trade_helps",
        "table 1",
        "Both agents end more accurate by trading than out of the market.",
        conditions=BROKERS,
        experiment=partial(compared, ((OUT, ALIGNED),), True, "digits"),
        **ACCURACY,
    ),
    said(
        "alignment_helps",
        "table 1",
        "Trading with alignment ends more accurate than without.",
        conditions=BROKERS,
        experiment=partial(compared, ((APART, ALIGNED),), False, "digits"),
        **ACCURACY,
    ),
    said(
        "table_1_order",
        "table 1, MNIST",
        "Accuracy rises from out of the market over FedAvg and trade without alignment to trade"
        " with it.",
        conditions=BROKERS,
        experiment=partial(compared, ORDER, False, "digits"),
        **ACCURACY,
    ),
    said(
        "table_1_order_mnist",
        "table 1, MNIST",
        "The same order in the paper's own setting: MNIST and its network.",
        conditions=(AS_STATED, TEST_DATA),
        experiment=partial(compared, ORDER, False, "mnist"),
        **ACCURACY,
    ),
    said(
        "table_2_order",
        "table 2",
        "Accuracy rises from trading layers {3, 4} over {2, 3, 4}, {0, 1, 2} and {0, 1} to trading"
        " all five.",
        conditions=(DIGITS,),
        experiment=partial(compared, SUBSETS, False, "five layers"),
        **ACCURACY,
    ),
    left_out(
        "figure_2",
        "figure 2",
        "Trade makes test losses fall faster, and with alignment fastest.",
        "fig2",
    ),
    said(
        "both_gain",
        "section 6.1.3, figure 3",
        "Trade lowers the test loss of both agents.",
        statistic="fall of the test loss, out of the market against in it, paired by seed",
        unit="% of the loss",
        rule=Above(0.0),
        conditions=(*SIZES, DIGITS),
        experiment=both_gain,
    ),
    said(
        "figure_3_falls",
        "section 6.1.3",
        "Trade lowers the test loss by 42.84 % for A and 23.88 % for B, each within a tenth of"
        " that.",
        statistic="distance of the fall from the paper's number, to either side, relative",
        unit="of the paper's number",
        rule=AtMost(0.1),
        conditions=SIZES,
        experiment=figure_3,
    ),
    said(
        "figure_3_lead",
        "section 6.1.3, figure 3",
        "A leads in the first half of the rounds, and B at the end.",
        statistic=(
            "runs in which A's squared parameter error is below B's in the first half, above it in"
            " the last tenth (means)"
        ),
        unit="of the runs",
        rule=InMost(),
        conditions=SIZES,
        experiment=figure_3_lead,
    ),
    said(
        "figure_4_gain",
        "section 6.1.4, figure 4",
        "A gains from trade however far the other's task is from its own.",
        conditions=(*SIZES, OWN_TASK),
        experiment=partial(figure_4, False),
        **PURCHASE,
    ),
    said(
        "figure_4_order",
        "section 6.1.4, figure 4",
        "A gains the more by trade, the nearer the other's task is to its own.",
        conditions=(*SIZES, OWN_TASK),
        experiment=partial(figure_4, True),
        **(
            PURCHASE
            | {
                "statistic": (
                    "fall of A's loss on its own task at a distance less that at the next one"
                )
            }
        ),
    ),
    said(
        "figure_5",
        "section 6.2, figure 5",
        "A's model is the dearer one at first, and B's at the end.",
        statistic=(
            "runs in which A's model costs more than B's in the first half, and less in the last"
            " tenth (means, in Delta)"
        ),
        unit="of the runs",
        rule=InMost(),
        conditions=SIZES,
        experiment=figure_5,
    ),
    said(
        "theorem_4_1",
        "theorem 4.1",
        "A seller that knows its own gain and both weights can bound the buyer's gain.",
        statistic=(
            "by how much a gain leaves its bounds, relative; the worst of each block of random"
            " cases"
        ),
        unit="relative",
        rule=Never(ROUNDING),
        conditions=(AS_STATED, SAFE, SHARP),
        corrections=(SHARP,),
        experiment=theorem_41,
    ),
    said(
        "theorem_5_1",
        "theorem 5.1",
        "After so many rounds as the theorem names B's gradient is small, where it always trades"
        " and where it never does.",
        statistic="rounds needed less rounds promised, the worst gradient of each seed",
        unit="rounds",
        rule=Never(0.0, rate=0.2),
        conditions=(AS_STATED, PLENTY),
        experiment=partial(theorem_51, False),
    ),
    said(
        "theorem_5_1_premise",
        "theorem 5.1, its assumption delta_b > 0",
        "Every round's purchase lowers the broker's loss of B's model.",
        statistic="share of rounds without a gain, by seed",
        unit="of the rounds",
        rule=Never(0.0, rate=0.2),
        conditions=(AS_STATED, PLENTY),
        experiment=partial(theorem_51, True),
    ),
    said(
        "eq_1",
        "equation 1",
        "The midpoint price difference maximises the product of both agents' utilities.",
        statistic=(
            "shortfall of the product against the best of a grid, relative; distance of the prices"
            " settled from eq. 1"
        ),
        unit="relative",
        rule=Never(1e-9),
        conditions=(COVERED,),
        experiment=bargaining,
    ),
    said(
        "eq_1_nobody_loses",
        "equation 1",
        "At the negotiated prices nobody loses.",
        conditions=(AS_STATED, COVERED),
        experiment=partial(nobody_loses, True),
        **LOSS,
    ),
    said(
        "eq_1_nobody_loses_by_sales",
        "section 3.4, a second reading: what its buyer values less than its seller is not sold",
        "At the negotiated prices nobody loses by what is sold.",
        experiment=partial(nobody_loses, False),
        **LOSS,
    ),
    said(
        "optimal_transfer",
        "section 4",
        "Where sellers ask what their buyers bid, P_A - P_B is Delta_a - Delta_b.",
        statistic=(
            "distance of the settled P_A - P_B from it, the worst of each block of random gains"
        ),
        unit="money",
        rule=Never(1e-9),
        conditions=(AS_STATED, REVERSED),
        corrections=(REVERSED,),
        experiment=optimal_transfer,
    ),
    said(
        "myerson_ask",
        "equation 2, in section 6.2's market, where the middle is paid",
        "The virtual valuation is the ask that earns a seller most.",
        conditions=(AS_STATED, PAYS_ASK),
        experiment=partial(asks_best, myerson, False),
        **REVENUE,
    ),
    said(
        "myerson_ask_as_price",
        "equation 2, a second reading: an ask to take or leave",
        "The virtual valuation is the price that earns a seller most.",
        experiment=partial(asks_best, myerson, True),
        **REVENUE,
    ),
    said(
        "lower_bound_ask",
        "a question put to section 6.2, where sellers ask the lower bound and the middle is paid",
        "No ask earns a seller more than to ask for the least that its buyer may pay.",
        OURS,
        conditions=(AS_STATED, PAYS_ASK, NARROW),
        experiment=partial(asks_best, lower_bound, False),
        **REVENUE,
    ),
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
    rationality(
        id="train_n_trade/taking_part_pays",
        market=MARKET,
        paper=PAPER,
        place="sections 1 and 6",
        words=(
            "No agent earns less in the mean by taking part than by staying away, the others"
            " trading."
        ),
        build=with_a_way_out,
        who=("trader_0",),
        outside="never_trade",
        signed=True,
        tolerance=0.0,
        costly=True,
    ),
    rationality(
        id="train_n_trade/taking_part_never_costs",
        market=MARKET,
        paper=PAPER,
        place="section 3.4, prices between ask and bid",
        words="No agent ever earns less by taking part than by staying away.",
        build=with_a_way_out,
        conditions=(AS_STATED, ONE),
        who=("trader_0",),
        outside="never_trade",
        rate=0.1,
        costly=True,
    ),
    rationality(
        id="train_n_trade/taking_part_under_lies",
        market=MARKET,
        paper=PAPER,
        place="section 3.4, prices between ask and bid",
        words=(
            "No truthful agent ever earns less by taking part than by staying away, whatever the"
            " others report."
        ),
        build=with_a_way_out,
        conditions=(AS_STATED, ONE),
        who=("trader_0",),
        others="random",
        outside="never_trade",
        rate=0.1,
        costly=True,
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
