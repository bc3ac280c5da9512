"""The phase that ends a round of model sharing: clients leave and join, types drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters
from marketenv.core.floor import Floor
from marketenv.core.lookup import lookup
from marketenv.core.phase import Phase
from marketenv.learners import Scores
from marketenv.markets.model_sharing.moves import LARGEST
from marketenv.markets.model_sharing.reports import Left, Shared
from marketenv.markets.model_sharing.rules import CLIENT
from marketenv.markets.model_sharing.share import AS_TRAINED
from marketenv.markets.models import Models

WALK = (1e-12, 1e12)  # where drifting costs and needs stay
# a loss of less than this share of the money at stake is rounding: a price that takes all of a
# gain leaves -4e-16 of it
DUST = 1e-9


@dataclass(frozen=True)
class BestModels:
    """Each client's best model so far by the accuracy that ``select`` names, then by the loss.

    params: [markets, clients, params];   accuracy, loss: [markets, clients]
    """

    params: Parameters
    accuracy: Float[Tensor, "markets clients"]
    loss: Float[Tensor, "markets clients"]


class Leave(Phase):
    """Clients that lose may leave with their best models, others join; costs and needs drift.

    Nobody moves. A client that joins trains at full effort at first.

    joins:  the round in which each client joins   [clients]
    exits:  ``none``; ``ir_strict``: a client that loses in a round leaves; ``ir_prob``: it leaves
            with probability 1/2
    select: ``validation`` or ``test``: which accuracy chooses a client's best model
    cost_drift, need_drift: standard deviation of the log of c and K from round to round
    name:   of the phase; a second one in a market needs another name
    """

    name, outcome = "leave", Left

    def __init__(
        self,
        joins: Int[Tensor, "clients"],
        *,
        exits: str,
        select: str,
        cost_drift: float,
        need_drift: float,
        name: str = "leave",
    ) -> None:
        self.joins, self.exits, self.select, self.name = joins, exits, select, name
        self.drifts = {"costs": cost_drift, "needs": need_drift}

    def begin(self, floor: Floor) -> BestModels:
        """The first models, with scores that any model passes."""
        models = floor.models[CLIENT]
        accuracy = torch.full_like(models.accuracy, -1.0)
        return BestModels(models.params, accuracy, torch.full_like(models.loss, torch.inf))

    def act(
        self, floor: Floor, own: BestModels, quotes: None, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, BestModels, Left]:
        """Keep the best models, and let clients leave and join."""
        models, best = floor.models[AS_TRAINED], self._best(floor, own)
        gone = (floor.round[:, None] >= self.joins) & ~floor.present | self._exits(floor)
        # the loss of a finite model may overflow
        loss = torch.where(models.loss.isfinite(), models.loss, LARGEST)
        floor = floor.but(
            models=self._next(floor, best, gone),
            present=(floor.round[:, None] + 1 >= self.joins) & ~gone,
            types={**floor.types, CLIENT: self._drifted(floor)},
        )
        return floor, best, Left(loss, models.accuracy, gone)

    def test_scores(self, floor: Floor, own: BestModels, at: str = "last") -> Scores:
        """Loss and accuracy [markets, clients] on held-out test data.

        They are weighted by a client's own labels in the last finished round.

        at: ``last`` trained model, or the ``best`` one by the accuracy that ``select`` names
        Raises ValueError without a learner.
        """
        if floor.world is None:
            raise ValueError(
                "learner is None, so there are no models to test; build the market with a learner."
            )
        tables = {"last": floor.models[AS_TRAINED].params, "best": own.params}
        models, rounds = lookup(tables, at, "model to test"), (floor.round - 1).clamp(min=0)
        scores: Scores = floor.world.score(models, rounds, held_out=True)
        return scores

    def _best(self, floor: Floor, own: BestModels) -> BestModels:
        """The best models, with those of this round's training."""
        models, trains = floor.models[AS_TRAINED], floor.present | floor.of(Shared).left
        scores = Scores(models.loss, models.accuracy)
        if floor.world is not None and self.select == "test":
            scores = floor.world.score(models.params, floor.round, held_out=True)
        better = trains & (scores.accuracy > own.accuracy)
        better |= trains & (scores.accuracy == own.accuracy) & (scores.loss < own.loss)
        return BestModels(
            params=torch.where(better[..., None], models.params, own.params),
            accuracy=torch.where(better, scores.accuracy, own.accuracy),
            loss=torch.where(better, scores.loss, own.loss),
        )

    def _exits(self, floor: Floor) -> Bool[Tensor, "markets clients"]:
        """Whether each client leaves after the round because it loses in it."""
        loses = floor.present & (floor.of(Shared).utility < -DUST * _stakes(floor))
        if self.exits == "ir_prob":
            keys = draws.agent_keys(floor.keys(), len(self.joins), *self.purpose("exit"))
            chance = draws.uniform(keys)
            return loses & (chance < 0.5)
        return loses if self.exits == "ir_strict" else torch.zeros_like(loses)

    def _next(
        self, floor: Floor, best: BestModels, gone: Bool[Tensor, "markets clients"]
    ) -> dict[str, Models]:
        """The models that the next round starts from; a client that left keeps its best one."""
        models = dict(floor.models)
        for name in (CLIENT, AS_TRAINED):
            params = torch.where(gone[..., None], best.params, models[name].params)
            models[name] = replace(models[name], params=params)
        # every client's first training is at full effort
        joining = floor.round[:, None] + 1 == self.joins
        pull = torch.where(gone, 0.0, models[CLIENT].pull)
        effort = torch.where(joining, 1.0, models[CLIENT].effort)
        models[CLIENT] = replace(models[CLIENT], pull=pull, effort=effort)
        return models

    def _drifted(self, floor: Floor) -> dict[str, Tensor]:
        """The next round's types: c and K walk where they drift."""
        types = dict(floor.types[CLIENT])
        if any(self.drifts.values()):
            keys = draws.agent_keys(floor.keys(), len(self.joins), *self.purpose("drift"))
            steps = draws.normal(keys, 2)
            for (name, drift), step in zip(self.drifts.items(), steps.unbind(-1), strict=True):
                types[name] = walked(types[name], drift * step)
        return types


def walked(values: Tensor, steps: Tensor) -> Tensor:
    """Positive values after a step of their logs, inside ``WALK``; 0 stays 0.

    Sums of money beyond ``WALK`` would lose their digits.
    """
    low, high = (values.new_tensor(end) for end in WALK)
    ends = values.minimum(low), values.maximum(high)  # a configured value beyond them may stay
    return torch.where(values > 0, (values * steps.exp()).clamp(*ends), values)


def _stakes(floor: Floor) -> Float64[Tensor, "markets clients"]:
    """Sum of the absolute amounts in a client's utility, by which its rounding is measured."""
    shared, costs = floor.of(Shared), floor.types[CLIENT]["costs"]
    priced = torch.where(shared.trades, shared.prices.abs() + shared.discounts, 0.0)
    return shared.gain + costs * shared.sold + priced.sum(2) + priced.sum(1)
