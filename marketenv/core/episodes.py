"""Which episode each market of a batch plays, and the seed of that episode."""

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
class EpisodeSeeds:
    """Which episode each market plays.

    base:   the seed that each market got last                       int64 [markets]
    number: how many episodes it has begun since the first of it     int64 [markets]
    """

    base: Tensor  # both are not checked yet where a file was just read
    number: Tensor

    @property
    def seeds(self) -> Int[Tensor, "markets"]:
        """Seeds of each market's present episode; a first episode has the base itself."""
        later = draws.fold(self.base, "episode", self.number)
        return torch.where(self.number > 0, later, self.base)

    def begun(
        self, seeds: Int[Tensor, "markets"] | None, mask: Bool[Tensor, "markets"]
    ) -> EpisodeSeeds:
        """The masked markets begin episodes of new seeds, or their next ones where a seed is -1.

        seeds: None where all begin their next ones
        """
        if seeds is None:
            return EpisodeSeeds(self.base, self.number + mask)
        number = torch.where(seeds >= 0, 0, self.number + 1)
        return EpisodeSeeds(
            torch.where(mask & (seeds >= 0), seeds, self.base),
            torch.where(mask, number, self.number),
        )


def read_seeds(
    seed: Any, n_markets: int, device: torch.device, first: bool
) -> Int[Tensor, "markets"]:
    """One seed a market: an integer seeds market k with seed + k; a list names a seed for each.

    first: there are no former episodes, so seeds that are None are drawn; otherwise they are -1
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
    fresh = secrets.randbits(40)
    others = [fresh + k if first else -1 for k in range(n_markets)]
    full = [other if seed is None else seed for seed, other in zip(seeds, others, strict=True)]
    return torch.tensor(full, dtype=torch.int64, device=device)


def _each(seed: Any, n_markets: int) -> list[Any]:
    if seed is None or isinstance(seed, Sequence | np.ndarray):
        return [None] * n_markets if seed is None else list(seed)
    return [_whole(seed) + k for k in range(n_markets)]


def _whole(seed: Any) -> int:
    """The seed as an int; TypeError where it is no whole number."""
    if isinstance(seed, bool):
        raise TypeError("True and False are no seeds")
    return operator.index(seed)
