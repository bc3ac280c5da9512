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
    """What the training on the delivered points came to.

    realised: accuracy on the buyer's examples, the baseline where nothing was bought   [markets]
    bought:   whether anything was                                                      [markets]
    accuracy, loss: of the buyer's model over all agents, 0 for sellers   [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    realised: Float64[Tensor, "markets"]
    bought: Bool[Tensor, "markets"]
    accuracy: Float[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """The accuracy that was reached."""
        if not bool(self.bought[0]):
            return ["Nothing is delivered, and no model trained."]
        return [
            "The model trained on the delivered points has an accuracy of"
            f" {float(self.realised[0]):.3f}."
        ]


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
        bought = floor.of(Selected).points
        most = max(1, int(bought.max()))
        rows = stock(
            floor, floor.of(Offered), min(self.points, most), delivered=True, pseudo=self.pseudo
        )
        params = trained(
            floor, self.learner, self.federated, rows, bought[:, None], self.purpose("train")
        )
        scores = floor.world.score(params, floor.round)
        old, some = floor.models[BUYER], bought.sum(1) > 0
        params = torch.where(some[:, None, None], params, old.params)
        scores = Scores(
            *(
                torch.where(some[:, None], new, before)
                for new, before in zip(scores, (old.loss, old.accuracy), strict=True)
            )
        )
        models = replace(old, params=params, loss=scores.loss, accuracy=scores.accuracy)
        floor = replace(floor, models={**floor.models, BUYER: models})
        realised = torch.where(some, scores.accuracy[:, 0].double(), floor.world.baseline)
        told = {"accuracy": scores.accuracy, "loss": scores.loss}
        return (
            floor,
            own,
            TrainedOnPurchase(
                realised, some, **{name: floor.everyone(**{BUYER: v}) for name, v in told.items()}
            ),
        )

    def test_scores(self, floor: Floor, own: Any) -> Scores:
        """Loss and accuracy [markets, 1] of the buyer's last model on examples that nobody
        trades by.
        """
        return floor.world.score(floor.models[BUYER].params, floor.round, held_out=True)
