"""The price extension: centres post prices before the leader commits; the cheapest do the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.fields import just_above
from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.markets.resource_market.moves import CENTRE, OWNER, in_float64, posters_move
from marketenv.markets.resource_market.play import Play, of_others

STEP = 1e-6  # part of a rival's price by which a truthful centre undercuts it
# least part of the highest price by which it does so: smaller differences vanish in the box
GRAIN = 1e-7


@dataclass(frozen=True)
class Posted(Outcome):
    """Prices for the work on a unit of data, money.

    price:  of each   float64 [markets, centres];   lowest: what owners pay   [markets]
    posted: the prices over all agents                                        [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("posted",)

    price: Float64[Tensor, "markets centres"]
    lowest: Float64[Tensor, "markets"]
    posted: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Everybody's price."""
        return [
            f"centre_{m} posts {price:.4f} for a unit of data."
            for m, price in enumerate(self.price[0].tolist())
        ]


class Post(Phase):
    """Centres post prices, all at once.

    play:  how truthful agents solve the game;   counts: of owners and centres
    worth: alpha k, the highest price, money
    Source: ours. The paper's centres post no price: they contest the owners' fees.
    """

    name, outcome = "post", Posted

    def __init__(
        self, play: Play, counts: tuple[int, int], worth: float, name: str = "post"
    ) -> None:
        self.name, self.play, self.worth = name, play, worth
        owners, centres = counts
        self.moves = {CENTRE: posters_move(centres - 1, owners, worth)}

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """Costs, the last round's prices, and what is known of owners."""
        centres, owners = floor.types[CENTRE], floor.types[OWNER]
        count = centres["cost"].shape[1]
        fields = {
            "own_cost": centres["cost"],
            "cost": of_others(centres["cost"]),
            "last_price": of_others(centres["last_price"]),
            "money": floor.purse(CENTRE),
            "round": floor.played[:, None].expand(-1, count),
        }
        for name, kind in KNOWN.items():
            fields[name] = owners[kind][:, None].expand(-1, count, -1)
        return {CENTRE: fields}

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same after the last round."""
        return self.show(floor, own, None)

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Undercut the next higher cost by as little as possible; else ask one's own cost."""
        fields = in_float64(move, observation)
        # a cost of 0 stands for a centre that does not exist
        rivals = torch.where(fields["cost"] > 0, fields["cost"], torch.inf)
        own = fields["own_cost"].clamp(min=1e-300)
        costs = torch.cat([own, rivals], 1)
        price = self.play.price(costs, fields["quality"], fields["identities"])[:, None]
        less = price - (STEP * price).clamp(min=GRAIN * self.worth)
        actions = move.write(observation, price=torch.where(own < price, less, own).maximum(own))
        # no centre works at a loss
        return torch.where(move.action.read(actions)["price"] < own, just_above(actions), actions)

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Posted]:
        """Read the prices."""
        price = (
            self.moves[CENTRE]
            .action.read(actions[CENTRE])["price"][..., 0]
            .clamp(min=1e-6 * self.worth)
        )
        types = {**floor.types[CENTRE], "last_price": price}
        floor = replace(floor, types={**floor.types, CENTRE: types})
        return floor, own, Posted(price, price.amin(1), floor.everyone(**{CENTRE: price}))


# public facts of owners: the field that shows each, and the type that it shows
KNOWN = {"quality": "standing", "identities": "identities"}


def unit_cost(floor: Floor, cost: float | None) -> Float64[Tensor, "markets"]:
    """What a unit of data costs its owner: ``cost``, or the lowest posted price if it is None."""
    if cost is None:
        return floor.of(Posted).lowest
    return floor.played.new_full((len(floor.seeds),), cost)
