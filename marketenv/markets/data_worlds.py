"""Worlds of a data market: the sellers' data, and the examples that judge models and distances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core.shards import Shards
from marketenv.data import Source
from marketenv.learners import Learner, Scores
from marketenv.markets import own_parts
from marketenv.markets.worlds import Laid, Worlds
from marketenv.valuation import FeatureMap, pca


@dataclass(frozen=True, eq=False)
class Buyer:
    """The buyer's examples, and their features for distances; one row where worlds share them.

    x, y, size:  padded examples   [rows, width, *features], [rows, width], [rows]
    mean, basis: an example's features are (x - mean) basis   [rows, inputs], [rows, inputs, dims]
    baseline:    accuracy of always predicting the commonest class   [rows]
    """

    x: Float[Tensor, "rows width *features"]
    y: Int[Tensor, "rows width"]
    size: Int[Tensor, "rows"]
    mean: Float64[Tensor, "rows inputs"]
    basis: Float64[Tensor, "rows inputs dimensions"]
    baseline: Float64[Tensor, "rows"]

    @classmethod
    def of(cls, validation: Shards, n_classes: int, dimensions: int | None) -> Buyer:
        """Principal components of the examples, on one scale: the mean variance is 1."""
        x, y, mask = validation.padded()
        flat, weight = x.flatten(2).double(), mask.double()
        count = weight.sum(1, keepdim=True)
        components = pca(flat, min(dimensions or flat.shape[-1], flat.shape[-1]), weight)
        variance = (components(flat).square() * weight[..., None]).sum(1) / count
        scale = variance.mean(-1).sqrt()
        scale = torch.where(scale > 0, scale, 1.0)
        hits = torch.nn.functional.one_hot(y, n_classes).double() * weight[..., None]
        return cls(
            x=x,
            y=y,
            size=validation.size,
            mean=components.shift[:, 0],
            basis=components.matrix / scale[:, None, None],
            baseline=(hits.sum(1) / count).amax(-1),
        )

    def features(
        self, x: Float[Tensor, "markets rows *features"]
    ) -> Float64[Tensor, "markets rows dimensions"]:
        """The features of examples that distances see: their principal components."""
        return FeatureMap(self.mean[:, None], self.basis)(x.flatten(2))

    def select(self, worlds: Int[Tensor, "some"]) -> Buyer:
        """The same for some worlds; itself where all worlds share it."""
        if len(self.size) == 1:
            return self
        return Buyer(*(getattr(self, name)[worlds] for name in self.__dataclass_fields__))

    def joined(self, other: Buyer, shared: bool) -> Buyer:
        """The same for these worlds and then the other ones."""
        if shared:
            return self
        width = max(self.y.shape[1], other.y.shape[1])
        pairs = zip(self._wide(width), other._wide(width), strict=True)
        return Buyer(*(torch.cat(pair) for pair in pairs))

    def _wide(self, width: int) -> list[Tensor]:
        more = width - self.y.shape[1]
        x, y = (
            torch.cat([part, part[:, :1].expand(-1, more, *part.shape[2:])], 1)
            for part in (self.x, self.y)
        )
        return [x, y, self.size, self.mean, self.basis, self.baseline]


@dataclass(frozen=True, eq=False)
class DataContent:
    """Data of the worlds.

    learner:  that exams are laid out for;   n_classes: of the labels
    train:    what sellers own   owners [worlds, sellers]
    labelled: which rows have a label [worlds, sellers, width]; None: all
    exam, test_exam: the buyer's examples, and held-out test examples
    buyer:    the buyer's examples for distances
    """

    learner: Learner
    n_classes: int
    train: Shards
    labelled: Tensor | None
    exam: Laid
    test_exam: Laid
    buyer: Buyer

    def select(self, worlds: Int[Tensor, "some"]) -> Any:
        """Some of the worlds, in this order."""
        return replace(
            self,
            train=self.train.select(worlds),
            labelled=None if self.labelled is None else self.labelled[worlds],
            exam=self.exam.select(worlds),
            test_exam=self.test_exam.select(worlds),
            buyer=self.buyer.select(worlds),
        )

    def joined(self, other: Any) -> Any:
        """These worlds, and then the other ones."""
        return replace(
            self,
            train=self.train.joined(other.train),
            labelled=_joined(self.labelled, other.labelled),
            exam=self.exam.joined(other.exam),
            test_exam=self.test_exam.joined(other.test_exam),
            buyer=self.buyer.joined(other.buyer, self.exam.shared),
        )


def _joined(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Which rows have labels, of these worlds and then of the other ones, at equal width."""
    if one is None or other is None:
        return None
    width, pad = max(one.shape[-1], other.shape[-1]), torch.nn.functional.pad
    return torch.cat([pad(rows, (0, width - rows.shape[-1])) for rows in (one, other)])


def open_content(
    source: Source,
    learner: Learner,
    dimensions: int | None,
    shared: tuple[bool, bool],
    seeds: Int[Tensor, "worlds"],
) -> DataContent:
    """Deal out the data of distinct seeds and lay them out for the learner and the distances."""
    federation, worlds = source.federation(seeds), len(seeds)
    return DataContent(
        learner=learner,
        n_classes=source.n_outputs,
        train=federation.train,
        labelled=federation.labelled,
        exam=Laid.of(learner, own_parts.exam, federation.validation, worlds, shared[0]),
        test_exam=Laid.of(learner, own_parts.exam, federation.test, worlds, shared[1]),
        buyer=Buyer.of(federation.validation, source.n_outputs, dimensions),
    )


@dataclass(frozen=True, eq=False)
class DataWorlds(Worlds):
    """Which of these worlds each market of a batch stands in."""

    content: DataContent

    @property
    def train(self) -> Shards:
        """What the sellers of every market own   owners [markets, sellers]."""
        return self.content.train.select(self.at)

    @property
    def labelled(self) -> Tensor | None:
        """Which of them have a label [markets, sellers, width], None: all."""
        known = self.content.labelled
        return None if known is None else known[self.at]

    @property
    def size(self) -> Int[Tensor, "markets sellers"]:
        """How many rows every seller has."""
        return self.content.train.size[self.at]

    @property
    def buyer(self) -> Buyer:
        """The buyer's examples of every market, or the one row that all share."""
        return self.content.buyer.select(self.at)

    @property
    def labelled_share(self) -> Float64[Tensor, "markets sellers"]:
        """Share of each seller's rows that have a label."""
        if self.labelled is None:
            return torch.ones_like(self.size, dtype=torch.float64)
        mask = self.train.mask
        return (self.labelled[..., : mask.shape[-1]] & mask).double().sum(-1) / self.size

    @property
    def baseline(self) -> Float64[Tensor, "markets"]:
        """Accuracy of always predicting the commonest class."""
        return self.content.buyer.select(self.at).baseline.expand(len(self.at))

    def score(
        self,
        models: Float[Tensor, "markets k params"],
        rounds: Int[Tensor, "markets"],
        held_out: bool = False,
    ) -> Scores:
        """Scores of k models of every market on the buyer's examples, or on held-out ones."""
        exam = self.content.test_exam if held_out else self.content.exam
        return self.scores(self.content.learner, exam, models)
