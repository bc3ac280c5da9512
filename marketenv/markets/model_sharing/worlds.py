"""What clients own and are judged by: examples that may drift, and an exam for every class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.axes import Parameters
from marketenv.core.shards import Shards
from marketenv.data import CorruptedSource, Source
from marketenv.learners import ByClass, Learner, Scores
from marketenv.markets import own_parts
from marketenv.markets.worlds import Laid, Worlds

MANY = 20  # with more classes, scores are not weighted by the client's labels


@dataclass(frozen=True, eq=False)
class Exams:
    """Examples that judge models class by class, weighted by each client's own labels.

    exams:  of the learner: one for each class, or a single one
    labels: the classes; None: all examples are one class
    shares: weight of each class for each client by the data of the first round
            [classes, worlds, agents]
    sizes:  examples of each class, in its order, where a single exam holds several classes
    """

    exams: tuple[Laid, ...]
    labels: list[int] | None
    shares: Float[Tensor, "classes worlds agents"]
    sizes: tuple[int, ...] = ()

    def select(self, worlds: Int[Tensor, "some"]) -> Exams:
        """The exams of some worlds, in this order."""
        exams = tuple(exam.select(worlds) for exam in self.exams)
        return replace(self, exams=exams, shares=self.shares[:, worlds])

    def joined(self, other: Exams) -> Exams:
        """The exams of these worlds, and then of the other ones."""
        exams = tuple(one.joined(two) for one, two in zip(self.exams, other.exams, strict=True))
        return replace(self, exams=exams, shares=torch.cat([self.shares, other.shares], 1))


@dataclass(frozen=True, eq=False)
class SharingContent:
    """Data of the worlds.

    learner:  that they are laid out for
    drift:    share of the examples that is exchanged in a round
    train:    examples of the first round;   later: of the partition that they drift to
              owners [worlds, agents]
    material: what everybody trains on while nothing drifts
    validation, test: what models are judged by
    """

    learner: Learner
    drift: float
    train: Shards
    later: Shards | None
    material: Laid
    validation: Exams
    test: Exams

    def select(self, worlds: Int[Tensor, "some"]) -> SharingContent:
        """Some of the worlds, in this order."""
        return SharingContent(
            self.learner,
            self.drift,
            self.train.select(worlds),
            None if self.later is None else self.later.select(worlds),
            self.material.select(worlds),
            self.validation.select(worlds),
            self.test.select(worlds),
        )

    def joined(self, other: SharingContent) -> SharingContent:
        """These worlds, and then the other ones."""
        # one pool for all, which ``check_drift`` makes sure of: no row moves
        if self.later is not None and other.later is not None:
            train = self.train.joined(_on(self.train, other.train))
            later: Shards | None = self.later.joined(_on(self.later, other.later))
        else:
            train, later = self.train.joined(other.train), None
        return SharingContent(
            self.learner,
            self.drift,
            train,
            later,
            self.material.joined(other.material),
            self.validation.joined(other.validation),
            self.test.joined(other.test),
        )


def open_content(
    source: Source,
    learner: Learner,
    drift: float,
    shared: tuple[bool, bool],
    seeds: Int[Tensor, "worlds"],
) -> SharingContent:
    """Deal out the data of distinct seeds and lay them out for training and scoring.

    shared: whether all markets share their validation, and their test examples; where they do and
        classes are few, every class has an exam of its own
    """
    federation, worlds = source.federation(seeds), len(seeds)
    train = federation.supervised.trimmed()
    material = Laid.of(learner, own_parts.prepare, train.flat(), worlds)  # first, as it checks them
    exam = partial(Laid.of, learner, own_parts.exam, worlds=worlds)
    at_once = own_parts.by_class(learner)
    few = source.task == "classification" and source.n_outputs <= MANY
    validation, test = (
        _exams(partial(exam, shared=one), judge, train, few and one, at_once)
        for judge, one in zip((federation.validation, federation.test), shared, strict=True)
    )
    return SharingContent(
        learner=learner,
        drift=drift,
        train=train,
        later=_on(train, source.federation(_later(seeds)).supervised.trimmed()) if drift else None,
        material=material,
        validation=validation,
        test=test,
    )


@dataclass(frozen=True, eq=False)
class SharingWorlds(Worlds):
    """Which of these worlds each market of a batch stands in, and what they say of its models."""

    content: SharingContent

    def owned(self, rounds: Int[Tensor, "markets"]) -> Shards:
        """The clients' examples in a round [markets, agents], after the drift so far."""
        now, later = self.content.train.select(self.at), self.content.later
        if later is None:
            return now
        later = later.select(self.at)
        agents, width = now.index.shape[-2:]
        place = torch.arange(width, device=now.index.device) % later.size[..., None]
        chance = draws.uniform(draws.agent_keys(self.seeds[self.at], agents, "data drift"), width)
        moved = chance < (self.content.drift * rounds.float())[:, None, None]
        index = torch.where(moved, later.index.gather(-1, place), now.index)
        return Shards(now.x, now.y, index, now.size)

    def material(self, rounds: Int[Tensor, "markets"]) -> Any:
        """What everybody trains on in a round, market by market."""
        if self.content.later is None:
            return self.lessons(self.content.material)
        return own_parts.prepare(self.content.learner, self.owned(rounds).flat())

    def score(
        self, models: Parameters, rounds: Int[Tensor, "markets"], held_out: bool = False
    ) -> Scores:
        """Each client's scores, weighted by the classes' shares of its own labels in a round."""
        exams = self.content.test if held_out else self.content.validation
        shares = exams.shares[:, self.at]
        if self.content.later is not None:
            shares = label_shares(self.owned(rounds), exams.labels)
        losses, accuracies = self._class_scores(exams, models)
        loss = torch.where(shares > 0, shares * losses, 0.0).sum(0)
        return Scores(loss, (shares * accuracies).sum(0))

    def _class_scores(
        self, exams: Exams, models: Parameters
    ) -> tuple[Float[Tensor, "classes markets agents"], Float[Tensor, "classes markets agents"]]:
        """Loss and accuracy of every client on every class."""
        learner = self.content.learner
        if exams.sizes and isinstance(learner, ByClass):
            parts = learner.class_scores(models, exams.exams[0].made, exams.sizes)
            loss, accuracy = (part.movedim(-1, 0).contiguous() for part in parts)
            return loss, accuracy
        scores = [self.scores(learner, exam, models) for exam in exams.exams]
        return torch.stack([one.loss for one in scores]), torch.stack(
            [one.accuracy for one in scores]
        )


def _on(pool: Shards, shards: Shards) -> Shards:
    """Shards by the rows of this pool, in place of those of an equal one."""
    return Shards(pool.x, pool.y, shards.index, shards.size)


def check_drift(source: Source, drift: float, seeds: Int[Tensor, "markets"]) -> None:
    """Raise ValueError for a source whose data cannot drift.

    Data can drift where other seeds deal out the rows of the same pool in other ways.
    """
    now, later = (source.federation(some).train for some in (seeds, _later(seeds)))
    changed = isinstance(source, CorruptedSource) and not source.one_pool
    if changed or not torch.equal(now.x, later.x):
        raise ValueError(
            f"data_drift is {drift}, but every seed draws examples of its own, as data 'linear' and"
            " a corruption do, so that there is no other partition of the same ones to drift to;"
            " pass data_drift=0."
        )
    rows = (torch.where(part.mask, part.index, -1).sort(-1).values for part in (now, later))
    if torch.equal(*rows):
        raise ValueError(
            f"data_drift is {drift}, but the clients own the same rows whatever the seed, as"
            " partition 'by_group' deals them, so that nothing would change; pass data_drift=0 or"
            " another partition."
        )


def label_shares(owned: Shards, labels: list[int] | None) -> Float[Tensor, "exams markets agents"]:
    """The share of each class in each client's labels; 1 where labels are None."""
    if labels is None:
        return torch.ones(1, *owned.size.shape, dtype=torch.float32, device=owned.size.device)
    y = torch.where(owned.mask, owned.y[owned.index], -1)
    counts = torch.stack([(y == label).sum(-1) for label in labels]).float()
    return counts / counts.sum(0).clamp(min=1.0)


def _later(seeds: Tensor) -> Tensor:
    return draws.fold(seeds, "later")


def _exams(
    exam: Callable[..., Laid], judge: Shards, train: Shards, by_label: bool, at_once: bool
) -> Exams:
    """One exam of all examples, class by class where labels count.

    by_label: whether each class has a weight of its own
    at_once:  whether the learner scores all classes in one pass; else each has an exam of its own
    """
    if not by_label:
        return Exams((exam(judge),), None, label_shares(train, None))
    rows = judge.index[0, : int(judge.size[0])]
    labels = judge.y[rows].unique().tolist()
    classes = [rows[judge.y[rows] == label] for label in labels]
    sizes = tuple(map(len, classes)) if at_once else ()
    exams = []
    for some in [torch.cat(classes)] if at_once else classes:
        size = torch.tensor([len(some)], device=rows.device)
        exams.append(exam(Shards(judge.x, judge.y, some[None], size)))
    return Exams(tuple(exams), labels, label_shares(train, labels), sizes)
