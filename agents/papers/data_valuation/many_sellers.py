"""The additive sliced distance with 3 to 1,000 sellers (``wad_sellers``): time and correlation."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.valuation import additive_wad, sliced_grid, sliced_upload, wasserstein2

from ..core.effort import Effort
from ..core.evidence import Evidence
from .mixtures import pearson, seeds_of
from .sellers_data import embedded, lots
from .settings import SEED, MixtureSetting, size_of
from .training import accuracies

EACH = 20  # rows of a seller
MIXED = 10  # sellers of a mixture, at most
POINTS = 200
DIRECTIONS = 100
MOST_QUICK = 100  # sellers that the smallest effort can pay for


@dataclass(frozen=True)
class Crowd:
    """Distances and accuracies of mixtures of many sellers [seeds, mixtures], and seconds."""

    sliced: Float64[Tensor, "seeds mixtures"]
    exact: Float64[Tensor, "seeds mixtures"]
    accuracy: Float64[Tensor, "seeds mixtures"]
    seconds: float


def setting_of(n_sellers: int, data: str = "digits") -> MixtureSetting:
    """Sellers of 20 rows each, mostly of one block of classes, drawn apart from all rows."""
    return MixtureSetting(data=data, scenario="crowd", n_sellers=n_sellers, shown=EACH)


def mixtures_of(n_sellers: int, count: int, n_classes: int) -> Float64[Tensor, "mixtures sellers"]:
    """Mixtures of up to ten sellers with weights from Exp(1).

    Sellers of a mixture come from one block of classes, from two, and so on up to all.
    """
    blocks = max(2, min(n_sellers, n_classes))
    keys = draws.fold(torch.tensor(SEED), "crowd", n_sellers, torch.arange(count))
    reach = 1 + torch.arange(count) % blocks
    rank = draws.permutation(draws.fold(keys, "blocks"), blocks)
    # sellers of the blocks that a mixture reaches
    open_to = rank[:, torch.arange(n_sellers) % blocks] < reach[:, None]
    lot = torch.where(open_to, draws.uniform(draws.fold(keys, "lot"), n_sellers), 2.0)
    chosen_sellers = open_to & (lot.argsort(-1).argsort(-1) < MIXED)
    weight = torch.where(
        chosen_sellers, -draws.uniform(draws.fold(keys, "weight"), n_sellers).log(), 0.0
    )
    return weight / weight.sum(-1, keepdim=True)


def crowd(n_sellers: int, n_seeds: int, count: int, data: str = "digits") -> Crowd:
    """Distances and accuracies of mixtures of so many sellers, in every seed."""
    setting = setting_of(n_sellers, data)
    sellers_data = lots(setting, seeds_of(n_seeds))
    p = mixtures_of(n_sellers, count, sellers_data.n_classes)
    parts, goal = embedded(sellers_data, sellers_data.x, sellers_data.y)
    begin = time.perf_counter()
    grid = sliced_grid(goal, n_directions=DIRECTIONS)
    goal_upload = sliced_upload(goal, grid)
    sliced = torch.stack(
        [additive_wad(sliced_upload(part, grid), p, goal_upload, grid) for part in parts]
    )
    seconds = (time.perf_counter() - begin) / n_seeds
    exact = torch.stack([_exact(parts[k], p, goal) for k in range(n_seeds)])
    accuracy = accuracies(
        setting, sellers_data.owned, sellers_data.test, p, POINTS, seeds_of(n_seeds)
    )
    return Crowd(sliced, exact, accuracy, seconds)


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
    mixtures = crowd(n_sellers, size.seeds, 3 * size.steps)
    return Evidence(
        samples={
            "-r of the sliced distance": (-pearson(mixtures.sliced, mixtures.accuracy)).tolist()
        },
        seeds=f"{SEED} + 0..{size.seeds - 1}",
        notes=(
            (
                "correlation with the exact distance:"
                f" {float(pearson(mixtures.sliced, mixtures.exact).mean()):.3f}"
            ),
        ),
    )
