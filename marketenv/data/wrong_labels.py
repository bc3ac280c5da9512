"""Wrong labels, for the rows of many owners at once.

A data set may have them by nature, or a dishonest seller may deliver them.

y:     labels of each owner's rows                                           int64 [*owners, n]
rates: chance that a row's label is wrong; 0 leaves the labels as they are   float [*owners]
keys:  one random key for each owner                                         int64 [*owners]

The change of a row depends on its owner's key and its place alone: padding, other rows and other
owners change nothing. All functions raise ValueError for rates outside 0..1, for NaN, for labels
outside 0..n_classes-1, and for axes that do not agree.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core import draws
from marketenv.data.owned_rows import Keys, Labels, Rates, check_labels, check_rates, random_rows


def symmetric_flips(y: Labels, rates: Rates, keys: Keys, n_classes: int) -> Labels:
    """Give each row another label with chance ``rates``, each other class equally often.

    Source: symmetric label noise, as in Natarajan et al., NeurIPS 2013, for any number of classes.

    >>> y, rates, keys = torch.tensor([[0, 1, 1, 0]]), torch.tensor([1.0]), torch.tensor([1])
    >>> symmetric_flips(y, rates, keys, n_classes=2)
    tensor([[1, 0, 0, 1]])
    """
    other = 1 + draws.integers(draws.fold(keys, "other class"), n_classes - 1, y.shape[-1])
    return _flipped(y, rates, keys, n_classes, other)


def pairwise_flips(y: Labels, rates: Rates, keys: Keys, n_classes: int) -> Labels:
    """Give each row the next label, c + 1 mod C in place of c, with chance ``rates``.

    Each class is so taken for one other class.

    Source: pair flipping of Han et al., Co-teaching, NeurIPS 2018.

    >>> y, rates, keys = torch.tensor([[0, 1, 2]]), torch.tensor([1.0]), torch.tensor([1])
    >>> pairwise_flips(y, rates, keys, n_classes=3)
    tensor([[1, 2, 0]])
    """
    return _flipped(y, rates, keys, n_classes, torch.ones_like(y))


FLIPS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Tensor]] = {
    "symmetric": symmetric_flips,
    "pairwise": pairwise_flips,
}


def _flipped(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int, step: Tensor) -> Tensor:
    """Move labels on by so many classes in random rows, which are the same for all ways to flip."""
    check_labels(y, keys, n_classes)
    check_rates(rates, keys)
    wrong = random_rows("flip", rates, keys, y.shape[-1])
    return torch.where(wrong, (y + step) % n_classes, y)


def cycles(
    lengths: Int[Tensor, "*owners"], n_classes: int, order: tuple[int, ...] | None = None
) -> Int[Tensor, "*owners classes"]:
    """Permute the classes of each owner: the first ``lengths`` of ``order`` in a cycle.

    lengths: 4 with the default order sends 0 to 1 to 2 to 3 to 0; 0 and 1 leave every class as it
             is
    order:   classes in the order of the cycle; None: 0, 1, 2, ...

    Raises ValueError for lengths outside 0..len(order), and for an order with an unknown class or
    one that stands twice.

    >>> cycles(torch.tensor([4, 0]), 5)
    tensor([[1, 2, 3, 0, 4], [0, 1, 2, 3, 4]])
    """
    cycle = tuple(range(n_classes)) if order is None else tuple(order)
    if len(set(cycle)) != len(cycle) or not set(cycle) <= set(range(n_classes)):
        raise ValueError(
            f"order is {order}, wanted classes from 0 to {n_classes - 1}, each named once."
        )
    if bool(((lengths < 0) | (lengths > len(cycle))).any()):
        raise ValueError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}, wanted 0..{len(cycle)}"
            " classes."
        )
    place = torch.arange(len(cycle), device=lengths.device)
    after = (place + 1) % lengths.clamp(min=1)[..., None]
    after = torch.where(place < lengths[..., None], after, place)
    classes = torch.tensor(cycle, dtype=torch.int64, device=lengths.device)
    maps = torch.arange(n_classes, device=lengths.device).repeat(*lengths.shape, 1)
    return maps.scatter(-1, classes.expand(*lengths.shape, -1), classes[after])


def permuted_labels(y: Labels, maps: Int[Tensor, "*owners classes"]) -> Labels:
    """Give every row the label to which its owner's permutation maps its own; see ``cycles``.

    A label-aware distance that knows labels by the moments of their classes does not change.

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
