"""The phase in which sellers make sealed offers of their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.markets.data_market.conduct import CONDUCT, PERMUTES, TRUTH, Conduct
from marketenv.markets.data_market.moves import BUYER, SELLER, sellers_move


@dataclass(frozen=True)
class Offered(Outcome):
    """What sellers offer and do.

    ask:     money per point that each seller asks       [markets, sellers]
    reserve: least average price per point that it accepts, money   [markets, sellers]
    conduct: what it does with its data, which no other agent sees
    asked, declared: the ask and the number of points over all agents   [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("asked", "declared")

    ask: Float64[Tensor, "markets sellers"]
    reserve: Float64[Tensor, "markets sellers"]
    conduct: Conduct
    asked: Float64[Tensor, "markets agents"]
    declared: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Everybody's offer, and what is not honest about it."""
        return [self._line(k) for k in range(self.ask.shape[1])]

    def _line(self, k: int) -> str:
        numbers = {name: float(getattr(self.conduct, name)[0, k]) for name in CONDUCT}
        when = PERMUTES[int(numbers["permute"])]
        lies = [
            f"{name} {value:.2f}"
            for name, value in numbers.items()
            if name not in ("declared", "permute") and value != TRUTH[name]
        ]
        lies += [f"classes renamed: {when}"] * (when != PERMUTES[0])
        points, ask = int(numbers["declared"]), float(self.ask[0, k])
        text = f"seller_{k} offers {points} points at {ask:.4f} a point"
        return f"{text}{'; ' + ', '.join(lies) if lies else ''}."


class Offer(Phase):
    """Every seller asks for money and chooses its conduct; no seller sees another's offer.

    conduct:  names of ``CONDUCT`` that sellers may choose; they are truthful in all others
    cost_max: largest cost of a point, money
    """

    name, outcome = "offer", Offered

    def __init__(
        self, cost_max: float, conduct: Sequence[str] = tuple(CONDUCT), name: str = "offer"
    ) -> None:
        self.name = name
        self.moves = {SELLER: sellers_move(cost_max, conduct)}

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """What each seller sees of itself, and the buyer's money."""
        types = {n: floor.types[SELLER][n] for n in ("cost", "reputation", "last_paid")}
        size, played = floor.world.size.double(), floor.played[:, None].expand_as(types["cost"])
        money = floor.purse(BUYER).expand_as(types["cost"])
        return {SELLER: {**types, "size": size, "money": money, "round": played}}

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same after the last round."""
        return self.show(floor, own, None)

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Ask one's cost, and sell one's rows as they are."""
        honest = {name: TRUTH[name] for name in move.action.slices if name in TRUTH}
        return move.write(observation, ask=1.0, reserve=1.0, **honest)

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Offered]:
        """Read the offers."""
        cost = floor.types[SELLER]["cost"]
        fields = self.moves[SELLER].action.read(actions[SELLER], {"ask": cost[..., None]})
        meaning = {name: numbers[..., 0] for name, numbers in fields.items()}
        ask = self._money(meaning.pop("ask"), cost)
        reserve = self._money(meaning.pop("reserve"), cost)
        conduct = Conduct.of(meaning, floor.world.size)
        outcome = Offered(
            ask=ask,
            reserve=reserve,
            conduct=conduct,
            asked=floor.everyone(**{SELLER: ask}),
            declared=floor.everyone(**{SELLER: conduct.declared.double()}),
        )
        return floor, own, outcome

    def _money(
        self, multiple: Float[Tensor, "markets sellers"], cost: Float64[Tensor, "markets sellers"]
    ) -> Tensor:
        """A multiple of the cost, money; inf where the product overflows."""
        return (multiple * cost).double()
