"""Measurements of mixtures of three sellers' data, shared by three studies, and arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.papers.core.rows import STANDS
from agents.papers.core.study import Common, run
from agents.papers.core.units import Unit
from agents.papers.data_valuation.mixtures import Measurements, measure
from agents.papers.data_valuation.settings import DATA_SETS, MixtureSetting, readable
from agents.papers.data_valuation.training import STRENGTHS
from marketenv.core.lookup import lookup

FEDAVG = "fedavg"  # trains the models where nothing else is given
TRADED = ("label_skew", "mislabeled", "unlabeled")  # scenarios of three sellers
EMBEDDED = tuple(name for name, about in DATA_SETS.items() if not about.place.endswith(".npz"))


@dataclass(frozen=True, kw_only=True)
class Wad(Common):
    """Arguments of the studies of mixtures of three sellers.

    Args:
        data: data sets; those in files are skipped, with a reason, where the variable
            MARKETENV_DATA names no folder that has them
        scenarios: label_skew, mislabeled, unlabeled
        seeds: markets of every data set; an interval wants 20
        steps: steps of the grid of mixtures; 10 steps are 66 mixtures
    """

    data: tuple[str, ...] = EMBEDDED
    scenarios: tuple[str, ...] = TRADED
    seeds: int = 20
    steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind, table, names in (
            ("data set", DATA_SETS, self.data),
            ("scenario", dict.fromkeys(TRADED), self.scenarios),
        ):
            for name in names:
                lookup(table, name, kind)
        if self.seeds < 1 or self.steps < 1 or not self.data or not self.scenarios:
            raise ValueError("wanted one data set, scenario, seed and step or more.")

    def here(self) -> tuple[str, ...]:
        """The data sets that can be read; ValueError where there is none."""
        return readable(self.data)


@dataclass(frozen=True, kw_only=True)
class Correlation(Wad):
    """Arguments of the study of correlations: those of all three studies, and its own.

    Args:
        algorithms: fedavg, fedprox; how models train
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
    by_scenario = {}
    for scenario in scenarios:
        setting = MixtureSetting(data=data, scenario=scenario, algorithm=algorithm)
        one = measure(setting, seeds, steps, (*setting.pilots, setting.points))
        by_scenario[scenario] = {
            "p": one.p.tolist(),
            "distances": {name: values.tolist() for name, values in one.distances.items()},
            "accuracy": {str(n): values.tolist() for n, values in one.accuracy.items()},
        }
    return by_scenario


# by data set, scenario and algorithm, in words
MeasuredSettings = dict[str, tuple[MixtureSetting, Measurements]]


def measured(config: Wad, label: str, algorithms: Sequence[str] = (FEDAVG,)) -> MeasuredSettings:
    """Measurements by data set, scenario and algorithm; three studies share them."""
    options = {"scenarios": list(config.scenarios), "seeds": config.seeds, "steps": config.steps}
    pairs = [(name, algorithm) for name in config.here() for algorithm in algorithms]
    units = [
        Unit(mixtures, {"data": name, "algorithm": algorithm, **options}, stands=STANDS)
        for name, algorithm in pairs
    ]
    settings = {}
    for (name, algorithm), one in zip(pairs, run(units, config, label), strict=True):
        for scenario in one:
            setting = MixtureSetting(data=name, scenario=scenario, algorithm=algorithm)
            settings[setting_words(setting)] = (setting, _read(one[scenario]))
    return settings


def setting_words(setting: MixtureSetting) -> str:
    """A setting in words; the usual algorithm is not named."""
    algorithm = () if setting.algorithm == FEDAVG else (setting.algorithm,)
    return ", ".join((setting.data, setting.scenario, *algorithm))


def _read(plain: Mapping[str, Any]) -> Measurements:
    def tensor(values: Any) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    distances = {name: tensor(values) for name, values in plain["distances"].items()}
    accuracy = {int(n): tensor(values) for n, values in plain["accuracy"].items()}
    return Measurements(tensor(plain["p"]), distances, accuracy)


def scale_note(config: Wad) -> str:
    """What is smaller than in the paper, in one line."""
    notes = "; ".join(f"{name}: {DATA_SETS[name].about}" for name in config.here())
    return (
        "800 training points for the paper's 4,000 and 6,000, small networks, 200 local steps."
        f" {notes}"
    )
