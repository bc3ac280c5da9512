"""The table of markets, by the names under which they are built."""

from __future__ import annotations

import torch

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation

from . import (
    data_market,
    marketplace,
    model_sharing,
    parameter_trading,
    reference,
    resource_market,
)
from .entry import Entry, Facts

ENTRIES: dict[str, Entry] = {
    "reference_v0": reference.ENTRY,
    "parameter_trading_v0": parameter_trading.ENTRY,
    "model_sharing_v0": model_sharing.ENTRY,
    "data_market_v0": data_market.ENTRY,
    "resource_market_v0": resource_market.ENTRY,
    "marketplace_v0": marketplace.ENTRY,
}


def entry_of(market: Market) -> Entry | None:
    """The entry of a market, None where it is of a kind that nobody entered.

    >>> from marketenv import make_market
    >>> entry_of(make_market("reference_v0", game="second_price")) is ENTRIES["reference_v0"]
    True
    """
    return ENTRIES.get(market.name)


def facts_of(market: Market, before: Situation, report: Report) -> Facts:
    """What is told of a round: by the market's entry, and its infos where it has none."""
    entry = entry_of(market)
    if entry is not None:
        return entry.facts(before, report)
    return {
        name: (values.double(), torch.ones_like(report.rewards))
        for name, values in report.infos().items()
    }
