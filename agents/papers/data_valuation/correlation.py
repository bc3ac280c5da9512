"""How distances and predictions go with realised accuracy: ``wad_correlation``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.effort import Effort
from ..core.evidence import Evidence
from .mixtures import AGG, COMBINE, FEATURES, extrapolated, measure, pearson, spearman
from .numbers import DIGITS
from .settings import SEED, MixtureSetting, missing, size_of

PREDICTED = "predicted accuracy"
KINDS = {"Pearson": pearson, "Spearman": spearman}
DIGITS_DATA, CIFAR = "embedded digits", "CIFAR-10 subset"
DATA = {DIGITS_DATA: "digits", CIFAR: "cifar10"}  # the data set of a condition


def correlations(
    setting: MixtureSetting, n_seeds: int, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Correlations with realised accuracy, a number a seed: by "what, points" and kind.

    Distances go with the accuracy at each of the sizes, the prediction with that at ``points``
    alone.
    """
    n0, n1 = setting.pilots
    measurements = measure(setting, n_seeds, steps, (n0, n1, setting.points))
    pairs = {
        f"{name}, N = {n}": (d, measurements.accuracy[n])
        for name, d in measurements.distances.items()
        for n in measurements.accuracy
    }
    pairs[f"{PREDICTED}, N = {setting.points}"] = (
        extrapolated(setting, measurements),
        measurements.accuracy[setting.points],
    )
    return {
        what: {kind: of(*pair).tolist() for kind, of in KINDS.items()}
        for what, pair in pairs.items()
    }


def setting_of(condition: str, effort: Effort, scenario: str) -> tuple[MixtureSetting, str]:
    """The setting of a condition, and why this effort cannot measure it; "" where it can."""
    data = DATA[condition]
    small = (
        "large data sets want the effort standard or full"
        if data != "digits" and effort.name not in ("standard", "full")
        else ""
    )
    return MixtureSetting(data=data, scenario=scenario), small or missing(data)


def negative(condition: str, effort: Effort, scenario: str) -> Evidence:
    """Minus the correlation of CombineWad with accuracy at the second pilot's size."""
    return _of(
        condition, effort, scenario, lambda r: {f"-r of {COMBINE}": [-x for x in r[COMBINE]]}
    )


def agg_is_worse(condition: str, effort: Effort, scenario: str) -> Evidence:
    """By how much AggWad's correlation lies above that of CombineWad."""
    return _of(
        condition,
        effort,
        scenario,
        lambda r: {f"r of {AGG} less r of {COMBINE}": _less(r[AGG], r[COMBINE])},
    )


def labels_help(condition: str, effort: Effort, scenario: str) -> Evidence:
    """By how much the correlation of the feature-only distance lies above that of CombineWad."""
    return _of(
        condition,
        effort,
        scenario,
        lambda r: {f"r of the {FEATURES} less r of {COMBINE}": _less(r[FEATURES], r[COMBINE])},
    )


def as_reported(condition: str, effort: Effort) -> Evidence:
    """How far both correlations are from the reported ones, to either side."""

    def sides(r: Mapping[str, list[float]]) -> dict[str, list[float]]:
        distances = {}
        for name, reported in DIGITS.items():
            distances[f"{name} above {reported.value:g}"] = [x - reported.value for x in r[name]]
            distances[f"{name} below {reported.value:g}"] = [reported.value - x for x in r[name]]
        return distances

    return _of(condition, effort, "label_skew", sides)


def _less(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _of(condition: str, effort: Effort, scenario: str, samples: Any) -> Evidence:
    setting, reason = setting_of(condition, effort, scenario)
    if reason:
        return Evidence(untested=reason)
    size, n = size_of(effort), setting.pilots[1]
    measurements = measure(setting, size.seeds, size.steps, (n,))
    r = {
        name: pearson(d, measurements.accuracy[n]).tolist()
        for name, d in measurements.distances.items()
    }
    rank = {
        name: float(spearman(d, measurements.accuracy[n]).mean())
        for name, d in measurements.distances.items()
    }
    rows = [[name, sum(values) / len(values), rank[name]] for name, values in r.items()]
    return Evidence(
        samples=samples(r),
        seeds=f"{SEED} + 0..{size.seeds - 1}; {len(measurements.p)} mixtures each",
        tables=[
            {
                "title": f"correlation with accuracy at N = {n}",
                "head": ["distance", "Pearson", "Spearman"],
                "rows": rows,
            }
        ],
    )
