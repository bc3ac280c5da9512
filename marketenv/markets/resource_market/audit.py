"""The phase in which owners' data are audited: scores, and the quality that they mean."""

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
# of Shapley values: losses are float32, and a scale may stretch rounding between equal owners
DIGITS = 9
PerOwner = Float64[Tensor, "markets owners"]


@dataclass(frozen=True)
class Audited(Outcome):
    """Results of an audit.

    scores:  of each owner's data, the higher the better; 0 before the first audit [markets, owners]
    quality: by the scores; before the first audit as owners report                [markets, owners]
    audited: whether there is an audit in this round                               [markets]
    score:   the scores over all agents                                            [markets, agents]
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
class AuditCase:
    """What an audit may use.

    floor:   of the round;   rows: of every owner, as it delivers them
    learner: trains throw-away copies of the leader's model; effort 1 is ``EPOCHS`` epochs on
             ``most`` rows
    distances: between rows and the leader's examples
    purpose: of random draws;   most: rows of an owner that the audit uses at most
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
        """A copy of the leader's model for each owner, after so many epochs on the owner's rows."""
        shape = self.rows.size.shape
        start = self.start[:, None].expand(*shape, -1).flatten(0, 1)
        steps = (self.rows.size / BATCH).ceil()
        effort = (steps / -(-self.most // BATCH) * epochs / EPOCHS).to(start).flatten()
        keys = draws.agent_keys(self.floor.keys(*self.purpose), shape[1]).flatten()
        slots = own_parts.fresh_slots(self.learner, len(start), start.device)
        material = own_parts.prepare(self.learner, self._shards)
        params = own_parts.train(self.learner, start, slots, material, effort, keys)[0]
        return params.unflatten(0, shape)

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


def by_loss_drop(case: AuditCase) -> PerOwner:
    """Fall of a copy's loss on an owner's own rows from epoch 1 to epoch 5, for each row.

    Source: the authors' code, with the mean loss during an epoch. We differ: with the loss at the
    epoch's end.
    """
    first, last = case.own_loss(case.tuned(1)), case.own_loss(case.tuned(EPOCHS))
    sound = first.isfinite() & last.isfinite()
    drop = loss_drop(torch.where(sound, first, 0.0), torch.where(sound, last, 0.0), case.rows.size)
    return torch.where(sound, drop, torch.nan)


def by_held_out_loss(case: AuditCase) -> PerOwner:
    """Fall of the loss on the leader's examples when its model is trained on an owner's rows.

    Source: ours.
    """
    models = torch.cat([case.start[:, None], case.tuned(EPOCHS)], 1)
    losses = case.held_out_loss(models)
    sound = losses.isfinite()
    before, after = torch.where(sound, losses, 0.0).split([1, losses.shape[1] - 1], 1)
    return torch.where(sound[:, 1:] & sound[:, :1], held_out_drop(before[:, 0], after), torch.nan)


def by_shapley(case: AuditCase) -> PerOwner:
    """Shapley value of owners, where a coalition is worth the fall of that loss.

    The model of a coalition is the mean of its members' models. Source: ours, as in Song, Tong and
    Wei, "Profit allocation for federated learning" (IEEE Big Data 2019), of one round.
    """
    tuned = case.tuned(EPOCHS)
    sound = torch.where(tuned.isfinite().all(-1, keepdim=True), tuned, case.start[:, None])
    models = averaged(sound, case.rows.size.double(), case.start)
    count = case.rows.size.shape[1]
    at_once = max(1, ENTRIES // case.start.numel())

    def value(coalitions: Tensor) -> Tensor:
        pieces = coalitions.split(at_once, -2)
        return -torch.cat([case.held_out_loss(models(some)) for some in pieces], -1)

    if count <= MOST_EXACT:
        result = shapley(value, count, device=case.start.device)
    else:
        result = shapley(value, count, PERMUTATIONS, case.floor.keys(*case.purpose, "orders"))
    return result.values.round(decimals=DIGITS)


def by_distance(case: AuditCase) -> PerOwner:
    """Minus the label-aware Wasserstein distance of an owner's rows from the leader's examples.

    Source: ours.
    """
    nothing = torch.zeros_like(case.rows.size, dtype=torch.float64)
    measures = case.distances.measures(case.floor, case.rows, nothing)
    alone = torch.eye(nothing.shape[1], dtype=torch.float64, device=case.start.device)
    return -case.distances.wad(measures, alone.expand(len(case.start), -1, -1))


Audits = Callable[[AuditCase], PerOwner]
AUDITS: dict[str, Audits] = {
    "loss_drop": by_loss_drop,
    "heldout": by_held_out_loss,
    "shapley": by_shapley,
    "wasserstein": by_distance,
}


class Audit(Phase):
    """Score every owner's rows, and turn scores into quality.

    audit:   as those of ``AUDITS``;   scale: as those of ``QUALITY_SCALES``
    conduct: names of ``CONDUCTS`` that owners' numbers mean
    first:   round of the first audit;   rows: most rows of an owner that the audit uses
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
        self.name, self.audit, self.scale = name, audit, scale
        self.learner, self.distances = learner, distances
        self.conduct, self.first, self.rows = tuple(conduct), first, rows

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Audited]:
        """Audit in the markets where the round of the first audit has come."""
        owners, audited = floor.of(Contributed), floor.round >= self.first
        scores, quality = torch.zeros_like(owners.x), owners.reported
        if bool(audited.any()):
            scores = torch.where(audited[:, None], self._scores(floor, owners), 0.0)
            quality = torch.where(audited[:, None], scaled(self.scale, scores), quality)
        return floor, own, Audited(scores, quality, audited, floor.everyone(**{OWNER: scores}))

    def _scores(self, floor: Floor, owners: Contributed) -> PerOwner:
        """The audit's scores, all of them finite."""
        size, purpose = floor.world.size.clamp(max=self.rows), self.purpose("audit")
        rows = delivered(floor, owners.conduct, self.conduct, size, self.purpose("rows", "audit"))
        case = AuditCase(floor, rows, self.learner, self.distances, purpose, self.rows)
        own, what = self.audit not in AUDITS.values(), "audit returned scores"
        returned = tree.apart(self.audit, own)(case)
        scores = taken(returned, what, owners.x, "markets, owners", torch.float64)
        finite = scores.isfinite()
        if own and not bool(finite.any(1).all()):
            raise ValueError(
                "audit returned no finite score at all for a market, wanted one or more. No money"
                " moved."
            )
        worst = torch.where(finite, scores, torch.inf).amin(1, keepdim=True)
        return torch.where(finite, scores, torch.where(worst.isfinite(), worst, 0.0))
