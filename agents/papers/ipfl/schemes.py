"""What sharing brings: accuracy against training alone, welfare against other schemes."""

from __future__ import annotations

from marketenv.core import rounds
from marketenv.markets.model_sharing.schemes import SCHEMES

from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.played import steps
from ..core.truthfulness import blocks
from .graphs import seed_words
from .settings import DRAWN, digits
from .sharing import utility

# schemes in which who shares with whom does not depend on the models: one round says all
FIXED = ("local", "fedavg", "fedprox", "ditto")


def above_local(condition: str, effort: Effort) -> Evidence:
    """Mean test accuracy of the clients at the last round, less that of training alone.

    Paired by seed.
    """
    seeds, accuracy = seeds_of(JUDGE, effort.seeds), {}
    for scheme in ("ipfl", "local"):
        market = digits(condition, effort.digits, scheme=scheme)
        *_, (_, _, end) = steps(market, "truthful", seeds)
        accuracy[scheme] = rounds.test_scores(market, end).accuracy.double().mean(1)
    means = ", ".join(f"{name} {float(values.mean()):.4f}" for name, values in accuracy.items())
    gain = (accuracy["ipfl"] - accuracy["local"]).tolist()
    return Evidence(
        samples={"iPFL less local": gain},
        seeds=seed_words(len(seeds)),
        notes=(f"{means}; {effort.digits} rounds",),
    )


def most_welfare(condition: str, effort: Effort) -> Evidence:
    """Summed utility of a round under iPFL less that of every baseline, mean over rounds.

    Paired by seed.
    """
    seeds = seeds_of(JUDGE, 1024 if condition == DRAWN else effort.seeds)
    sums, longest = {}, 0
    for scheme in SCHEMES:
        market = digits(condition, 1 if scheme in FIXED else effort.digits, scheme=scheme)
        longest = max(longest, market.horizon)
        sums[scheme] = utility(market, "truthful", seeds).sum(1) / market.horizon
    ours = sums["ipfl"]
    rows = [[name, float(values.mean())] for name, values in sums.items()]
    table = {"title": "summed utility a round, money", "head": ["scheme", "mean"], "rows": rows}
    return Evidence(
        samples={
            f"iPFL less {name}": blocks(ours - other)
            for name, other in sums.items()
            if name != "ipfl"
        },
        seeds=seed_words(len(seeds)),
        scale=max(float(ours.mean()), 1e-12),
        tables=(table,),
        notes=(f"rounds: {longest}",),
    )
