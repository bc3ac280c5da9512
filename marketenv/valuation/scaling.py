"""Extrapolation from two small pilots to the wanted size: scores are linear in log points."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.numbers import numbers
from marketenv.valuation.estimator import Estimator

Number = Tensor | float | int


def extrapolate(
    n0: Number, score0: Number, n1: Number, score1: Number, n: Number
) -> Float64[Tensor, "..."]:
    """Carry scores at two sizes to a third.

    L(N) = [log(N / N0) L(N1) - log(N / N1) L(N0)] / log(N1 / N0)

    n0, n1: training points of the two pilots, 0 < n0 < n1;   n: wanted points, > 0
    score0, score1: scores at n0 and at n1, measured or predicted
    All are numbers or tensors that broadcast. Returns float64 of that shape: the straight line in
    log N through both scores. It is not clamped: of an accuracy it may pass 1.

    Raises ValueError for sizes that are not finite, not above 0 or not in order, and for scores
    that are not finite. Source: arXiv 2509.18104 after Kang et al., NeurIPS 2023.

    >>> extrapolate(
    ...     100, torch.tensor([0.5, 0.6]), 200, torch.tensor([0.6, 0.5]), 800
    ... )  # two more doublings
    tensor([0.8000, 0.3000], dtype=torch.float64)
    """
    device = _device(score0, score1, n0, n1, n)
    first, second = (
        _finite(score, name, device) for score, name in ((score0, "score0"), (score1, "score1"))
    )
    weight0, weight1 = scale_weights(
        *(numbers(size, name, device) for size, name in ((n0, "n0"), (n1, "n1"), (n, "n")))
    )
    return weight0 * first + weight1 * second


def extrapolate_estimator(
    n0: Number, first: Estimator, n1: Number, second: Estimator, n: Number
) -> Estimator:
    """Make the estimator at n points from those that were fitted at n0 and at n1 points.

    coefficients(N) = w0 coefficients(N0) + w1 coefficients(N1)

    It predicts what ``extrapolate`` gives of both predictions.
    n0, n1, n: as in ``extrapolate``, numbers or one for each market [..]
    first, second: fitted at n0 and n1
    Its spread is that of two independent errors, sqrt((w0 spread0)^2 + (w1 spread1)^2); its r2 and
    rank are the lesser ones.

    Raises ValueError as ``extrapolate`` does, and for estimators of different numbers of sellers.
    """
    if first.n_sellers != second.n_sellers:
        raise ValueError(
            f"first has {first.n_sellers} sellers and second {second.n_sellers}; wanted one number"
            " for both."
        )
    device = first.coefficients.device
    weight0, weight1 = scale_weights(
        *(numbers(size, name, device) for size, name in ((n0, "n0"), (n1, "n1"), (n, "n")))
    )
    coefficients = (
        weight0[..., None, None] * first.coefficients
        + weight1[..., None, None] * second.coefficients
    )
    spread = torch.hypot(_times(weight0, first.spread), _times(weight1, second.spread))
    shape = coefficients.shape[:-2]
    r2, rank = torch.minimum(first.r2, second.r2), torch.minimum(first.rank, second.rank)
    return Estimator(coefficients, r2.expand(shape), spread.expand(shape), rank.expand(shape))


def scale_weights(
    n0: Tensor, n1: Tensor, n: Tensor
) -> tuple[Float64[Tensor, "..."], Float64[Tensor, "..."]]:
    """Weights of the scores at n0 and at n1 in the score at n; they sum to 1.

    w0 = -log(N / N1) / log(N1 / N0),   w1 = log(N / N0) / log(N1 / N0)

    Raises ValueError for sizes that are not finite, not above 0 or not in order, n0 < n1.

    >>> scale_weights(*torch.tensor([100.0, 200.0, 800.0]))
    (tensor(-2., dtype=torch.float64), tensor(3., dtype=torch.float64))
    """
    for size, name in ((n0, "n0"), (n1, "n1"), (n, "n")):
        if not bool((size.isfinite() & (size > 0)).all()):
            wrong = size[~(size.isfinite() & (size > 0))]
            raise ValueError(
                f"{name} is {float(wrong[0]):g}; wanted a finite number of training points above 0."
            )
    n0, n1, n = (size.double() for size in (n0, n1, n))
    if not bool((n0 < n1).all()):
        low, high = torch.broadcast_tensors(n0, n1)
        raise ValueError(
            f"n0 is {float(low[low >= high][0]):g} and n1 is {float(high[low >= high][0]):g};"
            " wanted n0 < n1: a line through two scores needs two sizes, the smaller one first."
        )
    doublings = (n1 / n0).log()
    return -(n / n1).log() / doublings, (n / n0).log() / doublings


def _device(*values: Number) -> torch.device:
    """Where the first tensor lies; the CPU where all are plain numbers."""
    return next(
        (value.device for value in values if isinstance(value, Tensor)), torch.device("cpu")
    )


def _finite(score: Number, name: str, device: torch.device) -> Tensor:
    score = numbers(score, name, device)
    if not bool(score.isfinite().all()):
        raise ValueError(
            f"{name} holds {float(score[~score.isfinite()][0]):g}; wanted finite scores."
        )
    return score


def _times(weight: Tensor, spread: Tensor) -> Tensor:
    """weight * spread, and 0 where the weight is 0, even for an unknown spread."""
    return torch.where(weight == 0, 0.0, weight * spread)
