"""The phase in which the buyer's model is trained on what sellers deliver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase
from marketenv.learners import Learner, Scores
from marketenv.markets.data_market.moves import BUYER
from marketenv.markets.data_market.offer import Offered
from marketenv.markets.data_market.pilot import stock, trained
from marketenv.markets.data_market.select import Selected
from marketenv.markets.federated import Federated


@dataclass(frozen=True)
class TrainedOnPurchase(Outcome):
    """Results of the training on the delivered points.

    realised: accuracy on the buyer's examples, the baseline where nothing is bought    [markets]
    delivery: whether anything is bought and delivered                                  [markets]
    accuracy, loss: of the buyer's model over all agents, 0 for sellers          [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    realised: Float64[Tensor, "markets"]
    delivery: Bool[Tensor, "markets"]
    accuracy: Float[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """The accuracy of the model."""
        if not bool(self.delivery[0]):
            return ["Nothing is delivered, and no model trained."]
        accuracy = float(self.realised[0])
        return [f"The model trained on the delivered points has an accuracy of {accuracy:.3f}."]


class TrainSelected(Phase):
    """Train a fresh model of the buyer on the delivered points, by federated averaging.

    points: most points of one seller;   pseudo: see ``stock``
    """

    name, outcome = "train_selected", TrainedOnPurchase

    def __init__(
        self,
        learner: Learner,
        federated: Federated,
        points: int,
        pseudo: bool,
        name: str = "train_selected",
    ) -> None:
        self.name = name
        self.learner, self.federated, self.points, self.pseudo = learner, federated, points, pseudo

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, TrainedOnPurchase]:
        """Train, and score."""
        points, old = floor.of(Selected).points, floor.models[BUYER]
        width = min(self.points, max(1, int(points.max())))
        rows = stock(floor, floor.of(Offered), width, delivered=True, pseudo=self.pseudo)
        purpose = self.purpose("train")
        params = trained(floor, self.learner, self.federated, rows, points[:, None], purpose)
        scores = floor.world.score(params, floor.round)
        delivery = points.sum(1) > 0
        models = replace(
            old,
            params=torch.where(delivery[:, None, None], params, old.params),
            loss=torch.where(delivery[:, None], scores.loss, old.loss),
            accuracy=torch.where(delivery[:, None], scores.accuracy, old.accuracy),
        )
        floor = replace(floor, models={**floor.models, BUYER: models})
        accuracy = models.accuracy[:, 0].double()
        outcome = TrainedOnPurchase(
            realised=torch.where(delivery, accuracy, floor.world.baseline),
            delivery=delivery,
            accuracy=floor.everyone(**{BUYER: models.accuracy}),
            loss=floor.everyone(**{BUYER: models.loss}),
        )
        return floor, own, outcome

    def test_scores(self, floor: Floor, own: Any) -> Scores:
        """Loss and accuracy [markets, 1] of the buyer's last model on held-out test examples."""
        return floor.world.score(floor.models[BUYER].params, floor.round, held_out=True)
