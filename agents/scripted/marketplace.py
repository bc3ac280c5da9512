"""Strategies of the marketplace: developers that stay out of one of its parts. All strategies of
the markets that it is made of play it too.
"""

from __future__ import annotations

from functools import partial

from . import data_market, parameter_trading, resource_leaders, resource_market
from .strategy import MARKETPLACE, Builder, Strategy, in_parts

NO_DATA: dict[str, Builder] = {
    resource_market.NAME: resource_leaders.never_trade,
    data_market.NAME: data_market.never_trade,
}
NO_PARAMETERS: dict[str, Builder] = {parameter_trading.NAME: parameter_trading.never_trade}

STRATEGIES: dict[str, Strategy] = {
    "reseller": Strategy(
        builders={MARKETPLACE: partial(in_parts, NO_DATA)},
        summary="As a developer buys no data, and trades parameters truthfully.",
        claim="It pays no owner, and its loss falls by what it buys of other developers alone.",
        role="developer",
    ),
    "data_buyer": Strategy(
        builders={MARKETPLACE: partial(in_parts, NO_PARAMETERS)},
        summary="As a developer buys data truthfully, and neither bids for parameters nor sells.",
        claim="No developer pays another one, and owners are paid as by the truth in one round.",
        role="developer",
    ),
}
