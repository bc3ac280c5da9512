"""3 to 1,000 sellers by the additive sliced distance, seconds and correlation: ``wad_sellers``,
a next check of the summary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.valuation import additive_wad, sliced_grid, sliced_upload, wasserstein2

from ...stress.claims.claim import Effort, Evidence
from .mixtures import pearson, seeds_of
from .sellers_data import embedded, lots
from .settings import SEED, Setting, size_of
from .training import accuracies

EACH = 20  # rows of a seller
MIXED = 10  # sellers of a mixture, at most
POINTS = 200
DIRECTIONS = 100
MOST_QUICK = 100  # sellers that the smallest effort can pay for


@dataclass(frozen=True)
class Crowd:
    """What was measured of mixtures of many sellers: all [seeds, mixtures], and seconds of the
    sliced distance.
    """

    sliced: Float64[Tensor, "seeds mixtures"]
    exact: Float64[Tensor, "seeds mixtures"]
    accuracy: Float64[Tensor, "seeds mixtures"]
    seconds: float


def setting_of(n_sellers: int, data: str = "digits") -> Setting:
    """Sellers of 20 rows each, mostly of one block of classes, drawn apart from all rows."""
    return Setting(data=data, scenario="crowd", n_sellers=n_sellers, shown=EACH)


def mixtures_of(n_sellers: int, count: int, n_classes: int) -> Float64[Tensor, "mixtures sellers"]:
    """Mixtures of up to ten sellers, drawn from one block of classes, from two, ... or from
    all, with weights from Exp(1).
    """
    blocks = max(2, min(n_sellers, n_classes))
    keys = draws.fold(torch.tensor(SEED), "crowd", n_sellers, torch.arange(count))
    reach = 1 + torch.arange(count) % blocks
    rank = draws.permutation(draws.fold(keys, "blocks"), blocks)
    # sellers of the blocks that a mixture reaches
    open_to = rank[:, torch.arange(n_sellers) % blocks] < reach[:, None]
    lot = torch.where(open_to, draws.uniform(draws.fold(keys, "lot"), n_sellers), 2.0)
    taken = open_to & (lot.argsort(-1).argsort(-1) < MIXED)
    weight = torch.where(taken, -draws.uniform(draws.fold(keys, "weight"), n_sellers).log(), 0.0)
    return weight / weight.sum(-1, keepdim=True)


def crowd(n_sellers: int, n_seeds: int, count: int, data: str = "digits") -> Crowd:
    """Distances and accuracies of mixtures of so many sellers, in every seed."""
    setting = setting_of(n_sellers, data)
    made = lots(setting, seeds_of(n_seeds))
    p = mixtures_of(n_sellers, count, made.n_classes)
    parts, goal = embedded(made, made.x, made.y)
    begin = time.perf_counter()
    grid = sliced_grid(goal, n_directions=DIRECTIONS)
    wanted = sliced_upload(goal, grid)
    sliced = torch.stack(
        [additive_wad(sliced_upload(part, grid), p, wanted, grid) for part in parts]
    )
    seconds = (time.perf_counter() - begin) / n_seeds
    exact = torch.stack([_exact(parts[k], p, goal) for k in range(n_seeds)])
    found = accuracies(setting, made.owned, made.test, p, POINTS, seeds_of(n_seeds))
    return Crowd(sliced, exact, found, seconds)


def _exact(
    parts: Float64[Tensor, "sellers n e"],
    p: Float64[Tensor, "mixtures sellers"],
    goal: Float64[Tensor, "targets e"],
) -> Float64[Tensor, "mixtures"]:
    """W2 of every mixture, from the rows of its own sellers alone."""
    share, seller = p.topk(min(MIXED, p.shape[-1]), -1)
    points = parts[seller].flatten(1, 2)
    return wasserstein2(points, goal, share.repeat_interleave(parts.shape[1], -1))


def follows(condition: str, effort: Effort) -> Evidence:
    """Minus the correlation of the sliced distance with accuracy."""
    size, n_sellers = size_of(effort), int(condition.partition(" ")[0])
    if n_sellers > MOST_QUICK and effort.name not in ("standard", "full"):
        return Evidence(untested=f"more than {MOST_QUICK} sellers want the effort standard or full")
    found = crowd(n_sellers, size.seeds, 3 * size.steps)
    return Evidence(
        samples={"-r of the sliced distance": (-pearson(found.sliced, found.accuracy)).tolist()},
        seeds=f"{SEED} + 0..{size.seeds - 1}",
        notes=(
            (
                "correlation with the exact distance:"
                f" {float(pearson(found.sliced, found.exact).mean()):.3f}"
            ),
        ),
    )
