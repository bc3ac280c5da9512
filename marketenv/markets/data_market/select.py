"""The phase in which the buyer chooses a mixture, a budget and guards, and the rule sells."""

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
# this much more is held, and comes back: sums of prices in another order round differently
CUSHION = 1 + 1e-12


@dataclass(frozen=True)
class Selected(Outcome):
    """What is bought.

    points:    of each seller, 0 where nothing is bought           int64 [markets, sellers]
    prices:    of these points, money                              float64 [markets, 1, sellers]
    asks, values: inputs of the rule for each seller, money        float64 [markets, sellers]
    budget:    input of the rule for the buyer, money              float64 [markets]
    predicted: accuracy that is predicted of the purchase          float64 [markets]
    audited:   whether the delivery is checked                     bool [markets, sellers]
    hold_back: share of the prices                                 float64 [markets, 1]
    bought, price: number of points, and their price, over all agents   [markets, agents]
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
        """From the buyer to the sellers that it buys from."""
        (markets, agents), count = self.bought.shape, self.points.shape[1]
        links = torch.zeros(markets, agents, agents, dtype=torch.bool, device=self.bought.device)
        links[:, count, :count] = self.points > 0
        return links

    def story(self, agents: Sequence[str]) -> list[str]:
        """Points and prices of the sellers."""
        numbers = zip(self.points[0].tolist(), self.prices[0, 0].tolist(), strict=True)
        sales = [
            f"seller_{k} sells {points} point{'s' * (points > 1)} for {price:.4f}."
            for k, (points, price) in enumerate(numbers)
            if points
        ]
        share, predicted = 100 * float(self.hold_back[0, 0]), float(self.predicted[0])
        held = f"{share:.0f} % of the prices is held back"
        forecast = f"An accuracy of {predicted:.3f} is predicted; {held}."
        return [*(sales or ["Nothing is bought."]), forecast]


@dataclass(frozen=True)
class Quotes:
    """What the buyer sees of the recommended mixture.

    predicted: accuracy   [markets];   values: of each seller, in accuracy   [markets, sellers]
    points:    of each seller                                                [markets, sellers]
    """

    predicted: Float64[Tensor, "markets"]
    values: Float64[Tensor, "markets sellers"]
    points: Float64[Tensor, "markets sellers"]


class Select(Phase):
    """The buyer sets a budget, a mixture and guards; the rule sets prices; the money is held.

    A seller's quota is its share of the points, at most what it declares. A seller does not sell
    where the rule pays less than its reserve.

    rule:   which sellers are bought at which price;   fee: the platform's share on top of prices
    guards: a truthful buyer's chance of an audit, and share that it holds back
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
        self.name, self.rule, self.distances = name, rule, distances
        self.points, self.fee, self.guards = points, fee, guards
        self.moves = {BUYER: buyers_move(count, *scales)}

    def quote(self, floor: Floor, own: Any) -> Quotes:
        """Predict the recommended purchase, and what each seller is worth in it."""
        piloted, declared = floor.of(Piloted), floor.of(Offered).conduct.declared
        points = quotas(piloted.recommended[:, None], self.points, declared)[:, 0].double()
        accuracy = self._accuracy(piloted)
        predicted = accuracy(points[:, None])[:, 0]
        if self.rule.value != "points":
            return Quotes(predicted, self._values(floor, accuracy, points), points)
        # one price is posted for all points: each is worth its part of the gain
        gain = (predicted - piloted.forecast.outside_option).clamp(min=0)
        total = points.sum(1, keepdim=True).clamp(min=1)
        return Quotes(predicted, gain[:, None] * points / total, points)

    def show(self, floor: Floor, own: Any, quotes: Quotes) -> Shown:
        """The offers, and the platform's forecast of them."""
        offered, piloted = floor.of(Offered), floor.of(Piloted)
        worth = floor.types[BUYER]["money_per_accuracy"]
        each = {
            "ask": offered.ask,
            "declared": offered.conduct.declared.double(),
            "distance": piloted.apart,
            "reputation": floor.types[SELLER]["reputation"],
            "recommended": piloted.recommended,
            "worth": worth * quotes.values,
        }
        gain = (quotes.predicted - piloted.forecast.outside_option)[:, None].clamp(min=0)
        alone = {
            "predicted": quotes.predicted[:, None],
            "gain": worth * gain,
            "money_per_accuracy": worth,
            "money": floor.purse(BUYER),
            "round": floor.played[:, None],
        }
        return {BUYER: {name: value[:, None] for name, value in each.items()} | alone}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Spend the predicted gain on the recommended mixture, with the guards of the config."""
        fields, (verify, hold_back) = move.observation.unpack(observation), self.guards
        budget = (fields["gain"] / fields["money"].clamp(min=1e-9)).clamp(max=1.0)
        answer = {"budget": budget, "mixture": fields["recommended"]}
        return move.write(observation, **answer, verify=verify, hold_back=hold_back)

    def act(
        self, floor: Floor, own: Any, quotes: Quotes, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Selected]:
        """Let the rule choose sellers and prices, and hold the money."""
        offered, accuracy = floor.of(Offered), self._accuracy(floor.of(Piloted))
        fields = self.moves[BUYER].action.read(actions[BUYER])
        meaning = {name: numbers[:, 0] for name, numbers in fields.items()}
        mixture = meaning["mixture"] / meaning["mixture"].sum(1, keepdim=True).clamp(min=1e-9)
        points = quotas(mixture[:, None], self.points, offered.conduct.declared)[:, 0]
        money = (meaning["budget"] * floor.purse(BUYER))[:, 0].clamp(min=0)
        budget = money / ((1 + self.fee) * CUSHION**2)
        values = self._worths(floor, points.double(), budget, quotes)
        asks = torch.where(points > 0, offered.ask * points, torch.inf)
        sales = apply_data_rule(self.rule, asks, values, budget)
        sells = sales.allocation[:, 0] & (sales.prices[:, 0] >= offered.reserve * points)
        points, prices = points * sells, sales.prices * sells[:, None]
        total = prices.sum(2, keepdim=True) * (1 + self.fee) * CUSHION
        floor = floor.pay(self.named("held"), BUYER, HELD, total)
        outcome = Selected(
            points=points,
            prices=prices,
            asks=asks,
            values=values,
            budget=budget,
            predicted=accuracy(points[:, None].double())[:, 0],
            audited=self._audits(floor, meaning["verify"]) & sells,
            hold_back=meaning["hold_back"],
            bought=floor.everyone(**{SELLER: points.double()}),
            price=floor.everyone(**{SELLER: prices[:, 0]}),
        )
        return floor, own, outcome

    def _accuracy(self, piloted: Piloted) -> Callable[[Tensor], Tensor]:
        return lambda points: piloted.forecast.accuracy(self.distances, points)

    def _worths(
        self,
        floor: Floor,
        points: Float64[Tensor, "markets sellers"],
        budget: Float64[Tensor, "markets"],
        quotes: Quotes,
    ) -> Float64[Tensor, "markets sellers"]:
        """Values of each seller's points for the rule, money.

        Where all buyers want what is recommended they are the quote's: with many sellers they are a
        large part of a round's work.
        """
        if self.rule.value == "points":
            return points * (budget[:, None] / (self.points * CUSHION))
        values = quotes.values
        if not torch.equal(points, quotes.points):
            values = self._values(floor, self._accuracy(floor.of(Piloted)), points)
        return values * floor.types[BUYER]["money_per_accuracy"]

    def _values(
        self, floor: Floor, accuracy: Callable[[Tensor], Tensor], points: Tensor
    ) -> Float64[Tensor, "markets sellers"]:
        """Values of each seller's points by the rule's form: in accuracy, or their number."""
        return VALUES[self.rule.value](accuracy, points, floor.keys(*self.purpose("values")))

    def _audits(
        self, floor: Floor, chance: Float64[Tensor, "markets 1"]
    ) -> Bool[Tensor, "markets sellers"]:
        """Whether each delivery is audited, by a random draw with the same chance."""
        return draws.uniform(floor.keys(*self.purpose("audit")), floor.count(SELLER)) < chance
