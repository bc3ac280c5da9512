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
from marketenv.markets.data_market.pilot import Piloted, stock, trained
from marketenv.markets.data_market.select import Selected
from marketenv.markets.federated import Federated


@dataclass(frozen=True)
class TrainedOnPurchase(Outcome):
    """Results of the training on the delivered points.

    realised: accuracy on the buyer's examples, the outside option without a new model  [markets]
    delivery: whether anything is bought and delivered                                  [markets]
    adopted:  whether the buyer takes the newly trained model                           [markets]
    accuracy, loss: of the buyer's model over all agents, 0 for sellers          [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    realised: Float64[Tensor, "markets"]
    delivery: Bool[Tensor, "markets"]
    adopted: Bool[Tensor, "markets"]
    accuracy: Float[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """The accuracy of the model."""
        if not bool(self.delivery[0]):
            return ["Nothing is delivered, and no model trained."]
        accuracy = float(self.realised[0])
        if not bool(self.adopted[0]):
            return [
                "The model trained on the delivered points is not better than the outside option,"
                f" an accuracy of {accuracy:.3f}: the buyer keeps its own model."
            ]
        return [f"The model trained on the delivered points has an accuracy of {accuracy:.3f}."]


class TrainSelected(Phase):
    """Train a fresh model of the buyer on the delivered points, by federated averaging.

    points: most points of one seller;   pseudo: see ``stock``
    keeps_model: the buyer takes the fresh model only where it is more accurate than the outside
        option. Accuracy decides, and not the loss: accuracy is what the quote predicts and what
        releases sellers' money, so a buyer takes what it pays for, and pays for what it takes.
    """

    name, outcome = "train_selected", TrainedOnPurchase

    def __init__(
        self,
        learner: Learner,
        federated: Federated,
        points: int,
        pseudo: bool,
        keeps_model: bool = False,
        name: str = "train_selected",
    ) -> None:
        self.name, self.keeps_model = name, keeps_model
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
        outside_option = floor.of(Piloted).forecast.outside_option
        accuracy, delivery = scores.accuracy[:, 0].double(), points.sum(1) > 0
        adopted = delivery & (accuracy > outside_option) if self.keeps_model else delivery
        models = replace(
            old,
            params=torch.where(adopted[:, None, None], params, old.params),
            loss=torch.where(adopted[:, None], scores.loss, old.loss),
            accuracy=torch.where(adopted[:, None], scores.accuracy, old.accuracy),
        )
        floor = replace(floor, models={**floor.models, BUYER: models})
        outcome = TrainedOnPurchase(
            realised=torch.where(adopted, accuracy, outside_option),
            delivery=delivery,
            adopted=adopted,
            accuracy=floor.everyone(**{BUYER: models.accuracy}),
            loss=floor.everyone(**{BUYER: models.loss}),
        )
        return floor, own, outcome

    def test_scores(self, floor: Floor, own: Any) -> Scores:
        """Loss and accuracy [markets, 1] of the buyer's last model on held-out test examples."""
        return floor.world.score(floor.models[BUYER].params, floor.round, held_out=True)
