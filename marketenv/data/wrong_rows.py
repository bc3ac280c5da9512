"""Copies of rows, and noise in place of examples, for many owners at once.

Arguments are those of ``wrong_labels`` and ``wrong_features``.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core import draws
from marketenv.data.owned_rows import (
    Features,
    Keys,
    Labels,
    Rates,
    check_features,
    check_labels,
    check_rates,
    normals,
    over,
    random_rows,
    where,
)
from marketenv.data.wrong_features import Moments, known_or_own


def duplicated(x: Features, y: Labels, unique: Int[Tensor, "*owners"]) -> tuple[Features, Labels]:
    """Let each owner's rows be copies of its first ``unique`` rows, over and over.

    unique: 1..n; n leaves the rows as they are

    >>> x, y = torch.tensor([[[5.0], [6.0], [7.0]]]), torch.tensor([[0, 1, 2]])
    >>> duplicated(x, y, torch.tensor([2]))[1]
    tensor([[0, 1, 0]])
    """
    n = y.shape[-1]
    if bool(((unique < 1) | (unique > n)).any()):
        raise ValueError(
            f"unique runs from {int(unique.min())} to {int(unique.max())}, wanted 1..{n}, rows of"
            " an owner."
        )
    check_features(x, unique)
    place = torch.arange(n, device=y.device) % unique[..., None]
    return x.gather(unique.dim(), over(place, x).expand_as(x)), y.gather(-1, place)


def noise_rows(
    x: Features, y: Labels, rates: Rates, keys: Keys, n_classes: int, known: Moments | None = None
) -> tuple[Features, Labels]:
    """Put noise in place of each row with chance ``rates``.

    The noise is normal features of the same moments, with labels at random. A seller that showed
    good rows, and keeps them, delivers such noise.

    known: moments of the noise; None: those of the owner's own rows, all of which then count

    >>> x, y, all_rows = torch.ones(1, 2, 3), torch.zeros(1, 2).long(), torch.tensor([1.0])
    >>> x, y = noise_rows(x, y, all_rows, torch.tensor([3]), n_classes=5)
    >>> x.unique().tolist(), y.tolist()  # noise of mean 1 and deviation 0
    ([1.0], [[3, 2]])
    """
    check_labels(y, keys, n_classes)
    check_rates(rates, keys)
    mean, spread = known_or_own(x, keys, known)
    keys = draws.fold(keys, "noise rows")
    noisy, axis = random_rows("which", rates, keys, y.shape[-1]), keys.dim()
    noise = mean.unsqueeze(axis) + spread.unsqueeze(axis) * normals(keys, x)
    labels = draws.integers(draws.fold(keys, "label"), n_classes, y.shape[-1])
    return where(noisy, noise, x), torch.where(noisy, labels, y)
