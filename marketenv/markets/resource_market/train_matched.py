"""The phase in which the leader's model is trained on the owners' data, at their centres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase
from marketenv.core.shards import Shards
from marketenv.learners import Scores
from marketenv.markets.federated import Federated
from marketenv.markets.goods import Goods
from marketenv.markets.resource_market.conduct import contributed
from marketenv.markets.resource_market.contribute import Contributed
from marketenv.markets.resource_market.match import Matched
from marketenv.markets.resource_market.moves import LEADER

Params = Float[Tensor, "markets params"]


@dataclass(frozen=True)
class TrainedMatched(Outcome):
    """Results of the training.

    realised, before: accuracy of the leader's model on its examples, now and before     [markets]
    accuracy, loss:   of the leader's model over all agents, 0 for others        [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    realised: Float64[Tensor, "markets"]
    before: Float64[Tensor, "markets"]
    accuracy: Float[Tensor, "markets agents"]
    loss: Float[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """The accuracy before and after."""
        return [
            f"The leader's model goes from an accuracy of {float(self.before[0]):.3f} to"
            f" {float(self.realised[0]):.3f}."
        ]


class TrainMatched(Phase):
    """Train the leader's model on the contributed rows of all matched owners, in one call.

    theta <- sum_n p_n theta_n,   p_n = x_n / sum x,   theta_n trained from theta on owner n's rows

    federated:  how models are trained and averaged
    conduct:    names of ``CONDUCTS`` that owners' numbers mean
    sequential: whether owners train one after another instead; a training that does not raise the
                accuracy on the leader's examples is dropped
    Source: objective of arXiv 2501.14588, and the authors' code for ``sequential``. We differ:
    there the *test* accuracy decides.
    """

    name, outcome = "train_matched", TrainedMatched

    def __init__(
        self,
        federated: Federated,
        conduct: Sequence[str],
        sequential: bool = False,
        name: str = "train_matched",
    ) -> None:
        self.name, self.federated = name, federated
        self.conduct, self.sequential = tuple(conduct), sequential

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, TrainedMatched]:
        """Train, and score."""
        owners, old, size = floor.of(Contributed), floor.models[LEADER], floor.world.size
        served = (floor.of(Matched).centre >= 0) & (owners.x > 0)
        count = (owners.x * size - 1e-9).ceil().long().clamp(min=1).minimum(size)
        count, weight = torch.where(served, count, 0), torch.where(served, owners.x, 0.0)
        rows = delivered(floor, owners.conduct, self.conduct, count, self.purpose("rows"))
        train = self._one_by_one if self.sequential else self._together
        params = train(floor, rows, weight)[:, None]
        scores = floor.world.score(params, floor.round)
        models = replace(old, params=params, loss=scores.loss, accuracy=scores.accuracy)
        floor = floor.but(models={**floor.models, LEADER: models})
        outcome = TrainedMatched(
            realised=scores.accuracy[:, 0].double(),
            before=old.accuracy[:, 0].double(),
            accuracy=floor.everyone(**{LEADER: scores.accuracy}),
            loss=floor.everyone(**{LEADER: scores.loss}),
        )
        return floor, own, outcome

    def test_scores(self, floor: Floor, own: Any) -> Scores:
        """Loss and accuracy [markets, 1] of the leader's model on held-out test examples."""
        return floor.world.score(floor.models[LEADER].params, floor.round, held_out=True)

    def _together(
        self, floor: Floor, rows: Goods, weight: Float64[Tensor, "markets owners"]
    ) -> Params:
        """The mean of all owners' models."""
        market, owner = weight.nonzero().unbind(1)
        keys = draws.fold(floor.keys(*self.purpose("train"))[market], owner)
        pool = shards(rows, market, owner)
        params = floor.models[LEADER].params[:, 0]
        return self.federated.train(params, pool, market, weight[market, owner], keys)

    def _one_by_one(
        self, floor: Floor, rows: Goods, weight: Float64[Tensor, "markets owners"]
    ) -> Params:
        """The model after all owners; an owner's training is kept if it raises the accuracy."""
        params = floor.models[LEADER].params[:, 0]
        best = floor.models[LEADER].accuracy[:, 0]
        for n in range(weight.shape[1]):  # each owner trains the model of the one before
            market = weight[:, n].nonzero()[:, 0]
            owner = torch.full_like(market, n)
            keys = draws.fold(floor.keys(*self.purpose("train"))[market], owner)
            pool = shards(rows, market, owner)
            trial = self.federated.train(params, pool, market, weight[market, n], keys)
            accuracy = floor.world.score(trial[:, None], floor.round).accuracy[:, 0]
            params = torch.where((accuracy > best)[:, None], trial, params)
            best = best.maximum(accuracy)
        return params


def delivered(
    floor: Floor,
    conduct: Int[Tensor, "markets owners"],
    names: Sequence[str],
    rows: Int[Tensor, "markets owners"],
    purpose: tuple[int | str, ...],
) -> Goods:
    """That many rows of every owner by its conduct, drawn for this round and purpose."""
    keys = draws.agent_keys(floor.keys(*purpose), rows.shape[1])
    train, content = floor.world.train, floor.world.content
    n_classes, text = content.n_classes, content.text
    return contributed(train, conduct, tuple(names), rows, n_classes, keys, text)


def shards(rows: Goods, market: Int[Tensor, "some"], owner: Int[Tensor, "some"]) -> Shards:
    """The rows of some owners in the form that training takes."""
    owners, width = rows.y.shape[1:]
    start = ((market * owners + owner) * width)[:, None]
    index = start + torch.arange(width, device=start.device)
    return Shards(rows.x.flatten(0, 2), rows.y.flatten(), index, rows.size[market, owner])
