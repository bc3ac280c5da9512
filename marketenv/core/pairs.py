"""Matrices of pairs: without their diagonal, from a few numbers a row, and each pair once."""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Int, Num, Shaped
from torch import Tensor
from torch.nn.functional import pad


def others(pairs: Num[Tensor, "markets n n"] | Tensor) -> Tensor:
    """Drop the diagonal of [markets, n, n]: row i keeps the others in order, [markets, n, n - 1].

    >>> import torch
    >>> others(torch.arange(4).reshape(1, 2, 2))
    tensor([[[1],
             [2]]])
    """
    n = pairs.shape[-1]
    return pairs.flatten(1)[:, 1:].unflatten(1, (n - 1, n + 1))[..., :-1].reshape(-1, n, n - 1)


def pairs_of(others: Num[Tensor, "markets n rest"] | Tensor) -> Tensor:
    """Undo ``others``: [markets, n, n - 1] to [markets, n, n] with a zero diagonal."""
    n = others.shape[1]
    rows = pad(others.reshape(-1, n - 1, n), (0, 1)).flatten(1)
    return pad(rows, (1, 0)).unflatten(1, (n, n))


def from_places(
    values: Shaped[Tensor, "markets n places"], columns: Int[Tensor, "markets n places"], rest: Any
) -> Shaped[Tensor, "markets n n"]:
    """Pair matrices of a few numbers a row: each stands in its column, ``rest`` in all others.

    >>> import torch
    >>> from_places(torch.tensor([[[5], [6]]]), torch.tensor([[[1], [0]]]), 0)
    tensor([[[0, 5],
             [6, 0]]])
    """
    n = values.shape[1]
    return values.new_full((len(values), n, n), rest).scatter(2, columns, values)


def distinct_pairs(chosen: Bool[Tensor, "markets n n"]) -> Int[Tensor, "pairs three"]:
    """Pairs i < j of which one chose the other, each once: rows (market, i, j).

    >>> import torch
    >>> distinct_pairs(torch.tensor([[[False, True], [True, True]]]))
    tensor([[0, 0, 1]])
    """
    return (chosen | chosen.mT).triu(1).nonzero()
