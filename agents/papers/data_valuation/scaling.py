"""Accuracy extrapolated from two pilots against full training (``wad_scaling``).

This is the first experiment of the paper's summary.
"""

from __future__ import annotations

from ..core.effort import Effort
from ..core.evidence import Evidence
from .correlation import setting_of
from .mixtures import Measurements, extrapolated, measure, pearson
from .settings import SEED, MixtureSetting, size_of


def fit_statistics(
    setting: MixtureSetting, measurements: Measurements, form: str = "projektor"
) -> dict[str, list[float]]:
    """How predictions at ``points`` fit what was realised, a number a seed.

    r, r^2: Pearson's correlation over mixtures and its square;
    R^2: 1 - squared errors / variance, which a bias lowers MAE: points of accuracy, %;
    "MAE of the second pilot": that of taking the accuracy at N1 for that at N
    """
    predicted, real = (
        extrapolated(setting, measurements, form),
        measurements.accuracy[setting.points],
    )
    r = pearson(predicted, real)
    spread = (real - real.mean(-1, keepdim=True)).square().sum(-1).clamp(min=1e-12)
    explained = 1 - (predicted - real).square().sum(-1) / spread
    pilot_errors = (measurements.accuracy[setting.pilots[1]] - real).abs().mean(-1)
    errors = (predicted - real).abs().mean(-1)
    numbers = {
        "r": r,
        "r^2": r.square(),
        "R^2": explained,
        "MAE": 100 * errors,
        "MAE of the second pilot": 100 * pilot_errors,
    }
    return {name: values.tolist() for name, values in numbers.items()}


def scaled(
    setting: MixtureSetting, n_seeds: int, steps: int, form: str = "projektor"
) -> dict[str, list[float]]:
    """``fit_statistics`` of a setting."""
    return fit_statistics(
        setting, measure(setting, n_seeds, steps, (*setting.pilots, setting.points)), form
    )


def fits(condition: str, effort: Effort, statistic: str) -> Evidence:
    """One statistic of ``fit_statistics``, label skew."""
    setting, reason = setting_of(condition, effort, "label_skew")
    if reason:
        return Evidence(untested=reason)
    size = size_of(effort)
    statistics = scaled(setting, size.seeds, size.steps)
    rows = [[name, sum(values) / len(values)] for name, values in statistics.items()]
    n0, n1 = setting.pilots
    return Evidence(
        samples={statistic: statistics[statistic]},
        seeds=f"{SEED} + 0..{size.seeds - 1}",
        tables=[
            {
                "title": f"{n0} and {n1} points to {setting.points}",
                "head": ["statistic", "mean"],
                "rows": rows,
            }
        ],
    )


def beats_the_pilot(condition: str, effort: Effort) -> Evidence:
    """How far the extrapolation's error lies below the error of the second pilot's accuracy."""
    setting, reason = setting_of(condition, effort, "label_skew")
    if reason:
        return Evidence(untested=reason)
    size = size_of(effort)
    statistics = scaled(setting, size.seeds, size.steps)
    less = [
        pilot - mae
        for pilot, mae in zip(statistics["MAE of the second pilot"], statistics["MAE"], strict=True)
    ]
    return Evidence(
        samples={"error of the pilot less error of the extrapolation": less},
        seeds=f"{SEED} + 0..{size.seeds - 1}",
    )
