"""Payment rules, ask rules and priors: pure functions of what agents report.

A mechanism is ``(bids [markets, buyers, sellers], asks [markets, sellers]) -> Sales``, in float64
money; further options are keywords with defaults. To add one, write such a function, name it below,
and add a worked row to its test.

Model sharing: a graph says who buys whose model (``GRAPHS``), a payment at which price
(``SHARING_PAYMENTS``), and a gain what data are worth (``GAINS``).
Procurement of data: a rule says which sellers are bought at which price (``DATA_RULES``), and a
release how much of a hold-back the seller gets (``RELEASES``).
Contests for a leader's payment: ``STACKELBERG_SOLVERS`` solve the game, ``PREFERENCES`` match
owners and centres, ``COMPUTE_FEES`` divide the fees, and ``QUALITY_SCALES`` turn an audit's scores
into qualities.
"""

from collections.abc import Callable

from marketenv.mechanisms.asks import (
    ASK_RULES,
    AskRule,
    best_ask,
    best_midpoint,
    lower_bound,
    myerson,
)
from marketenv.mechanisms.bargaining import nash_bargaining
from marketenv.mechanisms.collaboration_graph import (
    GRAPHS,
    Graph,
    never_bought,
)
from marketenv.mechanisms.compute_fees import COMPUTE_FEES, matched_fees, proportional_fees
from marketenv.mechanisms.compute_prices import (
    PRICINGS,
    bertrand_price,
    cheapest_shares,
    collusive_price,
    posted_profits,
    price_response,
    reservation_price,
)
from marketenv.mechanisms.contest import (
    active_set,
    contest,
    contest_response,
    contest_utilities,
    proportional_payments,
    proportional_shares,
)
from marketenv.mechanisms.data_payments import (
    DATA_RULES,
    DATA_VALUES,
    DataPayment,
    DataRule,
    apply_data_rule,
    posted,
    shadow_price,
    value_shares,
)
from marketenv.mechanisms.double_auction import double_auction
from marketenv.mechanisms.equilibrium import (
    first_price_equilibrium_bid,
    grim_trigger_patience,
    linear_equilibrium_ask,
    linear_equilibrium_bid,
)
from marketenv.mechanisms.gain_families import GAINS, GainFamily
from marketenv.mechanisms.hold_back import RELEASES, HeldBack, Release, hold_back
from marketenv.mechanisms.matching import (
    PREFERENCES,
    blocking_pairs,
    deferred_acceptance,
    preference_ranks,
)
from marketenv.mechanisms.posted_price import posted_price
from marketenv.mechanisms.priors import (
    PRIORS,
    BoundedPareto,
    LogUniform,
    Power,
    Prior,
    Truncated,
    TruncatedExponential,
    TruncatedLognormal,
    TruncatedNormal,
    Uniform,
)
from marketenv.mechanisms.procurement import check_offers, procurement
from marketenv.mechanisms.quality_scales import QUALITY_SCALES, ratchet
from marketenv.mechanisms.sales import (
    Sales,
    apply_rule,
    check_reports,
    check_unbounded,
    fair_prices,
)
from marketenv.mechanisms.sealed_bid import first_price, second_price
from marketenv.mechanisms.sharing_breakpoints import cost_breakpoints
from marketenv.mechanisms.sharing_payments import (
    SHARING_PAYMENTS,
    SharingPayment,
    SharingSales,
    check_sharing,
    share_models,
)
from marketenv.mechanisms.sharing_terms import ClientTypes, SharingTerms, distance_discounts
from marketenv.mechanisms.sharing_utilities import gains, sale_costs, utilities
from marketenv.mechanisms.stackelberg import (
    STACKELBERG_SOLVERS,
    Solver,
    contributions,
    leader_optimum,
    leader_utility,
    stackelberg,
)
from marketenv.mechanisms.tripartite_game import Stackelberg, TripartiteGame

Mechanism = Callable[..., Sales]

MECHANISMS: dict[str, Mechanism] = {
    "nash_bargaining": nash_bargaining,
    "double_auction": double_auction,
    "posted_price": posted_price,
    "first_price": first_price,
    "second_price": second_price,
}

__all__ = [
    "ASK_RULES",
    "COMPUTE_FEES",
    "DATA_RULES",
    "DATA_VALUES",
    "GAINS",
    "GRAPHS",
    "MECHANISMS",
    "PREFERENCES",
    "PRICINGS",
    "PRIORS",
    "QUALITY_SCALES",
    "RELEASES",
    "SHARING_PAYMENTS",
    "STACKELBERG_SOLVERS",
    "AskRule",
    "BoundedPareto",
    "ClientTypes",
    "DataPayment",
    "DataRule",
    "GainFamily",
    "Graph",
    "HeldBack",
    "LogUniform",
    "Mechanism",
    "Power",
    "Prior",
    "Release",
    "Sales",
    "SharingPayment",
    "SharingSales",
    "SharingTerms",
    "Solver",
    "Stackelberg",
    "TripartiteGame",
    "Truncated",
    "TruncatedExponential",
    "TruncatedLognormal",
    "TruncatedNormal",
    "Uniform",
    "active_set",
    "apply_data_rule",
    "apply_rule",
    "bertrand_price",
    "best_ask",
    "best_midpoint",
    "blocking_pairs",
    "cheapest_shares",
    "check_offers",
    "check_reports",
    "check_sharing",
    "check_unbounded",
    "collusive_price",
    "contest",
    "contest_response",
    "contest_utilities",
    "contributions",
    "cost_breakpoints",
    "deferred_acceptance",
    "distance_discounts",
    "double_auction",
    "fair_prices",
    "first_price",
    "first_price_equilibrium_bid",
    "gains",
    "grim_trigger_patience",
    "hold_back",
    "leader_optimum",
    "leader_utility",
    "linear_equilibrium_ask",
    "linear_equilibrium_bid",
    "lower_bound",
    "matched_fees",
    "myerson",
    "nash_bargaining",
    "never_bought",
    "posted",
    "posted_price",
    "posted_profits",
    "preference_ranks",
    "price_response",
    "procurement",
    "proportional_fees",
    "proportional_payments",
    "proportional_shares",
    "ratchet",
    "reservation_price",
    "sale_costs",
    "second_price",
    "shadow_price",
    "share_models",
    "stackelberg",
    "utilities",
    "value_shares",
]
