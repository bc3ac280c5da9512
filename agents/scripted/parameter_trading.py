"""Strategies of the parameter market, after what Huang, Vishwakarma, Sala (NeurIPS 2023) leave to a trader.

A trader may shade its bids, raise its ask, train less than it could, or trade nothing; what else sets agents apart
(noise on what they sell, layers held back, asks set together) is an option in the market's state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.market import Role
from marketenv.core.parts import taken
from marketenv.core.policy import Policy
from marketenv.markets.parameter_trading import ParameterTradingMarket
from marketenv.mechanisms import AskRule, Uniform


@dataclass(frozen=True)
class Trader:
    """Bids a multiple of every gain's worth, asks by a rule, and trains at one effort.

    bid = factor m max(gain, 0);   ask = cost + mark * ask_max, or the rule's ask;   effort in [0, 1]

    ask_max: the market's largest ask above cost, money
    bid_max: None where bids are multiples of the gain's worth; the market's largest bid with ``bid_mode="absolute"``
    asks:    a share of ask_max above cost, or an ask rule. Its prior is uniform from the least ``buyer_low`` to the
             greatest ``buyer_high`` that the seller is told, over all buyers, for it names one ask to all of them; its
             cost is the mean ``sale_cost``.

    Bids and asks beyond the market's scales are clipped to them.
    """

    ask_max: float
    bid_max: float | None = None
    factor: float = 1.0
    asks: float | AskRule = 0.0
    effort: float = 1.0

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, others + 2]: bids, ask, effort."""
        seen = role.observation.unpack(observation)
        bid, ask = self._bid(seen), self._ask(seen)
        effort = torch.full_like(ask, 2 * self.effort - 1)
        return torch.cat([bid, ask, effort], 1).clamp(-1, 1).float()

    def _bid(self, seen: dict[str, Tensor]) -> Tensor:
        if self.bid_max is None:
            return torch.full_like(seen["gain"], self.factor - 1)
        return 2 * self.factor * seen["money_per_loss"] * seen["gain"].clamp(min=0) / self.bid_max - 1

    def _ask(self, seen: dict[str, Tensor]) -> Tensor:
        if not callable(self.asks):
            return torch.full_like(seen["loss"], 2 * self.asks - 1)
        low, high = seen["buyer_low"].amin(1, keepdim=True), seen["buyer_high"].amax(1, keepdim=True)
        cost = seen["sale_cost"].double().mean(1, keepdim=True)
        asks = taken(self.asks(Uniform(low.double(), high.double()), cost), "ask rule returned asks", cost, "markets, 1")
        return 2 * (asks - cost) / max(self.ask_max, 1e-12) - 1


def trader(market: ParameterTradingMarket, *, factor: float = 1.0, asks: float | AskRule = 0.0, effort: float = 1.0) -> Policy:
    """A trader with this market's money scales; truthful where nothing else is said."""
    bid_max = market.bid_max if market.config.bid_mode == "absolute" else None
    return Trader(market.ask_max, bid_max, factor, asks, effort)


def truthful(market: ParameterTradingMarket) -> Policy:
    """Bid the gain's worth, ask one's cost, train at full effort, in either bid mode."""
    return market.policies["truthful"]


def shade(factor: float, market: ParameterTradingMarket) -> Policy:
    """Bid factor * worth; truthful otherwise."""
    return trader(market, factor=factor)


def never_trade(market: ParameterTradingMarket) -> Policy:
    """Bid nothing and ask ask_max; a bid above ask_max can still buy its model, so all must play it to stop trade."""
    return trader(market, factor=0.0, asks=1.0)


def free_rider(market: ParameterTradingMarket) -> Policy:
    """Trade truthfully and do not train from the second round on (the first training is always at full effort)."""
    return trader(market, effort=0.0)


def ask_rule_seller(rule: AskRule, market: ParameterTradingMarket) -> Policy:
    """Bid truthfully, train at full effort, and ask by the rule on what the market discloses of the buyers."""
    return trader(market, asks=rule)
