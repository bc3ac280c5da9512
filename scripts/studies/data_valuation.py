"""Studies of mixtures of three sellers' data (arXiv 2509.18104), in rows and pictures.

``wad_scaling`` is the first experiment that the paper's summary proposes, ``wad_correlation`` its check of other data sets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.papers.data_valuation import figures, numbers, scaling, selection
from agents.papers.data_valuation.correlation import PREDICTED
from agents.papers.data_valuation.mixtures import AGG, COMBINE, Measured, extrapolated, measure, pearson, spearman
from agents.papers.data_valuation.settings import DATA_SETS, Setting, missing
from marketenv.core.lookup import lookup
from scripts.studies.study import Common, Row, Study, run
from scripts.units import Unit

STANDS = ("marketenv", "agents")
TRADED = ("label_skew", "mislabeled", "unlabeled")  # scenarios of three sellers
EMBEDDED = tuple(name for name, about in DATA_SETS.items() if not about.place.endswith(".npz"))


@dataclass(frozen=True, kw_only=True)
class Wad(Common):
    """Arguments of the studies of mixtures of three sellers.

    Args:
        data: data sets; those in files are skipped with a reason where the variable MARKETENV_DATA names no folder that has them
        scenarios: label_skew, mislabeled, unlabeled
        seeds: markets of every data set; below 20 no interval is shown
        steps: of the grid of mixtures; 10 are 66 mixtures
    """

    data: tuple[str, ...] = EMBEDDED
    scenarios: tuple[str, ...] = TRADED
    seeds: int = 20
    steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind, known, names in (("data set", DATA_SETS, self.data), ("scenario", dict.fromkeys(TRADED), self.scenarios)):
            for name in names:
                lookup(known, name, kind)
        if self.seeds < 1 or self.steps < 1 or not self.data or not self.scenarios:
            raise ValueError("wanted one data set, scenario, seed and step or more.")

    def here(self) -> tuple[str, ...]:
        """The data sets that can be read; ValueError where there is none."""
        found = tuple(name for name in self.data if not missing(name))
        if not found:
            raise ValueError("; ".join(map(missing, self.data)) + ".")
        return found


def mixtures(folder: Path, data: str, scenarios: Sequence[str], seeds: int, steps: int, algorithm: str = "fedavg") -> Any:
    """Distances and accuracies of every mixture, seed by seed, by scenario."""
    found = {}
    for scenario in scenarios:
        setting = Setting(data=data, scenario=scenario, algorithm=algorithm)
        one = measure(setting, seeds, steps, (*setting.pilots, setting.points))
        found[scenario] = {
            "p": one.p.tolist(),
            "distances": {name: values.tolist() for name, values in one.distances.items()},
            "accuracy": {str(n): values.tolist() for n, values in one.accuracy.items()},
        }
    return found


Found = dict[tuple[str, str], tuple[Setting, Measured]]  # by data set and scenario


def measured(config: Wad, label: str) -> Found:
    """What every data set and scenario came to; three studies share the work."""
    names = config.here()
    told = {"scenarios": list(config.scenarios), "seeds": config.seeds, "steps": config.steps}
    done = run([Unit(mixtures, {"data": name, **told}, stands=STANDS) for name in names], config, label)
    return {
        (name, s): (Setting(data=name, scenario=s), _read(one[s])) for name, one in zip(names, done, strict=True) for s in one
    }


def _read(plain: Mapping[str, Any]) -> Measured:
    def numbers_of(values: Any) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    distances = {name: numbers_of(values) for name, values in plain["distances"].items()}
    return Measured(numbers_of(plain["p"]), distances, {int(n): numbers_of(v) for n, v in plain["accuracy"].items()})


def row(what: str, unit: str, points: Any, reported: numbers.Reported | None = None) -> Row:
    """One number beside what is reported."""
    values = tuple(points.tolist() if isinstance(points, Tensor) else points)
    return Row(what=what, unit=unit, paper=reported and reported.value, points=values, source=reported.place if reported else "")


def about(config: Common) -> dict[str, Any]:
    """The arguments that results depend on."""
    where = {field.name for field in dataclasses.fields(Common)}
    return {name: value for name, value in vars(config).items() if name not in where}


def _scaled(config: Wad) -> str:
    told = "; ".join(f"{name}: {DATA_SETS[name].about}" for name in config.here())
    return f"800 training points for the paper's 4,000 and 6,000, small networks, 200 local steps. {told}"


def _skipped(config: Wad) -> tuple[str, ...]:
    return tuple(f"Skipped: {missing(name)}." for name in config.data if missing(name))


# --- wad_correlation ----------------------------------------------------------------------------------------------------


def wad_correlation(config: Wad) -> None:
    """How distances and the estimator's prediction go with realised accuracy, over mixtures of three sellers."""
    found, rows, dots = measured(config, "wad_correlation"), [], {}
    for (data, scenario), (setting, one) in found.items():
        where = f"{data}, {scenario}"
        for what, kind, r in _pairs(setting, one):
            reported = (
                numbers.DIGITS.get(what.partition(",")[0]) if (data, scenario, kind) == ("digits", "label_skew", "r") else None
            )
            rows.append(row(f"{where}: {kind} of {what}", "correlation", r, reported))
        n = setting.pilots[1]
        dots |= {f"{where}: {name}": pearson(one.distances[name], one.accuracy[n]).tolist() for name in (COMBINE, AGG)}
    rows += [
        row(f"CIFAR-10 at the paper's size, {algorithm}, N = {n}: r of CombineWad; not run here", "correlation", (), reported)
        for (algorithm, n), reported in numbers.CORRELATIONS.items()
    ]
    setting, first = next(iter(found.values()))
    wad = {name: first.distances[name][0].tolist() for name in (COMBINE, AGG)}
    Study(
        name="wad_correlation",
        title="Distances of mixtures and their accuracy",
        scaled=_scaled(config),
        about=about(config),
        rows=tuple(rows),
        fig=figures.correlations(wad, first.accuracy[setting.pilots[1]][0].tolist(), dots),
        notes=(
            "A correlation is taken over the mixtures of one seed; points are seeds. Nearer should be better: below 0 is right.",
            *_skipped(config),
        ),
        curves=dots,
    ).write(config.out)


def _pairs(setting: Setting, one: Measured) -> Iterator[tuple[str, str, Tensor]]:
    """(what, kind, correlation of every seed)."""
    pairs = {f"{name}, N = {n}": (d, one.accuracy[n]) for name, d in one.distances.items() for n in one.accuracy}
    pairs[f"{PREDICTED}, N = {setting.points}"] = extrapolated(setting, one), one.accuracy[setting.points]
    for what, pair in pairs.items():
        yield what, "r", pearson(*pair)
        yield what, "rank correlation", spearman(*pair)


# --- wad_scaling --------------------------------------------------------------------------------------------------------


def wad_scaling(config: Wad) -> None:
    """Accuracy extrapolated from pilots of 100 and 200 points against 800: the summary's first experiment."""
    found, rows, errors = measured(config, "wad_scaling"), [], {}
    for (data, scenario), (setting, one) in found.items():
        for form in selection.FORMS:
            judged = scaling.judged(setting, one, form)
            ours = numbers.SCALING if (data, scenario, form) == ("digits", "label_skew", "projektor") else {}
            for name, points in judged.items():
                reported = numbers.R2 if name == "r^2" and form == "projektor" else ours.get(name)
                unit = "points of accuracy, %" if name.startswith("MAE") else "-"
                rows.append(row(f"{data}, {scenario}, {form}: {name}", unit, points, reported))
        errors[f"{data}, {scenario}"] = scaling.judged(setting, one)["MAE"]
        errors[f"{data}, {scenario}: N1 as it is"] = scaling.judged(setting, one)["MAE of the second pilot"]
    predicted = {f"{d}, {s}": extrapolated(setting, one)[0].tolist() for (d, s), (setting, one) in found.items()}
    realised = {f"{d}, {s}": one.accuracy[setting.points][0].tolist() for (d, s), (setting, one) in found.items()}
    Study(
        name="wad_scaling",
        title="Accuracy extrapolated from two pilots",
        scaled=_scaled(config),
        about=about(config),
        rows=tuple(rows),
        fig=figures.scaling(predicted, realised, errors),
        notes=(
            "The estimator is fitted at 100 and at 200 points on the same mixtures that it then predicts at 800. 'MAE of the "
            "second pilot' takes the accuracy at 200 points for that at 800.",
            "Rows that a seller does not have come again: 800 points of one seller of digits are its 305 rows over and over.",
            *_skipped(config),
        ),
        curves={"predicted": predicted, "realised": realised},
    ).write(config.out)


# --- wad_selection ------------------------------------------------------------------------------------------------------


def wad_selection(config: Wad) -> None:
    """Accuracy lost by each rule of choosing a mixture against the best of the grid."""
    found, rows, dots = measured(config, "wad_selection"), [], {}
    for (data, scenario), (setting, one) in found.items():
        regret = {rule: [100 * x for x in values] for rule, values in selection.regrets(setting, one).items()}
        rows += [row(f"{data}, {scenario}: regret, {rule}", "points of accuracy, %", values) for rule, values in regret.items()]
        if data == next(iter(found))[0]:
            dots[f"{data}, {scenario}"] = regret
    Study(
        name="wad_selection",
        title="Regret of the chosen mixture",
        scaled=_scaled(config),
        about=about(config),
        rows=tuple(rows),
        fig=figures.regrets(dots),
        notes=(
            "The best mixture is the best on the test rows, so that chance is on its side: a rule that knew the true accuracies "
            "would have a regret above 0.",
            *_skipped(config),
        ),
        curves=dots,
    ).write(config.out)
