"""The same attacks in the market itself: what scripted sellers earn in ``data_market_v0``.

Prices come from the market's procurement, quotas from its selection; ``exploits`` asks the same of
one payment alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.core.market import agent_names

from ...lineups import find_profile, play, seat
from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .exploits import LEAST_LOSS
from .settings import size_of

ATTACKER, BUYER = "seller_0", "buyer_0"
STRATEGIES = (
    "label_permuter",
    "label_flipper",
    "duplicator",
    "padder",
    "bait_and_switch",
    "spoofer",
    "imitator",
)
SMALL: dict[str, Any] = {
    "n_sellers": 3,
    "max_cycles": 1,
    "points": 120,
    "pilots": (30, 60),
    "mixtures": 9,
}
DEFENCES: dict[str, dict[str, Any]] = {
    AS_STATED: {},
    "vocabulary": {"vocabulary": 1.0},
    "hold-back": {"hold_back": 0.5},
    "audit": {"verify": 1.0},
    "all three": {"vocabulary": 1.0, "hold_back": 0.5, "verify": 1.0},
}


@lru_cache(maxsize=64)
def earned(
    condition: str, strategy: str, n_seeds: int
) -> tuple[Float64[Tensor, "seeds"], Float64[Tensor, "seeds"]]:
    """Utility of the first seller, by its strategy, and of the buyer; others are truthful."""
    market = make_market("data_market_v0", **SMALL, **DEFENCES[condition])
    names, seeds = agent_names(market), seeds_of(JUDGE, n_seeds)
    policies, who = seat(
        market,
        find_profile(market, {n: strategy if n == ATTACKER else "truthful" for n in names}),
        seeds,
    )
    utility = play(market, policies, who[None], seeds).utility[0]
    return utility[:, names.index(ATTACKER)], utility[:, names.index(BUYER)]


def harm_pays_less(condition: str, effort: Effort) -> Evidence:
    """How far each harmful strategy's earnings lie below nine tenths of truth's.

    A strategy is harmful where it costs the buyer something.
    """
    if condition != AS_STATED and effort.name not in ("standard", "full"):
        return Evidence(
            untested="defences in a market that trains want the effort standard or full"
        )
    n_seeds = size_of(effort).seeds
    own, buyer = earned(condition, "truthful", n_seeds)
    utilities = {name: earned(condition, name, n_seeds) for name in STRATEGIES}
    harmful = {
        name: money
        for name, (money, theirs) in utilities.items()
        if float((buyer - theirs).mean()) > 0
    }
    if not harmful:
        return Evidence(untested="no strategy costs the buyer anything")
    rows = [
        [n, float(m.mean()), float(b.mean())]
        for n, (m, b) in {"truthful": (own, buyer), **utilities}.items()
    ]
    return Evidence(
        samples={name: (LEAST_LOSS * own - money).tolist() for name, money in harmful.items()},
        seeds=f"JUDGE + 0..{n_seeds - 1}",
        scale=max(float(own.abs().mean()), 1e-12),
        tables=[
            {
                "title": condition,
                "head": ["seller_0 plays", "it earns, money", "the buyer earns, money"],
                "rows": rows,
            }
        ],
    )
