"""What is lost and what is given away by distances between data that nobody shows: ``wad_private``.

The summary's second experiment is the error against the central distance, its third the
reconstruction of what was uploaded, its last check the exchange of one for the other.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.valuation import (
    combine_wad,
    enumerate_mixtures,
    fedwad,
    interpolate,
    numbers_sent,
    reference,
    reidentified,
    triangle_wad,
    wasserstein2,
)

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .mixtures import accuracy_of, pearson, seeds_of
from .sellers_data import embedded, lots
from .settings import SEED, MixtureSetting, size_of

DIMENSIONS = 10
ITERATIONS = 10
FEWER = "128 points"
POINTS = {AS_STATED: 500, FEWER: 128}
DEFAULT = (100, 1.0, 0.5)  # k, sigma and t of TriangleWad's source
SMALL = "10 iterations of 500 points want the effort standard or full"


def gaussians(
    keys: Int[Tensor, "seeds"], n: int, shift: float = 1.0
) -> tuple[Float64[Tensor, "seeds n d"], Float64[Tensor, "seeds n d"]]:
    """Two standard Gaussian samples in 10 dimensions, the second one shifted."""
    x, y = (draws.normal(draws.fold(keys, name), n, DIMENSIONS) for name in ("x", "y"))
    y[..., 0] += shift
    return x, y


@dataclass(frozen=True)
class HiddenRows:
    """TriangleWad at one (k, sigma, t): relative error, and share of rows recovered [seeds]."""

    error: Float64[Tensor, "seeds"]
    reidentified: Float64[Tensor, "seeds"]


@lru_cache(maxsize=32)
def triangle(
    n_seeds: int, k: int, sigma: float, t: float, n: int = 500, shift: float = 1.0
) -> HiddenRows:
    """TriangleWad between two Gaussians; sigma in deviations of a feature, which are 1."""
    keys = torch.tensor(seeds_of(n_seeds))
    x, y = gaussians(keys, n, shift)
    anchors = reference(draws.fold(keys, "anchors"), k, DIMENSIONS, sigma)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more anchors than points are part of the sweep
        estimate = triangle_wad(x, y, anchors, t)
    return HiddenRows(
        estimate / wasserstein2(x, y) - 1, reidentified(interpolate(x, anchors, t), x, t)
    )


@lru_cache(maxsize=8)
def history(
    n_seeds: int, n: int, t: float | None, iterations: int = ITERATIONS
) -> Float64[Tensor, "seeds iterations"]:
    """Relative error of FedWaD after each iteration."""
    keys = torch.tensor(seeds_of(n_seeds))
    x, y = gaussians(keys, n)
    return (
        fedwad(x, y, iterations, draws.fold(keys, "fedwad"), t=t) / wasserstein2(x, y)[:, None] - 1
    )


def communication(n: int, k: int, iterations: int = ITERATIONS) -> dict[str, int]:
    """Numbers that a seller and the platform send each other, by scheme."""
    return numbers_sent(n=n, d=DIMENSIONS, k=k, iterations=iterations)


def ordering(
    setting: MixtureSetting, n_seeds: int, steps: int, sigma: float, t: float, k: int = 32
) -> dict[str, list[float]]:
    """Correlation of hidden rows' CombineWad with accuracy, and with the plain CombineWad.

    Accuracy is that at the second pilot.

    sigma: in deviations of the buyer's embedded rows
    """
    sellers_data = lots(setting, seeds_of(n_seeds))
    parts, goal = embedded(sellers_data, sellers_data.x, sellers_data.y)
    accuracy = accuracy_of(setting, n_seeds, steps, setting.pilots[1])
    p = enumerate_mixtures(setting.n_sellers, steps).expand(n_seeds, -1, -1)
    anchors = (
        reference(draws.fold(torch.tensor(seeds_of(n_seeds)), "anchors"), k, goal.shape[-1], sigma)
        * goal.std()
    )
    hidden = interpolate(parts, anchors[:, None], t)
    goals = interpolate(goal.expand(n_seeds, -1, -1), anchors, t)
    wad = combine_wad(hidden, p, goals) / (1 - t)
    plain = combine_wad(parts, p, goal.expand(n_seeds, -1, -1))
    again = reidentified(hidden, parts, t).mean(-1)
    return {
        "accuracy": pearson(wad, accuracy).tolist(),
        "distance": pearson(wad, plain).tolist(),
        "found": again.tolist(),
    }


# --- evidence -------------------------------------------------------------------------------------


def _seeds(effort: Effort) -> tuple[int, str]:
    n = size_of(effort).seeds
    return n, f"{SEED} + 0..{n - 1}"


def _too_small(condition: str, effort: Effort) -> bool:
    return condition == AS_STATED and effort.name not in ("standard", "full")


def fedwad_error(condition: str, effort: Effort) -> Evidence:
    """Relative error of FedWaD after ten iterations, t drawn anew for every interpolation."""
    if _too_small(condition, effort):
        return Evidence(untested=SMALL)
    n, seeds = _seeds(effort)
    errors = history(n, POINTS[condition], None)[:, -1]
    return Evidence(samples={"relative error": errors.tolist()}, seeds=seeds)


def fixed_freezes(condition: str, effort: Effort) -> Evidence:
    """How far a fixed t's error exceeds a random t's, and its last five iterations gain less."""
    if _too_small(condition, effort):
        return Evidence(untested=SMALL)
    n, seeds = _seeds(effort)
    fixed, free = (history(n, POINTS[condition], t) for t in (0.5, None))
    half = ITERATIONS // 2 - 1
    moved, other = ((h[:, half] - h[:, -1]) for h in (fixed, free))
    samples = {
        "error of t = 0.5 less that of random t": (fixed - free)[:, -1],
        "what random t still gains more": other - moved,
    }
    return Evidence(
        samples={name: values.tolist() for name, values in samples.items()}, seeds=seeds
    )


def one_anchor(condition: str, effort: Effort) -> Evidence:
    """Absolute relative error of TriangleWad with k = 1, which moves all points alike."""
    n, seeds = _seeds(effort)
    return Evidence(
        samples={"|error|, k = 1": triangle(n, 1, 1.0, 0.5, n=64).error.abs().tolist()},
        seeds=seeds,
        exact=True,
    )


def triangle_error(condition: str, effort: Effort) -> Evidence:
    """Relative error of TriangleWad at its source's defaults, or at the library's sigma."""
    n, seeds = _seeds(effort)
    k, _, t = DEFAULT
    samples = {"|relative error|": triangle(n, k, SIGMAS[condition], t).error.abs().tolist()}
    return Evidence(samples=samples, seeds=seeds)


def found_again(condition: str, effort: Effort) -> Evidence:
    """The share of a seller's rows that an onlooker finds again from what was uploaded."""
    n, seeds = _seeds(effort)
    k, _, t = DEFAULT
    return Evidence(
        samples={"rows found again": triangle(n, k, SIGMAS[condition], t).reidentified.tolist()},
        seeds=seeds,
    )


SIGMAS = {AS_STATED: 1.0, "sigma 0.2": 0.2, "sigma 0.1": 0.1}


def keeps_order(condition: str, effort: Effort) -> Evidence:
    """Minus the correlation of CombineWad of hidden rows with accuracy; digits, label skew."""
    size = size_of(effort)
    correlations = ordering(MixtureSetting(), size.seeds, size.steps, SIGMAS[condition], DEFAULT[2])
    notes = tuple(
        f"{name}: {sum(values) / len(values):.3f}" for name, values in correlations.items()
    )
    samples = {"-r of hidden CombineWad": [-r for r in correlations["accuracy"]]}
    return Evidence(samples=samples, seeds=f"{SEED} + 0..{size.seeds - 1}", notes=notes)
