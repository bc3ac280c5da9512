"""The phase in which the buyer chooses what it buys and how it guards itself, and the rule says
who is bought at which price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.markets.data_market.forecast import VALUES
from marketenv.markets.data_market.moves import BUYER, SELLER, buyers_move
from marketenv.markets.data_market.offer import Offered
from marketenv.markets.data_market.pilot import Piloted
from marketenv.markets.distances import Distances
from marketenv.markets.federated import quotas
from marketenv.mechanisms import DataRule, apply_data_rule

HELD, PLATFORM = "held", "platform"
# sums of prices in another order round apart: so much more is held, and comes back
CUSHION = 1 + 1e-12


@dataclass(frozen=True)
class Selected(Outcome):
    """What is bought.

    points:    of each seller, 0 where nothing is bought           int64 [markets, sellers]
    prices:    agreed for them, money                              float64 [markets, 1, sellers]
    asks, values: what the rule was told of each seller, money     float64 [markets, sellers]
    budget:    what it was told of the buyer, money                float64 [markets]
    predicted: accuracy that is expected of all that is bought     float64 [markets]
    audited:   whose delivery is checked                           bool [markets, sellers]
    hold_back: share of the prices                                 float64 [markets, 1]
    bought, price: points that were bought, and money agreed, over all agents
    """

    FACTS: ClassVar[tuple[str, ...]] = ("bought", "price")
    EDGES: ClassVar[str] = "data bought"

    points: Int[Tensor, "markets sellers"]
    prices: Float64[Tensor, "markets 1 sellers"]
    asks: Float64[Tensor, "markets sellers"]
    values: Float64[Tensor, "markets sellers"]
    budget: Float64[Tensor, "markets"]
    predicted: Float64[Tensor, "markets"]
    audited: Bool[Tensor, "markets sellers"]
    hold_back: Float64[Tensor, "markets 1"]
    bought: Float64[Tensor, "markets agents"]
    price: Float64[Tensor, "markets agents"]

    def edges(self) -> Tensor:
        """The buyer and those it buys from."""
        links = torch.zeros(
            *self.bought.shape, self.bought.shape[1], dtype=torch.bool, device=self.bought.device
        )
        count = self.points.shape[1]
        links[:, count, :count] = self.points > 0
        return links

    def story(self, agents: Sequence[str]) -> list[str]:
        """Who is bought at which price."""
        numbers = zip(self.points[0].tolist(), self.prices[0, 0].tolist(), strict=True)
        told = [
            f"seller_{k} sells {points} point{'s' * (points > 1)} for {price:.4f}."
            for k, (points, price) in enumerate(numbers)
            if points
        ]
        held = f"{100 * float(self.hold_back[0, 0]):.0f} % of the prices is held back"
        return [
            *(told or ["Nothing is bought."]),
            f"An accuracy of {float(self.predicted[0]):.3f} is predicted; {held}.",
        ]


@dataclass(frozen=True)
class Quotes:
    """What the buyer is told of the recommended mixture: predicted accuracy, and each seller's
    value in accuracy.
    """

    predicted: Float64[Tensor, "markets"]
    values: Float64[Tensor, "markets sellers"]


class Select(Phase):
    """The buyer sets a budget, a mixture and its guards; the rule chooses sellers and prices; the
    money is held.

    A seller's quota is its share of the points, at most what it declares. Where the rule pays it
    less than its reserve, it does not sell.

    rule: who is bought at which price;   fee: the platform's share on top of prices
    guards: chance of an audit and share held back that a truthful buyer sets
    """

    name, outcome = "select", Selected

    def __init__(
        self,
        *,
        rule: DataRule,
        distances: Distances,
        count: int,
        points: int,
        fee: float,
        guards: tuple[float, float],
        scales: tuple[float, float],
        name: str = "select",
    ) -> None:
        self.name = name
        self.rule, self.distances, self.points, self.fee, self.guards = (
            rule,
            distances,
            points,
            fee,
            guards,
        )
        self.moves = {BUYER: buyers_move(count, *scales)}

    def quote(self, floor: Floor, own: Any) -> Quotes:
        """Predict the recommended purchase, and what each seller is worth in it."""
        piloted = floor.of(Piloted)
        points = quotas(
            piloted.recommended[:, None], self.points, floor.of(Offered).conduct.declared
        )[:, 0].double()
        accuracy = self._accuracy(piloted)
        predicted = accuracy(points[:, None])[:, 0]
        # a price is posted for all of them alike: each is worth its part of the gain
        if self.rule.value == "points":
            gain = (predicted - floor.world.baseline).clamp(min=0)
            return Quotes(
                predicted, gain[:, None] * points / points.sum(1, keepdim=True).clamp(min=1)
            )
        return Quotes(predicted, self._values(floor, accuracy, points))

    def show(self, floor: Floor, own: Any, quotes: Quotes) -> Shown:
        """The offers, and what the platform says of them."""
        offered, piloted, worth = (
            floor.of(Offered),
            floor.of(Piloted),
            floor.types[BUYER]["money_per_accuracy"],
        )
        each = {
            "ask": offered.ask,
            "declared": offered.conduct.declared.double(),
            "distance": piloted.apart,
            "reputation": floor.types[SELLER]["reputation"],
            "recommended": piloted.recommended,
            "worth": worth * quotes.values,
        }
        gain = worth * (quotes.predicted - floor.world.baseline)[:, None].clamp(min=0)
        alone = {
            "predicted": quotes.predicted[:, None],
            "gain": gain,
            "money_per_accuracy": worth,
            "money": floor.purse(BUYER),
            "round": floor.played[:, None],
        }
        return {BUYER: {name: value[:, None] for name, value in each.items()} | alone}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Spend what the predicted gain is worth, on the recommended mixture, with the guards
        of the config.
        """
        seen = move.observation.unpack(observation)
        budget = (seen["gain"] / seen["money"].clamp(min=1e-9)).clamp(max=1.0)
        verify, hold_back = self.guards
        return move.write(
            observation,
            budget=budget,
            mixture=seen["recommended"],
            verify=verify,
            hold_back=hold_back,
        )

    def act(
        self, floor: Floor, own: Any, quotes: Quotes, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Selected]:
        """Ask the rule, and hold the money."""
        offered, piloted = floor.of(Offered), floor.of(Piloted)
        said = {
            name: value[:, 0]
            for name, value in self.moves[BUYER].action.read(actions[BUYER]).items()
        }
        weights = said["mixture"]
        mixture = weights / weights.sum(1, keepdim=True).clamp(min=1e-9)
        points = quotas(mixture[:, None], self.points, offered.conduct.declared)[:, 0]
        budget = (said["budget"] * floor.purse(BUYER))[:, 0].clamp(min=0) / (
            (1 + self.fee) * CUSHION**2
        )
        accuracy, worth = self._accuracy(piloted), floor.types[BUYER]["money_per_accuracy"]
        values = self._values(floor, accuracy, points.double())
        values = values * (
            budget[:, None] / (self.points * CUSHION) if self.rule.value == "points" else worth
        )
        asks = torch.where(points > 0, offered.ask * points, torch.inf)
        settled = apply_data_rule(self.rule, asks, values, budget)
        sold = settled.allocation[:, 0] & (settled.prices[:, 0] >= offered.reserve * points)
        points, prices = points * sold, settled.prices * sold[:, None]
        floor = floor.pay(
            self.named("held"), BUYER, HELD, prices.sum(2, keepdim=True) * (1 + self.fee) * CUSHION
        )
        audited = self._drawn(floor, said["verify"]) & sold
        told = {"bought": points.double(), "price": prices[:, 0]}
        return (
            floor,
            own,
            Selected(
                points=points,
                prices=prices,
                asks=asks,
                values=values,
                budget=budget,
                predicted=accuracy(points[:, None].double())[:, 0],
                audited=audited,
                hold_back=said["hold_back"],
                **{name: floor.everyone(**{SELLER: value}) for name, value in told.items()},
            ),
        )

    def _accuracy(self, piloted: Piloted) -> Callable[[Tensor], Tensor]:
        return lambda points: piloted.forecast.accuracy(self.distances, points)

    def _values(
        self, floor: Floor, accuracy: Callable[[Tensor], Tensor], points: Tensor
    ) -> Float64[Tensor, "markets sellers"]:
        """What each seller's points are worth, in accuracy, or their number."""
        return VALUES[self.rule.value](accuracy, points, floor.keys(*self.purpose("values")))

    def _drawn(
        self, floor: Floor, chance: Float64[Tensor, "markets 1"]
    ) -> Bool[Tensor, "markets sellers"]:
        """Whose delivery is audited: each with the same chance."""
        return draws.uniform(floor.keys(*self.purpose("audit")), floor.count(SELLER)) < chance
