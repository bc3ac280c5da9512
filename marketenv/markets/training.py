"""The phase in which the agents of a role train; markets share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters
from marketenv.core.bank import finite
from marketenv.core.floor import Floor
from marketenv.core.phase import Outcome, Phase
from marketenv.core.tree import STATIC
from marketenv.learners import Learner, Pull, Scores
from marketenv.markets import own_parts
from marketenv.markets.models import Models


class TrainingWorld(Protocol):
    """What a training asks of ``floor.world``."""

    def material(self, rounds: Int[Tensor, "markets"]) -> Any:
        """What agents train on in a round, market by market."""
        ...

    def score(
        self, models: Parameters, rounds: Int[Tensor, "markets"], held_out: bool = False
    ) -> Scores:
        """Loss and accuracy of models in a round, on validation or on held-out test data."""
        ...


@dataclass(frozen=True)
class Trained(Outcome):
    """Results of a role's training.

    effort:   share of a full training that each agent does, 0 for other roles   [markets, agents]
    diverged: whether parameters or loss are not finite, so that the agent is reset to its last
              finite parameters                                                  [markets, count]
    loss, accuracy: of the trained models                                        [markets, count]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("effort",)

    role: str = field(metadata=STATIC)
    effort: Float[Tensor, "markets agents"]
    diverged: Bool[Tensor, "markets count"]
    loss: Float[Tensor, "markets count"]
    accuracy: Float[Tensor, "markets count"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Efforts and losses of all agents."""
        effort = dict(zip(agents, self.effort[0].tolist(), strict=True))
        names = [f"{self.role}_{k}" for k in range(self.loss.shape[1])]
        return [
            f"{name} trains at effort {effort[name]:.2f} to a loss of {loss:.4f}."
            for name, loss in zip(names, self.loss[0].tolist(), strict=True)
        ]


class Train(Phase):
    """A role trains its models for one round, each present agent at its effort.

    An agent whose training diverges is reset to its last finite parameters, with a fresh optimiser.
    Training costs ``effort_cost * effort``, by the role's type ``effort_cost``: the term ``effort``
    of the utility.

    learner: of the role's models; None trains nothing, but efforts cost the same
    second:  another entry of ``floor.models`` that is trained beside the role's own, with the same
             draws and efforts and without a pull, and is reset together with it
    name:    of the phase; another name than ``train`` has random draws of its own
    """

    name, outcome = "train", Trained

    def __init__(
        self, role: str, learner: Learner | None, second: str | None = None, name: str = "train"
    ) -> None:
        self.role, self.learner, self.second, self.name = role, learner, second, name

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Trained]:
        """Train, score, and charge the effort."""
        models = floor.models[self.role]
        effort = torch.where(floor.present[:, floor.where(self.role)], models.effort, 0.0)
        diverged = torch.zeros_like(effort, dtype=torch.bool)
        if self.learner is not None:
            trained, diverged = self._train(floor, self.learner, effort)
            floor = floor.but(models={**floor.models, **trained})
            models = trained[self.role]
        cost = floor.types[self.role]["effort_cost"] * effort
        floor = floor.term(self.named("effort"), self.role, -cost)
        efforts = floor.everyone(**{self.role: effort})
        return floor, own, Trained(self.role, efforts, diverged, models.loss, models.accuracy)

    def test_scores(self, floor: Floor, own: Any) -> Scores:
        """Loss and accuracy [markets, count] on held-out data; ValueError without a learner."""
        if self.learner is None:
            raise ValueError(
                "learner is None, so there are no models to test; build the market with a learner."
            )
        world: TrainingWorld = floor.world
        return world.score(floor.models[self.role].params, floor.round, held_out=True)

    def _train(
        self, floor: Floor, learner: Learner, effort: Tensor
    ) -> tuple[dict[str, Models], Bool[Tensor, "markets count"]]:
        """The trained entries of ``floor.models``, and whether each agent's training diverged."""
        world: TrainingWorld = floor.world
        material, before = world.material(floor.round), floor.models[self.role]
        lesson = partial(self._lesson, floor, learner, material, effort)
        trained = {self.role: lesson(before, _pull(before))}
        if self.second is not None:
            trained[self.second] = lesson(floor.models[self.second], None)
        usable = torch.stack([finite(models.params) for models in trained.values()]).all(0)
        scores = world.score(trained[self.role].params, floor.round)
        diverged = ~(usable & scores.loss.isfinite())
        if bool(diverged.any()):
            trained = {
                name: _reset(learner, floor.models[name], models, diverged)
                for name, models in trained.items()
            }
            scores = world.score(trained[self.role].params, floor.round)
        trained[self.role] = replace(trained[self.role], loss=scores.loss, accuracy=scores.accuracy)
        return trained, diverged

    def _lesson(
        self,
        floor: Floor,
        learner: Learner,
        material: Any,
        effort: Tensor,
        models: Models,
        pull: Pull | None,
    ) -> Models:
        """One round of training of all models of the role."""
        count = models.params.shape[:2]
        keys = draws.agent_keys(floor.keys(), count[1], *self.purpose("train")).flatten()
        params, efforts = models.params.flatten(0, 1), effort.flatten()
        slots, anew = models.slots.flatten(0, 1), models.slots.shape[-1] == 0
        if anew:
            slots = own_parts.fresh_slots(learner, len(keys), keys.device)
        params, slots = own_parts.train(learner, params, slots, material, efforts, keys, pull)
        slots = models.slots if anew else slots.unflatten(0, count)
        return replace(models, params=params.unflatten(0, count), slots=slots)


def _pull(models: Models) -> Pull | None:
    """The pull of a training; None where nothing pulls, for learners that know no pull."""
    if models.centre.shape[-1] == 0 or not bool((models.pull > 0).any()):
        return None
    return Pull(models.centre.flatten(0, 1), models.pull.flatten())


def _reset(
    learner: Learner, before: Models, models: Models, diverged: Bool[Tensor, "markets count"]
) -> Models:
    """The models; those that diverged have their old parameters and a fresh optimiser."""
    row, slots = diverged[..., None], models.slots
    if slots.shape[-1]:
        fresh = own_parts.fresh_slots(learner, diverged.numel(), diverged.device)
        slots = torch.where(row, fresh.unflatten(0, diverged.shape), slots)
    return replace(models, params=torch.where(row, before.params, models.params), slots=slots)
