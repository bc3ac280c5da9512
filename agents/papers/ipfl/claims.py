"""Claims of iPFL (arXiv 2505.02462) and questions put to its market.

The theorems speak of one round with the distances fixed and of no cost of training, so the economic
claims are tested there: one round, reports once, distances drawn. The paper's experiments ran on
larger data; ours run on digits and say so in the condition.
"""

from __future__ import annotations

from typing import Any

from marketenv.core.market import Market

from ..core.claim import Claim
from ..core.effort import Effort
from ..core.money import accounts, balance
from ..core.rationality import rationality
from ..core.rules import Never, NoGain
from ..core.truthfulness import Line, truthfulness
from ..core.words import AS_STATED
from .false_names import FalseNames
from .graphs import isolated_iff
from .lies import CostRegret
from .numbers import PAPER
from .settings import CLIENTS, NAMES, RULES, SIX, drawn_market
from .sharing_claims import SHARING
from .wording import OURS, about, lighter

THEOREM_2 = "theorem 2"  # the summary: overstating a cost cannot increase utility
DOMINANT = "truthfulness, as the summary words it: a true cost is a dominant strategy"
REPLY = f"{DOMINANT}; put to truthful others, as a best reply"
# of the others, where a strategy is to dominate
LIES = ("truthful", "random", "size_liar", "undercutter", "eagerness_shader")
BEYOND = "a question put to theorem 2, which speaks of costs; as a reply to truth"
CLIENT = "client_0"  # all clients are drawn alike
BELOW, ABOVE, BOTH = (0.1, 1.0), (1.0, 10.0), (0.1, 10.0)  # times the truth


def economy(condition: str, effort: Effort) -> Market:
    """One round between ten clients, or six on the exact graph; training is free."""
    return _one_round(condition, CLIENTS[NAMES[condition]])


def small_economy(condition: str, effort: Effort) -> Market:
    """The same with six clients."""
    return _one_round(condition, SIX)


def _one_round(condition: str, clients: int) -> Market:
    return drawn_market(clients, effort_cost=(0.0, 0.0), **RULES[condition])


def economic(name: str, place: str, words: str, paper: str = PAPER) -> dict[str, Any]:
    """What claims about one round share: the market, and the three payments as conditions."""
    return about(name, place, words, paper) | {"build": economy, "conditions": tuple(RULES)}


def no_lie(
    name: str, place: str, words: str, field: str, ends: tuple[float, float], paper: str = PAPER
) -> Claim:
    """A claim that no client gains by a report between two ends.

    The report is chosen beforehand, or by hindsight.
    """
    line: Line = (f"scale {field}", *ends)
    shared = economic(name, place, words, paper)
    return lighter(
        truthfulness(**shared, who=(CLIENT,), lines=(line,), attackers=(), hindsight=True)
    )


def no_loss(false: str, words: str, others: str) -> Claim:
    """A claim that truthful clients do not lose where all others lie in one way."""
    shared = economic(
        f"individual_rationality_under_false_{false}",
        "a question put to theorem 1, which takes all reports as true",
        words,
        OURS,
    )
    return lighter(rationality(**shared, who=(CLIENT,), others=others))


# --- taking part, truth and money -----------------------------------------------------------------

TAKING_PART = (
    lighter(
        rationality(
            **economic(
                "individual_rationality",
                "theorem 1",
                "A client that reports its types never loses where all do.",
            ),
            who=(CLIENT,),
        )
    ),
    no_loss(
        "sizes",
        "Truthful clients never lose, even where all others say that they own three times their"
        " data.",
        "size_liar",
    ),
    no_loss(
        "costs",
        "Truthful clients never lose, even where all others say that a sale costs them less.",
        "undercutter",
    ),
    no_loss(
        "needs",
        "Truthful clients never lose, even where all others say that they need half as much.",
        "eagerness_shader",
    ),
)

TRUTH = (
    no_lie(
        "cost_not_overstated",
        THEOREM_2,
        "Among the truthful nobody gains by reporting a cost above its own.",
        "cost",
        ABOVE,
    ),
    no_lie(
        "cost_not_understated",
        REPLY,
        "Among the truthful nobody gains by reporting a cost below its own.",
        "cost",
        BELOW,
    ),
    no_lie(
        "truthful_sizes",
        BEYOND,
        "No client gains by reporting more or less data than it owns.",
        "size",
        BOTH,
        OURS,
    ),
    no_lie(
        "truthful_needs",
        BEYOND,
        "No client gains by reporting another need for data than its own.",
        "need",
        BOTH,
        OURS,
    ),
    lighter(
        truthfulness(
            **economic(
                "truth_against_all",
                BEYOND,
                "Nothing that a client can do earns more than truth.",
                OURS,
            ),
            who=(CLIENT,),
            learns=True,
        ),
        select=16,
    ),
    Claim(
        **about(
            "truthful_costs_exactly",
            DOMINANT,
            "No cost that a client could report earns it more than its own, whether the others are"
            " truthful or lie.",
        ),
        rule=Never(1e-5, rate=0.02),
        unit="money",
        statistic=(
            "regret of the reported cost given all other reports, all costs that matter tried, an"
            " episode"
        ),
        conditions=tuple(RULES),
        experiment=CostRegret(small_economy, LIES),
    ),
)

MONEY = (
    balance(
        **economic("budget_balance", "payments p_i", "Payments sum to zero, whatever is reported.")
    ),
    accounts(
        **economic(
            "accounts",
            "utility U_i",
            "Nothing is earned but gains and payments, and nothing is lost but costs.",
            OURS,
        )
    ),
)

NEVER_BOUGHT = Claim(
    **about(
        "never_bought_condition",
        "theorem 3 as a condition, derived",
        "A model is bought by nobody who finds it not worth its hurdle alone, and bought alone by"
        " all others.",
        OURS,
    ),
    rule=Never(0.0),
    unit="pairs",
    statistic="pairs of a random market for which that is wrong",
    conditions=(AS_STATED,),
    experiment=isolated_iff,
)

FALSE_NAMES = Claim(
    **about(
        "false_names",
        "a question put to the market",
        "No client gains by coming as two that share its data and needs.",
        OURS,
    ),
    rule=NoGain(0.01),
    unit="money",
    statistic=(
        "summed utility of the two names less that of the one, for the best way to split in each"
        " case, 0 where none gains"
    ),
    conditions=tuple(RULES),
    experiment=FalseNames(RULES),
)

CLAIMS = (*TAKING_PART, *TRUTH, *MONEY, NEVER_BOUGHT, *SHARING, FALSE_NAMES)
