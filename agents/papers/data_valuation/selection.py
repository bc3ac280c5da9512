"""How good the chosen mixture is against the best of the grid: ``wad_selection``."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from ..core.effort import Effort
from ..core.evidence import Evidence
from .correlation import setting_of
from .mixtures import AGG, COMBINE, FEATURES, Measurements, extrapolated, measure
from .settings import SEED, MixtureSetting, size_of

EQUAL, ANY, PILOT = "equal shares", "any mixture", "best second pilot"
FORMS = ("projektor", "projektor7", "ot_only")
ESTIMATED = tuple(f"estimator {form}" for form in FORMS)


def choices(setting: MixtureSetting, measurements: Measurements) -> dict[str, Int[Tensor, "seeds"]]:
    """The mixture that each rule takes, by its number in the grid.

    An estimator takes the one of the best predicted accuracy at ``points``; a distance the nearest
    one; the pilot the one whose small training was best.
    """
    picks = {
        f"estimator {form}": extrapolated(setting, measurements, form).argmax(-1) for form in FORMS
    }
    picks |= {
        f"least {name}": measurements.distances[name].argmin(-1)
        for name in (COMBINE, AGG, FEATURES)
    }
    picks[PILOT] = measurements.accuracy[setting.pilots[1]].argmax(-1)
    even = (measurements.p - 1 / measurements.p.shape[-1]).abs().sum(-1).argmin()
    return picks | {EQUAL: even.expand_as(picks[PILOT])}


def regrets(setting: MixtureSetting, measurements: Measurements) -> dict[str, list[float]]:
    """Best accuracy of the grid at ``points`` less that of the choice, by rule, a number a seed.

    The best is the best as measured on the test rows, so that chance is on its side. ``ANY`` is a
    mixture drawn at random.
    """
    real = measurements.accuracy[setting.points]
    best = real.amax(-1)
    losses = {
        rule: best - real.gather(-1, pick[:, None])[:, 0]
        for rule, pick in choices(setting, measurements).items()
    }
    return {
        rule: values.tolist() for rule, values in (losses | {ANY: best - real.mean(-1)}).items()
    }


def regret_of(setting: MixtureSetting, n_seeds: int, steps: int) -> dict[str, list[float]]:
    """``regrets`` of a setting."""
    return regrets(setting, measure(setting, n_seeds, steps, (*setting.pilots, setting.points)))


def finds_good(condition: str, effort: Effort, scenario: str, rule: str = ESTIMATED[0]) -> Evidence:
    """How far the estimator's regret lies below that of a random mixture."""
    setting, reason = setting_of(condition, effort, scenario)
    if reason:
        return Evidence(untested=reason)
    size = size_of(effort)
    regret = regret_of(setting, size.seeds, size.steps)
    gains = [other - own for other, own in zip(regret[ANY], regret[rule], strict=True)]
    rows = [[name, 100 * sum(values) / len(values)] for name, values in regret.items()]
    return Evidence(
        samples={"accuracy of the choice less that of a random mixture": gains},
        seeds=f"{SEED} + 0..{size.seeds - 1}",
        tables=[
            {
                "title": "regret, points of accuracy",
                "head": ["rule", "mean regret, %"],
                "rows": rows,
            }
        ],
    )


def near_best(condition: str, effort: Effort, scenario: str, rule: str = ESTIMATED[0]) -> Evidence:
    """The regret of the estimator's choice, points of accuracy."""
    setting, reason = setting_of(condition, effort, scenario)
    if reason:
        return Evidence(untested=reason)
    size = size_of(effort)
    regret = torch.tensor(regret_of(setting, size.seeds, size.steps)[rule], dtype=torch.float64)
    return Evidence(
        samples={f"regret, {rule}": (100 * regret).tolist()}, seeds=f"{SEED} + 0..{size.seeds - 1}"
    )
