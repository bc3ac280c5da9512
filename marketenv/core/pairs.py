"""Matrices of pairs without their diagonal: an agent's numbers of each of the others."""

from __future__ import annotations

from jaxtyping import Num
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
