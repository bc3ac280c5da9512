"""Claims of Train 'n Trade: those of tables 1 and 2 and of figure 2, and all of them together."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from ..core.rules import Above
from ..core.words import AS_STATED
from . import linear_claims, theorem_claims, trader_claims
from .accuracy import compared
from .methods import TABLE_1, TABLE_2
from .settings import DIGITS, DIGITS_LEAK, TEST_DATA
from .wording import paper_claim

ACCURACY: dict[str, Any] = {
    "statistic": "test accuracy less that of what it is compared with, same seeds",
    "unit": "percentage points",
    "rule": Above(0.0),
}
BROKERS = (DIGITS, DIGITS_LEAK)
ORDER = tuple(pairwise(TABLE_1))
SUBSETS = tuple(pairwise(TABLE_2[1:]))  # without the agents out of the market

CLAIMS = (
    paper_claim(
        "trade_helps",
        "table 1",
        "Both agents end more accurate by trading than out of the market.",
        conditions=BROKERS,
        experiment=partial(compared, (("out_of_market", "aligned"),), True, "digits"),
        **ACCURACY,
    ),
    paper_claim(
        "alignment_helps",
        "table 1",
        "Trading with alignment ends more accurate than without.",
        conditions=BROKERS,
        experiment=partial(compared, (("no_alignment", "aligned"),), False, "digits"),
        **ACCURACY,
    ),
    paper_claim(
        "table_1_order",
        "table 1, MNIST",
        "Accuracy rises from out of the market over FedAvg and trade without alignment to trade"
        " with it.",
        conditions=BROKERS,
        experiment=partial(compared, ORDER, False, "digits"),
        **ACCURACY,
    ),
    paper_claim(
        "table_1_order_mnist",
        "table 1, MNIST",
        "The same order in the paper's own setting: MNIST and its network.",
        conditions=(AS_STATED, TEST_DATA),
        experiment=partial(compared, ORDER, False, "mnist"),
        **ACCURACY,
    ),
    paper_claim(
        "table_2_order",
        "table 2",
        "Accuracy rises from trading layers {3, 4} over {2, 3, 4}, {0, 1, 2} and {0, 1} to trading"
        " all five.",
        conditions=(DIGITS,),
        experiment=partial(compared, SUBSETS, False, "five layers"),
        **ACCURACY,
    ),
    paper_claim(
        "figure_2",
        "figure 2",
        "Trade makes test losses fall faster, and with alignment fastest.",
        statistic="none",
        unit="-",
        rule=Above(0.0),
        experiment=None,
        why="python scripts/reproduce.py fig2 plays it",
    ),
    *linear_claims.CLAIMS,
    *theorem_claims.CLAIMS,
    *trader_claims.CLAIMS,
)
