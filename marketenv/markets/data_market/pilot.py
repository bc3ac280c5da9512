"""The phase in which the platform values what is offered: distances of pilots, pilot trainings,
and a forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase
from marketenv.core.shards import Shards
from marketenv.learners import Learner
from marketenv.markets import own_parts
from marketenv.markets.data_market.conduct import goods
from marketenv.markets.data_market.forecast import (
    Case,
    Forecast,
    Selection,
    first_mixtures,
    selected,
)
from marketenv.markets.data_market.moves import SELLER
from marketenv.markets.data_market.offer import Offered
from marketenv.markets.distances import Distances, pseudo_labels
from marketenv.markets.federated import Federated, quotas
from marketenv.markets.goods import Goods
from marketenv.valuation import Estimator, Form, fit_estimator

MOST_MEASURED = 64  # rows of each pilot that distances are taken from


@dataclass(frozen=True)
class Piloted(Outcome):
    """What the platform knows of the offers.

    mixtures:    shares of the sellers that pilots were trained for   [markets, mixtures, sellers]
    distances:   of each of them from the buyer's examples               [markets, mixtures]
    scores:      accuracy of the last trained pilots at N0 and at N1     [markets, 2, mixtures]
    apart:       distance of every seller alone                          [markets, sellers]
    forecast:    accuracy of any mixture at any number of points
    recommended: shares of the sellers                                   [markets, sellers]
    distance:    of every seller alone, over all agents                  [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("distance",)

    mixtures: Float64[Tensor, "markets mixtures sellers"]
    distances: Float64[Tensor, "markets mixtures"]
    scores: Float64[Tensor, "markets two mixtures"]
    apart: Float64[Tensor, "markets sellers"]
    forecast: Forecast
    recommended: Float64[Tensor, "markets sellers"]
    distance: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Everybody's distance and recommended share."""
        numbers = zip(self.apart[0].tolist(), self.recommended[0].tolist(), strict=True)
        return [
            f"The pilot of seller_{k} lies {apart:.3f} from the buyer's examples; {100 * share:.0f}"
            " % of the points are recommended to come from it."
            for k, (apart, share) in enumerate(numbers)
        ]


@dataclass(frozen=True)
class Fitted:
    """The phase's own memory: estimators at both pilot sizes, and the accuracies and mixtures that
    they were fitted to.

    potentials: of the last round's distances, those of its mixtures and then those of single
        sellers; see ``wad_again``
    """

    low: Estimator
    high: Estimator
    scores: Float64[Tensor, "markets two mixtures"]
    mixtures: Float64[Tensor, "markets mixtures sellers"]
    potentials: Float64[Tensor, "markets measured remembered"]


class Pilot(Phase):
    """Value the offers before anything is bought.

    Distances of mixtures of pilot rows from the buyer's examples, accuracies of models trained on
    N0 < N1 pilot rows of every mixture, an estimator fitted at both sizes, and the mixture that is
    recommended for N points by it.

    federated: how pilots are trained;   pilots: N0, N1;   points: N
    calibration: ``each_round`` trains pilots in every round, ``first_round`` once an episode;
        distances are always measured
    """

    name, outcome = "pilot", Piloted

    def __init__(
        self,
        *,
        learner: Learner,
        federated: Federated,
        distances: Distances,
        estimator: Form,
        selection: Selection,
        pilots: tuple[int, int],
        points: int,
        mixtures: int | None,
        calibration: str,
        name: str = "pilot",
    ) -> None:
        self.name = name
        self.learner, self.federated, self.distances = learner, federated, distances
        self.estimator, self.selection = estimator, selection
        self.pilots, self.points, self.mixtures = pilots, points, mixtures
        self.calibration = calibration

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Piloted]:
        """Measure, train, fit, and recommend."""
        offered = floor.of(Offered)
        shown = stock(
            floor, offered, max(self.pilots), delivered=False, pseudo=self.distances.pseudo
        )
        measures = self.distances.measures(floor, shown.first(MOST_MEASURED), offered.conduct.spoof)
        count = shown.size.shape[1]
        # where pilots are trained
        now = floor.round >= 0 if self.calibration == "each_round" else floor.round == 0
        mixtures = torch.where(now[:, None, None], self._mixtures(floor, count), own.mixtures)
        both, last = _and_single_sellers(mixtures), _and_single_sellers(own.mixtures)
        distances, potentials = self.distances.wad_again(measures, both, last, own.potentials)
        own = replace(own, potentials=potentials)
        near, apart = distances[:, : mixtures.shape[1]], distances[:, mixtures.shape[1] :]
        own = self._fitted(floor, own, shown, mixtures, near, now.nonzero()[:, 0])
        forecast = Forecast(
            measures=measures,
            low=own.low,
            high=own.high,
            baseline=floor.world.baseline,
            declared=offered.conduct.declared,
            pilots=self.pilots,
            points=self.points,
        )
        trial = partial(self._trial, floor, offered)
        known = (forecast, self.distances, mixtures, near, apart)
        recommended = selected(
            self.selection, Case(*known, floor.keys(*self.purpose("selection")), trial)
        )
        everybody = floor.everyone(**{SELLER: apart})
        return (
            floor,
            own,
            Piloted(mixtures, near, own.scores, apart, forecast, recommended, everybody),
        )

    def _trial(
        self, floor: Floor, offered: Offered, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> Float64[Tensor, "markets mixtures"]:
        """Accuracies that mixtures really come to: of models trained on all the points, as they
        would be delivered.
        """
        rows = stock(floor, offered, self.points, delivered=True, pseudo=self.distances.pseudo)
        bought = quotas(mixtures, self.points, offered.conduct.declared)
        models = trained(floor, self.learner, self.federated, rows, bought, ("train",))
        return floor.world.score(models, floor.round).accuracy.double()

    def begin(self, floor: Floor) -> Fitted:
        """Nothing is fitted yet: estimators that expect no accuracy."""
        count = floor.count(SELLER)
        mixtures = self._mixtures(floor, count)
        scores = torch.zeros_like(mixtures[:, None, :, 0]).expand(-1, 2, -1).contiguous()
        nothing = fit_estimator(mixtures, scores[:, 0], scores[:, 0], self.estimator)
        potentials = mixtures.new_zeros(
            len(mixtures), mixtures.shape[1] + count, self.distances.remembered
        )
        return Fitted(nothing, nothing, scores, mixtures, potentials)

    def _mixtures(self, floor: Floor, count: int) -> Float64[Tensor, "markets mixtures sellers"]:
        """The mixtures that pilots are trained for, of this round."""
        return first_mixtures(
            count, self.mixtures, floor.keys(*self.purpose("mixtures"))
        ).contiguous()

    def _fitted(
        self,
        floor: Floor,
        own: Fitted,
        shown: Goods,
        mixtures: Float64[Tensor, "markets mixtures sellers"],
        near: Float64[Tensor, "markets mixtures"],
        index: Int[Tensor, "some"],
    ) -> Fitted:
        """Estimators of pilots that are trained now, in the markets of ``index``; elsewhere
        those of the first round.
        """
        if not len(index):
            return own
        scores = self._accuracies(floor, shown, mixtures)
        low, high = (fit_estimator(mixtures, near, scores[:, k], self.estimator) for k in (0, 1))
        fitted: Fitted = tree.put(
            own, index, tree.rows(Fitted(low, high, scores, mixtures, own.potentials), index)
        )
        return fitted

    def _accuracies(
        self, floor: Floor, shown: Goods, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> Float64[Tensor, "markets two mixtures"]:
        """Accuracy on the buyer's examples of models trained for each mixture at N0 and at N1
        points, in one call.
        """
        bought = torch.cat([quotas(mixtures, size, shown.size) for size in self.pilots], 1)
        models = trained(floor, self.learner, self.federated, shown, bought, self.purpose("pilot"))
        accuracy = floor.world.score(models, floor.round).accuracy.double()
        return torch.where(bought.sum(-1) > 0, accuracy, floor.world.baseline[:, None]).unflatten(
            1, (2, -1)
        )


def _and_single_sellers(
    mixtures: Float64[Tensor, "markets mixtures sellers"],
) -> Float64[Tensor, "markets measured sellers"]:
    """The mixtures, and then every seller alone."""
    return torch.cat(
        [mixtures, torch.eye(mixtures.shape[-1]).to(mixtures).expand(len(mixtures), -1, -1)], 1
    )


# --- what pilots and deliveries are made of -------------------------------------------------------


def stock(floor: Floor, offered: Offered, width: int, delivered: bool, pseudo: bool) -> Goods:
    """The first ``width`` rows that each seller shows, or delivers; no more than are declared.

    pseudo: whether rows without a label get the class that is nearest, instead of the true one,
        which the buyer finds out
    """
    world = floor.world
    width = min(width, int(offered.conduct.declared.max()))
    keys = draws.agent_keys(floor.keys("goods"), offered.ask.shape[1])
    n_classes = world.content.n_classes
    rows = goods(
        world.train,
        world.labelled,
        offered.conduct,
        width,
        world.buyer,
        n_classes,
        keys,
        delivered=delivered,
    )
    return (
        replace(rows, y=pseudo_labels(rows, world.buyer, n_classes))
        if pseudo and world.labelled is not None
        else rows
    )


def trained(
    floor: Floor,
    learner: Learner,
    federated: Federated,
    rows: Goods,
    bought: Int[Tensor, "markets mixtures sellers"],
    purpose: tuple[int | str, ...],
) -> Float[Tensor, "markets mixtures params"]:
    """Models that are trained on the first ``bought`` rows of each seller; all of a market
    begin as the same model.
    """
    n_markets, n_mixtures, n_sellers = bought.shape
    first = own_parts.first_models(learner, floor.keys("buyer's model"))
    params = first[:, None].expand(-1, n_mixtures, -1).flatten(0, 1)
    market, mixture, seller = bought.nonzero().unbind(1)
    weight, width = bought[market, mixture, seller], rows.y.shape[-1]
    pool = Shards(
        rows.x.flatten(0, 2),
        rows.y.flatten(),
        ((market * n_sellers + seller) * width)[:, None]
        + torch.arange(width, device=weight.device),
        weight.clamp(max=width),
    )
    keys = draws.fold(floor.keys(*purpose)[market], seller)
    models = federated.train(params, pool, market * n_mixtures + mixture, weight, keys)
    return models.unflatten(0, (n_markets, n_mixtures))
