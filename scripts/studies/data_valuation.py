"""Studies of mixtures of three sellers' data (arXiv 2509.18104), in rows and pictures.

``wad_scaling`` is the first experiment that the paper's summary proposes, ``wad_correlation`` its
check of other data sets.
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
from agents.papers.data_valuation.mixtures import (
    AGG,
    COMBINE,
    Measured,
    extrapolated,
    measure,
    pearson,
    spearman,
)
from agents.papers.data_valuation.settings import DATA_SETS, Setting, missing
from agents.papers.data_valuation.training import STRENGTHS
from marketenv.core.lookup import lookup
from scripts.studies.rows import STANDS, about, row
from scripts.studies.study import Common, Study, run
from scripts.units import Unit

FEDAVG = "fedavg"  # which models are trained by where nothing else is said
TRADED = ("label_skew", "mislabeled", "unlabeled")  # scenarios of three sellers
EMBEDDED = tuple(name for name, about in DATA_SETS.items() if not about.place.endswith(".npz"))


@dataclass(frozen=True, kw_only=True)
class Wad(Common):
    """Arguments of the studies of mixtures of three sellers.

    Args:
        data: data sets; those in files are skipped with a reason where the variable MARKETENV_DATA
            names no folder that has them
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
        for kind, known, names in (
            ("data set", DATA_SETS, self.data),
            ("scenario", dict.fromkeys(TRADED), self.scenarios),
        ):
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


@dataclass(frozen=True, kw_only=True)
class Correlation(Wad):
    """Arguments of the study of correlations, those of the others beside its own.

    Args:
        algorithms: fedavg, fedprox; how models are trained
    """

    algorithms: tuple[str, ...] = tuple(STRENGTHS)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.algorithms:
            lookup(STRENGTHS, name, "algorithm")
        if not self.algorithms:
            raise ValueError(
                f"algorithms is {self.algorithms}, wanted one or more of {', '.join(STRENGTHS)}."
            )


def mixtures(
    folder: Path, data: str, scenarios: Sequence[str], seeds: int, steps: int, algorithm: str
) -> Any:
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


Found = dict[str, tuple[Setting, Measured]]  # by data set, scenario and algorithm, in words


def measured(config: Wad, label: str, algorithms: Sequence[str] = (FEDAVG,)) -> Found:
    """What every data set and scenario came to under each algorithm; three studies share the
    work.
    """
    told = {"scenarios": list(config.scenarios), "seeds": config.seeds, "steps": config.steps}
    pairs = [(name, algorithm) for name in config.here() for algorithm in algorithms]
    units = [
        Unit(mixtures, {"data": name, "algorithm": algorithm, **told}, stands=STANDS)
        for name, algorithm in pairs
    ]
    settings = {}
    for (name, algorithm), one in zip(pairs, run(units, config, label), strict=True):
        for scenario in one:
            setting = Setting(data=name, scenario=scenario, algorithm=algorithm)
            settings[_where(setting)] = (setting, _read(one[scenario]))
    return settings


def _where(setting: Setting) -> str:
    """A setting in words; the usual algorithm goes without saying."""
    return ", ".join(
        (
            setting.data,
            setting.scenario,
            *([] if setting.algorithm == FEDAVG else [setting.algorithm]),
        )
    )


def _read(plain: Mapping[str, Any]) -> Measured:
    def numbers_of(values: Any) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    distances = {name: numbers_of(values) for name, values in plain["distances"].items()}
    return Measured(
        numbers_of(plain["p"]),
        distances,
        {int(n): numbers_of(v) for n, v in plain["accuracy"].items()},
    )


def _scaled(config: Wad) -> str:
    told = "; ".join(f"{name}: {DATA_SETS[name].about}" for name in config.here())
    return (
        "800 training points for the paper's 4,000 and 6,000, small networks, 200 local steps."
        f" {told}"
    )


def _skipped(config: Wad) -> tuple[str, ...]:
    return tuple(f"Skipped: {missing(name)}." for name in config.data if missing(name))


# --- wad_correlation ------------------------------------------------------------------------------


def wad_correlation(config: Correlation) -> None:
    """How distances and the estimator's prediction go with realised accuracy, over mixtures of
    three sellers.
    """
    found, rows, dots = measured(config, "wad_correlation", config.algorithms), [], {}
    for where, (setting, one) in found.items():
        for what, kind, r in _pairs(setting, one):
            known = setting == Setting(data="digits", scenario="label_skew") and kind == "r"
            reported = numbers.DIGITS.get(what.partition(",")[0]) if known else None
            rows.append(row(f"{where}: {kind} of {what}", "correlation", r, reported))
        n = setting.pilots[1]
        dots |= {
            f"{where}: {name}": pearson(one.distances[name], one.accuracy[n]).tolist()
            for name in (COMBINE, AGG)
        }
        usual = _where(dataclasses.replace(setting, algorithm=FEDAVG))
        if usual != where and usual in found:
            what = f"{where} less {FEDAVG}: r of {COMBINE}, N = {n}"
            less = pearson(one.distances[COMBINE], one.accuracy[n]) - pearson(
                one.distances[COMBINE], found[usual][1].accuracy[n]
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
            (
                "A correlation is taken over the mixtures of one seed; points are seeds. Nearer"
                " should be better: below 0 is right."
            ),
            *_skipped(config),
        ),
        curves=dots,
    ).write(config.out)


def _pairs(setting: Setting, one: Measured) -> Iterator[tuple[str, str, Tensor]]:
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
    """Accuracy extrapolated from pilots of 100 and 200 points against 800: the summary's first
    experiment.
    """
    found, rows, errors = measured(config, "wad_scaling"), [], {}
    for where, (setting, one) in found.items():
        for form in selection.FORMS:
            judged = scaling.judged(setting, one, form)
            known = setting == Setting(data="digits", scenario="label_skew") and form == "projektor"
            ours = numbers.SCALING if known else {}
            for name, points in judged.items():
                reported = numbers.R2 if name == "r^2" and form == "projektor" else ours.get(name)
                unit = "points of accuracy, %" if name.startswith("MAE") else "-"
                rows.append(row(f"{where}, {form}: {name}", unit, points, reported))
        errors[where] = scaling.judged(setting, one)["MAE"]
        errors[f"{where}: N1 as it is"] = scaling.judged(setting, one)["MAE of the second pilot"]
    predicted = {
        where: extrapolated(setting, one)[0].tolist() for where, (setting, one) in found.items()
    }
    realised = {
        where: one.accuracy[setting.points][0].tolist() for where, (setting, one) in found.items()
    }
    Study(
        name="wad_scaling",
        title="Accuracy extrapolated from two pilots",
        scaled=_scaled(config),
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
            *_skipped(config),
        ),
        curves={"predicted": predicted, "realised": realised},
    ).write(config.out)


# --- wad_selection --------------------------------------------------------------------------------


def wad_selection(config: Wad) -> None:
    """Accuracy lost by each rule of choosing a mixture against the best of the grid."""
    found, rows, dots = measured(config, "wad_selection"), [], {}
    for where, (setting, one) in found.items():
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
        scaled=_scaled(config),
        about=about(config),
        rows=tuple(rows),
        fig=figures.regrets(dots),
        notes=(
            (
                "The best mixture is the best on the test rows, so that chance is on its side: a"
                " rule that knew the true accuracies would have a regret above 0."
            ),
            *_skipped(config),
        ),
        curves=dots,
    ).write(config.out)
