"""The phases in which centres offer work: in a contest for fees, or at posted prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.markets.resource_market.contribute import Contributed
from marketenv.markets.resource_market.moves import CENTRE, OWNER, centres_move, in_float64
from marketenv.markets.resource_market.play import of_others
from marketenv.markets.resource_market.post import Posted
from marketenv.markets.resource_market.replies import Replies, centres_replies
from marketenv.mechanisms import cheapest_shares, contest


@dataclass(frozen=True)
class Computed(Outcome):
    """What centres offer.

    work:    of each centre                                        float64 [markets, centres]
    cost:    of the work where there is trade, money               [markets, centres]
    liking:  how much each centre wants to work for each owner; width 0 where nobody asks
             [markets, centres, owners or 0]
    offered: work over all agents                                  [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("offered",)

    work: Float64[Tensor, "markets centres"]
    cost: Float64[Tensor, "markets centres"]
    liking: Float64[Tensor, "markets centres owners"]
    offered: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Everybody's work."""
        numbers = zip(self.work[0].tolist(), self.cost[0].tolist(), strict=True)
        return [
            f"centre_{m} offers {work:.4f} of work, which costs it {cost:.4f}."
            for m, (work, cost) in enumerate(numbers)
        ]


class Compute(Phase):
    """Centres see what owners owe for computing and offer work, all at once.

    counts: of owners and centres;   fees: the most that owners can owe, money
    rank:   whether centres say which owners they want to work for
    shared: whether fees are divided by work, whatever the matching
    """

    name, outcome = "compute", Computed

    def __init__(
        self, counts: tuple[int, int], fees: float, rank: bool, shared: bool, name: str = "compute"
    ) -> None:
        self.name, self.rank, self.shared = name, rank, shared
        owners, centres = counts
        self.moves = {CENTRE: centres_move(centres - 1, owners, fees, rank)}

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """What owners pay, and what everybody's work costs."""
        contributed = floor.of(Contributed)
        return self._shown(floor, contributed.charge.sum(1), contributed.x)

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same after the last round, when nobody pays."""
        nothing = torch.zeros_like(floor.types[OWNER]["cap"])
        return self._shown(floor, nothing.sum(1), nothing)

    def _shown(
        self, floor: Floor, fees: Float64[Tensor, "markets"], x: Float64[Tensor, "markets owners"]
    ) -> Shown:
        types = floor.types[CENTRE]
        cost = types["cost"]
        fields = {
            "fees": fees[:, None].expand_as(cost),
            "own_cost": cost,
            "cost": of_others(cost),
            "last_work": of_others(types["last_work"]),
            "share": x[:, None].expand(-1, cost.shape[1], -1),
            "money": floor.purse(CENTRE),
            "round": floor.played[:, None].expand_as(cost),
        }
        return {CENTRE: fields}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Offer the work of the equilibrium; want the owners that contribute most."""
        fields = in_float64(move, observation)
        fees, own, work = fields["fees"], fields["own_cost"], self.solved(fields)[:, :1]
        answer = {"spend": torch.where(fees > 0, own * work / fees, 0.0)}
        if self.rank:
            share = fields["share"]
            answer["liking"] = share / share.amax(1, keepdim=True).clamp(min=1e-300)
        return move.write(observation, **answer)

    def solved(self, fields: Mapping[str, Tensor]) -> Float64[Tensor, "markets centres"]:
        """The equilibrium's work of all centres by what one of them sees; that one stands first.

        A cost of 0 stands for a centre that does not exist.
        """
        costs = torch.cat([fields["own_cost"], fields["cost"]], 1)
        return contest(fields["fees"][:, 0], torch.where(costs > 0, costs, torch.inf))

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Computed]:
        """Read the work."""
        meaning = self.moves[CENTRE].action.read(actions[CENTRE])
        types, fees = floor.types[CENTRE], floor.of(Contributed).charge.sum(1, keepdim=True)
        cost = meaning["spend"][..., 0].clamp(0.0, 1.0) * fees
        work = cost / types["cost"]
        floor = replace(floor, types={**floor.types, CENTRE: {**types, "last_work": work}})
        liking = meaning["liking"] if self.rank else cost.new_zeros(*cost.shape, 0)
        return floor, own, Computed(work, cost, liking, floor.everyone(**{CENTRE: work}))

    def breakpoints(
        self,
        floor: Floor,
        own: Any,
        quotes: Any,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Replies | None:
        """Best replies of a centre where fees are divided by work; None where matches count."""
        if not self.shared:
            return None
        fees, costs = floor.of(Contributed).charge.sum(1), floor.types[CENTRE]["cost"]
        return centres_replies(self.moves[CENTRE], actions[CENTRE], who[1], fees, costs, fields)


class Serve(Phase):
    """The centres of the lowest price do equal shares of the work, which is measured in data."""

    name, outcome = "serve", Computed

    def __init__(self, name: str = "serve") -> None:
        self.name = name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Computed]:
        """Divide the work."""
        total = floor.of(Contributed).x.sum(1, keepdim=True)
        work = cheapest_shares(floor.of(Posted).price) * total
        cost = work * floor.types[CENTRE]["cost"]
        liking = cost.new_zeros(*cost.shape, 0)
        return floor, own, Computed(work, cost, liking, floor.everyone(**{CENTRE: work}))
