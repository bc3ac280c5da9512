"""The platform's forecast of a purchase: predicted accuracy by points, and sellers' values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core.tree import STATIC
from marketenv.markets.distances import Distances, Measures
from marketenv.valuation import (
    Estimator,
    extrapolate,
    extrapolate_estimator,
    leave_one_out,
    shapley,
)

MOST_EXACT = 12  # sellers up to which Shapley values are exact
STEP = 0.25  # share of a seller's points by which a marginal price is measured
# divided by the number of sellers: random orders for the Shapley values of more sellers, at least 2
PERMUTATIONS = 240


@dataclass(frozen=True)
class Forecast:
    """Predicts the accuracy of any number of points from every seller, by the pilots.

    low, high: estimators fitted at the two pilot sizes
    outside_option: accuracy that the buyer has without a purchase   [markets]
    declared:  points that each seller offers            [markets, sellers]
    pilots, points: N0, N1, and the N that the buyer wants
    keeps_model: the buyer keeps its model where the newly trained one is not more accurate
    """

    measures: Measures
    low: Estimator
    high: Estimator
    outside_option: Float64[Tensor, "markets"]
    declared: Int[Tensor, "markets sellers"]
    pilots: tuple[int, int] = field(metadata=STATIC, default=(1, 2))
    points: int = field(metadata=STATIC, default=2)
    keeps_model: bool = field(metadata=STATIC, default=False)

    @property
    def estimator(self) -> Estimator:
        """The estimator at the number of points that the buyer wants."""
        small, large = self.pilots
        return extrapolate_estimator(small, self.low, large, self.high, self.points)

    @property
    def most(self) -> Float64[Tensor, "markets sellers"]:
        """Largest share of the wanted points that each seller can give."""
        return (self.declared.double() / self.points).clamp(max=1.0)

    def accuracy(
        self, distances: Distances, points: Float64[Tensor, "markets purchases sellers"]
    ) -> Float64[Tensor, "markets purchases"]:
        """Predicted accuracy, from 0 to 1, of the buyer's model after a purchase of these points.

        It is the outside option where nothing is bought, and at least that where the buyer keeps
        its model.
        """
        predicted, outside_option = self.trained(distances, points), self.outside_option[:, None]
        if self.keeps_model:
            return predicted.maximum(outside_option)
        return torch.where(points.sum(-1) > 0, predicted, outside_option)

    def trained(
        self, distances: Distances, points: Float64[Tensor, "markets purchases sellers"]
    ) -> Float64[Tensor, "markets purchases"]:
        """Predicted accuracy, from 0 to 1, of a model trained on these numbers of points.

        It extrapolates the predictions of both estimators in the log of the number of points; it is
        0 where nothing is bought.
        """
        total = points.sum(-1, keepdim=True)
        even = torch.full_like(points, 1 / points.shape[-1])
        mixture = torch.where(total > 0, points / total.clamp(min=1e-9), even)
        wad = distances.wad(self.measures, mixture)
        low, high = (fit.predict(mixture, wad) for fit in (self.low, self.high))
        count = total[..., 0].clamp(min=1.0)
        predicted = extrapolate(self.pilots[0], low, self.pilots[1], high, count)
        return torch.where(total[..., 0] > 0, predicted.clamp(0.0, 1.0), 0.0)


# --- what sellers' points are worth ---------------------------------------------------------------


# (accuracy, points [markets, sellers], keys) -> values
Values = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]


def _points(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    return points


def _leave_one_out(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    return leave_one_out(partial(_of_members, accuracy, points), points.shape[1], points.device)


def _shapley(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    count, value = points.shape[1], partial(_of_members, accuracy, points)
    if count <= MOST_EXACT:
        return shapley(value, count, None, None, points.device).values
    return shapley(value, count, max(2, PERMUTATIONS // count), keys, points.device).values


def _of_members(accuracy: Callable[[Tensor], Tensor], points: Tensor, members: Tensor) -> Tensor:
    """Accuracy with these sellers alone: [.., coalitions, sellers] -> [markets, coalitions]."""
    return accuracy(members * points[:, None])


def _shadow_price(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    """Points times the slope of the accuracy in them, by central differences."""
    one = torch.diag_embed(STEP * points)
    up, down = accuracy(points[:, None] + one), accuracy(points[:, None] - one)
    return torch.where(points > 0, (up - down) / (2 * STEP), 0.0)


# values of sellers for a rule, by the name that ``DataRule.value`` gives
VALUES: dict[str, Values] = {
    "points": _points,
    "additive": _shapley,  # they sum to the predicted gain, as the values of an additive buyer do
    "leave_one_out": _leave_one_out,
    "shapley": _shapley,
    "shadow_price": _shadow_price,
}
