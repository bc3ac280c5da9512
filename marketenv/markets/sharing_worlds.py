"""What the clients of a model-sharing market own and are judged by: examples that may drift, and an exam for every class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.data import Source
from marketenv.learners import Learner, Scores
from marketenv.markets import own_parts

MANY = 20  # classes, from which accuracy is no longer weighted by the client's labels


@dataclass(frozen=True)
class Exams:
    """Examples that judge models: an exam a class, so that a class can count as it does in each client's own labels.

    papers: the learner's exams;   labels: the class of each, or None: one exam of all examples
    shares: how much each counts for each client by the data of the first round   [papers, markets, agents]
    """

    papers: list[Any]
    labels: list[int] | None
    shares: Float[Tensor, "papers markets agents"]


@dataclass(frozen=True)
class World:
    """What the seeds fix for good: training data and their drift's goal, and the exams that models are judged by."""

    learner: Learner
    seeds: Int[Tensor, "markets"]
    drift: float
    train: Shards
    later: Shards | None
    material: Any
    validation: Exams
    test: Exams

    def owned(self, rounds: Int[Tensor, "markets"]) -> Shards:
        """The clients' examples in a round; where they drift, a growing share is from the later partition."""
        if self.later is None:
            return self.train
        now, later = self.train, self.later
        agents, width = now.index.shape[-2:]
        place = torch.arange(width, device=now.index.device) % later.size[..., None]
        chance = draws.uniform(draws.agent_keys(self.seeds, agents, "data drift"), width)
        moved = chance < (self.drift * rounds.float())[:, None, None]
        return Shards(now.x, now.y, torch.where(moved, later.index.gather(-1, place), now.index), now.size)

    def lessons(self, owned: Shards) -> Any:
        """What the learner trains on, made of these examples."""
        return self.material if owned is self.train else self.learner.prepare(own_parts.lent(self.learner, owned.flat()))

    def scores(self, models: Tensor, exams: Exams, owned: Shards) -> Scores:
        """Scores of each client's model on each class's exam, weighted by how much of its data are of the class."""
        found = [own_parts.scores(self.learner, models, paper) for paper in exams.papers]
        shares = exams.shares if owned is self.train else label_shares(owned, exams.labels)
        loss = torch.stack([torch.where(w > 0, w * s.loss, 0.0) for s, w in zip(found, shares, strict=True)]).sum(0)
        accuracy = torch.stack([w * s.accuracy for s, w in zip(found, shares, strict=True)]).sum(0)
        return Scores(loss.float(), accuracy.float())


def build_world(source: Source, learner: Learner, seeds: Int[Tensor, "markets"], drift: float = 0.0) -> World:
    """Deal out the data of these markets and lay them out for training and scoring."""
    federation = source.federation(seeds)
    train, later = federation.train, source.federation(_later(seeds)).train if drift else None
    material = learner.prepare(own_parts.lent(learner, train.flat()))  # first, as it checks them
    validation, test = (_exams(source, learner, judge, train) for judge in (federation.validation, federation.test))
    return World(learner, seeds, drift, train, later, material, validation, test)


def check_drift(source: Source, drift: float, seeds: Int[Tensor, "markets"]) -> None:
    """Raise ValueError for a source whose data cannot drift: other seeds must deal rows of one pool out in other ways."""
    now, later = (source.federation(s).train for s in (seeds, _later(seeds)))
    if not torch.equal(now.x, later.x):
        raise ValueError(
            f"data_drift is {drift}, but every seed draws examples of its own, as data 'linear' does, so that there is no other "
            "partition of the same ones to drift to; pass data_drift=0."
        )
    if torch.equal(*(torch.where(s.mask, s.index, -1).sort(-1).values for s in (now, later))):
        raise ValueError(
            f"data_drift is {drift}, but the clients own the same rows whatever the seed, as partition 'by_group' deals them, so "
            "that nothing would change; pass data_drift=0 or another partition."
        )


def label_shares(owned: Shards, labels: list[int] | None) -> Float[Tensor, "papers markets agents"]:
    """The share of each class in each client's labels; 1 where labels are None."""
    if labels is None:
        return torch.ones(1, *owned.size.shape, dtype=torch.float32, device=owned.size.device)
    found = torch.where(owned.mask, owned.y[owned.index], -1)
    counts = torch.stack([(found == label).sum(-1) for label in labels]).float()
    return counts / counts.sum(0).clamp(min=1.0)


def _later(seeds: Tensor) -> Tensor:
    return draws.fold(seeds, "later")


def _exams(source: Source, learner: Learner, judge: Shards, train: Shards) -> Exams:
    """An exam a class that the examples have; one exam where labels are no few classes."""
    if len(judge.index) != 1 or source.task != "classification" or source.n_outputs > MANY:
        return Exams([learner.exam(own_parts.lent(learner, judge))], None, label_shares(train, None))
    rows = judge.index[0, : int(judge.size[0])]
    there, papers = judge.y[rows].unique().tolist(), []
    for label in there:
        some = rows[judge.y[rows] == label]
        paper = Shards(judge.x, judge.y, some[None], torch.tensor([len(some)], device=rows.device))
        papers.append(learner.exam(own_parts.lent(learner, paper)))
    return Exams(papers, there, label_shares(train, there))
