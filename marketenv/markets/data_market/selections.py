"""Selections: which mixture of sellers the platform recommends, and which mixtures pilots try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.parts import taken
from marketenv.markets.data_market.forecast import Forecast
from marketenv.markets.distances import Distances
from marketenv.valuation import enumerate_mixtures, project_to_simplex, select_gradient

ROUNDING = 1e-6  # by which shares may pass a sum of 1
MOST_ENUMERATED, GRID = 4, 10  # sellers up to which a grid of mixtures is tried, and its steps
MOST_MIXTURES = 64
STEPS = 8  # of the ascent to the recommended mixture


@dataclass(frozen=True)
class SelectionCase:
    """What a selection may use.

    mixtures: of the pilots                            [markets, mixtures, sellers]
    near:     distances of these mixtures              [markets, mixtures]
    apart:    distance of every seller alone           [markets, sellers]
    keys:     of random draws                          [markets]
    trial:    true accuracies of mixtures: [markets, mixtures, sellers] -> [markets, mixtures]
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
        """Predicted accuracy of a model trained on the wanted number of points, by mixture."""
        return self.forecast.trained(self.distances, mixtures * self.forecast.points)


Selection = Callable[[SelectionCase], Tensor]


def recommend(selection: Selection, case: SelectionCase) -> Float64[Tensor, "markets sellers"]:
    """The mixture that a selection recommends; one of a user's own works on copies.

    Raises ValueError for shares that are no mixture.
    """
    what, axes = "selection returned shares", "markets, sellers"
    returned = tree.apart(selection, selection not in SELECTIONS.values())(case)
    shares = taken(returned, what, case.apart, axes, torch.float64)
    wrong = ~(shares.isfinite() & (shares >= 0) & (shares.sum(1, keepdim=True) <= 1 + ROUNDING))
    if bool(wrong.any()):
        market, seller = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"selection returned the share {float(shares[market, seller]):g} for seller {seller} of"
            f" market {market}, whose shares sum to {float(shares[market].sum()):g}; wanted finite"
            " shares >= 0 with a sum of at most 1: divide by the sum."
        )
    return shares


def _best(case: SelectionCase, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The candidate with the best score."""
    mixtures = candidates(case.forecast.most, case.apart)
    place = score(mixtures).argmax(1)
    return mixtures[torch.arange(len(place), device=place.device), place]


def enumeration(case: SelectionCase) -> Float64[Tensor, "markets sellers"]:
    """The mixture of a grid whose predicted accuracy is largest."""
    return _best(case, case.predicted)


def oracle(case: SelectionCase) -> Float64[Tensor, "markets sellers"]:
    """The mixture of a grid with the best model: it trains them all, which needs the data."""
    return _best(case, case.trial)


def agg_wad_greedy(case: SelectionCase) -> Float64[Tensor, "markets sellers"]:
    """The mixture of the least AggWad: all points of the nearest seller, then of the next one."""
    most = case.forecast.most
    order = case.apart.argsort(dim=1, stable=True)
    sorted_most = most.gather(1, order)
    shares = (1 - (sorted_most.cumsum(1) - sorted_most)).clamp(min=0).minimum(sorted_most)
    return torch.zeros_like(most).scatter(1, order, shares)


def uniform(case: SelectionCase) -> Float64[Tensor, "markets sellers"]:
    """Equal shares, as far as sellers have the points."""
    most = case.forecast.most
    return _within(torch.full_like(most, 1 / most.shape[1]), most)


def random(case: SelectionCase) -> Float64[Tensor, "markets sellers"]:
    """A random mixture, all being equally likely."""
    parts = -draws.uniform(case.keys, case.forecast.most.shape[1]).log()
    return _within(parts / parts.sum(1, keepdim=True), case.forecast.most)


def gradient(case: SelectionCase) -> Float64[Tensor, "markets sellers"]:
    """Climb the predicted accuracy from the pilots' best mixture, by the distance's gradient.

    A sliced distance has no gradient: the pilots' best mixture stays.
    """
    most = case.forecast.most
    caps = most / most.sum(1, keepdim=True).clamp(max=1.0)
    start = _within(case.best, most)
    if case.distances.method == "sliced":
        return start
    mixture = start[:, None] / start.sum(1)[:, None, None]
    best = select_gradient(case.forecast.estimator, mixture, case.slopes, caps, STEPS)
    return best.p * most.sum(1, keepdim=True).clamp(max=1.0)


SELECTIONS: dict[str, Selection] = {
    "gradient": gradient,
    "enumeration": enumeration,
    "agg_wad": agg_wad_greedy,
    "uniform": uniform,
    "random": random,
    "oracle": oracle,
}


def _within(mixture: Tensor, most: Tensor) -> Tensor:
    """The nearest mixture that sellers have the points for; all points if they have too few."""
    total = most.sum(-1, keepdim=True)
    caps = most / total.clamp(max=1.0)
    return torch.where(total >= 1, project_to_simplex(mixture, caps), most)


def candidates(
    most: Float64[Tensor, "markets sellers"], apart: Float64[Tensor, "markets sellers"]
) -> Float64[Tensor, "markets mixtures sellers"]:
    """A grid of mixtures for few sellers, else equal shares of the nearest 1, 2, 4, ... sellers.

    Shares are limited by the points that sellers have.
    """
    count = most.shape[1]
    if count <= MOST_ENUMERATED:
        grid = enumerate_mixtures(count, GRID).to(most).expand(len(most), -1, -1)
    else:
        powers = [2**k for k in range(count.bit_length())]
        sizes = torch.tensor([*powers, count], device=most.device)
        near = apart.argsort(dim=1, stable=True).argsort(1)[:, None] < sizes[:, None]
        grid = near / near.sum(-1, keepdim=True).to(most)
    return _within(grid, most[:, None].expand_as(grid))


def first_mixtures(
    count: int, wanted: int | None, keys: Int[Tensor, "markets"]
) -> Float64[Tensor, "markets mixtures sellers"]:
    """The mixtures that pilots are trained for.

    A coarse grid for up to three sellers, which is the same in every market; else the even mixture,
    single sellers and random mixtures.
    """
    if wanted is None and count <= 3:
        return enumerate_mixtures(count, 4).to(keys.device).expand(len(keys), -1, -1)
    wanted = min(count + 1, MOST_MIXTURES) if wanted is None else wanted
    even = torch.full((len(keys), 1, count), 1 / count, dtype=torch.float64, device=keys.device)
    first = draws.permutation(keys, count)[:, : (wanted - 1) // 2]
    alone = torch.nn.functional.one_hot(first, count).double()
    parts = -draws.uniform(draws.fold(keys, "random"), wanted - 1 - first.shape[1], count).log()
    return torch.cat([even, alone, parts / parts.sum(-1, keepdim=True)], 1)
