"""The phase that ends a round of model sharing: who leaves and who joins, best models, and
types that drift.
"""

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
# share of the money at stake below which a loss is rounding: a price that takes all of a gain
# leaves -4e-16 of it
DUST = 1e-9


@dataclass(frozen=True)
class Best:
    """Each client's best model so far by the accuracy that ``select`` names, then by the loss.

    params: [markets, clients, params];   accuracy, loss: [markets, clients]
    """

    params: Parameters
    accuracy: Float[Tensor, "markets clients"]
    loss: Float[Tensor, "markets clients"]


class Leave(Phase):
    """Who loses may leave, with its best model; who joins next trains at full effort; costs and
    needs drift. Nobody moves.

    joins:  the round in which each client comes [clients]
    exits:  ``none``; ``ir_strict``: who loses in a round leaves; ``ir_prob``: with probability 1/2
    select: ``validation`` or ``test``: which accuracy chooses a client's best model
    cost_drift, need_drift: standard deviation of the log of c and K from round to round
    name: of the phase, another one where there are two
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

    def begin(self, floor: Floor) -> Best:
        """Any model is better than the first one."""
        models = floor.models[CLIENT]
        return Best(
            models.params,
            torch.full_like(models.accuracy, -1.0),
            torch.full_like(models.loss, torch.inf),
        )

    def act(
        self, floor: Floor, own: Best, quotes: None, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Best, Left]:
        """Keep the best models, see off who leaves, and let in who joins."""
        models, best = floor.models[AS_TRAINED], self._best(floor, own)
        gone = (floor.round[:, None] >= self.joins) & ~floor.present | self._exits(floor)
        # even the last finite model's may overflow
        loss = torch.where(models.loss.isfinite(), models.loss, LARGEST)
        floor = floor.but(
            models=self._next(floor, best, gone),
            present=(floor.round[:, None] + 1 >= self.joins) & ~gone,
            types={**floor.types, CLIENT: self._drifted(floor)},
        )
        return floor, best, Left(loss, models.accuracy, gone)

    def test_scores(self, floor: Floor, own: Best, at: str = "last") -> Scores:
        """Loss and accuracy [markets, clients] on held-out test data, weighted by own labels in the
        last finished round.

        at: ``last`` trained model, or the ``best`` one by the accuracy that ``select`` names.
            ValueError without a learner.
        """
        if floor.world is None:
            raise ValueError(
                "learner is None, so there are no models to test; build the market with a learner."
            )
        models = lookup(
            {"last": floor.models[AS_TRAINED].params, "best": own.params}, at, "model to test"
        )
        scores: Scores = floor.world.score(models, (floor.round - 1).clamp(min=0), held_out=True)
        return scores

    def _best(self, floor: Floor, own: Best) -> Best:
        """The best models, of those who trained in this round too."""
        models, there = floor.models[AS_TRAINED], floor.present | floor.of(Shared).left
        scores = Scores(models.loss, models.accuracy)
        if floor.world is not None and self.select == "test":
            scores = floor.world.score(models.params, floor.round, held_out=True)
        better = there & (scores.accuracy > own.accuracy)
        better |= there & (scores.accuracy == own.accuracy) & (scores.loss < own.loss)
        return Best(
            params=torch.where(better[..., None], models.params, own.params),
            accuracy=torch.where(better, scores.accuracy, own.accuracy),
            loss=torch.where(better, scores.loss, own.loss),
        )

    def _exits(self, floor: Floor) -> Bool[Tensor, "markets clients"]:
        """Who leaves after the round because it lost in it."""
        loses = floor.present & (floor.of(Shared).utility < -DUST * _stakes(floor))
        if self.exits == "ir_prob":
            chance = draws.uniform(
                draws.agent_keys(floor.keys(), len(self.joins), *self.purpose("exit"))
            )
            return loses & (chance < 0.5)
        return loses if self.exits == "ir_strict" else torch.zeros_like(loses)

    def _next(
        self, floor: Floor, best: Best, gone: Bool[Tensor, "markets clients"]
    ) -> dict[str, Models]:
        """The models that the next round starts from; who has left keeps its best one."""
        models, kept = dict(floor.models), gone[..., None]
        for name in (CLIENT, AS_TRAINED):
            models[name] = replace(
                models[name], params=torch.where(kept, best.params, models[name].params)
            )
        # whose first training is at full effort, as everybody's
        joining = floor.round[:, None] + 1 == self.joins
        held, effort = models[CLIENT].pull, models[CLIENT].effort
        models[CLIENT] = replace(
            models[CLIENT],
            pull=torch.where(gone, 0.0, held),
            effort=torch.where(joining, 1.0, effort),
        )
        return models

    def _drifted(self, floor: Floor) -> dict[str, Tensor]:
        """The next round's types: c and K walk where they drift."""
        types = dict(floor.types[CLIENT])
        if any(self.drifts.values()):
            steps = draws.normal(
                draws.agent_keys(floor.keys(), len(self.joins), *self.purpose("drift")), 2
            )
            for (name, drift), step in zip(self.drifts.items(), steps.unbind(-1), strict=True):
                types[name] = walked(types[name], drift * step)
        return types


def walked(values: Tensor, steps: Tensor) -> Tensor:
    """Positive values a step of their logs later, not out of ``WALK``, since no sum of money
    holds much more; 0 stays.
    """
    low, high = (values.new_tensor(end) for end in WALK)
    ends = values.minimum(low), values.maximum(high)  # what was given beyond them may stay there
    return torch.where(values > 0, (values * steps.exp()).clamp(*ends), values)


def _stakes(floor: Floor) -> Float64[Tensor, "markets clients"]:
    """All amounts that a client's utility is made of, whatever their sign: what its rounding is
    measured by.
    """
    done = floor.of(Shared)
    priced = torch.where(done.trades, done.prices.abs() + done.discounts, 0.0)
    return done.gain + floor.types[CLIENT]["costs"] * done.sold + priced.sum(2) + priced.sum(1)
