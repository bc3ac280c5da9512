"""Accuracy extrapolated from two small pilots against full training: ``wad_scaling``, the
summary's first experiment.
"""

from __future__ import annotations

from ...stress.claims.claim import Effort, Evidence
from .correlation import told
from .mixtures import Measured, extrapolated, measure, pearson
from .settings import SEED, Setting, size_of


def judged(setting: Setting, found: Measured, form: str = "projektor") -> dict[str, list[float]]:
    """How predictions at ``points`` fit what was realised, a number a seed.

    r, r^2: Pearson's correlation over mixtures and its square;
    R^2: 1 - squared errors / variance, which a bias lowers MAE: points of accuracy, %;
    "MAE of the second pilot": that of taking the accuracy at N1 for that at N
    """
    predicted, real = extrapolated(setting, found, form), found.accuracy[setting.points]
    r = pearson(predicted, real)
    spread = (real - real.mean(-1, keepdim=True)).square().sum(-1).clamp(min=1e-12)
    left = 1 - (predicted - real).square().sum(-1) / spread
    kept = (found.accuracy[setting.pilots[1]] - real).abs().mean(-1)
    errors = (predicted - real).abs().mean(-1)
    numbers = {
        "r": r,
        "r^2": r.square(),
        "R^2": left,
        "MAE": 100 * errors,
        "MAE of the second pilot": 100 * kept,
    }
    return {name: values.tolist() for name, values in numbers.items()}


def scaled(
    setting: Setting, n_seeds: int, steps: int, form: str = "projektor"
) -> dict[str, list[float]]:
    """``judged`` of a setting."""
    return judged(
        setting, measure(setting, n_seeds, steps, (*setting.pilots, setting.points)), form
    )


def fits(condition: str, effort: Effort, statistic: str) -> Evidence:
    """One statistic of ``judged``, label skew."""
    setting, reason = told(condition, effort, "label_skew")
    if reason:
        return Evidence(untested=reason)
    size = size_of(effort)
    found = scaled(setting, size.seeds, size.steps)
    rows = [[name, sum(values) / len(values)] for name, values in found.items()]
    n0, n1 = setting.pilots
    return Evidence(
        samples={statistic: found[statistic]},
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
    """By how much the error of the extrapolation lies below that of taking the second pilot's
    accuracy as it is.
    """
    setting, reason = told(condition, effort, "label_skew")
    if reason:
        return Evidence(untested=reason)
    size = size_of(effort)
    found = scaled(setting, size.seeds, size.steps)
    less = [
        kept - mae for kept, mae in zip(found["MAE of the second pilot"], found["MAE"], strict=True)
    ]
    return Evidence(
        samples={"error of the pilot less error of the extrapolation": less},
        seeds=f"{SEED} + 0..{size.seeds - 1}",
    )
