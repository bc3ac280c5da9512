"""Claims about two linear agents: what both gain, who leads, related tasks, prices."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.rules import Above, AtMost, InMost
from ..core.words import AS_STATED
from .linear_experiments import both_gain, figure_3, figure_3_lead, figure_5
from .linear_market import FEWER, OWN_TASK
from .numbers import FALLS
from .related_tasks import figure_4
from .settings import DIGITS
from .wording import paper_claim

SIZES = (AS_STATED, FEWER)
PURCHASE: dict[str, Any] = {
    "statistic": "fall of A's loss on its own task, out of the market against in it",
    "unit": "% of the loss",
    "rule": Above(0.0),
}

CLAIMS = (
    paper_claim(
        "both_gain",
        "section 6.1.3, figure 3",
        "Trade lowers the test loss of both agents.",
        statistic="fall of the test loss, out of the market against in it, paired by seed",
        unit="% of the loss",
        rule=Above(0.0),
        conditions=(*SIZES, DIGITS),
        experiment=both_gain,
    ),
    paper_claim(
        "figure_3_falls",
        "section 6.1.3",
        f"Trade lowers the test loss by {FALLS['A'].value} % for A and {FALLS['B'].value} % for B,"
        " each within a tenth of that.",
        statistic="distance of the fall from the paper's number, to either side, relative",
        unit="of the paper's number",
        rule=AtMost(0.1),
        conditions=SIZES,
        experiment=figure_3,
    ),
    paper_claim(
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
    paper_claim(
        "figure_4_gain",
        "section 6.1.4, figure 4",
        "A gains from trade however far the other's task is from its own.",
        conditions=(*SIZES, OWN_TASK),
        experiment=partial(figure_4, False),
        **PURCHASE,
    ),
    paper_claim(
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
    paper_claim(
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
)
