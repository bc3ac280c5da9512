"""Scoring: the layout of examples, pieces that bound the memory, and models that are not finite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from marketenv.core import bank
from marketenv.core.shards import Shards
from marketenv.learners.protocol import Scores


@dataclass(frozen=True)
class Exam:
    """Examples of each owner, padded; owners is markets, or 1 where all markets share them.

    x:     features                         [owners, n, *features]
    y:     labels or targets                [owners, n]
    share: weight in the mean, 0 at padding [owners, n]
    """

    x: Float[Tensor, "owners n *features"]
    y: Num[Tensor, "owners n"]
    share: Float[Tensor, "owners n"]

    @property
    def owners(self) -> int:
        """Number of owners."""
        return self.x.shape[0]

    def select(self, owners: Int[Tensor, "some"]) -> Exam:
        """The exams of some owners, in their order, no longer than they need."""
        used = (self.share[owners] > 0).any(0)
        last = int(used.nonzero().max()) + 1
        return Exam(self.x[owners, :last], self.y[owners, :last], self.share[owners, :last])

    def joined(self, other: Exam) -> Exam:
        """The exams of these owners and then of others; the shorter ones get padding."""
        length = max(self.x.shape[1], other.x.shape[1])
        pairs = ((self.x, other.x), (self.y, other.y), (self.share, other.share))
        return Exam(*(torch.cat([_longer(one, length) for one in pair]) for pair in pairs))

    def part(self, start: int, stop: int) -> Exam:
        """The exam of markets start..stop; itself where it is shared."""
        if self.owners == 1:
            return self
        return Exam(self.x[start:stop], self.y[start:stop], self.share[start:stop])


def _longer(examples: Tensor, length: int) -> Tensor:
    """Pad the second axis with zeros."""
    missing = length - examples.shape[1]
    padding = examples.new_zeros(len(examples), missing, *examples.shape[2:])
    return torch.cat([examples, padding], 1)


def exam_of(shards: Shards) -> Exam:
    """Gather each owner's examples."""
    x, y, mask = shards.padded()
    return Exam(x, y, mask.float() / shards.size[:, None])


def check_exam(params: Float[Tensor, "markets k params"], size: int, owners: int) -> None:
    """Refuse parameters of another size, or an exam of another number of markets."""
    if params.shape[-1] != size:
        raise ValueError(
            f"params have {params.shape[-1]} numbers per model, wanted {size}: they belong to"
            " another learner."
        )
    if owners not in (1, params.shape[0]):
        raise ValueError(
            f"the exam has {owners} owners but params have {params.shape[0]} markets; give one exam"
            " each, or 1."
        )


def check_sizes(exam: Exam, sizes: tuple[int, ...]) -> None:
    """Refuse sizes of classes that are not those of one exam for all markets."""
    rows, good = exam.x.shape[1], all(type(size) is int and size > 0 for size in sizes)
    if exam.owners != 1 or not sizes or not good or sum(sizes) != rows:
        raise ValueError(
            f"sizes are {sizes} of an exam with {exam.owners} owners and {rows} examples, wanted"
            f" numbers of examples >= 1, one for each class, which sum to {rows}, and one owner."
        )


def finite(
    params: Float[Tensor, "markets k params"],
    loss: Float[Tensor, "markets k *classes"],
    accuracy: Float[Tensor, "markets k *classes"],
) -> Scores:
    """Scores, but loss +inf and accuracy 0 for models whose parameters or loss are not finite."""
    models = bank.finite(params)
    good = models.unflatten(-1, (-1, *(1,) * (loss.dim() - 2))) & loss.isfinite()
    loss, accuracy = torch.where(good, loss, torch.inf), torch.where(good, accuracy, 0.0)
    return Scores(loss.float(), accuracy.float())


def in_pieces(
    score: Callable[[Tensor, Exam], Scores],
    params: Float[Tensor, "markets k params"],
    exam: Exam,
    cost: int,
    limit: int,
) -> Scores:
    """Score in halves, by k and then by market, until a piece needs at most ``limit`` bytes.

    cost: bytes of temporaries per model; a single model is scored whatever its cost
    """
    markets, k = params.shape[:2]
    if markets * k * cost <= limit or markets * k <= 1:
        return score(params, exam)
    axis = 1 if k > 1 else 0
    cut = params.shape[axis] // 2
    parts = params.split([cut, params.shape[axis] - cut], axis)
    exams = (exam, exam) if axis else (exam.part(0, cut), exam.part(cut, markets))
    pairs = zip(parts, exams, strict=True)
    scores = [in_pieces(score, part, some, cost, limit) for part, some in pairs]
    return Scores(*(torch.cat(numbers, axis) for numbers in zip(*scores, strict=True)))
