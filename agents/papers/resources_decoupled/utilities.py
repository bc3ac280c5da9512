"""Utilities of leader and owners in equilibrium against two other payments: ``rdfl_utilities``.

FIXED pays eta = 1, RANDOM a share U[0.5, 1] of eta*; owners answer every payment by their
equilibrium, as in the public code.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.mechanisms import contributions, leader_optimum, leader_utility

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..data_valuation.settings import missing
from .settings import ALPHA, COUNTS, IID, SEED, SKEWED, K, qualities, seeds_of, size_of

EQUILIBRIUM, FIXED, RANDOM = "equilibrium", "FIXED", "RANDOM"
BASELINES = (FIXED, RANDOM)
LEADER, OWNERS = "leader", "owners"
SIDES = (LEADER, OWNERS)
FEW = (2, 3)


class SideUtilities(NamedTuple):
    """Utility of the leader, and the mean of the owners': [seeds]."""

    leader: Float64[Tensor, "seeds"]
    owners: Float64[Tensor, "seeds"]


def answered(
    eta: Float64[Tensor, "seeds"], quality: Float64[Tensor, "seeds owners"]
) -> SideUtilities:
    """What a payment comes to where owners answer it by their equilibrium."""
    x = contributions(eta, quality, 1.0)
    return SideUtilities(
        leader_utility(eta, (quality * x).sum(-1), ALPHA, K), (eta - x.sum(-1)) / quality.shape[-1]
    )


@lru_cache(maxsize=256)
def compare(data: str, split: str, n: int, n_seeds: int) -> dict[str, SideUtilities]:
    """What the equilibrium's payment and those of the baselines come to."""
    quality = qualities(data, split, n, n_seeds)
    eta = leader_optimum(quality, ALPHA, K, 1.0)
    share = 0.5 + 0.5 * draws.uniform(draws.fold(torch.tensor(seeds_of(n_seeds)), "RANDOM", n))
    etas = {EQUILIBRIUM: eta, FIXED: torch.ones_like(eta), RANDOM: share * eta}
    return {name: answered(paid, quality) for name, paid in etas.items()}


def gains(
    data: str, split: str, baseline: str, side: str, n_seeds: int, counts: tuple[int, ...] = COUNTS
) -> list[float]:
    """By how much the sum over N lies above that of a baseline, %, a number a seed."""
    results = [compare(data, split, n, n_seeds) for n in counts]
    own, other = (
        sum(getattr(one[name], side) for one in results) for name in (EQUILIBRIUM, baseline)
    )
    gain: Tensor = 100 * (own / other - 1)
    return gain.tolist()


# --- evidence -------------------------------------------------------------------------------------

FEW_OWNERS = "digits, size skew, 2 and 3 owners"
CONDITIONS = {  # data set, split, and numbers of owners
    "digits, size skew": ("digits", SKEWED, COUNTS),
    "digits, i.i.d.": ("digits", IID, COUNTS),
    "a table, size skew": ("breast_cancer", SKEWED, COUNTS),
    "MNIST, size skew": ("mnist", SKEWED, COUNTS),
    FEW_OWNERS: ("digits", SKEWED, FEW),
}


def above(condition: str, effort: Effort, side: str, baseline: str) -> Evidence:
    """The gain over a baseline, %."""
    data, split, counts = CONDITIONS[condition]
    if reason := missing(data):
        return Evidence(untested=reason)
    n_seeds = size_of(effort).seeds
    results = [compare(data, split, n, n_seeds) for n in counts]
    rows = [
        [n, *(float(getattr(one[name], side).mean()) for name in (EQUILIBRIUM, *BASELINES))]
        for n, one in zip(counts, results, strict=True)
    ]
    head = ["owners", EQUILIBRIUM, *BASELINES]
    return Evidence(
        samples={
            f"gain of the {side} over {baseline}": gains(
                data, split, baseline, side, n_seeds, counts
            )
        },
        seeds=_told(n_seeds),
        tables=[
            {"title": f"mean utility of the {side}, {data}, {split}", "head": head, "rows": rows}
        ],
    )


def in_range(condition: str, effort: Effort, side: str, least: float, most: float) -> Evidence:
    """How far the gains over both baselines are outside of the reported range; below 0 inside."""
    data, split, counts = CONDITIONS[condition]
    if reason := missing(data):
        return Evidence(untested=reason)
    n_seeds, samples = size_of(effort).seeds, {}
    for baseline in BASELINES:
        gain = gains(data, split, baseline, side, n_seeds, counts)
        samples[f"{baseline}: below {least:g} %"] = [least - g for g in gain]
        samples[f"{baseline}: above {most:g} %"] = [g - most for g in gain]
    return Evidence(samples=samples, seeds=_told(n_seeds))


def _told(n_seeds: int) -> str:
    return f"{SEED} + 0..{n_seeds - 1}"
