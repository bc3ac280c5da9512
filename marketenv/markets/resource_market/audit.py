"""The phase in which owners' data are audited: scores, and the quality that they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.floor import Floor
from marketenv.core.parts import taken
from marketenv.core.phase import Outcome, Phase
from marketenv.learners import Learner
from marketenv.markets import own_parts
from marketenv.markets.distances import Distances
from marketenv.markets.goods import Goods
from marketenv.markets.resource_market.contribute import Contributed
from marketenv.markets.resource_market.moves import LEADER, OWNER
from marketenv.markets.resource_market.own_parts import scaled
from marketenv.markets.resource_market.train_matched import delivered, shards
from marketenv.valuation import averaged, held_out_drop, loss_drop, shapley

EPOCHS, BATCH = 5, 64  # of a throw-away copy's training in the authors' code
# owners up to which Shapley values are exact, and orders that are drawn beyond
MOST_EXACT, PERMUTATIONS = 10, 64
ENTRIES = 2**24  # of coalitions' models that are made at once: 64 MiB
# of Shapley values: losses are float32, and a scale may stretch what rounds apart equal owners
DIGITS = 9
PerOwner = Float64[Tensor, "markets owners"]


@dataclass(frozen=True)
class Audited(Outcome):
    """What the audit finds.

    scores:  of each owner's data, the higher the better; 0 before the
             first audit   float64 [markets, owners]
    quality: that they come to; before the first audit what owners report   [markets, owners]
    score:   the scores over all agents   [markets, agents]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("score",)

    scores: PerOwner
    quality: PerOwner
    audited: Bool[Tensor, "markets"]
    score: Float64[Tensor, "markets agents"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Everybody's quality by the audit."""
        if not bool(self.audited[0]):
            return []
        numbers = zip(self.scores[0].tolist(), self.quality[0].tolist(), strict=True)
        return [
            f"The audit scores owner_{n} {score:.4g}: quality {quality:.3f}."
            for n, (score, quality) in enumerate(numbers)
        ]


@dataclass(frozen=True)
class Case:
    """What an audit may look at.

    floor:   of the round;   rows: of every owner as it delivers them
    learner: that trains throw-away copies of the leader's model: at effort 1 all of ``EPOCHS``
        epochs on the most rows
    distances: how rows are compared with the leader's examples
    purpose: of the random draws;   most: rows of an owner that are looked at
    """

    floor: Floor
    rows: Goods
    learner: Learner
    distances: Distances
    purpose: tuple[int | str, ...]
    most: int

    @property
    def start(self) -> Float[Tensor, "markets params"]:
        """The leader's model."""
        return self.floor.models[LEADER].params[:, 0]

    def tuned(self, epochs: int) -> Float[Tensor, "markets owners params"]:
        """A throw-away copy of the leader's model for each owner, after so many epochs on its
        rows.
        """
        shape = self.rows.size.shape
        start = self.start[:, None].expand(*shape, -1).flatten(0, 1)
        steps = (self.rows.size / BATCH).ceil()
        effort = (steps / -(-self.most // BATCH) * epochs / EPOCHS).to(start).flatten()
        keys = draws.agent_keys(self.floor.keys(*self.purpose), shape[1]).flatten()
        slots = own_parts.fresh_slots(self.learner, len(start), start.device)
        material = own_parts.prepare(self.learner, self._shards)
        return own_parts.train(self.learner, start, slots, material, effort, keys)[0].unflatten(
            0, shape
        )

    def own_loss(self, models: Float[Tensor, "markets owners params"]) -> PerOwner:
        """Loss of each owner's model on its own rows."""
        exam = own_parts.exam(self.learner, self._shards)
        losses = own_parts.losses(self.learner, models.flatten(0, 1)[:, None], exam)
        return losses[:, 0].double().unflatten(0, self.rows.size.shape)

    def held_out_loss(
        self, models: Float[Tensor, "markets k params"]
    ) -> Float64[Tensor, "markets k"]:
        """Loss of models on the leader's examples."""
        return self.floor.world.score(models, self.floor.round).loss.double()

    @cached_property
    def _shards(self) -> Any:
        owners = torch.ones_like(self.rows.size).nonzero()
        return shards(self.rows, *owners.unbind(1))


def by_loss_drop(case: Case) -> PerOwner:
    """How far a throw-away copy's loss on an owner's own rows falls from epoch 1 to epoch 5, per
    row.

    Source: the authors' code, with the mean loss during an epoch. We differ: the loss is taken at
    the epoch's end.
    """
    first, last = case.own_loss(case.tuned(1)), case.own_loss(case.tuned(EPOCHS))
    sound = first.isfinite() & last.isfinite()
    drop = loss_drop(torch.where(sound, first, 0.0), torch.where(sound, last, 0.0), case.rows.size)
    return torch.where(sound, drop, torch.nan)


def by_held_out_loss(case: Case) -> PerOwner:
    """How far the loss on the leader's examples falls if its model is trained on an owner's
    rows. Source: ours.
    """
    models = torch.cat([case.start[:, None], case.tuned(EPOCHS)], 1)
    losses = case.held_out_loss(models)
    sound = losses.isfinite()
    before, after = torch.where(sound, losses, 0.0).split([1, losses.shape[1] - 1], 1)
    return torch.where(sound[:, 1:] & sound[:, :1], held_out_drop(before[:, 0], after), torch.nan)


def by_shapley(case: Case) -> PerOwner:
    """Shapley value of owners, where a coalition is worth the fall of that loss by the mean of its
    members' models.

    Source: ours, as in Song, Tong and Wei, "Profit allocation for federated learning" (IEEE Big
    Data 2019), of one round.
    """
    tuned = case.tuned(EPOCHS)
    sound = torch.where(tuned.isfinite().all(-1, keepdim=True), tuned, case.start[:, None])
    models = averaged(sound, case.rows.size.double(), case.start)
    count = case.rows.size.shape[1]

    at_once = max(1, ENTRIES // case.start.numel())

    def value(coalitions: Tensor) -> Tensor:
        return -torch.cat(
            [case.held_out_loss(models(some)) for some in coalitions.split(at_once, -2)], -1
        )

    if count <= MOST_EXACT:
        found = shapley(value, count, device=case.start.device)
    else:
        found = shapley(value, count, PERMUTATIONS, case.floor.keys(*case.purpose, "orders"))
    return found.values.round(decimals=DIGITS)


def by_distance(case: Case) -> PerOwner:
    """Minus the label-aware Wasserstein distance of an owner's rows from the leader's examples.
    Source: ours.
    """
    count = case.rows.size.shape[1]
    measures = case.distances.measures(
        case.floor, case.rows, torch.zeros_like(case.rows.size, dtype=torch.float64)
    )
    each = torch.eye(count, dtype=torch.float64, device=case.start.device).expand(
        len(case.start), -1, -1
    )
    return -case.distances.wad(measures, each)


Audits = Callable[[Case], PerOwner]
AUDITS: dict[str, Audits] = {
    "loss_drop": by_loss_drop,
    "heldout": by_held_out_loss,
    "shapley": by_shapley,
    "wasserstein": by_distance,
}


class Audit(Phase):
    """Score every owner's rows, and put the scores on the scale of quality.

    audit:  as those of ``AUDITS``;   scale: as those of ``QUALITY_SCALES``
    first:  round of the first audit;   rows: of each owner that are looked at, the most
    conduct: names of ``CONDUCTS`` that owners' numbers mean
    A score that is not finite counts as the worst finite one.
    """

    name, outcome = "audit", Audited

    def __init__(
        self,
        audit: Audits,
        scale: Callable[[PerOwner], PerOwner],
        *,
        learner: Learner,
        distances: Distances,
        conduct: Sequence[str],
        first: int,
        rows: int,
        name: str = "audit",
    ) -> None:
        self.name, self.audit, self.scale, self.learner, self.distances = (
            name,
            audit,
            scale,
            learner,
            distances,
        )
        self.conduct, self.first, self.rows = tuple(conduct), first, rows

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Audited]:
        """Audit, where it is time to."""
        given, now = floor.of(Contributed), floor.round >= self.first
        scores, quality = torch.zeros_like(given.x), given.reported
        if bool(now.any()):
            scores = torch.where(now[:, None], self._scores(floor, given), 0.0)
            quality = torch.where(now[:, None], scaled(self.scale, scores), quality)
        return floor, own, Audited(scores, quality, now, floor.everyone(**{OWNER: scores}))

    def _scores(self, floor: Floor, given: Contributed) -> PerOwner:
        """What the audit says, with finite numbers alone."""
        rows = floor.world.size.clamp(max=self.rows)
        goods = delivered(floor, given.conduct, self.conduct, rows, self.purpose("rows", "audit"))
        case = Case(floor, goods, self.learner, self.distances, self.purpose("audit"), self.rows)
        audit = tree.apart(self.audit, self.audit not in AUDITS.values())
        scores = taken(
            audit(case), "audit returned scores", given.x, "markets, owners", torch.float64
        )
        finite = scores.isfinite()
        if self.audit not in AUDITS.values() and not bool(finite.any(1).all()):
            raise ValueError(
                "audit returned no finite score at all for a market, wanted one or more. No money"
                " moved."
            )
        worst = torch.where(finite, scores, torch.inf).amin(1, keepdim=True)
        return torch.where(finite, scores, torch.where(worst.isfinite(), worst, 0.0))
