"""Reference markets: sealed-bid auctions and the bilateral double auction, whose equilibria are known.

Nothing is trained here. They are the oracles of everything that judges markets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import Check, check_fields, choice, interval, named_part, number, or_none, whole
from marketenv.core.devices import device_of
from marketenv.core.fields import Field, Fields, Money, just_above
from marketenv.core.horizon import share_played
from marketenv.core.market import Past, Report, Role, Stage
from marketenv.core.policy import uniform_random
from marketenv.core.transfers import Ledger
from marketenv.markets.arguments import GAME, LARGEST_MONEY, PAYMENT_RULE
from marketenv.mechanisms import MECHANISMS, Outcome, apply_rule


@dataclass(frozen=True)
class Game:
    """What sets one reference game apart: its default payment rule and who is strategic."""

    mechanism: str
    buyers: int
    seller_plays: bool


GAMES = {
    "double_auction": Game("double_auction", 1, True),
    "first_price": Game("first_price", 2, False),
    "second_price": Game("second_price", 2, False),
}


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """Arguments of ``reference_v0``.

    game:       ``double_auction`` (one buyer, one seller), ``first_price`` or ``second_price`` (n buyers, a reserve price)
    n_buyers:   buyers of an auction; None takes the game's own number (2; the double auction always has 1)
    mechanism:  payment rule by name or as a callable (bids, asks) -> Outcome; None takes the game's own
    values:     buyers' values are uniform on this interval, money
    costs:      the seller's cost is uniform on this interval, money (double auction)
    reserve:    lowest price of an auction, money
    max_cycles: rounds; values are drawn afresh each round
    horizon:    ``end``: the last round ends the game; ``cut``: the game would go on, and no agent sees the cut
    """

    game: str = "double_auction"
    n_buyers: int | None = None
    mechanism: str | Callable[..., Outcome] | None = None
    values: tuple[float, float] = (0.0, 1.0)
    costs: tuple[float, float] = (0.0, 1.0)
    reserve: float = 0.0
    max_cycles: int = 1
    horizon: str = "end"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self, _FIELDS)
        if GAMES[self.game].seller_plays and self.n_buyers not in (None, 1):
            raise ValueError(f"n_buyers is {self.n_buyers}; a {self.game} wants exactly 1.")


_FIELDS: dict[str, Check] = GAME | {
    "game": partial(choice, known=GAMES),
    "n_buyers": or_none(whole, least=1, fix=", or None for the game's own"),
    "values": partial(interval, least=0.0, most=LARGEST_MONEY, apart=True),
    "costs": partial(interval, least=0.0, most=LARGEST_MONEY, apart=True),
    "reserve": partial(number, least=0.0),
}


@dataclass(frozen=True)
class ReferenceState:
    """Seeds and finished rounds [markets], and the price of the last sale (0 if none) [markets]."""

    seeds: Int[Tensor, "markets"]
    round: Int[Tensor, "markets"]
    last_price: Float64[Tensor, "markets"]


@dataclass(frozen=True)
class ReferenceQuotes:
    """Every agent's private type of this round, money: buyers' values, then the seller's cost or the reserve."""

    types: Float64[Tensor, "markets parties"]


@dataclass(frozen=True, kw_only=True)
class ReferenceReport(Report):
    """A round of a reference market: types and prices offered [markets, parties], who bought [markets, buyers]."""

    INFO: ClassVar[tuple[str, ...]] = ("utility", "paid", "received", "traded")

    types: Float64[Tensor, "markets parties"]
    offers: Float64[Tensor, "markets parties"]
    utility: Float64[Tensor, "markets agents"]
    paid: Float64[Tensor, "markets agents"]
    received: Float64[Tensor, "markets agents"]
    traded: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Tell the first market's round: types, offers, the sale, payments."""
        names = [*agents, "reserve"][: self.types.shape[1]]
        facts = zip(names, self.types[0].tolist(), self.offers[0].tolist(), strict=True)
        lines = [f"{name}: type {kind:.4f}, offers {offer:.4f}." for name, kind, offer in facts]
        return [*lines, *super().story(agents)]


def truthful(observation: Tensor, role: Role, keys: Tensor) -> Tensor:
    """Bid one's value, ask one's cost."""
    return role.write(observation, price=observation[..., role.observation.slices["type"]])


POLICIES: dict[str, Any] = {"truthful": truthful, "random": uniform_random}


class ReferenceMarket:
    """Batch of reference games; parties are the buyers and then the one seller (an operator in auctions)."""

    report_type: type[Report] = ReferenceReport
    stages: tuple[Stage, ...] = (Stage("bid", ("buyer", "seller")),)
    policies: dict[str, Any] = POLICIES

    def __init__(self, config: ReferenceConfig | None = None) -> None:
        self.config = config or ReferenceConfig()
        self.game: Game = GAMES[self.config.game]
        named = self.game.mechanism if self.config.mechanism is None else self.config.mechanism
        self.mechanism = named_part(named, "mechanism", MECHANISMS, PAYMENT_RULE, takes=2)
        self.horizon, self.cut = self.config.max_cycles, self.config.horizon == "cut"
        self.device = device_of(self.config.device)
        self.n_buyers = self.config.n_buyers or self.game.buyers
        self.price_max = max(self.config.values[1], self.config.costs[1] if self.game.seller_plays else 0.0)

    @cached_property
    def roles(self) -> tuple[Role, ...]:
        """Buyers, and the seller where it plays; each sees its type and the last price, and names a price."""
        seen = Fields(
            (
                Field("type", 1, 0.0, self.price_max, "own value (buyer) or cost (seller), money"),
                Field("last_price", 1, 0.0, self.price_max, "price of the last sale, 0 if none, money"),
                Field("round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"),
            )
        )
        price = Fields((Money("price", most=self.price_max, text="a bid (buyer) or an ask (seller)"),))
        sellers = (Role("seller", 1, seen, price),) if self.game.seller_plays else ()
        return (Role("buyer", self.n_buyers, seen, price), *sellers)

    def reset(self, seeds: Int[Tensor, "markets"]) -> ReferenceState:
        """Start with no round played and no price known."""
        return ReferenceState(seeds, torch.zeros_like(seeds), torch.zeros_like(seeds, dtype=torch.float64))

    def quote(self, state: ReferenceState, past: Past) -> ReferenceQuotes:
        """Draw this round's types: values uniform on ``values``, the cost on ``costs`` (or the reserve price)."""
        u = draws.uniform(draws.fold(state.seeds, "type", state.round), self.n_buyers + 1)
        (v0, v1), (c0, c1) = self.config.values, self.config.costs
        cost = c0 + (c1 - c0) * u[:, -1:] if self.game.seller_plays else torch.full_like(u[:, -1:], self.config.reserve)
        return ReferenceQuotes(torch.cat([v0 + (v1 - v0) * u[:, :-1], cost], 1))

    def observe(self, state: ReferenceState, past: Past, quotes: ReferenceQuotes | None) -> Float[Tensor, "markets agents dim"]:
        """Own type, last price, share of the rounds that is over; types are 0 after the last round."""
        n_agents = self.n_buyers + self.game.seller_plays
        types = state.last_price.new_zeros(len(state.seeds), n_agents) if quotes is None else quotes.types[:, :n_agents]
        shared = torch.stack([state.last_price, share_played(self, state.round)], -1)[:, None].expand(-1, n_agents, -1)
        return self.roles[0].observation.pack(type=types[..., None], last_price=shared[..., :1], round=shared[..., 1:])

    def clear(self, state: ReferenceState, past: Past) -> tuple[ReferenceState, ReferenceReport]:
        """Let the mechanism decide who buys at which price, and move the money."""
        ((quotes, actions),) = past
        prices = self.roles[0].action.read(actions)["price"][..., 0]
        offers = prices if self.game.seller_plays else torch.cat([prices, quotes.types[:, -1:]], 1)
        outcome = apply_rule(self.mechanism, offers[:, :-1, None], offers[:, -1:])
        sold = outcome.allocation[..., 0].double()
        transfers = offers.new_zeros(len(offers), self.n_buyers + 1, self.n_buyers + 1)
        transfers[:, :-1, -1:] = outcome.prices
        nothing = torch.zeros_like(quotes.types)
        earned = Ledger(nothing, nothing + torch.inf).settle(transfers).cash  # no books are kept: credit is unlimited
        bought = torch.cat([sold * quotes.types[:, :-1], -sold.sum(1, keepdim=True) * quotes.types[:, -1:]], 1)
        n_agents = actions.shape[1]
        utility = (bought + earned)[:, :n_agents]
        new = ReferenceState(
            state.seeds, state.round + 1, torch.where(sold.any(1), outcome.prices.amax((1, 2)), state.last_price)
        )
        report = ReferenceReport(
            rewards=utility,
            transfers=transfers,
            terminated=torch.zeros_like(new.round, dtype=torch.bool),
            seconds={},
            types=quotes.types,
            offers=offers,
            utility=utility,
            paid=transfers.sum(2)[:, :n_agents],
            received=transfers.sum(1)[:, :n_agents],
            traded=torch.cat([sold, sold.sum(1, keepdim=True)], 1)[:, :n_agents],
        )
        return new, report

    def breakpoints(self, state: ReferenceState, past: Past, agent: int) -> Float[Tensor, "markets candidates 1"] | None:
        """Actions among which a best reply of an agent to the others' offers always is; None for a payment rule of one's own.

        With every rule of the table the outcome changes only where an offer meets another, and between such points money is
        linear in the offer. So a best reply is an offer of the others, the next one above or below, or an end of the box.
        past: this round's quotes and the actions of all agents, whose own row is not read
        """
        if self.mechanism not in MECHANISMS.values():
            return None
        ((quotes, actions),) = past
        others = torch.cat([actions[:, :agent, 0], actions[:, agent + 1 :, 0]], 1)
        price = self.roles[0].action["price"]
        reserve = price.write(quotes.types[:, -1:])
        met = others if self.game.seller_plays else torch.cat([others, reserve], 1)
        near = (met, just_above(met), -just_above(-met))
        ends = met.new_tensor([price.low, price.high]).expand(len(met), -1)
        return torch.cat([*near, ends], 1)[..., None]
