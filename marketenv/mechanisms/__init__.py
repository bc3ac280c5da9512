"""Payment rules, ask rules and priors: pure functions from reports to who gets what and who pays whom.

A mechanism is ``(bids [markets, buyers, sellers], asks [markets, sellers]) -> Outcome``, in float64 money; further
options are keywords with defaults. To add one, write such a function, name it below, and add a worked row to its test.
Where models are shared instead, a graph says who buys whose (``GRAPHS``), a payment what for (``SHARING_PAYMENTS``), and a
gain what data are worth (``GAINS``).
"""

from collections.abc import Callable

from marketenv.mechanisms.asks import ASK_RULES, AskRule, best_ask, best_midpoint, lower_bound, myerson
from marketenv.mechanisms.bargaining import nash_bargaining
from marketenv.mechanisms.collaboration_graph import (
    GRAPHS,
    ClientTypes,
    Graph,
    SharingTerms,
    distance_discounts,
    never_bought,
)
from marketenv.mechanisms.double_auction import double_auction
from marketenv.mechanisms.equilibrium import first_price_equilibrium_bid, linear_equilibrium_ask, linear_equilibrium_bid
from marketenv.mechanisms.gain_families import GAINS, GainFamily
from marketenv.mechanisms.outcome import Outcome, apply_rule, check_reports, check_unbounded, fair_prices
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
from marketenv.mechanisms.sealed_bid import first_price, second_price
from marketenv.mechanisms.sharing_breakpoints import cost_breakpoints
from marketenv.mechanisms.sharing_payments import (
    SHARING_PAYMENTS,
    SharingOutcome,
    SharingPayment,
    check_sharing,
    gains,
    sale_costs,
    share_models,
    utilities,
)

Mechanism = Callable[..., Outcome]

MECHANISMS: dict[str, Mechanism] = {
    "nash_bargaining": nash_bargaining,
    "double_auction": double_auction,
    "posted_price": posted_price,
    "first_price": first_price,
    "second_price": second_price,
}

__all__ = [
    "ASK_RULES",
    "GAINS",
    "GRAPHS",
    "MECHANISMS",
    "PRIORS",
    "SHARING_PAYMENTS",
    "AskRule",
    "BoundedPareto",
    "ClientTypes",
    "GainFamily",
    "Graph",
    "LogUniform",
    "Mechanism",
    "Outcome",
    "Power",
    "Prior",
    "SharingOutcome",
    "SharingPayment",
    "SharingTerms",
    "Truncated",
    "TruncatedExponential",
    "TruncatedLognormal",
    "TruncatedNormal",
    "Uniform",
    "apply_rule",
    "best_ask",
    "best_midpoint",
    "check_reports",
    "check_sharing",
    "check_unbounded",
    "cost_breakpoints",
    "distance_discounts",
    "double_auction",
    "fair_prices",
    "first_price",
    "first_price_equilibrium_bid",
    "gains",
    "linear_equilibrium_ask",
    "linear_equilibrium_bid",
    "lower_bound",
    "myerson",
    "nash_bargaining",
    "never_bought",
    "posted_price",
    "sale_costs",
    "second_price",
    "share_models",
    "utilities",
]
