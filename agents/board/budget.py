"""How much the board spends on a contender."""

from __future__ import annotations

from dataclasses import dataclass

from marketenv.core.market import Market

from ..stress.search import Budget


@dataclass(frozen=True, kw_only=True)
class Spending:
    """How much a contender may spend.

    episodes: in which a contender is judged: in a market that trains nothing, and in one that does
    share:    of the steps that ``agents.rl.SETTINGS`` gives a learner
    searches: budgets of cross-entropy and PSRO, in the two kinds of markets
    turns:    of PSRO at most
    pairs:    seeds of its games, in the two kinds of markets
    """

    episodes: tuple[int, int]
    share: float
    searches: tuple[Budget, Budget]
    turns: int
    pairs: tuple[int, int]


def trains(market: Market) -> bool:
    """Whether a market trains models, so that its rounds are costly.

    >>> from marketenv import make_market
    >>> trains(make_market("reference_v0", game="first_price"))
    False
    """
    return getattr(market.config, "learner", None) is not None


def _searches(cheap: int, costly: int, size: int) -> tuple[Budget, Budget]:
    """Budgets of one size, with so many seeds of choice in the two kinds of markets."""
    one, two = (
        Budget(select=seeds, judge=seeds, points=11, population=size, generations=size // 3)
        for seeds in (cheap, costly)
    )
    return one, two


SPENDINGS: dict[str, Spending] = {
    "quick": Spending(
        episodes=(256, 32),
        share=1 / 16,
        searches=_searches(256, 16, 6),
        turns=2,
        pairs=(256, 16),
    ),
    "standard": Spending(
        episodes=(2048, 128),
        share=1 / 2,
        searches=_searches(1024, 32, 12),
        turns=3,
        pairs=(1024, 32),
    ),
    "full": Spending(
        episodes=(8192, 512),
        share=1.0,
        searches=_searches(4096, 128, 24),
        turns=6,
        pairs=(4096, 128),
    ),
}
