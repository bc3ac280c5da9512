"""Scenarios, data sets and sizes of the experiments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from marketenv.core.lookup import lookup
from marketenv.data import Dataset, Source, make_source
from marketenv.data.sources import find_dataset
from marketenv.learners import LEARNERS, Learner, Training

from ..core.data_folder import data_folder
from ..core.effort import Effort

SEED = 15_000  # the first seed; experiments take SEED, SEED + 1, ...


# --- what sellers own -----------------------------------------------------------------------------


@dataclass(frozen=True)
class SellerScenario:
    """How three sellers' data differ.

    partition, dealt: the partition and its options, as ``make_source`` takes them
    corruption, harm: the corruption and its options; "" for clean data
    labels: whether distances see labels
    """

    partition: str
    dealt: Mapping[str, Any] = field(default_factory=dict)
    corruption: str = ""
    harm: Mapping[str, Any] = field(default_factory=dict)
    labels: bool = True


SKEWED = {"own": (0.97, 0.96, 0.99)}  # classes 0-3 at 24.25 % each, 4-6 at 32 %, 7-9 at 33 %
SCENARIOS: dict[str, SellerScenario] = {
    "label_skew": SellerScenario("class_blocks", SKEWED),
    "mislabeled": SellerScenario(
        "balanced", corruption="mislabeled", harm={"rate": (0.0, 0.3, 0.6)}
    ),
    "unlabeled": SellerScenario("class_blocks", SKEWED, labels=False),
    "crowd": SellerScenario("class_blocks", {"own": 0.97, "overlap": True, "size": 20}),
}


# --- data sets ------------------------------------------------------------------------------------


# equal shares then reach on digits what pooled training does
_USUAL = Training(learning_rate=0.3, batch_size=16, steps=10)
_PIXELS = Training(learning_rate=0.15, batch_size=16, steps=10)


@dataclass(frozen=True)
class DataSet:
    """A data set and what learns it.

    place:  a name of ``DATASETS``, or a file in the folder that MARKETENV_DATA names
    learner, options, training: of the models
    scaled: features are brought to mean 0 and deviation 1, as tables want it
    halved: images are averaged to half their sides
    about:  differences from the paper
    """

    place: str
    learner: str = "mlp"
    options: Mapping[str, Any] = field(default_factory=lambda: {"hidden": (32,)})
    training: Training = _USUAL
    scaled: bool = False
    halved: bool = False
    about: str = "a task of ours"


DATA_SETS: dict[str, DataSet] = {
    "digits": DataSet("digits"),
    "mnist": DataSet("small/mnist_6k_1k.npz", training=_PIXELS),
    "fashion_mnist": DataSet("small/fashion_mnist_6k_1k.npz", training=_PIXELS),
    "cifar10": DataSet(
        "small/cifar10_8k_2k.npz",
        training=Training(learning_rate=0.05, batch_size=16, steps=10),
        options={"hidden": (64,)},
        halved=True,
        about=(
            "8,000 training rows for 50,000, 16x16 pixels, a small perceptron for the paper's CNN,"
            " a fifth of its points"
        ),
    ),
    "letter": DataSet("tabular/letter.npz", scaled=True),
    "satellite": DataSet("tabular/satellite.npz", scaled=True),
    "breast_cancer": DataSet("breast_cancer", scaled=True),
}


def missing(data: str) -> str:
    """Why a data set cannot be read here; "" where it can."""
    place = lookup(DATA_SETS, data, "data set").place
    folder = data_folder()
    if not place.endswith(".npz") or (folder is not None and (folder / place).is_file()):
        return ""
    return f"{data} lies in {place} of the folder that MARKETENV_DATA names, which is not here"


def readable(data: Sequence[str]) -> tuple[str, ...]:
    """Those of some data sets that can be read; ValueError where there is none."""
    names = tuple(name for name in data if not missing(name))
    if not names:
        raise ValueError("; ".join(map(missing, data)) + ".")
    return names


def skipped(data: Sequence[str]) -> tuple[str, ...]:
    """A note on each data set that cannot be read."""
    return tuple(f"Skipped: {missing(name)}." for name in data if missing(name))


def loaded(data: str) -> Dataset:
    """A data set as experiments see it; ValueError where it is not here."""
    if reason := missing(data):
        raise ValueError(reason + ".")
    return _loaded(data, data_folder())


@cache
def _loaded(data: str, folder: Path | None) -> Dataset:
    about = DATA_SETS[data]
    if about.place.endswith(".npz"):
        assert folder is not None  # ``missing`` was asked
        dataset = find_dataset(folder / about.place)
    else:
        dataset = find_dataset(about.place)
    if about.halved:
        return _changed(dataset, _halved)
    return _changed(dataset, _scaled) if about.scaled else dataset


def _changed(data: Dataset, change: Callable[[Tensor], Tensor]) -> Dataset:
    return dataclasses.replace(
        data, x=change(data.x), x_test=None if data.x_test is None else change(data.x_test)
    )


def _halved(x: Tensor) -> Tensor:
    return avg_pool2d(x, 2)


def _scaled(x: Tensor) -> Tensor:
    rows = x.flatten(1)
    spread = rows.std(0)
    return (rows - rows.mean(0)) / torch.where(spread > 0, spread, 1.0)


# --- one setting ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MixtureSetting:
    """What is traded, and how it is measured.

    data, scenario: names of ``DATA_SETS`` and ``SCENARIOS``
    pilots:     N0 and N1, training points of the two pilots
    points:     N, training points of the full training
    shown:      rows of each seller that distances see
    targets:    rows of the buyer that distances see
    dimensions: of their principal components
    algorithm:  fedavg or fedprox
    communications: how often sellers train and send
    """

    data: str = "digits"
    scenario: str = "label_skew"
    n_sellers: int = 3
    pilots: tuple[int, int] = (100, 200)
    points: int = 800
    shown: int = 100
    targets: int = 128
    dimensions: int = 32
    algorithm: str = "fedavg"
    communications: int = 20

    @property
    def about(self) -> DataSet:
        """The data set."""
        about: DataSet = lookup(DATA_SETS, self.data, "data set")
        return about

    @property
    def dealt(self) -> SellerScenario:
        """The scenario."""
        scenario: SellerScenario = lookup(SCENARIOS, self.scenario, "scenario")
        return scenario

    def source(self) -> Source:
        """What sellers own, by seed; ValueError where the data set is not here."""
        loaded(self.data)
        return _source(self.data, self.scenario, self.n_sellers, data_folder())

    def learner(self) -> Learner:
        """Of all models."""
        source, about = self.source(), self.about
        make = LEARNERS[about.learner]
        return make(
            source.feature_shape, source.n_outputs, source.task, about.training, **about.options
        )


@cache
def _source(data: str, scenario: str, n_sellers: int, folder: Path | None) -> Source:
    dealt = SCENARIOS[scenario]
    harm: dict[str, Any] = (
        {"corruption": dealt.corruption, "corruption_options": dealt.harm}
        if dealt.corruption
        else {}
    )
    return make_source(_loaded(data, folder), dealt.partition, n_sellers, **harm, **dealt.dealt)


# --- sizes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GridSize:
    """What an effort may spend: seeds, and steps of the grid of mixtures.

    10 steps of three sellers are 66 mixtures.
    """

    seeds: int
    steps: int


SIZES: dict[str, GridSize] = {
    "quick": GridSize(20, 5),
    "standard": GridSize(40, 10),
    "full": GridSize(100, 20),
}
LEAST = GridSize(2, 2)  # of an effort that has another name


def size_of(effort: Effort) -> GridSize:
    """How much an effort may spend here."""
    return SIZES.get(effort.name, LEAST)


def mean(values: Sequence[float]) -> float:
    """The mean of some numbers, summed in their order."""
    return sum(values) / len(values)
