"""Terms of the game, qualities of noisy data, and sizes of the experiments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.lookup import lookup
from marketenv.mechanisms import QUALITY_SCALES, TripartiteGame

from ..core.effort import Effort
from ..data_valuation.settings import loaded

SEED = 25_000  # the first seed; experiments take SEED, SEED + 1, ...
ALPHA, K = 5.0, 0.5  # of the leader's gain, as in the public code; lambda = rho = eps = 1 there
OWNERS = 10  # N = M of the paper's sweeps
COUNTS = (10, 20, 30, 40, 50, 60)  # N of the paper's comparison
LOWEST = 0.9  # quality of the worst owner on the paper's scale
NOISE = 0.1  # the most that is added to an owner's features, sd
ROWS = 2000  # of a data set that owners hold together: more change a mean of squares by nothing
SKEW = 0.2  # p of the geometric sizes
IID, SKEWED = "i.i.d.", "size skew"
SPLITS = (IID, SKEWED)
IMAGES = ("digits", "mnist", "fashion_mnist", "cifar10")
TABLES = ("breast_cancer", "letter", "satellite")


@dataclass(frozen=True)
class GamesSize:
    """What an effort may spend: seeds, random games, and rounds of training."""

    seeds: int
    games: int
    rounds: int = 10


SIZES: dict[str, GamesSize] = {
    "quick": GamesSize(20, 10_000),
    "standard": GamesSize(40, 10_000),
    "full": GamesSize(200, 50_000),
}
LEAST = GamesSize(2, 100, 2)  # of an effort that has another name


def size_of(effort: Effort) -> GamesSize:
    """How much an effort may spend here."""
    return SIZES.get(effort.name, LEAST)


def seeds_of(n_seeds: int) -> tuple[int, ...]:
    """SEED, SEED + 1, ..."""
    return tuple(range(SEED, SEED + n_seeds))


def equals(n: int, quality: float = 1.0) -> Float64[Tensor, "1 n"]:
    """One market of equal owners, or of equal centres."""
    return torch.full((1, n), quality, dtype=torch.float64)


# --- random games ---------------------------------------------------------------------------------


def paper_games(games: int, n: int = OWNERS) -> TripartiteGame:
    """Random games in the paper's terms: qualities from 0.9 to 1, centres' costs from 0.1 to 1."""
    key = draws.fold(torch.tensor(SEED), "paper", n)
    quality, sigma = (
        draws.uniform(draws.fold(key, name), games, n) for name in ("quality", "sigma")
    )
    return TripartiteGame(LOWEST + (1 - LOWEST) * quality, 0.1 + 0.9 * sigma, ALPHA, K)


def any_games(games: int, capped: bool, n: int = 6) -> TripartiteGame:
    """Random games in other terms: qualities from 0.1 to 1, alpha from 1 to 21.

    Caps, where there are any, bind for half of the owners.
    """
    key = draws.fold(torch.tensor(SEED), "any", n)
    quality, sigma, caps = (
        draws.uniform(draws.fold(key, name), games, n) for name in ("quality", "sigma", "caps")
    )
    alpha = 1 + 20 * draws.uniform(draws.fold(key, "alpha"), games)
    return TripartiteGame(
        0.1 + 0.9 * quality, 0.1 + 0.9 * sigma, alpha, K, caps=0.3 * caps if capped else None
    )


# --- qualities ------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def qualities(data: str, split: str, n: int, n_seeds: int) -> Float64[Tensor, "seeds owners"]:
    """Owners' reports of their noisy data: f = 0.9 + 0.1 (v - min) / (max - min), v = 1 - MSE.

    The noise has sd 0.1 u, u ~ U[0, 1].

    Pixels are kept in [0, 1], as in the public code; features of tables have mean 0 and deviation
    1, and are not.
    """
    x = loaded(data).x[:ROWS].flatten(1).double()
    return torch.cat([_quality(x, data in IMAGES, split, n, seed) for seed in seeds_of(n_seeds)])


def _quality(
    x: Float64[Tensor, "rows d"], pixels: bool, split: str, n: int, seed: int
) -> Float64[Tensor, "1 owners"]:
    key = draws.fold(torch.tensor(seed), "noisy", n)
    owner = owners_of(split, len(x), n, draws.fold(key, split))
    spread = NOISE * draws.uniform(draws.fold(key, "spread"), n)
    noisy = x + spread[owner][:, None] * draws.normal(draws.fold(key, "noise"), *x.shape)
    error = ((noisy.clamp(0, 1) if pixels else noisy) - x).square().mean(-1)
    rows = torch.zeros(n, dtype=torch.float64).index_add(0, owner, torch.ones_like(error))
    mean = torch.zeros_like(rows).index_add(0, owner, error) / rows
    return QUALITY_SCALES["minmax"]((1 - mean)[None], lowest=LOWEST)


def owners_of(split: str, rows: int, n: int, key: Int[Tensor, ""]) -> Int[Tensor, "rows"]:
    """The owner of each row: equal chances, or weights from a geometric distribution, p = 0.2.

    Every owner has a row.
    """
    lookup(dict.fromkeys(SPLITS), split, "split")
    weight = torch.ones(n, dtype=torch.float64)
    if split == SKEWED:
        weight = (
            1
            + (
                draws.uniform(draws.fold(key, "size"), n).log()
                / torch.tensor(1 - SKEW).double().log()
            ).floor()
        )
    ends = (weight / weight.sum()).cumsum(0)
    owner = torch.searchsorted(ends, draws.uniform(draws.fold(key, "row"), rows)).clamp(max=n - 1)
    first = draws.permutation(draws.fold(key, "first"), rows)[:n]
    return owner.scatter(0, first, torch.arange(n))
