"""The table of all markets by name; a new market is one line here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from marketenv.core.checks import text
from marketenv.core.lookup import lookup, unknown
from marketenv.core.market import Market
from marketenv.markets.data_market import DataMarketConfig, data_market
from marketenv.markets.marketplace import MarketplaceConfig, marketplace
from marketenv.markets.marketplace.config import place_of
from marketenv.markets.model_sharing import ModelSharingConfig, model_sharing
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.market import parameter_trading
from marketenv.markets.reference import ReferenceConfig, reference
from marketenv.markets.resource_market import ResourceMarketConfig, resource_market


class Recipe(NamedTuple):
    """A market: the class of its arguments, and the function from them to the market.

    place: of an argument that the class lacks, how to pass it, and "" where that is unknown
    """

    config: type[Any]
    chain: Callable[[Any], Market]
    place: Callable[[str], str] = lambda name: ""


MARKETS: dict[str, Recipe] = {
    "data_market_v0": Recipe(DataMarketConfig, data_market),
    "marketplace_v0": Recipe(MarketplaceConfig, marketplace, place_of),
    "model_sharing_v0": Recipe(ModelSharingConfig, model_sharing),
    "parameter_trading_v0": Recipe(ParameterTradingConfig, parameter_trading),
    "reference_v0": Recipe(ReferenceConfig, reference),
    "resource_market_v0": Recipe(ResourceMarketConfig, resource_market),
}


def short_name(name: str) -> str:
    """The name in the table: ``reference_v0`` for ``marketenv/reference-v0`` too."""
    name = text(name, "name", f": {', '.join(MARKETS)}")
    return name.removeprefix("marketenv/").replace("-v", "_v")


def make_market(name: str, **config: Any) -> Market:
    """Build the batched core of a market from its name and its arguments.

    Raises ValueError for an unknown market or argument, naming the nearest one.

    >>> make_market("reference_v0", game="first_price", n_buyers=3).roles[0].agents
    ('buyer_0', 'buyer_1', 'buyer_2')
    """
    recipe = lookup(MARKETS, short_name(name), "market")
    known = arguments_of(short_name(name)) if config else ()
    for key in config:
        if key not in known:
            raise unknown_argument(name, key)
    return recipe.chain(recipe.config(**config))


def unknown_argument(market: str, argument: str) -> ValueError:
    """The error for an argument that a market lacks, with its place in a part or the nearest one.

    >>> unknown_argument("marketplace_v0", "partners")
    ValueError("no argument of marketplace_v0 'partners': pass parameter_trading={'partners': ...}
    instead.")
    """
    name = short_name(market)
    recipe = MARKETS[name]
    if place := recipe.place(argument):
        return ValueError(f"no argument of {name} {argument!r}: pass {place} instead.")
    return unknown(f"argument of {name}", argument, arguments_of(name))


def arguments_of(market: str) -> tuple[str, ...]:
    """The names of a market's arguments."""
    return tuple(field.name for field in dataclasses.fields(MARKETS[market].config))
