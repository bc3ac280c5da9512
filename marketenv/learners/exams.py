"""Scoring: examples laid out for it, in pieces that bound the memory, and what a model that is
not finite gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from marketenv.core.shards import Shards
from marketenv.learners.protocol import Scores


@dataclass(frozen=True)
class Exam:
    """Examples of each owner, padded; owners is markets, or 1 where all markets share them.

    x [owners, n, *features]; y [owners, n]; share: weight in the mean, 0 at padding [owners, n].
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
        """The exams of these owners and then of others; the shorter ones get examples that do
        not count.
        """
        length = max(self.x.shape[1], other.x.shape[1])
        return Exam(
            *(
                torch.cat([_longer(getattr(one, name), length) for one in (self, other)])
                for name in ("x", "y", "share")
            )
        )

    def part(self, start: int, stop: int) -> Exam:
        """The exam of markets start..stop; itself where it is shared."""
        return (
            self
            if self.owners == 1
            else Exam(self.x[start:stop], self.y[start:stop], self.share[start:stop])
        )


def _longer(examples: Tensor, length: int) -> Tensor:
    """Pad the second axis with zeros."""
    return torch.cat(
        [
            examples,
            examples.new_zeros(len(examples), length - examples.shape[1], *examples.shape[2:]),
        ],
        1,
    )


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


def finite(params: Float[Tensor, "markets k params"], loss: Tensor, accuracy: Tensor) -> Scores:
    """Scores with loss +inf and accuracy 0 for every model whose parameters or loss are not
    finite.
    """
    good = params.isfinite().all(-1) & loss.isfinite()
    return Scores(
        torch.where(good, loss, torch.inf).float(), torch.where(good, accuracy, 0.0).float()
    )


def in_pieces(
    score: Callable[[Tensor, Exam], Scores],
    params: Float[Tensor, "markets k params"],
    exam: Exam,
    cost: int,
    limit: int,
) -> Scores:
    """Score in halves, by k and then by market, until a piece needs at most ``limit`` bytes.

    cost: bytes of temporaries per model; one model alone is always scored, whatever it needs.
    """
    markets, k = params.shape[:2]
    if markets * k * cost <= limit or markets * k <= 1:
        return score(params, exam)
    axis = 1 if k > 1 else 0
    cut = params.shape[axis] // 2
    parts = params.split([cut, params.shape[axis] - cut], axis)
    exams = (exam, exam) if axis else (exam.part(0, cut), exam.part(cut, markets))
    first, last = (in_pieces(score, p, e, cost, limit) for p, e in zip(parts, exams, strict=True))
    return Scores(
        torch.cat([first.loss, last.loss], axis), torch.cat([first.accuracy, last.accuracy], axis)
    )
