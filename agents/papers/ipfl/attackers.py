"""A client that uploads something else than its model: who buys from it, and what it earns."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.market import Market, agent_names
from marketenv.markets.model_sharing.uploads import UPLOADS

from ...markets import STRATEGIES
from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence
from .graphs import seed_words
from .settings import digits
from .sharing import shared, utility

# times an effort's: it takes so many episodes without a purchase to say that nobody buys
SEEDS = 2
DISHONEST = tuple(name for name in UPLOADS if name != "honest")


@dataclass(frozen=True)
class Isolation:
    """An experiment: the share of the others that buys from an attacker, after the first round.

    claimed: sizes that it reports, as multiples of its own
    """

    attack: str
    claimed: tuple[float, ...] = (1.0,)

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The attacker's share of each seed, for each size that it claims.

        The table shows an honest client in its place too.
        """
        market = digits(condition, max(2, effort.digits // 6))
        seeds = seeds_of(JUDGE, SEEDS * effort.seeds)
        policy: Any = STRATEGIES[self.attack].build(market)
        policies = {_claim(size): dataclasses.replace(policy, size=size) for size in self.claimed}
        shares = {name: share_of_buyers(market, part, seeds) for name, part in policies.items()}
        honest = _honest_share(condition, market.horizon, len(seeds))
        worst = max(shares, key=lambda name: float(shares[name].max()))
        most, mean = float(shares[worst].max()), float(shares[worst].mean())
        rows = [
            [name, float(share.mean()), float(share.max())]
            for name, share in {**shares, "an honest client": honest}.items()
        ]
        title, head = "share of the others that buy", ["who sells", "mean", "greatest"]
        return Evidence(
            samples={f"{title}, {name}": share.tolist() for name, share in shares.items()},
            seeds=seed_words(len(seeds)),
            tables=({"title": title, "head": head, "rows": rows},),
            counterexample=(
                f"{self.attack}, {worst}, sells to {most:.0%} of the others a round at seed JUDGE +"
                f" {int(shares[worst].argmax())}, to {mean:.1%} in the mean; an honest client to"
                f" {float(honest.mean()):.1%}"
            ),
            notes=(f"{market.horizon} rounds, of which the first is left out",),
        )


def share_of_buyers(market: Market, part: Any, seeds: Tensor) -> Float64[Tensor, "seeds"]:
    """The share of the others that buys from the first client, mean of the rounds after the first.

    The first client plays a part, all others are truthful.
    """
    _, *later = shared(market, {agent_names(market)[0]: part}, seeds)
    buyers = torch.stack([one.sold[:, 0].double() for one in later]).mean(0)
    return buyers / (market.people.count - 1)


@lru_cache(8)
def _honest_share(condition: str, n_rounds: int, count: int) -> Tensor:
    """An honest client's share, which every attack is shown beside."""
    return share_of_buyers(digits(condition, n_rounds), "truthful", seeds_of(JUDGE, count))


def _claim(size: float) -> str:
    return "its own size" if size == 1 else f"{size:g} times its size"


def effort_unpaid(condition: str, effort: Effort) -> Evidence:
    """Utility of a client that relays others' work, less nine tenths of its honest utility.

    Paired by seed.
    """
    market, seeds = digits(condition, effort.digits), seeds_of(JUDGE, effort.seeds)
    first = agent_names(market)[0]
    rider, honest = (
        utility(market, {first: part}, seeds)[:, 0] for part in ("relay_rider", "truthful")
    )
    ratio = float(rider.mean() / honest.mean().clamp(min=1e-12))
    note = (
        f"the rider earns {ratio:.3g} of an honest client in {market.horizon} rounds; the cost of"
        " effort is left out"
    )
    return Evidence(
        samples={"rider less .9 of honest": (rider - 0.9 * honest).tolist()},
        seeds=seed_words(len(seeds)),
        scale=max(float(honest.mean()), 1e-12),
        notes=(note,),
    )
