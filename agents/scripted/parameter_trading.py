"""Strategies of the parameter market, after what Huang, Vishwakarma, Sala (NeurIPS 2023) leave to a trader.

A trader may shade its bids, raise its ask, train less than it could, or trade nothing; what else sets agents apart
(noise on what they sell, layers held back, asks set together) is an option in the market's state.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.market import Role
from marketenv.core.parts import taken
from marketenv.core.policy import Policy
from marketenv.markets.parameter_trading import ParameterTradingMarket, bids_of
from marketenv.mechanisms import AskRule, Uniform


@dataclass(frozen=True)
class Trader:
    """Bids a multiple of every gain's worth, asks by a rule, and trains at one effort.

    bid = factor m max(gain, 0);   ask = cost + asks, or the rule's ask;   effort in [0, 1]

    asks: money above cost, or an ask rule. Its prior is uniform from the least ``buyer_low`` to the greatest ``buyer_high``
          that the seller is told, over all buyers, for it names one ask to all of them; its cost is the mean ``sale_cost``.

    Bids and asks beyond the market's scales are clipped to them.
    """

    factor: float = 1.0
    asks: float | AskRule = 0.0
    effort: float = 1.0

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, others + 2]: bids, ask, effort."""
        asks = self._asks(role.observation.unpack(observation))
        return role.write(observation, bid=bids_of(self.factor, observation, role), ask=asks, effort=self.effort)

    def _asks(self, seen: dict[str, Tensor]) -> Tensor | float:
        """Money above cost."""
        if not callable(self.asks):
            return self.asks
        low, high = seen["buyer_low"].amin(1, keepdim=True), seen["buyer_high"].amax(1, keepdim=True)
        cost = seen["sale_cost"].double().mean(1, keepdim=True)
        asks = taken(self.asks(Uniform(low.double(), high.double()), cost), "ask rule returned asks", cost, "markets, 1")
        return asks - cost


def trader(market: ParameterTradingMarket, *, factor: float = 1.0, asks: float | AskRule = 0.0, effort: float = 1.0) -> Policy:
    """A trader of this market; truthful where nothing else is said."""
    return Trader(factor, asks, effort)


def truthful(market: ParameterTradingMarket) -> Policy:
    """Bid the gain's worth, ask one's cost, train at full effort, in either bid mode."""
    return market.policies["truthful"]


def shade(factor: float, market: ParameterTradingMarket) -> Policy:
    """Bid factor * worth; truthful otherwise."""
    return trader(market, factor=factor)


def never_trade(market: ParameterTradingMarket) -> Policy:
    """Bid nothing and ask ask_max; a bid above ask_max can still buy its model, so all must play it to stop trade."""
    return trader(market, factor=0.0, asks=market.ask_max)


def free_rider(market: ParameterTradingMarket) -> Policy:
    """Trade truthfully and do not train from the second round on (the first training is always at full effort)."""
    return trader(market, effort=0.0)


def ask_rule_seller(rule: AskRule, market: ParameterTradingMarket) -> Policy:
    """Bid truthfully, train at full effort, and ask by the rule on what the market discloses of the buyers."""
    return trader(market, asks=rule)
