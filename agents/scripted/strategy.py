"""What a scripted strategy is: a policy for each market it can play, and what it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marketenv.core.lookup import unknown
from marketenv.core.market import Market
from marketenv.core.policy import Policy
from marketenv.markets.model_sharing import ModelSharingMarket
from marketenv.markets.parameter_trading import ParameterTradingMarket
from marketenv.markets.reference import ReferenceMarket

MARKETS: dict[str, type] = {
    "reference_v0": ReferenceMarket,
    "parameter_trading_v0": ParameterTradingMarket,
    "model_sharing_v0": ModelSharingMarket,
}


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to play one or more markets.

    builders: from a market's name to ``builder(market) -> policy``; an ask rule, for instance, needs the market's priors
    summary:  what it does, one sentence
    claim:    what its test proves, one sentence
    config:   arguments of the market that it needs; ``sabotage``, ``offered_layers`` and ``coalition`` are also set for
              single agents by ``with_options``. A number means every agent, and the coalition is agents 0 and 2.
    """

    builders: Mapping[str, Callable[[Any], Policy]]
    summary: str
    claim: str
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def markets(self) -> tuple[str, ...]:
        """Names of the markets that it can play."""
        return tuple(self.builders)

    def build(self, market: Market) -> Policy:
        """Return its policy for this market; ValueError where it cannot play there."""
        for name, builder in self.builders.items():
            if isinstance(market, MARKETS[name]):
                return builder(market)
        raise unknown("builder for market", type(market).__name__, self.markets)
