"""The phase of pilots: distances, pilot trainings, and the forecast of accuracy."""

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
from marketenv.markets.data_market.forecast import Forecast
from marketenv.markets.data_market.moves import BUYER, SELLER
from marketenv.markets.data_market.offer import Offered
from marketenv.markets.data_market.selections import (
    Selection,
    SelectionCase,
    first_mixtures,
    recommend,
)
from marketenv.markets.distances import Distances, pseudo_labels
from marketenv.markets.federated import Federated, quotas
from marketenv.markets.goods import Goods
from marketenv.valuation import Estimator, Form, fit_estimator

MOST_MEASURED = 64  # rows of each pilot that distances are taken from


@dataclass(frozen=True)
class Piloted(Outcome):
    """What the platform knows of the offers.

    mixtures:    shares of the sellers for each pilot                 [markets, mixtures, sellers]
    distances:   of each mixture from the buyer's examples               [markets, mixtures]
    scores:      accuracy of the last pilot models at N0 and at N1       [markets, 2, mixtures]
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
    """The phase's own memory: estimators at both pilot sizes, and the data of their fit.

    scores, mixtures: accuracies and mixtures of the fit
    potentials: of the last round's distances, first of its mixtures and then of single sellers; see
        ``wad_again``
    """

    low: Estimator
    high: Estimator
    scores: Float64[Tensor, "markets two mixtures"]
    mixtures: Float64[Tensor, "markets mixtures sellers"]
    potentials: Float64[Tensor, "markets measured remembered"]


class Pilot(Phase):
    """Value the offers before anything is bought.

    The platform measures distances of mixtures of pilot rows from the buyer's examples, trains a
    model on N0 and on N1 > N0 pilot rows of every mixture, fits an estimator at both sizes, and
    recommends a mixture for N points.

    federated: how pilots are trained;   pilots: N0, N1;   points: N
    calibration: ``each_round`` trains pilots in every round, ``first_round`` once an episode;
        distances are measured in every round
    keeps_model: the buyer keeps its model where the newly trained one is not more accurate
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
        keeps_model: bool = False,
        name: str = "pilot",
    ) -> None:
        self.name = name
        self.learner, self.federated, self.distances = learner, federated, distances
        self.estimator, self.selection = estimator, selection
        self.pilots, self.points, self.mixtures = pilots, points, mixtures
        self.calibration, self.keeps_model = calibration, keeps_model

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Piloted]:
        """Measure, train, fit, and recommend."""
        offered, pseudo = floor.of(Offered), self.distances.pseudo
        rows = stock(floor, offered, max(self.pilots), delivered=False, pseudo=pseudo)
        measures = self.distances.measures(floor, rows.first(MOST_MEASURED), offered.conduct.spoof)
        count = rows.size.shape[1]
        trains = floor.round >= 0 if self.calibration == "each_round" else floor.round == 0
        mixtures = torch.where(trains[:, None, None], self._mixtures(floor, count), own.mixtures)
        both, last = _and_single_sellers(mixtures), _and_single_sellers(own.mixtures)
        distances, potentials = self.distances.wad_again(measures, both, last, own.potentials)
        own = replace(own, potentials=potentials)
        near, apart = distances[:, : mixtures.shape[1]], distances[:, mixtures.shape[1] :]
        own = self._fitted(floor, own, rows, mixtures, near, trains.nonzero()[:, 0])
        forecast = Forecast(
            measures=measures,
            low=own.low,
            high=own.high,
            outside_option=self._outside_option(floor),
            declared=offered.conduct.declared,
            pilots=self.pilots,
            points=self.points,
            keeps_model=self.keeps_model,
        )
        trial, keys = partial(self._trial, floor, offered), floor.keys(*self.purpose("selection"))
        case = SelectionCase(forecast, self.distances, mixtures, near, apart, keys, trial)
        outcome = Piloted(
            mixtures=mixtures,
            distances=near,
            scores=own.scores,
            apart=apart,
            forecast=forecast,
            recommended=recommend(self.selection, case),
            distance=floor.everyone(**{SELLER: apart}),
        )
        return floor, own, outcome

    def _outside_option(self, floor: Floor) -> Float64[Tensor, "markets"]:
        """Accuracy without a purchase: of the commonest class, or of the present model if larger.

        The model is scored here, as other phases may have changed it since the last purchase.
        """
        baseline: Tensor = floor.world.baseline
        if not self.keeps_model:
            return baseline
        scores = floor.world.score(floor.models[BUYER].params, floor.round)
        return baseline.maximum(scores.accuracy[:, 0].double())

    def _trial(
        self, floor: Floor, offered: Offered, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> Float64[Tensor, "markets mixtures"]:
        """True accuracies of mixtures: models are trained on the whole deliveries."""
        rows = stock(floor, offered, self.points, delivered=True, pseudo=self.distances.pseudo)
        points = quotas(mixtures, self.points, offered.conduct.declared)
        models = trained(floor, self.learner, self.federated, rows, points, ("train",))
        return floor.world.score(models, floor.round).accuracy.double()

    def begin(self, floor: Floor) -> Fitted:
        """Estimators that predict an accuracy of 0, as nothing is measured yet."""
        count = floor.count(SELLER)
        mixtures = self._mixtures(floor, count)
        scores = torch.zeros_like(mixtures[:, None, :, 0]).expand(-1, 2, -1).contiguous()
        nothing = fit_estimator(mixtures, scores[:, 0], scores[:, 0], self.estimator)
        shape = (len(mixtures), mixtures.shape[1] + count, self.distances.remembered)
        return Fitted(nothing, nothing, scores, mixtures, mixtures.new_zeros(shape))

    def _mixtures(self, floor: Floor, count: int) -> Float64[Tensor, "markets mixtures sellers"]:
        """The mixtures that pilots of this round are trained for."""
        keys = floor.keys(*self.purpose("mixtures"))
        return first_mixtures(count, self.mixtures, keys).contiguous()

    def _fitted(
        self,
        floor: Floor,
        own: Fitted,
        rows: Goods,
        mixtures: Float64[Tensor, "markets mixtures sellers"],
        near: Float64[Tensor, "markets mixtures"],
        index: Int[Tensor, "some"],
    ) -> Fitted:
        """Estimators of this round's pilots in the markets of ``index``; elsewhere the old ones."""
        if not len(index):
            return own
        scores = self._accuracies(floor, rows, mixtures)
        low, high = (fit_estimator(mixtures, near, scores[:, k], self.estimator) for k in (0, 1))
        new = Fitted(low, high, scores, mixtures, own.potentials)
        memory: Fitted = tree.put(own, index, tree.rows(new, index))
        return memory

    def _accuracies(
        self, floor: Floor, rows: Goods, mixtures: Float64[Tensor, "markets mixtures sellers"]
    ) -> Float64[Tensor, "markets two mixtures"]:
        """Accuracy of models trained for each mixture at N0 and at N1 points, in one call."""
        points = torch.cat([quotas(mixtures, size, rows.size) for size in self.pilots], 1)
        models = trained(floor, self.learner, self.federated, rows, points, self.purpose("pilot"))
        accuracy = floor.world.score(models, floor.round).accuracy.double()
        accuracy = torch.where(points.sum(-1) > 0, accuracy, floor.world.baseline[:, None])
        return accuracy.unflatten(1, (2, -1))


def _and_single_sellers(
    mixtures: Float64[Tensor, "markets mixtures sellers"],
) -> Float64[Tensor, "markets measured sellers"]:
    """The mixtures, and then every seller alone."""
    alone = (
        torch.eye(mixtures.shape[-1], device=mixtures.device)
        .to(mixtures)
        .expand(len(mixtures), -1, -1)
    )
    return torch.cat([mixtures, alone], 1)


# --- rows of pilots and deliveries ----------------------------------------------------------------


def stock(floor: Floor, offered: Offered, width: int, delivered: bool, pseudo: bool) -> Goods:
    """The first ``width`` rows that each seller shows, or delivers; at most those it declares.

    pseudo: whether rows without a label get the nearest class; else the buyer finds their true one
    """
    world, conduct = floor.world, offered.conduct
    keys = draws.agent_keys(floor.keys("goods"), offered.ask.shape[1])
    rows = goods(
        world.train,
        world.labelled,
        conduct,
        min(width, int(conduct.declared.max())),
        world.buyer,
        world.content.n_classes,
        keys,
        delivered=delivered,
    )
    if not pseudo or world.labelled is None:
        return rows
    return replace(rows, y=pseudo_labels(rows, world.buyer, world.content.n_classes))


def trained(
    floor: Floor,
    learner: Learner,
    federated: Federated,
    rows: Goods,
    points: Int[Tensor, "markets mixtures sellers"],
    purpose: tuple[int | str, ...],
) -> Float[Tensor, "markets mixtures params"]:
    """Models trained on the first ``points`` rows of each seller, from one first model a market."""
    n_markets, n_mixtures, n_sellers = points.shape
    first = own_parts.first_models(learner, floor.keys("buyer's model"))
    params = first[:, None].expand(-1, n_mixtures, -1).flatten(0, 1)
    market, mixture, seller = points.nonzero().unbind(1)
    weight, width = points[market, mixture, seller], rows.y.shape[-1]
    start = ((market * n_sellers + seller) * width)[:, None]
    index = start + torch.arange(width, device=weight.device)
    pool = Shards(rows.x.flatten(0, 2), rows.y.flatten(), index, weight.clamp(max=width))
    keys = draws.fold(floor.keys(*purpose)[market], seller)
    models = federated.train(params, pool, market * n_mixtures + mixture, weight, keys)
    return models.unflatten(0, (n_markets, n_mixtures))
