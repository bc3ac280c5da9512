"""What a scripted strategy is: a policy for each market it can play, and what it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from marketenv.core.lookup import unknown
from marketenv.core.market import Market
from marketenv.core.policy import Policy

Builder = Callable[[Any], Policy]  # from a market to a policy of it


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to play one or more markets.

    builders: from a market's name to ``builder(market) -> policy``; an ask rule, for instance,
        needs the market's priors
    summary:  what it does, one sentence
    claim:    what its test proves, one sentence
    role:     whose moves it changes; None: everybody's
    config:   arguments of the market that it needs; ``sabotage``, ``offered_layers`` and
              ``coalition`` are also set for single agents by ``with_options``. A number means every
              agent, and the coalition is agents 0 and 2.
    """

    builders: Mapping[str, Builder]
    summary: str
    claim: str
    config: Mapping[str, Any] = field(default_factory=dict)
    role: str | None = None

    @property
    def markets(self) -> tuple[str, ...]:
        """Names of the markets that it can play."""
        return tuple(self.builders)

    def build(self, market: Market) -> Policy:
        """Return its policy for this market; ValueError where it cannot play there."""
        if market.name not in self.builders:
            own = (
                " In a market of your own give a policy: policy(observation, move, keys) ->"
                " actions, or 'module:name'."
            )
            raise unknown("builder for market", market.name, self.markets, own)
        return self.builders[market.name](market)
