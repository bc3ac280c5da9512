"""Every mixture of a grid: its distances to the buyer's data, and its models' accuracy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.valuation import agg_wad, combine_wad, enumerate_mixtures, extrapolate, fit_estimator

from .sellers_data import embedded, lots
from .settings import SEED, MixtureSetting
from .training import accuracies

COMBINE, AGG, FEATURES = "CombineWad", "AggWad", "feature-only distance"


@dataclass(frozen=True)
class Measurements:
    """What was measured of every mixture p [mixtures, sellers], in every seed.

    distances: by name, ``COMBINE``, ``AGG`` and ``FEATURES``    [seeds, mixtures]
    accuracy:  on the test rows, by training points              [seeds, mixtures]
    """

    p: Float64[Tensor, "mixtures sellers"]
    distances: Mapping[str, Float64[Tensor, "seeds mixtures"]]
    accuracy: Mapping[int, Float64[Tensor, "seeds mixtures"]]


@lru_cache(maxsize=16)
def distances_of(
    setting: MixtureSetting, n_seeds: int, steps: int
) -> dict[str, Float64[Tensor, "seeds mixtures"]]:
    """Distances of every mixture by name, in every seed; 1 % is the error of the fast method."""
    sellers_data = lots(setting, seeds_of(n_seeds))
    p = enumerate_mixtures(setting.n_sellers, steps).expand(n_seeds, -1, -1)
    parts, goal = embedded(sellers_data, sellers_data.x, sellers_data.y, setting.dealt.labels)
    plain, plain_goal = embedded(sellers_data, sellers_data.x, sellers_data.y, labels=False)
    return {
        COMBINE: combine_wad(parts, p, goal.expand(n_seeds, -1, -1)),
        AGG: agg_wad(parts, p, goal.expand(n_seeds, -1, -1)),
        FEATURES: combine_wad(plain, p, plain_goal.expand(n_seeds, -1, -1)),
    }


@lru_cache(maxsize=64)
def accuracy_of(
    setting: MixtureSetting, n_seeds: int, steps: int, points: int
) -> Float64[Tensor, "seeds mixtures"]:
    """Realised accuracy of every mixture at so many training points, in every seed."""
    sellers_data = lots(setting, seeds_of(n_seeds))
    p = enumerate_mixtures(setting.n_sellers, steps)
    return accuracies(setting, sellers_data.owned, sellers_data.test, p, points, seeds_of(n_seeds))


def measure(
    setting: MixtureSetting, n_seeds: int, steps: int, points: tuple[int, ...]
) -> Measurements:
    """Distances of every mixture of the grid, and its accuracy at each number of points."""
    accuracy = {n: accuracy_of(_trained_alike(setting), n_seeds, steps, n) for n in points}
    return Measurements(
        enumerate_mixtures(setting.n_sellers, steps),
        distances_of(setting, n_seeds, steps),
        accuracy,
    )


def seeds_of(n_seeds: int) -> tuple[int, ...]:
    """SEED, SEED + 1, ..."""
    return tuple(range(SEED, SEED + n_seeds))


def _trained_alike(setting: MixtureSetting) -> MixtureSetting:
    """The setting whose models are the same: what distances do not see, training does."""
    return (
        dataclasses.replace(setting, scenario="label_skew")
        if setting.scenario == "unlabeled"
        else setting
    )


# --- what goes with what --------------------------------------------------------------------------


def pearson(
    a: Float64[Tensor, "seeds mixtures"], b: Float64[Tensor, "seeds mixtures"]
) -> Float64[Tensor, "seeds"]:
    """Pearson's correlation over mixtures, seed by seed; 0 where one of both is constant.

    >>> pearson(
    ...     torch.tensor([[1.0, 2.0, 3.0]]).double(), torch.tensor([[2.0, 1.0, 0.0]]).double()
    ... ).round(decimals=6)
    tensor([-1.], dtype=torch.float64)
    """
    a, b = (x - x.mean(-1, keepdim=True) for x in (a, b))
    length = a.norm(dim=-1) * b.norm(dim=-1)
    return torch.where(length > 0, (a * b).sum(-1) / length, 0.0)


def spearman(
    a: Float64[Tensor, "seeds mixtures"], b: Float64[Tensor, "seeds mixtures"]
) -> Float64[Tensor, "seeds"]:
    """Spearman's rank correlation, equal numbers sharing their mean rank.

    >>> spearman(
    ...     torch.tensor([[1.0, 2.0, 9.0]]).double(), torch.tensor([[0.0, 0.1, 50.0]]).double()
    ... ).round(decimals=6)
    tensor([1.], dtype=torch.float64)
    """
    from scipy.stats import rankdata  # most of a second, for those alone who use it

    return pearson(*(torch.from_numpy(rankdata(x.numpy(), axis=-1)) for x in (a, b)))


def extrapolated(
    setting: MixtureSetting, measurements: Measurements, form: str = "projektor"
) -> Float64[Tensor, "seeds mixtures"]:
    """Accuracy predicted at ``points`` from estimators fitted at both pilots."""
    n0, n1 = setting.pilots
    p, wad = (
        measurements.p.expand(len(measurements.distances[COMBINE]), -1, -1),
        measurements.distances[COMBINE],
    )
    first, second = (
        fit_estimator(p, wad, measurements.accuracy[n], form).predict(p, wad) for n in (n0, n1)
    )
    return extrapolate(n0, first, n1, second, setting.points)
