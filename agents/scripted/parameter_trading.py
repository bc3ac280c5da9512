"""Strategies of the parameter market: choices that Train 'n Trade (NeurIPS 2023) leaves a trader.

A trader may shade its bids, raise its ask, train less than it could, or trade nothing; what else
sets agents apart (noise on what they sell, layers held back, asks set together) is an option in the
market's state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.market import Market, Move
from marketenv.core.parts import taken
from marketenv.core.policy import Policy
from marketenv.markets.parameter_trading import Trade, bids_of
from marketenv.mechanisms import AskRule, Uniform, best_midpoint, lower_bound, myerson

from .strategy import Strategy

NAME = "parameter_trading_v0"


@dataclass(frozen=True)
class Trader:
    """Bids a multiple of every gain's worth, asks by a rule, and trains at one effort.

    bid = factor m max(gain, 0);   ask = cost + asks, or the rule's ask;   effort in [0, 1]

    asks: money above cost, or an ask rule. Its prior is uniform from the least ``buyer_low`` to the
          greatest ``buyer_high`` that the seller is told, over all buyers, for it names one ask to
          all of them; its cost is the mean ``sale_cost``.

    Bids and asks beyond the market's scales are clipped to them.
    """

    factor: float = 1.0
    asks: float | AskRule = 0.0
    effort: float = 1.0

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, others + 2]: bids, ask, effort."""
        asks = self._asks(move.observation.unpack(observation))
        return move.write(
            observation, bid=bids_of(self.factor, observation, move), ask=asks, effort=self.effort
        )

    def _asks(self, view: dict[str, Tensor]) -> Tensor | float:
        """Money above cost."""
        if not callable(self.asks):
            return self.asks
        low = view["buyer_low"].amin(1, keepdim=True).double()
        high = view["buyer_high"].amax(1, keepdim=True).double()
        cost = view["sale_cost"].double().mean(1, keepdim=True)
        asks = self.asks(Uniform(low, high), cost)
        return taken(asks, "ask rule returned asks", cost, "markets, 1") - cost


def trader(
    market: Market, *, factor: float = 1.0, asks: float | AskRule = 0.0, effort: float = 1.0
) -> Policy:
    """A trader of this market; truthful where nothing else is said."""
    return Trader(factor, asks, effort)


def truthful(market: Market) -> Policy:
    """Bid the gain's worth, ask one's cost, train at full effort, in either bid mode."""
    return market.policies["truthful"]


def shade(factor: float, market: Market) -> Policy:
    """Bid factor * worth; truthful otherwise."""
    return trader(market, factor=factor)


def never_trade(market: Market) -> Policy:
    """Bid nothing and ask ask_max.

    A bid above ask_max can still buy its model, so trade stops only where all play it.
    """
    return trader(market, factor=0.0, asks=market.phase(Trade).scales.ask_max)


def free_rider(market: Market) -> Policy:
    """Trade truthfully and train only in the first round, which is always at full effort."""
    return trader(market, effort=0.0)


def ask_rule_seller(rule: AskRule, market: Market) -> Policy:
    """Bid truthfully, train at full effort, and ask by a rule on the disclosed range of values."""
    return trader(market, asks=rule)


STRATEGIES: dict[str, Strategy] = {
    "free_rider": Strategy(
        builders={NAME: free_rider},
        summary="Trades truthfully and leaves the training to others.",
        claim=(
            "From the second round on it pays no effort cost, and its loss after training"
            " is higher than with effort."
        ),
    ),
    "saboteur": Strategy(
        builders={NAME: truthful},
        summary="Plays truthfully and sells parameters with noise as large as themselves.",
        claim=(
            "Buyers try models before they buy: they gain less from it than from its honest"
            " copy, and it sells less often."
        ),
        config={"sabotage": 1.0},
    ),
    "first_layer_seller": Strategy(
        builders={NAME: truthful},
        summary="Plays truthfully and offers only the first layer of its model.",
        claim=(
            "The model that it delivers differs from the buyer's own model in the first layer only."
        ),
        config={"offered_layers": ((0,),) * 4},
    ),
    "colluding_pair": Strategy(
        builders={NAME: partial(ask_rule_seller, best_midpoint)},
        summary="Two sellers both ask the larger of their two monopoly prices.",
        claim=(
            "Both asks are the larger of the two sellers' single asks, and never below the"
            " truthful ask."
        ),
        config={"coalition": (0, 2)},
    ),
}

# strategies that several markets know; those with a parameter take it first
PLAYS: dict[str, Callable[..., Policy]] = {
    "never_trade": never_trade,
    "shade": shade,
    "myerson_seller": partial(ask_rule_seller, myerson),
    "best_midpoint_seller": partial(ask_rule_seller, best_midpoint),
    "lower_bound_seller": partial(ask_rule_seller, lower_bound),
}
