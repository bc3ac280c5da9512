"""Claims of iPFL (arXiv 2505.02462) and questions put to its market: truth, taking part, money,
attackers, what sharing brings.

The theorems speak of one round with the distances fixed and of no cost of training, so the economic
claims are tested there: one round, reports once, distances drawn. Its experiments ran on larger
data; ours run on digits and say so in the condition.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from marketenv import make_market
from marketenv.core.market import Market

from .claim import AS_STATED, Above, AtLeast, Claim, Effort, Experiment, Never, NoGain, Rule
from .money import accounts, balance
from .sharing_experiments import (
    DRAWN,
    GIVEN_AWAY,
    ON_DIGITS,
    SIX,
    CostRegret,
    Isolation,
    Lighter,
    above_local,
    effort_unpaid,
    isolated_iff,
    most_welfare,
)
from .sharing_names import FalseNames
from .truthfulness import Line, rationality, truthfulness

MARKET = "model_sharing"
PAPER = "Incentivizing Inclusive Contributions in Model Sharing Markets (iPFL, arXiv 2505.02462)"
OURS = "ours"
THEOREM_2 = "theorem 2"  # the summary: overstating a cost cannot increase utility
DOMINANT = "truthfulness, as the summary words it: a true cost is a dominant strategy"
REPLY = f"{DOMINANT}; put to truthful others, as a best reply"
# of the others, where a strategy is to dominate
LIES = ("truthful", "random", "size_liar", "undercutter", "eagerness_shader")
BEYOND = "a question put to theorem 2, which speaks of costs; as a reply to truth"
CRITICAL, CLARKE = (
    "sellers are paid their critical value",
    "the exact graph with Clarke payments, six clients",
)
RULES: dict[str, dict[str, str]] = {
    # Algorithm 2 and the payment of the paper
    AS_STATED: {"graph": "break", "payment": "marginal"},
    CRITICAL: {"graph": "break", "payment": "critical"},
    CLARKE: {"graph": "exact", "payment": "vcg"},
}
CLIENT = "client_0"  # all clients are drawn alike
BELOW, ABOVE, BOTH = (0.1, 1.0), (1.0, 10.0), (0.1, 10.0)  # times the truth


def economy(condition: str, effort: Effort) -> Market:
    """One round between ten clients, or six on the exact graph, whose distances are drawn and
    whose training is free.
    """
    return _one_round(condition, SIX if condition == CLARKE else 10)


def small_economy(condition: str, effort: Effort) -> Market:
    """The same with six clients."""
    return _one_round(condition, SIX)


def _one_round(condition: str, clients: int) -> Market:
    fixed = {"learner": None, "max_cycles": 1, "effort_cost": (0.0, 0.0), "n_agents": clients}
    return make_market("model_sharing_v0", **fixed, **RULES[condition])


def about(name: str, place: str, words: str, paper: str = PAPER) -> dict[str, Any]:
    """What every claim of this market says of itself."""
    return {"id": f"ipfl/{name}", "market": MARKET, "paper": paper, "place": place, "words": words}


def lighter(claim: Claim, select: int = 8) -> Claim:
    """The same claim with fewer seeds; select: by how many times fewer to choose on."""
    assert claim.experiment is not None
    return dataclasses.replace(claim, experiment=Lighter(claim.experiment, select))


def economic(told: dict[str, Any]) -> dict[str, Any]:
    """What claims about one round share: the market and the three payments as conditions."""
    return told | {"build": economy, "conditions": tuple(RULES)}


def no_lie(
    name: str, place: str, words: str, field: str, ends: tuple[float, float], paper: str = PAPER
) -> Claim:
    """A claim that no client gains by a report between two ends, neither by one chosen
    beforehand nor by hindsight's best.
    """
    line: Line = (f"scale {field}", *ends)
    told = economic(about(name, place, words, paper))
    return lighter(truthfulness(**told, who=(CLIENT,), lines=(line,), attackers=(), hindsight=True))


def no_loss(false: str, words: str, others: str) -> Claim:
    """A claim that truthful clients do not lose where all others lie in one way."""
    told = about(
        f"individual_rationality_under_false_{false}",
        "a question put to theorem 1, which takes all reports as true",
        words,
        OURS,
    )
    return lighter(rationality(**economic(told), who=(CLIENT,), others=others))


def measured_by(
    told: dict[str, Any],
    rule: Rule,
    unit: str,
    statistic: str,
    conditions: tuple[str, ...],
    by: Experiment,
) -> Claim:
    """A claim with an experiment of its own."""
    return Claim(
        **told, rule=rule, unit=unit, statistic=statistic, conditions=conditions, experiment=by
    )


ATTACKS = {
    "shuffle": "a model whose numbers are shuffled",
    "gauss": "random numbers",
    "ones": "a model of ones",
    "sign_flip": "a model with all signs turned",
    "noise": "a model with noise as large as its update",
    "copy": "the mean of the others' models",
    "relay_rider": "the model that it was sent last",
}
PAPERS = ("shuffle", "gauss", "ones", "sign_flip")  # the others are free-riders of our own
# times its data that an attacker says it has, where not its own size alone
CLAIMED = {"shuffle": (1.0, 3.0, 10.0)}


def isolated(attack: str, model: str) -> Claim:
    """A claim that hardly anybody buys from who uploads such a model."""
    paper, place = (
        (PAPER, "theorem 3")
        if attack in PAPERS
        else (OURS, "theorem 3 put to an upload that the paper does not name")
    )
    claimed = CLAIMED.get(attack, (1.0,))
    more = ", however much data it claims," if len(claimed) > 1 else ""
    told = about(
        f"isolates_{attack}",
        place,
        f"Who uploads {model}{more} is isolated: hardly anybody buys from it.",
        paper,
    )
    statistic = (
        "share of the others that buy from the attacker, mean of the rounds after the first, an"
        " episode"
    )
    rule = Never(0.12, rate=0.15)  # at most one of nine buyers, in no episode; 40 episodes tell
    return measured_by(
        told, rule, "of the others", statistic, (*ON_DIGITS, GIVEN_AWAY), Isolation(attack, claimed)
    )


CLAIMS = (
    lighter(
        rationality(
            **economic(
                about(
                    "individual_rationality",
                    "theorem 1",
                    "Who reports its types never loses where all do.",
                )
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
                about(
                    "truth_against_all",
                    BEYOND,
                    "Nothing that a client can do earns more than truth.",
                    OURS,
                )
            ),
            who=(CLIENT,),
            learns=True,
        ),
        select=16,
    ),
    measured_by(
        about(
            "truthful_costs_exactly",
            DOMINANT,
            "No cost that a client could report earns it more than its own, whether the others are"
            " truthful or lie.",
        ),
        Never(1e-5, rate=0.02),
        "money",
        "regret of the reported cost given all other reports, all costs that matter tried, an"
        " episode",
        tuple(RULES),
        CostRegret(small_economy, LIES),
    ),
    balance(
        **economic(
            about("budget_balance", "payments p_i", "Payments sum to zero, whatever is reported.")
        )
    ),
    accounts(
        **economic(
            about(
                "accounts",
                "utility U_i",
                "Nothing is earned but gains and payments, and nothing is lost but costs.",
                OURS,
            )
        )
    ),
    measured_by(
        about(
            "never_bought_condition",
            "theorem 3 as a condition, derived",
            "A model is bought by nobody who finds it not worth its hurdle alone, and bought alone"
            " by all others.",
            OURS,
        ),
        Never(0.0),
        "pairs",
        "pairs of a random market for which that is wrong",
        (AS_STATED,),
        isolated_iff,
    ),
    *(isolated(*attack) for attack in ATTACKS.items()),
    measured_by(
        about(
            "above_local",
            "experiments",
            "Clients end with a higher test accuracy than by training alone.",
        ),
        Above(),
        "of the test rows",
        "mean test accuracy at the last round less that of training alone, same seeds",
        ON_DIGITS,
        above_local,
    ),
    measured_by(
        about(
            "highest_utility",
            "experiments",
            "No other way of sharing has a higher sum of utilities.",
        ),
        Above(),
        "money",
        "summed utility of a round less the baseline's, mean over rounds, same seeds",
        (*ON_DIGITS, DRAWN),
        most_welfare,
    ),
    measured_by(
        about(
            "effort_is_not_paid",
            "open question 3",
            "Who trains once and then uploads what it was sent earns nine tenths of an honest"
            " client or more.",
            OURS,
        ),
        AtLeast(),
        "money",
        "utility less nine tenths of what it earns as an honest client, an episode",
        (*ON_DIGITS, GIVEN_AWAY),
        effort_unpaid,
    ),
    measured_by(
        about(
            "false_names",
            "a question put to the market",
            "No client gains by coming as two that share its data and needs.",
            OURS,
        ),
        NoGain(0.01),
        "money",
        "summed utility of the two names less that of the one, for the best way to split in each"
        " case, 0 where none gains",
        tuple(RULES),
        FalseNames(RULES),
    ),
)
