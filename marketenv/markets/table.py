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
from marketenv.markets.model_sharing import ModelSharingConfig, model_sharing
from marketenv.markets.parameter_trading.config import ParameterTradingConfig
from marketenv.markets.parameter_trading.market import parameter_trading
from marketenv.markets.reference import ReferenceConfig, reference
from marketenv.markets.resource_market import ResourceMarketConfig, resource_market


class Recipe(NamedTuple):
    """A market: the class of its arguments, and the function from them to the market."""

    config: type[Any]
    chain: Callable[[Any], Market]


MARKETS: dict[str, Recipe] = {
    "data_market_v0": Recipe(DataMarketConfig, data_market),
    "marketplace_v0": Recipe(MarketplaceConfig, marketplace),
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
    known = tuple(field.name for field in dataclasses.fields(recipe.config))
    for key in config:
        if key not in known:
            raise unknown(f"argument of {short_name(name)}", key, known)
    return recipe.chain(recipe.config(**config))
