"""Noisy and shifted features, for the rows of many owners at once.

Data may be so by nature, or a dishonest seller may make them so.

x:     features of each owner's rows                         float [*owners, n, *features]
rates: how far each owner's features are changed; 0 leaves them as they are, to the bit
                                                             float [*owners]
keys:  one random key for each owner                         int64 [*owners]
known: mean and deviation of each feature, the units of a change, such as those of a whole market;
       None: those of the owner's own rows, all of which then count

The change of a row depends on its owner's key, its place and ``known`` alone: where these are
given, padding and other owners change nothing. All functions raise ValueError for rates out of
range, for NaN, and for axes that do not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import choice
from marketenv.data.owned_rows import (
    Features,
    Keys,
    Labels,
    Rates,
    check_features,
    check_rates,
    normals,
    over,
    where,
)

MOST_NOISE = 1e6  # deviations


class Moments(NamedTuple):
    """Mean and standard deviation of each feature [*owners, *features], the units of a change."""

    mean: Tensor
    spread: Tensor


def moments(x: Features, weights: Float[Tensor, "*owners n"]) -> Moments:
    """Mean and standard deviation of each feature over an owner's rows.

    weights: how much each row counts, 0 for padding; they need not sum to 1

    >>> moments(torch.tensor([[1.0], [3.0], [99.0]]), torch.tensor([1.0, 1.0, 0.0]))
    Moments(mean=tensor([2.]), spread=tensor([1.]))
    """
    axis, total = weights.dim() - 1, weights.sum(-1, keepdim=True)
    fine = (weights >= 0).all(-1) & (total[..., 0] > 0)
    if x.shape[: axis + 1] != weights.shape or not bool(fine.all()):
        raise ValueError(
            f"weights {list(weights.shape)} of rows {list(x.shape)}, wanted numbers >= 0"
            f" {list(x.shape[: axis + 1])}, of which no owner's are all 0."
        )
    share = over(weights / total, x)
    x = where(weights > 0, x, torch.zeros_like(x))  # padding may hold anything
    mean = (share * x).sum(axis)
    return Moments(mean, (share * (x - mean.unsqueeze(axis)).square()).sum(axis).sqrt())


def feature_noise(x: Features, rates: Rates, keys: Keys, known: Moments | None = None) -> Features:
    """Add normal noise of ``rates`` standard deviations to each feature of each row.

    x' = x + rate * spread * e,   e ~ N(0, 1)

    rates: from 0 to a million
    known: moments that are the units of the noise; None: those of the owner's own rows, all of
           which then count

    >>> x = torch.tensor([[[0.0], [2.0]]]).repeat(1, 20000, 1)  # a deviation of 1
    >>> round(float((feature_noise(x, torch.tensor([0.5]), torch.tensor([1])) - x).std()), 2)
    0.5
    """
    check_rates(rates, keys, MOST_NOISE)
    spread = known_or_own(x, keys, known).spread
    noise = normals(draws.fold(keys, "feature noise"), x)
    return where(rates > 0, x + over(rates, x) * spread.unsqueeze(keys.dim()) * noise, x)


def brightness(x: Features, rates: Rates, keys: Keys, known: Moments) -> Features:
    """Raise all features by one number, as more light does: x + rate * s.

    s is the root mean square of all their deviations.
    """
    return x + over(rates * _over_features(known.spread.square(), keys).mean(-1).sqrt(), x)


def contrast(x: Features, rates: Rates, keys: Keys, known: Moments) -> Features:
    """Bring all features nearer to one grey, as fog does: (1 - rate) x + rate * m.

    m is the mean of all their means.
    """
    return x.lerp(over(_over_features(known.mean, keys).mean(-1), x), over(rates, x))


def offset(x: Features, rates: Rates, keys: Keys, known: Moments) -> Features:
    """Move all rows of an owner by one vector, as its own device does: x + rate * spread * e.

    e ~ N(0, 1) for each feature.
    """
    vector = draws.normal(draws.fold(keys, "offset"), *x.shape[keys.dim() + 1 :]).to(x)
    return x + over(rates, x) * (known.spread * vector).unsqueeze(keys.dim())


SHIFTS: dict[str, Callable[[Tensor, Tensor, Tensor, Moments], Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "offset": offset,
}


def covariate_shift(
    x: Features, rates: Rates, keys: Keys, known: Moments | None = None, *, kind: str = "brightness"
) -> Features:
    """Shift the features of all rows of an owner in one way, whatever their labels.

    kind:  a shift of ``SHIFTS``, smooth in ``rates``
    rates: from 0 to 1, which is one deviation, or no contrast
    known: moments that are the units of a shift; None: those of the owner's own rows, all of which
           then count

    >>> x, half = torch.tensor([[[0.0], [2.0]]]), torch.tensor([0.5])  # mean 1, deviation 1
    >>> covariate_shift(x, half, torch.tensor([1])).flatten().tolist()
    [0.5, 2.5]
    >>> covariate_shift(x, half, torch.tensor([1]), kind="contrast").flatten().tolist()
    [0.5, 1.5]
    """
    check_rates(rates, keys)
    shift = SHIFTS[choice(kind, "kind", SHIFTS)]
    return where(rates > 0, shift(x, rates.to(x), keys, known_or_own(x, keys, known)), x)


def toward(
    x: Features,
    public: Float[Tensor, "m *features"],
    rates: Rates,
    keys: Keys,
    labels: tuple[Labels, Int[Tensor, "m"]] | None = None,
) -> Features:
    """Move each row towards a public row drawn for it: (1 - rate) x + rate * public.

    public: rows that everybody knows, such as validation data
    labels: of the owners' rows and of the public rows: a row moves to a public row of its own
            class, where there is one; None: to any

    >>> x, public = torch.zeros(1, 2, 1), torch.tensor([[4.0]])
    >>> toward(x, public, torch.tensor([0.25]), torch.tensor([1])).flatten().tolist()
    [1.0, 1.0]
    """
    check_rates(rates, keys)
    check_features(x, keys)
    if not len(public) or public.shape[1:] != x.shape[keys.dim() + 1 :]:
        raise ValueError(
            f"public is {list(public.shape)} but x {list(x.shape)}, wanted public rows with the"
            " features of x."
        )
    lot = draws.uniform(draws.fold(keys, "toward"), x.shape[keys.dim()])
    aim = (lot * len(public)).long() if labels is None else _of_class(lot, *labels)
    return where(rates > 0, x.lerp(public[aim], over(rates, x)), x)


def _of_class(lot: Tensor, y: Tensor, public_y: Tensor) -> Int[Tensor, "*owners n"]:
    """Public rows of the same class by a lot in (0, 1); of any class, where there is none."""
    order = public_y.argsort(stable=True)
    counts = public_y.bincount(minlength=int(y.max()) + 1)
    count = torch.where(counts[y] > 0, counts[y], len(public_y))
    start = torch.where(counts[y] > 0, (counts.cumsum(0) - counts)[y], 0)
    return order[start + (lot * count).long()]


def _over_features(values: Tensor, keys: Tensor) -> Tensor:
    """Numbers of features with all axes of the features joined: [*owners, features]."""
    return values.flatten(keys.dim()) if values.dim() > keys.dim() else values[..., None]


def known_or_own(x: Tensor, keys: Tensor, known: Moments | None) -> Moments:
    """The known moments, or those of each owner's own rows."""
    check_features(x, keys)
    return moments(x, x.new_ones(x.shape[: keys.dim() + 1])) if known is None else known
