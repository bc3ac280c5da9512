"""Questions put to the whole marketplace: evidence and a rule each. No paper says any of it."""

from __future__ import annotations

from functools import partial
from typing import Any

from marketenv import make_market
from marketenv.core.market import Market
from marketenv.markets.resource_market import CONDUCTS

from ..core.claim import Claim
from ..core.effort import Effort
from ..core.rationality import rationality
from ..core.rules import Above, NoGain, Rule
from ..core.words import AS_STATED
from . import ladder, learned
from .deviations import gains, received_less
from .ladder import NOTHING, RULES, WITH_DATA, WITH_MODELS, WITH_WORK
from .settings import AUDITED, BOUGHT, DEVELOPER, NAME, OURS, OWNER, Config, marketplace

MARKET = "marketplace"
SMALL_GAIN = 0.01  # of what truth earns: less is no gain


def question(id: str, words: str, rule: Rule, experiment: Any, **about: Any) -> Claim:
    """A question of ours; what is not named is as in most of them."""
    usual: dict[str, Any] = {"paper": OURS, "unit": "money"}
    return Claim(
        id=f"marketplace/{id}",
        market=MARKET,
        words=words,
        rule=rule,
        experiment=experiment,
        **(usual | about),
    )


# --- Q1, Q2: audits -------------------------------------------------------------------------------

Q1 = "Q1: does a Wasserstein audit in place of the report close the gain from lying about data?"
Q2 = "Q2: is a permutation of the labels still paid in full?"
VOCABULARY = "labels of another vocabulary count"
ALIKE = 260  # seeds where a lie may change nothing at all, so that an interval wants many
BY_REPORT: dict[str, Config] = {
    # nothing trained is paid for, so that nothing need be trained
    AS_STATED: {"quality": "reported", "learner": None, "max_cycles": 1}
    | {"resource_market": {"conduct": tuple(CONDUCTS)}}
}
BY_AUDIT: dict[str, Config] = {
    AS_STATED: {"quality": "wasserstein", "resource_market": AUDITED},
    VOCABULARY: {"quality": "wasserstein", "resource_market": AUDITED | {"vocabulary": 1.0}},
}
# what is reported is compared with what is delivered, of a few rows: the audit reads no report
BRIEFLY: dict[str, Config] = {
    AS_STATED: {"quality": "wasserstein", "max_cycles": 1, "data_options": {"max_examples": 400}}
    | {"resource_market": AUDITED | {"audit_rows": 8}}
}
LIES = {
    "half_random": "delivers half of its labels at random",
    "junk": "delivers noise",
    "copies": "delivers a few rows many times",
    "permuted_labels": "renames its classes",
}


def _delivers(conduct: str, by: str, conditions: dict[str, Config], seeds: int) -> Claim:
    paid = "the Wasserstein audit" if by == "audit" else "its report"
    words = f"Paid by {paid}, an owner that {LIES[conduct]} and plays on as before earns less."
    play = {conduct: {"conduct": tuple(CONDUCTS).index(conduct)}}
    return question(
        f"{by}_{conduct}",
        words,
        Above(),
        partial(gains, conditions=conditions, agent=OWNER, plays=play, sign=-1.0, seeds=seeds),
        place=Q2 if conduct == "permuted_labels" else Q1,
        conditions=tuple(conditions),
        statistic="utility of truth less that of the lie, same seeds",
    )


def _reports(by: str, conditions: dict[str, Config]) -> Claim:
    paid = "the Wasserstein audit" if by == "audit" else "its report"
    play = {"reports the best quality": {"report": 1.0}}
    return question(
        f"{by}_over_report",
        f"Paid by {paid}, an owner gains nothing by reporting the best quality.",
        NoGain(SMALL_GAIN),
        partial(gains, conditions=conditions, agent=OWNER, plays=play, seeds=ALIKE),
        place=Q1,
        conditions=tuple(conditions),
        statistic="utility of the lie less that of truth, same seeds",
    )


AUDITS = (
    _reports("report", BY_REPORT),
    _reports("audit", BRIEFLY),
    *(_delivers(conduct, "report", BY_REPORT, ALIKE) for conduct in LIES),
    *(_delivers(conduct, "audit", BY_AUDIT, 0) for conduct in LIES),
)

# --- Q3: resale -----------------------------------------------------------------------------------

Q3 = "Q3: does a developer that buys no data and only parameters earn more than by truth?"
RESELLS: dict[str, Any] = {"eta": 0.0}
TRADES: dict[str, Config] = {
    AS_STATED: {"trade": "nash_bargaining"},
    "double auction": {"trade": "double_auction"},
    "posted price": {"trade": "posted_price"},
    "shared models": {"trade": "ipfl"},
}
RESALE = (
    question(
        "reseller",
        "A developer that buys no data and only parameters gains nothing over truth.",
        NoGain(SMALL_GAIN),
        partial(gains, conditions=TRADES, agent=DEVELOPER, plays={"buys no data": RESELLS}),
        place=Q3,
        conditions=tuple(TRADES),
        statistic="utility of the reseller less that of truth, same seeds",
    ),
    question(
        "reseller_costs_owners",
        "Where one developer buys no data, owners earn less.",
        Above(),
        partial(received_less, conditions=TRADES, plays=RESELLS),
        place="Q3: does resale lower what owners are paid?",
        conditions=tuple(TRADES),
        statistic="utility of all owners under truth less that beside a reseller, same seeds",
    ),
)

# --- Q4: the ladder -------------------------------------------------------------------------------

Q4 = "Q4: what does each market add, and who captures it?"
ON = tuple(f"{rule} on {data}" for data in ("digits", "german_credit") for rule in RULES)


def _step(name: str, step: str, before: str, what: str) -> Claim:
    return question(
        name,
        f"With {what} everybody together earns more than with {before}.",
        Above(),
        partial(ladder.pays, step=step, before=before),
        place=Q4,
        conditions=ON,
        statistic="utilities of all agents with the market less those without, same seeds",
    )


LADDER = (
    _step("ladder_data", WITH_DATA, NOTHING, "a market of data"),
    _step("ladder_work", WITH_WORK, WITH_DATA, "a market of computing too"),
    _step("ladder_parameters", WITH_MODELS, WITH_WORK, "a market of parameters too"),
    question(
        "ladder_planner",
        "Truthful agents reach nine tenths of what one planner reaches who pools data.",
        Above(0.9),
        ladder.captured,
        place="Q4: the price of anarchy",
        conditions=("contest on digits", "procurement on digits"),
        unit="of the planner's welfare",
        statistic="utilities of all agents as a part of those under the planner, same seeds",
    ),
)

# --- Q5: learners ---------------------------------------------------------------------------------

ARTICLES = {"developer": "A", "owner": "An", "centre": "A"}
LEARNED = tuple(
    question(
        f"learned_{role}",
        f"{ARTICLES[role]} {role} that learns by PPO from truth on gains nothing over truth.",
        NoGain(SMALL_GAIN),
        partial(learned.gain_over_truth, role=role),
        place="Q5: what do learners gain over truth, and by which means?",
        statistic="utility of the learner less that of truth, same seeds",
    )
    for role in ("developer", "owner", "centre")
)

# --- Q6: taking part ------------------------------------------------------------------------------

Q6 = "Q6: does taking part pay for every role, where all are truthful and where the others lie?"
LIARS = "the others play at random"


def _build(condition: str, effort: Effort) -> Market:
    return make_market(NAME, **marketplace(effort, {}))


def _takes_part(role: str, others: str | None) -> Claim:
    lies = f", where {LIARS}" if others else ", where all are truthful"
    return rationality(
        id=f"marketplace/taking_part_{role}{'_among_liars' if others else ''}",
        market=MARKET,
        paper=OURS,
        place=Q6,
        words=f"A truthful {role} loses nothing by taking part in the mean{lies}.",
        build=_build,
        who=(f"{role}_0",),
        others=others,
        signed=True,
        costly=True,
    )


TAKING_PART = tuple(
    _takes_part(role, others)
    for others in (None, "random")
    for role in ("developer", "owner", "centre")
)

# --- Q7: repairs ----------------------------------------------------------------------------------

Q7 = "Q7: does a repair that works in one market alone work here?"
HELD = "all of the price is held back"
BAIT: dict[str, Config] = {
    AS_STATED: {"rule": "posted", "data_market": BOUGHT},
    HELD: {"rule": "posted", "data_market": BOUGHT | {"hold_back": 1.0}},
}
ESCROW: dict[str, Config] = {
    AS_STATED: {"resource_market": {"escrow": False}},
    "the payment is held": {},
}
CRITICAL = "critical payments"
COSTS: dict[str, Config] = {
    AS_STATED: {"trade": "ipfl", "model_sharing": {"reports": "each_round"}},
    CRITICAL: {
        "trade": "ipfl",
        "model_sharing": {"reports": "each_round", "payment": "critical"},
    },
}


def _repair(
    id: str, words: str, conditions: dict[str, Config], agent: str, plays: Any, seeds: int = 0
) -> Claim:
    return question(
        id,
        words,
        NoGain(SMALL_GAIN),
        partial(gains, conditions=conditions, agent=agent, plays=plays, seeds=seeds),
        place=Q7,
        conditions=tuple(conditions),
        statistic="utility of the deviation less that of truth, same seeds",
    )


REPAIRS = (
    _repair(
        "bait_and_switch",
        "An owner gains nothing by delivering noise in place of the rows that it showed.",
        BAIT,
        OWNER,
        {"bait": {"bait": 1.0}},
    ),
    _repair(
        "reneging",
        "A developer gains nothing by paying nothing after owners have contributed.",
        ESCROW,
        DEVELOPER,
        {"pays nothing": {"pay": 0.0}},
        seeds=ALIKE,  # the deviation changes nothing where the payment is held
    ),
    _repair(
        "cost_of_models",
        "A developer gains nothing by reporting another cost of its model.",
        COSTS,
        DEVELOPER,
        {"half": {"cost": 0.5}, "twice": {"cost": 2.0}},
    ),
)

CLAIMS = (*AUDITS, *RESALE, *LADDER, *LEARNED, *TAKING_PART, *REPAIRS)
