"""Studies of mixtures of three sellers' data (arXiv 2509.18104), in rows and pictures.

``wad_scaling`` is the first experiment that the paper's summary proposes, ``wad_correlation`` its
check of other data sets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from torch import Tensor

from agents.papers.core.rows import about, row
from agents.papers.core.study import Study
from agents.papers.data_valuation import figures, numbers, scaling, selection
from agents.papers.data_valuation.correlation import PREDICTED
from agents.papers.data_valuation.mixture_units import (
    FEDAVG,
    Correlation,
    Wad,
    measured,
    scale_note,
    setting_words,
)
from agents.papers.data_valuation.mixtures import (
    AGG,
    COMBINE,
    Measurements,
    extrapolated,
    pearson,
    spearman,
)
from agents.papers.data_valuation.settings import MixtureSetting, skipped

# --- wad_correlation ------------------------------------------------------------------------------


def wad_correlation(config: Correlation) -> None:
    """Correlation of distances and predictions with accuracy over mixtures of three sellers."""
    measurements, rows = measured(config, "wad_correlation", config.algorithms), []
    dots: dict[str, list[float]] = {}
    for where, (setting, one) in measurements.items():
        for what, kind, r in _pairs(setting, one):
            comparable = (
                setting == MixtureSetting(data="digits", scenario="label_skew") and kind == "r"
            )
            reported = numbers.DIGITS.get(what.partition(",")[0]) if comparable else None
            rows.append(row(f"{where}: {kind} of {what}", "correlation", r, reported))
        n = setting.pilots[1]
        dots |= {
            f"{where}: {name}": pearson(one.distances[name], one.accuracy[n]).tolist()
            for name in (COMBINE, AGG)
        }
        usual = setting_words(dataclasses.replace(setting, algorithm=FEDAVG))
        if usual != where and usual in measurements:
            what = f"{where} less {FEDAVG}: r of {COMBINE}, N = {n}"
            less = pearson(one.distances[COMBINE], one.accuracy[n]) - pearson(
                one.distances[COMBINE], measurements[usual][1].accuracy[n]
            )
            rows.append(row(what, "correlation", less))
    rows += [
        row(
            f"CIFAR-10 at the paper's size, {algorithm}, N = {n}: r of CombineWad; not run here",
            "correlation",
            (),
            reported,
        )
        for (algorithm, n), reported in numbers.CORRELATIONS.items()
    ]
    setting, first = next(iter(measurements.values()))
    wad = {name: first.distances[name][0].tolist() for name in (COMBINE, AGG)}
    Study(
        name="wad_correlation",
        title="Distances of mixtures and their accuracy",
        scaled=scale_note(config),
        about=about(config),
        rows=tuple(rows),
        fig=figures.correlations(wad, first.accuracy[setting.pilots[1]][0].tolist(), dots),
        notes=(
            (
                "A correlation is taken over the mixtures of one seed; points are seeds. Nearer"
                " should be better: below 0 is right."
            ),
            *skipped(config.data),
        ),
        curves=dots,
    ).write(config.out)


def _pairs(setting: MixtureSetting, one: Measurements) -> Iterator[tuple[str, str, Tensor]]:
    """(what, kind, correlation of every seed)."""
    pairs = {
        f"{name}, N = {n}": (d, one.accuracy[n])
        for name, d in one.distances.items()
        for n in one.accuracy
    }
    pairs[f"{PREDICTED}, N = {setting.points}"] = (
        extrapolated(setting, one),
        one.accuracy[setting.points],
    )
    for what, pair in pairs.items():
        yield what, "r", pearson(*pair)
        yield what, "rank correlation", spearman(*pair)


# --- wad_scaling ----------------------------------------------------------------------------------


def wad_scaling(config: Wad) -> None:
    """Accuracy extrapolated from 100 and 200 points to 800: the summary's first experiment."""
    measurements, rows, errors = measured(config, "wad_scaling"), [], {}
    for where, (setting, one) in measurements.items():
        for form in selection.FORMS:
            statistics = scaling.fit_statistics(setting, one, form)
            comparable = (
                setting == MixtureSetting(data="digits", scenario="label_skew")
                and form == "projektor"
            )
            ours = numbers.SCALING if comparable else {}
            for name, points in statistics.items():
                reported = numbers.R2 if name == "r^2" and form == "projektor" else ours.get(name)
                unit = "points of accuracy, %" if name.startswith("MAE") else "-"
                rows.append(row(f"{where}, {form}: {name}", unit, points, reported))
        errors[where] = scaling.fit_statistics(setting, one)["MAE"]
        errors[f"{where}: N1 as it is"] = scaling.fit_statistics(setting, one)[
            "MAE of the second pilot"
        ]
    predicted = {
        where: extrapolated(setting, one)[0].tolist()
        for where, (setting, one) in measurements.items()
    }
    realised = {
        where: one.accuracy[setting.points][0].tolist()
        for where, (setting, one) in measurements.items()
    }
    Study(
        name="wad_scaling",
        title="Accuracy extrapolated from two pilots",
        scaled=scale_note(config),
        about=about(config),
        rows=tuple(rows),
        fig=figures.scaling(predicted, realised, errors),
        notes=(
            (
                "The estimator is fitted at 100 and at 200 points on the same mixtures that it then"
                " predicts at 800. 'MAE of the second pilot' takes the accuracy at 200 points for"
                " that at 800."
            ),
            (
                "Rows that a seller does not have come again: 800 points of one seller of digits"
                " are its 305 rows over and over."
            ),
            *skipped(config.data),
        ),
        curves={"predicted": predicted, "realised": realised},
    ).write(config.out)


# --- wad_selection --------------------------------------------------------------------------------


def wad_selection(config: Wad) -> None:
    """Accuracy lost by each rule of choosing a mixture against the best of the grid."""
    measurements, rows, dots = measured(config, "wad_selection"), [], {}
    for where, (setting, one) in measurements.items():
        regret = {
            rule: [100 * x for x in values]
            for rule, values in selection.regrets(setting, one).items()
        }
        rows += [
            row(f"{where}: regret, {rule}", "points of accuracy, %", values)
            for rule, values in regret.items()
        ]
        if setting.data == config.here()[0]:
            dots[where] = regret
    Study(
        name="wad_selection",
        title="Regret of the chosen mixture",
        scaled=scale_note(config),
        about=about(config),
        rows=tuple(rows),
        fig=figures.regrets(dots),
        notes=(
            (
                "The best mixture is the best on the test rows, so that chance is on its side: a"
                " rule that knew the true accuracies would have a regret above 0."
            ),
            *skipped(config.data),
        ),
        curves=dots,
    ).write(config.out)
