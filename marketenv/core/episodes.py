"""Which episode each market of a batch plays, and the seeds that follow from it."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from marketenv.core import draws


@dataclass(frozen=True)
class Episodes:
    """The seed that each market was given last, and how many episodes it has begun since its
    first one   int64 [markets].
    """

    base: Tensor  # not yet checked where they were just read from a file
    number: Tensor

    @property
    def seeds(self) -> Int[Tensor, "markets"]:
        """Seeds of each market's present episode; the first one's are the seeds that were given."""
        return torch.where(
            self.number > 0, draws.fold(self.base, "episode", self.number), self.base
        )

    def begun(self, seeds: Int[Tensor, "markets"], mask: Bool[Tensor, "markets"]) -> Episodes:
        """The masked markets begin episodes of new seeds, or their next ones where the seed is
        -1.
        """
        number = torch.where(seeds >= 0, 0, self.number + 1)
        return Episodes(
            torch.where(mask & (seeds >= 0), seeds, self.base),
            torch.where(mask, number, self.number),
        )


def read_seeds(
    seed: Any, n_markets: int, device: torch.device, first: bool
) -> Int[Tensor, "markets"]:
    """One seed a market: an integer seeds market k with seed + k; a list names a seed, or None, for
    each.

    first: there are no former episodes, so seeds that are not named are drawn; otherwise they are
        -1
    Raises ValueError for anything else.

    >>> read_seeds(5, 3, torch.device("cpu"), first=True).tolist()
    [5, 6, 7]
    """
    try:
        seeds = [None if one is None else _whole(one) for one in _each(seed, n_markets)]
    except TypeError:
        seeds = []
    if len(seeds) != n_markets or any(one is not None and not 0 <= one < 2**63 for one in seeds):
        raise ValueError(
            f"seed is {seed!r}; wanted an integer >= 0, or {n_markets} of them, below 2**63."
        )
    drawn = secrets.randbits(40) if first else None
    filled = [
        (-1 if drawn is None else drawn + k) if one is None else one for k, one in enumerate(seeds)
    ]
    return torch.tensor(filled, dtype=torch.int64, device=device)


def _each(seed: Any, n_markets: int) -> list[Any]:
    if seed is None or isinstance(seed, Sequence | np.ndarray):
        return [None] * n_markets if seed is None else list(seed)
    return [_whole(seed) + k for k in range(n_markets)]


def _whole(seed: Any) -> int:
    """The seed as an int; TypeError where it is no whole number."""
    if isinstance(seed, bool):
        raise TypeError("True and False are no seeds")
    return operator.index(seed)
