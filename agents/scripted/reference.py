"""Strategies of the reference markets: a buyer's bid for its value, a seller's ask for its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.market import Market, Move
from marketenv.core.parts import taken
from marketenv.core.policy import Policy
from marketenv.markets.reference import Auction
from marketenv.mechanisms import (
    AskRule,
    Uniform,
    best_midpoint,
    first_price_equilibrium_bid,
    linear_equilibrium_ask,
    linear_equilibrium_bid,
    lower_bound,
    myerson,
)

from .strategy import Strategy

NAME = "reference_v0"

MIDPOINT = 0.5  # the bid's share in the price of the double auction


def own_type(types: Tensor) -> Tensor:
    """The truth: the value as a bid, the cost as an ask."""
    return types


@dataclass(frozen=True)
class NamedPrice:
    """Names a price by one rule as a buyer and another as a seller.

    bid, ask: from own types to prices, float64 money [markets, 1]; what the market has no room for
        is clipped
    """

    bid: Callable[[Tensor], Tensor] = own_type
    ask: Callable[[Tensor], Tensor] = own_type

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets 1"]:
        """Actions float32 [markets, 1]."""
        rule = self.bid if move.name == "buyer" else self.ask
        types = move.observation.unpack(observation)["type"].double()
        price = taken(
            rule(types), f"the rule of a {move.name} returned prices", types, "markets, 1"
        )
        return move.write(observation, price=price)


def shade(factor: float, market: Market) -> Policy:
    """Bid factor * value; ask the cost."""
    return NamedPrice(bid=partial(torch.mul, factor))


def never_trade(market: Market) -> Policy:
    """Bid nothing; ask the largest price."""
    return NamedPrice(
        bid=torch.zeros_like,
        ask=partial(torch.full_like, fill_value=market.phase(Auction).price_max),
    )


def linear_equilibrium(market: Market) -> Policy:
    """Both sides of the linear equilibrium of the double auction that settles in the middle.

    Raises ValueError for another game, and at the first call for priors without an exact linear
    equilibrium. Source: Chatterjee and Samuelson, Operations Research 31 (1983), example 1.
    """
    _wants(market, "double_auction", "linear_equilibrium")
    (v0, v1), (c0, c1) = market.config.values, market.config.costs
    bid = partial(linear_equilibrium_bid, weight=MIDPOINT, v0=v0, v1=v1, c0=c0, c1=c1)
    ask = partial(linear_equilibrium_ask, weight=MIDPOINT, v0=v0, v1=v1, c0=c0, c1=c1)
    return NamedPrice(bid, ask)


def first_price_equilibrium(market: Market) -> Policy:
    """The symmetric equilibrium of a first-price auction: bid v0 + (v - v0)(n - 1) / n.

    Raises ValueError for another game, for a reserve above v0 (it would bind), and for fewer than
    two buyers. Source: Vickrey, Journal of Finance 16 (1961).
    """
    _wants(market, "first_price", "first_price_equilibrium")
    (v0, _), reserve = market.config.values, market.config.reserve
    if reserve > v0:
        raise ValueError(
            f"first_price_equilibrium knows no binding reserve: reserve is {reserve}, wanted <="
            f" {v0} (least value)."
        )
    return NamedPrice(bid=partial(_first_price_bid, v0, market.phase(Auction).n_buyers))


def ask_rule_seller(rule: AskRule, market: Market) -> Policy:
    """Ask by a rule with the buyer's true prior U[v0, v1]; a buyer bids its value.

    Raises ValueError for a game in which no seller plays.
    """
    _wants(market, "double_auction", "an ask rule")
    return NamedPrice(ask=partial(rule, Uniform(*market.config.values)))


def _first_price_bid(v0: float, n: int, values: Tensor) -> Tensor:
    return v0 + first_price_equilibrium_bid(values - v0, n)


def _wants(market: Market, game: str, who: str) -> None:
    if market.config.game != game:
        raise ValueError(
            f"{who} plays the game {game!r}, this market's is {market.config.game!r}; build it with"
            f" game={game!r}."
        )


STRATEGIES: dict[str, Strategy] = {
    "linear_equilibrium": Strategy(
        builders={NAME: linear_equilibrium},
        summary=(
            "Plays the linear equilibrium of the midpoint double auction (Chatterjee and Samuelson"
            " 1983)."
        ),
        claim=(
            "On U[0, 1] two agents that play it earn 9/128 money each, and no other linear"
            " bid or ask earns more against it."
        ),
        config={"game": "double_auction"},
    ),
    "first_price_equilibrium": Strategy(
        builders={NAME: first_price_equilibrium},
        summary="Bids the first-price equilibrium, the value times (n - 1) / n (Vickrey 1961).",
        claim="On U[0, 1] each of n buyers that play it earns 1 / (n (n + 1)) money.",
        config={"game": "first_price"},
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
