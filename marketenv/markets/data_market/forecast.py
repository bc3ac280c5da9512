"""What the platform predicts of a purchase before anything is bought, and the mixtures that it
recommends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.parts import taken
from marketenv.core.tree import STATIC
from marketenv.markets.distances import Distances, Measures
from marketenv.valuation import (
    Estimator,
    enumerate_mixtures,
    extrapolate,
    extrapolate_estimator,
    leave_one_out,
    project_to_simplex,
    select_gradient,
    shapley,
)

ROUNDING = 1e-6  # by which shares may pass a sum of 1
MOST_EXACT = 12  # sellers up to which Shapley values are exact
MOST_ENUMERATED, GRID = 4, 10  # sellers up to which a grid of mixtures is tried, and its steps
STEP = 0.25  # share of a seller's points by which a marginal price is measured
MOST_MIXTURES = 64
# times sellers: orders that are drawn for the Shapley values of more sellers, two or more
PERMUTATIONS = 240
STEPS = 8  # of the ascent to the recommended mixture


@dataclass(frozen=True)
class Forecast:
    """Accuracy as pilots say, of any number of points from every seller.

    low, high: estimators fitted at the two pilot sizes;   baseline: accuracy without
        any data   [markets]
    declared:  points that each seller offers [markets, sellers];
               pilots, points: N0, N1 and the N that is wanted
    """

    measures: Measures
    low: Estimator
    high: Estimator
    baseline: Float64[Tensor, "markets"]
    declared: Int[Tensor, "markets sellers"]
    pilots: tuple[int, int] = field(metadata=STATIC, default=(1, 2))
    points: int = field(metadata=STATIC, default=2)

    @property
    def estimator(self) -> Estimator:
        """What is expected of the wanted number of points."""
        return extrapolate_estimator(
            self.pilots[0], self.low, self.pilots[1], self.high, self.points
        )

    @property
    def most(self) -> Float64[Tensor, "markets sellers"]:
        """Largest share of the wanted points that each seller can give."""
        return (self.declared.double() / self.points).clamp(max=1.0)

    def accuracy(
        self, distances: Distances, points: Float64[Tensor, "markets purchases sellers"]
    ) -> Float64[Tensor, "markets purchases"]:
        """Predicted accuracy, between 0 and 1, of a model trained on so many points of every
        seller.

        log extrapolation of both estimators' predictions to the number of points; the baseline
        where nothing is bought
        """
        total = points.sum(-1, keepdim=True)
        even = torch.full_like(points, 1 / points.shape[-1])
        mixture = torch.where(total > 0, points / total.clamp(min=1e-9), even)
        wad = distances.wad(self.measures, mixture)
        low, high = (fit.predict(mixture, wad) for fit in (self.low, self.high))
        count = total[..., 0].clamp(min=1.0)
        predicted = extrapolate(self.pilots[0], low, self.pilots[1], high, count)
        return torch.where(total[..., 0] > 0, predicted.clamp(0.0, 1.0), self.baseline[:, None])


# --- what sellers' points are worth ---------------------------------------------------------------


# (accuracy, points [markets, sellers], keys) -> values
Values = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]


def _points(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    return points


def _leave_one_out(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    return leave_one_out(partial(_of_members, accuracy, points), points.shape[1], points.device)


def _shapley(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    orders = max(2, PERMUTATIONS // points.shape[1]) if points.shape[1] > MOST_EXACT else None
    value = partial(_of_members, accuracy, points)
    return shapley(
        value, points.shape[1], orders, None if orders is None else keys, points.device
    ).values


def _of_members(accuracy: Callable[[Tensor], Tensor], points: Tensor, members: Tensor) -> Tensor:
    """Accuracy if only these sellers delivered: members [.., coalitions, sellers] -> [markets,
    coalitions].
    """
    return accuracy(members * points[:, None])


def _shadow_price(accuracy: Callable[[Tensor], Tensor], points: Tensor, keys: Tensor) -> Tensor:
    """Points times the slope of the accuracy in them, by central differences."""
    one = torch.diag_embed(STEP * points)
    up, down = accuracy(points[:, None] + one), accuracy(points[:, None] - one)
    return torch.where(points > 0, (up - down) / (2 * STEP), 0.0)


# what a rule is told of each seller, by the name under which ``DataRule.value`` asks for it
VALUES: dict[str, Values] = {
    "points": _points,
    "additive": _shapley,  # they sum to the predicted gain, as the values of an additive buyer do
    "leave_one_out": _leave_one_out,
    "shapley": _shapley,
    "shadow_price": _shadow_price,
}


# --- which mixture is recommended -----------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What a selection may know.

    mixtures, near: of the pilots, and their
        distances   [markets, mixtures, sellers], [markets, mixtures]
    apart: distance of every seller alone [markets, sellers];   keys: [markets]
    trial: the accuracy that mixtures really come to: (mixtures [markets, mixtures, sellers]) ->
        [markets, mixtures]
    """

    forecast: Forecast
    distances: Distances
    mixtures: Float64[Tensor, "markets mixtures sellers"]
    near: Float64[Tensor, "markets mixtures"]
    apart: Float64[Tensor, "markets sellers"]
    keys: Int[Tensor, "markets"]
    trial: Callable[[Tensor], Tensor]

    @property
    def best(self) -> Float64[Tensor, "markets sellers"]:
        """The pilots' mixture whose predicted accuracy is largest."""
        place = self.forecast.estimator.predict(self.mixtures, self.near).argmax(1)
        return self.mixtures[torch.arange(len(place), device=place.device), place]

    def slopes(
        self, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> tuple[Tensor, Tensor]:
        """Distances of mixtures, and their slopes in each share."""
        return self.distances.slopes(self.forecast.measures, mixtures)

    def predicted(
        self, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> Float64[Tensor, "markets mixtures"]:
        """Predicted accuracy of mixtures of the wanted number of points."""
        return self.forecast.accuracy(self.distances, mixtures * self.forecast.points)


Selection = Callable[[Case], Tensor]


def selected(selection: Selection, case: Case) -> Float64[Tensor, "markets sellers"]:
    """What a selection recommends; one of a user's own works on copies, and shares that are no
    mixture are refused.
    """
    shares = tree.apart(selection, selection not in SELECTIONS.values())(case)
    shares = taken(
        shares, "selection returned shares", case.apart, "markets, sellers", torch.float64
    )
    wrong = ~(shares.isfinite() & (shares >= 0) & (shares.sum(1, keepdim=True) <= 1 + ROUNDING))
    if bool(wrong.any()):
        market, seller = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"selection returned the share {float(shares[market, seller]):g} for seller {seller} of"
            f" market {market}, whose shares sum to {float(shares[market].sum()):g}; wanted finite"
            " shares >= 0 with a sum of at most 1: divide by the sum."
        )
    return shares


def _best(case: Case, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The candidate that scores best."""
    mixtures = candidates(case.forecast.most, case.apart)
    place = score(mixtures).argmax(1)
    return mixtures[torch.arange(len(place), device=place.device), place]


def enumeration(case: Case) -> Float64[Tensor, "markets sellers"]:
    """The mixture of a grid whose predicted accuracy is largest."""
    return _best(case, case.predicted)


def oracle(case: Case) -> Float64[Tensor, "markets sellers"]:
    """The mixture of a grid whose model is really best: all are trained, which nobody can do
    before buying.
    """
    return _best(case, case.trial)


def agg_wad_greedy(case: Case) -> Float64[Tensor, "markets sellers"]:
    """Take all that the nearest seller has, then of the next one: the mixture whose AggWad is
    least.
    """
    most = case.forecast.most
    order = case.apart.argsort(dim=1, stable=True)
    sorted_most = most.gather(1, order)
    taken = (1 - (sorted_most.cumsum(1) - sorted_most)).clamp(min=0).minimum(sorted_most)
    return torch.zeros_like(most).scatter(1, order, taken)


def uniform(case: Case) -> Float64[Tensor, "markets sellers"]:
    """Equal shares, as far as sellers have the points."""
    return _within(
        torch.full_like(case.forecast.most, 1 / case.forecast.most.shape[1]), case.forecast.most
    )


def random(case: Case) -> Float64[Tensor, "markets sellers"]:
    """A mixture drawn evenly from all."""
    parts = -draws.uniform(case.keys, case.forecast.most.shape[1]).log()
    return _within(parts / parts.sum(1, keepdim=True), case.forecast.most)


def gradient(case: Case) -> Float64[Tensor, "markets sellers"]:
    """Climb the predicted accuracy from the best mixture of the pilots, by the distance's own
    gradient; a sliced one has none.
    """
    most = case.forecast.most
    caps = most / most.sum(1, keepdim=True).clamp(max=1.0)
    start = _within(case.best, most)
    if case.distances.method == "sliced":
        return start
    estimator = case.forecast.estimator
    chosen = select_gradient(
        estimator, start[:, None] / start.sum(1)[:, None, None], case.slopes, caps, STEPS
    )
    return chosen.p * most.sum(1, keepdim=True).clamp(max=1.0)


SELECTIONS: dict[str, Selection] = {
    "gradient": gradient,
    "enumeration": enumeration,
    "agg_wad": agg_wad_greedy,
    "uniform": uniform,
    "random": random,
    "oracle": oracle,
}


def _within(mixture: Tensor, most: Tensor) -> Tensor:
    """The nearest mixture that sellers have the points for; all that they have where that is
    less than is wanted.
    """
    total = most.sum(-1, keepdim=True)
    caps = most / total.clamp(max=1.0)
    return torch.where(total >= 1, project_to_simplex(mixture, caps), most)


def candidates(
    most: Float64[Tensor, "markets sellers"], apart: Float64[Tensor, "markets sellers"]
) -> Float64[Tensor, "markets mixtures sellers"]:
    """A grid of mixtures for few sellers, else equal shares of the nearest 1, 2, 4, ...; as far
    as they have the points.
    """
    count = most.shape[1]
    if count <= MOST_ENUMERATED:
        grid = enumerate_mixtures(count, GRID).to(most).expand(len(most), -1, -1)
    else:
        sizes = torch.tensor(
            [2**k for k in range(count.bit_length())] + [count], device=most.device
        )
        near = apart.argsort(dim=1, stable=True).argsort(1)[:, None] < sizes[:, None]
        grid = near / near.sum(-1, keepdim=True).to(most)
    return _within(grid, most[:, None].expand_as(grid))


def first_mixtures(
    count: int, wanted: int | None, keys: Int[Tensor, "markets"]
) -> Float64[Tensor, "markets mixtures sellers"]:
    """The mixtures that pilots are trained for: a coarse grid for up to three sellers, else the
    even one, single sellers and random ones; the same in every market where nothing is drawn.
    """
    if wanted is None and count <= 3:
        return enumerate_mixtures(count, 4).to(keys.device).expand(len(keys), -1, -1)
    wanted = min(count + 1, MOST_MIXTURES) if wanted is None else wanted
    even = torch.full((len(keys), 1, count), 1 / count, dtype=torch.float64, device=keys.device)
    first = draws.permutation(keys, count)[:, : (wanted - 1) // 2]
    alone = torch.nn.functional.one_hot(first, count).double()
    parts = -draws.uniform(draws.fold(keys, "random"), wanted - 1 - first.shape[1], count).log()
    return torch.cat([even, alone, parts / parts.sum(-1, keepdim=True)], 1)
