"""Wrong labels: for the rows of many owners at once, as a data set may have them and as a dishonest
seller may deliver them.

y:     labels of each owner's rows   int64 [*owners, n]
rates: chance that a row's label is wrong; 0 leaves the labels as they are          float [*owners]
keys:  one random key an owner                                                      int64 [*owners]

What happens to a row follows from its owner's key and its place alone: padding, other rows and
other owners change nothing. All raise ValueError for rates outside 0..1, for NaN, for labels
outside 0..n_classes-1, and for axes that do not agree.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core import draws
from marketenv.data.owned_rows import Keys, Labels, Rates, check_labels, check_rates, chosen


def symmetric_flips(y: Labels, rates: Rates, keys: Keys, n_classes: int) -> Labels:
    """Give each row another label with chance ``rates``, each other class equally often.

    Source: symmetric label noise, as in Natarajan et al., NeurIPS 2013, for any number of classes.

    >>> symmetric_flips(
    ...     torch.tensor([[0, 1, 1, 0]]), torch.tensor([1.0]), torch.tensor([1]), n_classes=2
    ... )
    tensor([[1, 0, 0, 1]])
    """
    other = 1 + draws.integers(draws.fold(keys, "other class"), n_classes - 1, y.shape[-1])
    return _flipped(y, rates, keys, n_classes, other)


def pairwise_flips(y: Labels, rates: Rates, keys: Keys, n_classes: int) -> Labels:
    """Give each row the next label, c + 1 mod C in place of c, with chance ``rates``: each class is
    taken for one other.

    Source: pair flipping of Han et al., Co-teaching, NeurIPS 2018.

    >>> pairwise_flips(
    ...     torch.tensor([[0, 1, 2]]), torch.tensor([1.0]), torch.tensor([1]), n_classes=3
    ... )
    tensor([[1, 2, 0]])
    """
    return _flipped(y, rates, keys, n_classes, torch.ones_like(y))


FLIPS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Tensor]] = {
    "symmetric": symmetric_flips,
    "pairwise": pairwise_flips,
}


def _flipped(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int, step: Tensor) -> Tensor:
    """Move labels on by so many classes where a row's lot falls; the lot is the same for all
    ways to flip.
    """
    check_labels(y, keys, n_classes)
    check_rates(rates, keys)
    return torch.where(chosen("flip", rates, keys, y.shape[-1]), (y + step) % n_classes, y)


def cycles(
    lengths: Int[Tensor, "*owners"], n_classes: int, order: tuple[int, ...] | None = None
) -> Int[Tensor, "*owners classes"]:
    """For each owner a permutation of the classes that sends the first ``lengths`` of ``order``
    round, each to the next.

    lengths: 4 with the default order sends 0 to 1 to 2 to 3 to 0; 0 and 1 leave every class as it
        is
    order:   classes in the order in which they are taken; None: 0, 1, 2, ...

    Raises ValueError for lengths outside 0..len(order) and an order that names a class twice or
    none.

    >>> cycles(torch.tensor([4, 0]), 5)
    tensor([[1, 2, 3, 0, 4], [0, 1, 2, 3, 4]])
    """
    taken = tuple(range(n_classes)) if order is None else tuple(order)
    if len(set(taken)) != len(taken) or not set(taken) <= set(range(n_classes)):
        raise ValueError(
            f"order is {order}, wanted classes from 0 to {n_classes - 1}, each named once."
        )
    if bool(((lengths < 0) | (lengths > len(taken))).any()):
        raise ValueError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}, wanted 0..{len(taken)}"
            " classes."
        )
    place = torch.arange(len(taken), device=lengths.device)
    following = torch.where(
        place < lengths[..., None], (place + 1) % lengths.clamp(min=1)[..., None], place
    )
    classes = torch.tensor(taken, dtype=torch.int64, device=lengths.device)
    maps = torch.arange(n_classes, device=lengths.device).repeat(*lengths.shape, 1)
    return maps.scatter(-1, classes.expand(*lengths.shape, -1), classes[following])


def permuted_labels(y: Labels, maps: Int[Tensor, "*owners classes"]) -> Labels:
    """Give every row the label that its owner's permutation has for it; see ``cycles``.

    A label-aware distance that knows labels by the moments of their classes does not see it.

    >>> permuted_labels(torch.tensor([[0, 3, 4]]), cycles(torch.tensor([4]), 5))
    tensor([[1, 0, 4]])
    """
    classes = torch.arange(maps.shape[-1], device=maps.device)
    if not bool((maps.sort(-1).values == classes).all()):
        raise ValueError(
            f"maps hold a class twice or none, wanted a permutation of the {len(classes)} classes"
            " for each owner."
        )
    check_labels(y, maps[..., 0], len(classes))
    return maps.gather(-1, y)
