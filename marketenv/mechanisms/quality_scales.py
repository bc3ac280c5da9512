"""Scales of quality: from scores of data to the quality f by which owners are paid.

A scale is ``scores [markets, owners] -> quality [markets, owners]``; further options are keywords
with defaults.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import interval, number
from marketenv.mechanisms.procurement import check_money
from marketenv.mechanisms.sales import refuse

PerOwner = Float64[Tensor, "markets owners"]
Number = float | int


def minmax(scores: PerOwner, *, lowest: Number = 0.9) -> PerOwner:
    """Stretch scores so that the worst owner gets the lowest quality and the best gets 1.

    f = lowest + (1 - lowest) (v - min v) / (max v - min v);   1 where all are equal

    scores: v, the higher the better, in any unit   [markets, owners]
    lowest: quality of the worst, in [0, 1]
    Returns f [markets, owners].

    It stretches the smallest difference to the whole scale, so one owner's score moves all others'
    quality. Raises ValueError for scores that are not finite and for another ``lowest``.
    Source: f = .9 + .1 (v - min) / (max - min), public code of arXiv 2501.14588.

    >>> minmax(torch.tensor([[2.0, 3.0, 4.0]]).double())
    tensor([[0.9000, 0.9500, 1.0000]], dtype=torch.float64)
    """
    check_scores(scores)
    unit = torch.where(
        (width := _width(scores)) > 0, (scores - scores.amin(-1, keepdim=True)) / width, 1.0
    )
    return _between(lowest, unit)


def fixed(
    scores: PerOwner, *, ends: tuple[Number, Number] = (0.0, 1.0), lowest: Number = 0.9
) -> PerOwner:
    """Measure scores on a scale that is set beforehand.

    f = lowest + (1 - lowest) min(1, max(0, (v - worst) / (best - worst)))

    scores: v, the higher the better   [markets, owners]
    ends:   (worst, best), worst < best, in the scores' unit; by default for 1 - MSE of images
    lowest: as in ``minmax``
    Returns f [markets, owners]. Raises ValueError as ``minmax``, and for other ends.
    Source: ours. No owner's score moves another's quality.

    >>> fixed(torch.tensor([[2.0, 3.0, 9.0]]).double(), ends=(2.0, 4.0))
    tensor([[0.9000, 0.9500, 1.0000]], dtype=torch.float64)
    """
    check_scores(scores)
    worst, best = interval(ends, "ends", -1e300, 1e300, apart=True)
    return _between(lowest, ((scores - worst) / (best - worst)).clamp(0.0, 1.0))


def ratchet(x: PerOwner, before: PerOwner) -> PerOwner:
    """Never let a contribution fall when the game is solved again: max(x_n, x_n before).

    x, before: contributions [markets, owners]. Returns the same.
    Source: ``compare_elements`` of the authors' public code. Not in the paper's game: an owner
    whose quality fell contributes more than its best response.

    >>> ratchet(torch.tensor([[0.1, 0.3]]).double(), torch.tensor([[0.2, 0.2]]).double())
    tensor([[0.2000, 0.3000]], dtype=torch.float64)
    """
    return x.maximum(before)


def _width(scores: Tensor) -> Tensor:
    return scores.amax(-1, keepdim=True) - scores.amin(-1, keepdim=True)


def _between(lowest: Number, unit: Tensor) -> Tensor:
    """Numbers from 0 to 1, moved to [lowest, 1]; 1 stays 1 to the bit."""
    lowest = number(lowest, "lowest", 0.0, 1.0, fix=", the quality of the worst owner")
    return 1 - (1 - lowest) * (1 - unit)


def check_scores(scores: Tensor) -> None:
    """Refuse scores that are not float64 [markets, owners], and scores that are not finite."""
    if scores.dim() != 2 or not scores.shape[1]:
        raise ValueError(
            f"scores have shape {list(scores.shape)}; wanted [markets, owners] with at least one"
            " owner."
        )
    check_money(scores=scores)
    refuse(
        "score",
        scores,
        ~scores.isfinite(),
        "a finite number; give owners without one the worst score",
    )


QUALITY_SCALES: dict[str, Callable[..., Float64[Tensor, "markets owners"]]] = {
    "minmax": minmax,
    "fixed": fixed,
}
