"""Reference markets with known equilibria: sealed-bid auctions and the double auction.

Nothing is trained here. They are the oracles of everything that judges markets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import (
    Check,
    check_fields,
    choice,
    interval,
    named_part,
    number,
    or_none,
    whole,
)
from marketenv.core.devices import device_of
from marketenv.core.fields import Field, Fields, Money, just_above
from marketenv.core.floor import Floor
from marketenv.core.market import Market, Move, Outcome, People, Phase, Shown
from marketenv.core.numbers import total
from marketenv.markets.arguments import GAME, LARGEST_MONEY, PAYMENT_RULE
from marketenv.mechanisms import MECHANISMS, Sales, apply_rule


@dataclass(frozen=True)
class Game:
    """A reference game: its payment rule, number of buyers, and whether the seller is an agent."""

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

    game:       ``double_auction`` (one buyer, one seller), ``first_price`` or ``second_price`` (n
                buyers, a reserve price)
    n_buyers:   buyers of an auction; None takes the game's own number (2; the double auction always
                has 1)
    mechanism:  payment rule by name or as a callable (bids, asks) -> Sales; None takes the game's
                own
    values:     buyers' values are uniform on this interval, money
    costs:      the seller's cost is uniform on this interval, money (double auction)
    reserve:    lowest price of an auction, money
    max_cycles: rounds; values are drawn afresh each round
    horizon:    ``end``: the last round ends the game; ``cut``: the game would go on, and no agent
                sees the cut
    device:     where everything is computed
    """

    game: str = "double_auction"
    n_buyers: int | None = None
    mechanism: str | Callable[..., Sales] | None = None
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
class Auctioned(Outcome):
    """Types, offers and trades of an auction.

    types:  buyers' values, then the seller's cost or the reserve, money     [markets, parties]
    offers: bids, then the ask or the reserve, money                         [markets, parties]
    traded: number of goods that each agent buys or sells                    [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("traded",)

    types: Float64[Tensor, "markets parties"]
    offers: Float64[Tensor, "markets parties"]
    traded: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """The first market's types and offers."""
        names = [*agents, "reserve"][: self.types.shape[1]]
        facts = zip(names, self.types[0].tolist(), self.offers[0].tolist(), strict=True)
        return [f"{name}: type {kind:.4f}, offers {offer:.4f}." for name, kind, offer in facts]


def truthful(observation: Tensor, move: Move, keys: Tensor) -> Tensor:
    """Bid one's value, ask one's cost."""
    return move.write(observation, price=observation[..., move.observation.slices["type"]])


class Auction(Phase):
    """Buyers bid for one good; a seller asks a price, or an operator sells at the reserve or above.

    Its memory: the price of the last sale, 0 if there was none   [markets]

    name: of the phase; a second auction in a market needs another name
    """

    name, outcome = "auction", Auctioned
    truthful = staticmethod(truthful)

    def __init__(self, config: ReferenceConfig, name: str = "auction") -> None:
        self.config, self.game, self.name = config, GAMES[config.game], name
        rule = self.game.mechanism if config.mechanism is None else config.mechanism
        self.mechanism = named_part(rule, "mechanism", MECHANISMS, PAYMENT_RULE, takes=2)
        self.n_buyers = config.n_buyers or self.game.buyers
        self.owner = "seller" if self.game.seller_plays else "operator"  # who is paid
        self.price_max = max(config.values[1], config.costs[1] if self.game.seller_plays else 0.0)
        move = _move(self.price_max)
        self.moves = {"buyer": move, "seller": move}

    def begin(self, floor: Floor) -> Float64[Tensor, "markets"]:
        """A last price of 0, as there was no sale."""
        return torch.zeros_like(floor.seeds, dtype=torch.float64)

    def quote(self, floor: Floor, own: Tensor) -> Float64[Tensor, "markets parties"]:
        """Draw this round's types: uniform values, and a uniform cost or the reserve."""
        keys = draws.fold(floor.seeds, *self.purpose("type"), floor.round)
        u = draws.uniform(keys, self.n_buyers + 1)
        lowest, widths = self._ranges
        return lowest + widths * u

    @cached_property
    def _ranges(self) -> tuple[Float64[Tensor, "parties"], Float64[Tensor, "parties"]]:
        """The lowest type of every party, and the width of its range, money; 0 for the reserve."""
        config, device = self.config, device_of(self.config.device)
        last = config.costs if self.game.seller_plays else (config.reserve, config.reserve)
        low, high = zip(*[config.values] * self.n_buyers, last, strict=True)
        widths = [top - bottom for bottom, top in zip(low, high, strict=True)]
        both = torch.tensor([low, widths], dtype=torch.float64, device=device)
        return both[0], both[1]

    def show(self, floor: Floor, own: Tensor, quotes: Tensor) -> Shown:
        """Own type, last price, share of finished rounds."""
        types = {"buyer": quotes[:, :-1], "seller": quotes[:, -1:]}
        shown = self.show_end(floor, own)
        return {role: {"type": types[role], **fields} for role, fields in shown.items()}

    def show_end(self, floor: Floor, own: Tensor) -> Shown:
        """The same without types."""
        counts = {"buyer": self.n_buyers, "seller": 1}
        shared = {"last_price": own, "round": floor.played}
        return {
            role: {name: v[:, None].expand(-1, n) for name, v in shared.items()}
            for role, n in counts.items()
        }

    def act(
        self, floor: Floor, own: Tensor, quotes: Tensor, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Tensor, Auctioned]:
        """Let the mechanism decide who buys at which price; the buyer pays the owner."""
        if self.game.seller_plays:
            offers = self._prices(torch.cat([actions["buyer"], actions["seller"]], 1))
        else:
            offers = torch.cat([self._prices(actions["buyer"]), quotes[:, -1:]], 1)
        trade = apply_rule(self.mechanism, offers[:, :-1, None], offers[:, -1:])
        bought = trade.allocation[..., 0].double()
        sold = total(bought, 1)[:, None]
        floor = floor.pay(self.named("price"), "buyer", self.owner, trade.prices)
        floor = floor.term(self.named("value"), "buyer", bought * quotes[:, :-1])
        if self.game.seller_plays:
            floor = floor.term(self.named("cost"), "seller", -sold * quotes[:, -1:])
        last_price = torch.where(sold[:, 0] > 0, trade.prices.amax((1, 2)), own)
        traded = floor.everyone(buyer=bought, seller=sold[:, : floor.count("seller")])
        return floor, last_price, Auctioned(quotes, offers, traded)

    def _prices(
        self, actions: Float[Tensor, "markets count 1"]
    ) -> Float64[Tensor, "markets count"]:
        return self.moves["buyer"].action.read(actions)["price"][..., 0]

    def breakpoints(
        self,
        floor: Floor,
        own: Tensor,
        quotes: Tensor,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None = None,
    ) -> Float[Tensor, "markets candidates 1"] | None:
        """Actions, one of which is a best reply; None for a payment rule of a user's own.

        With every rule of the table the outcome changes only where an offer meets another, and
        between such points money is linear in the offer. So a best reply is an offer of the others,
        the next number above or below it, or an end of the box.
        fields: None or ("price",), as there is no other;   the rest as in ``Breakpoints``
        """
        if self.mechanism not in MECHANISMS.values():
            return None
        role, number = who
        others = {name: offers[..., 0] for name, offers in actions.items()}
        others[role] = torch.cat([others[role][:, :number], others[role][:, number + 1 :]], 1)
        price = self.moves[role].action["price"]
        if not self.game.seller_plays:
            others["seller"] = price.write(quotes[:, -1:])
        met = torch.cat([others["buyer"], others["seller"]], 1)
        near = (met, just_above(met), -just_above(-met))
        ends = met.new_tensor([price.low, price.high]).expand(len(met), -1)
        return torch.cat([*near, ends], 1)[..., None]


def _move(price_max: float) -> Move:
    """What a buyer or a seller sees, and its price."""
    sees = (
        Field("type", 1, 0.0, price_max, "own value (buyer) or cost (seller), money"),
        Field("last_price", 1, 0.0, price_max, "price of the last sale, 0 if none, money"),
        Field("round", 1, 0.0, 1.0, "finished rounds / max_cycles; 0 where the horizon is a cut"),
    )
    price = Money("price", most=price_max, text="a bid (buyer) or an ask (seller)")
    return Move(Fields(sees), Fields((price,)))


def reference(config: ReferenceConfig | None = None) -> Market:
    """The market of one auction a round; an operator's account is paid where no seller plays."""
    config = config or ReferenceConfig()
    auction = Auction(config)
    sellers = int(auction.game.seller_plays)
    people = People(
        roles={"buyer": auction.n_buyers, "seller": sellers},
        accounts={"operator": 1 - sellers},
        operators=("operator",),
        device=device_of(config.device),
    )
    return Market(
        people,
        (auction,),
        horizon=config.max_cycles,
        cut=config.horizon == "cut",
        name="reference_v0",
        config=config,
    )
