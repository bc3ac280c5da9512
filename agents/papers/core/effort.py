"""How much an experiment may spend."""

from __future__ import annotations

from dataclasses import dataclass

from marketenv.core.market import Market

from ...stress.search import Budget
from .samples import MOST


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much an experiment may spend.

    cheap:  the search in a market that trains nothing
    costly: the search in a market that trains models
    seeds:  episodes of a market that trains models
    rounds: of a market that is attacked
    digits: rounds of an episode of two agents who train on embedded images
    linear: seeds, rounds and parameters of two agents with linear models
    paper:  seeds of them at the paper's size, 0 for none
    cases:  random cases of a theorem
    steps:  for which a learning agent trains, 0 for no learner
    data:   large data sets are used where their folder is there
    """

    name: str
    cheap: Budget
    costly: Budget
    seeds: int
    rounds: int
    digits: int
    linear: tuple[int, int, int]
    cases: int
    steps: int
    paper: int = 0
    data: bool = False


EFFORTS: dict[str, Effort] = {
    "quick": Effort(
        name="quick",
        cheap=Budget(select=2048, judge=32768, points=21, population=32, generations=4),
        costly=Budget(select=20, judge=20, points=11, population=6, generations=2),
        seeds=20,
        rounds=2,
        digits=12,
        linear=(20, 30, 60),
        cases=2_000,
        steps=0,
    ),
    "standard": Effort(
        name="standard",
        cheap=Budget(select=4096, judge=131072, points=41, population=64, generations=8),
        costly=Budget(select=96, judge=256, points=21, population=12, generations=4),
        seeds=128,
        rounds=5,
        digits=36,
        linear=(40, 100, 200),
        cases=100_000,
        steps=10_000,
        paper=20,
    ),
    "full": Effort(
        name="full",
        cheap=Budget(select=16384, judge=524288, points=101, population=128, generations=12),
        costly=Budget(select=128, judge=256, points=41, population=32, generations=8),
        seeds=256,
        rounds=20,
        digits=60,
        linear=(100, 100, 1000),
        cases=1_000_000,
        steps=38_400,
        paper=100,
        data=True,
    ),
}


def seed_count(market: Market, seeds: int, more: int = 20) -> int:
    """Number of seeds: ``more`` times as many in one-round markets, which are cheap; at most MOST.

    A number of seeds above MOST stays as it is.
    """
    return max(seeds, min(more * seeds, MOST)) if market.horizon == 1 else seeds
