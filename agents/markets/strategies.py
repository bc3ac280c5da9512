"""All scripted strategies by name.

>>> from marketenv import make_market
>>> market = make_market("reference_v0", game="double_auction")
>>> policy = STRATEGIES["linear_equilibrium"].build(market)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from marketenv.core.market import Market
from marketenv.core.policy import Policy

from ..scripted import Strategy
from ..scripted.strategy import Builder
from .table import ENTRIES


def builtin(name: str, market: Market) -> Policy:
    """The policy that every market ships under this name."""
    return market.policies[name]


def builders_of(
    name: str, with_parameter: Callable[[Callable[..., Policy]], Builder] = lambda builder: builder
) -> dict[str, Builder]:
    """Builders of a strategy that several markets know, by market.

    with_parameter: gives each builder its parameter
    """
    return {
        market: with_parameter(entry.plays[name])
        for market, entry in ENTRIES.items()
        if name in entry.plays
    }


def shade(factor: float = 2 / 3) -> Strategy:
    """Bid ``factor`` times the true value.

    Raises ValueError for a factor outside [0, 2], where the box ends.

    >>> shade(0.8).summary
    'Bids 0.8 times the value, truthful otherwise.'
    """
    if not 0 <= factor <= 2:
        raise ValueError(
            f"factor is {factor}, wanted a number in [0, 2]: the bid as a multiple of the value."
        )
    return Strategy(
        builders=builders_of("shade", lambda builder: partial(builder, factor)),
        summary=f"Bids {factor:.3g} times the value, truthful otherwise.",
        claim=(
            "In the double auction on U[0, 1] a factor of 2/3 earns 1/9 money against a"
            " truthful seller, where truth earns 1/12 money."
        ),
    )


SHARED: dict[str, Strategy] = {
    "truthful": Strategy(
        builders={market: partial(builtin, "truthful") for market in ENTRIES},
        summary=(
            "Bids its value, asks its cost, reports its types, uploads its model, trains at full"
            " effort."
        ),
        claim=(
            "In a second-price auction no other bid earns more than bidding one's value,"
            " whatever the others bid."
        ),
    ),
    "random": Strategy(
        builders={market: partial(builtin, "random") for market in ENTRIES},
        summary="Draws every action uniformly from its box.",
        claim="Its actions lie inside the box, with mean 0 and variance 1/3.",
    ),
    "never_trade": Strategy(
        builders=builders_of("never_trade"),
        summary=("Bids nothing and asks the most possible; leaves a model-sharing market at once."),
        claim="Where all agents play it, no money moves.",
    ),
    "shade": shade(),
    "myerson_seller": Strategy(
        builders=builders_of("myerson_seller"),
        summary=(
            "Asks the best take-it-or-leave-it price by its prior of buyers' values,"
            " truthful otherwise."
        ),
        claim=(
            "At cost 0 against truthful U[0, 1] buyers that pay the midpoint, it asks 1/2"
            " money and earns 0.3125 money."
        ),
    ),
    "best_midpoint_seller": Strategy(
        builders=builders_of("best_midpoint_seller"),
        summary=(
            "Asks the price that earns most where a truthful buyer pays the midpoint,"
            " truthful otherwise."
        ),
        claim=(
            "At cost 0 against truthful U[0, 1] buyers that pay the midpoint, it asks 1/3"
            " money and earns 1/3 money."
        ),
    ),
    "lower_bound_seller": Strategy(
        builders=builders_of("lower_bound_seller"),
        summary=(
            "Asks the least value that a buyer can have, as in the paper's experiment;"
            " truthful otherwise."
        ),
        claim=(
            "At cost 0 against truthful U[0, 1] buyers that pay the midpoint, it always"
            " sells and earns 1/4 money."
        ),
    ),
}
STRATEGIES: dict[str, Strategy] = SHARED | {
    name: s for entry in ENTRIES.values() for name, s in entry.strategies.items()
}
