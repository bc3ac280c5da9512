"""Claims about theorems 4.1 and 5.1, equations 1 and 2, optimal transfers and lower-bound asks."""

from __future__ import annotations

from functools import partial
from typing import Any

from marketenv.mechanisms import lower_bound, myerson

from ..core.rules import Never
from ..core.words import AS_STATED
from .asks import NARROW, PAYS_ASK, asks_best
from .bargaining import COVERED, REVERSED, bargaining, nobody_loses, optimal_transfer
from .theorem_41 import ROUNDING, SAFE, SHARP, theorem_41
from .theorem_51 import PLENTY, theorem_51
from .wording import OURS, paper_claim

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
    paper_claim(
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
    paper_claim(
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
    paper_claim(
        "theorem_5_1_premise",
        "theorem 5.1, its assumption delta_b > 0",
        "Every round's purchase lowers the broker's loss of B's model.",
        statistic="share of rounds without a gain, by seed",
        unit="of the rounds",
        rule=Never(0.0, rate=0.2),
        conditions=(AS_STATED, PLENTY),
        experiment=partial(theorem_51, True),
    ),
    paper_claim(
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
    paper_claim(
        "eq_1_nobody_loses",
        "equation 1",
        "At the negotiated prices nobody loses.",
        conditions=(AS_STATED, COVERED),
        experiment=partial(nobody_loses, True),
        **LOSS,
    ),
    paper_claim(
        "eq_1_nobody_loses_by_sales",
        "section 3.4, a second reading: what its buyer values less than its seller is not sold",
        "At the negotiated prices nobody loses by what is sold.",
        experiment=partial(nobody_loses, False),
        **LOSS,
    ),
    paper_claim(
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
    paper_claim(
        "myerson_ask",
        "equation 2, in section 6.2's market, where the middle is paid",
        "The virtual valuation is the ask that earns a seller most.",
        conditions=(AS_STATED, PAYS_ASK),
        experiment=partial(asks_best, myerson, False),
        **REVENUE,
    ),
    paper_claim(
        "myerson_ask_as_price",
        "equation 2, a second reading: an ask to take or leave",
        "The virtual valuation is the price that earns a seller most.",
        experiment=partial(asks_best, myerson, True),
        **REVENUE,
    ),
    paper_claim(
        "lower_bound_ask",
        "a question put to section 6.2, where sellers ask the lower bound and the middle is paid",
        "No ask earns a seller more than to ask for the least that its buyer may pay.",
        OURS,
        conditions=(AS_STATED, PAYS_ASK, NARROW),
        experiment=partial(asks_best, lower_bound, False),
        **REVENUE,
    ),
)
