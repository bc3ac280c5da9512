"""Scenarios, data sets and sizes of the experiments."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
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

from ...stress.claims.claim import Effort

SEED = 15_000  # the first seed; experiments take SEED, SEED + 1, ...


# --- what sellers own -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """How three sellers' data differ.

    partition, dealt: who owns what, as ``make_source`` takes it;
        corruption, harm: how it is bad, "" where it is not
    labels: whether distances see labels
    """

    partition: str
    dealt: Mapping[str, Any] = field(default_factory=dict)
    corruption: str = ""
    harm: Mapping[str, Any] = field(default_factory=dict)
    labels: bool = True


SKEWED = {"own": (0.97, 0.96, 0.99)}  # classes 0-3 at 24.25 % each, 4-6 at 32 %, 7-9 at 33 %
SCENARIOS: dict[str, Scenario] = {
    "label_skew": Scenario("class_blocks", SKEWED),
    "mislabeled": Scenario("balanced", corruption="mislabeled", harm={"rate": (0.0, 0.3, 0.6)}),
    "unlabeled": Scenario("class_blocks", SKEWED, labels=False),
    "crowd": Scenario("class_blocks", {"own": 0.97, "overlap": True, "size": 20}),
}


# --- data sets ------------------------------------------------------------------------------------


# equal shares then reach on digits what pooled training does
_USUAL = Training(learning_rate=0.3, batch_size=16, steps=10)
_PIXELS = Training(learning_rate=0.15, batch_size=16, steps=10)


@dataclass(frozen=True)
class DataSet:
    """A data set and what learns it.

    place:  a name of ``DATASETS``, or a file in the folder of large data sets, which MARKETENV_DATA
            names
    learner, options, training: of the models
    scaled: features are brought to mean 0 and deviation 1, as tables want it;
        halved: images are averaged to half their sides
    about:  what is not as in the paper
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


def data_folder() -> Path | None:
    """The folder of large data sets, where MARKETENV_DATA names one."""
    place = os.environ.get("MARKETENV_DATA", "")
    return Path(place) if place and Path(place).is_dir() else None


def missing(data: str) -> str:
    """Why a data set cannot be read here; "" where it can."""
    place = lookup(DATA_SETS, data, "data set").place
    if not place.endswith(".npz"):
        return ""
    folder = data_folder()
    here = folder is not None and (folder / place).is_file()
    return (
        ""
        if here
        else f"{data} lies in {place} of the folder that MARKETENV_DATA names, which is not here"
    )


def loaded(data: str) -> Dataset:
    """A data set as experiments see it; ValueError where it is not here."""
    if reason := missing(data):
        raise ValueError(reason + ".")
    return _loaded(data, data_folder())


@cache
def _loaded(data: str, folder: Path | None) -> Dataset:
    known = DATA_SETS[data]
    if known.place.endswith(".npz"):
        assert folder is not None  # ``missing`` was asked
        found = find_dataset(folder / known.place)
    else:
        found = find_dataset(known.place)
    return (
        _changed(found, _halved)
        if known.halved
        else _changed(found, _scaled)
        if known.scaled
        else found
    )


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
class Setting:
    """What is traded, and how it is measured.

    data, scenario: names of ``DATA_SETS`` and ``SCENARIOS``
    pilots: N0 and N1, training points of the two pilots;   points: N, those of the training itself
    shown:  rows of each seller that distances see;   targets: rows of the buyer;
            dimensions: of its principal components
    algorithm, communications: FedAvg or FedProx, and how often sellers train and send
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
    def dealt(self) -> Scenario:
        """The scenario."""
        scenario: Scenario = lookup(SCENARIOS, self.scenario, "scenario")
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
class Size:
    """What an effort may spend: seeds, and steps of the grid of mixtures (10 steps of three
    sellers are 66 mixtures).
    """

    seeds: int
    steps: int


SIZES: dict[str, Size] = {"quick": Size(20, 5), "standard": Size(40, 10), "full": Size(100, 20)}
LEAST = Size(2, 2)  # of an effort that has another name


def size_of(effort: Effort) -> Size:
    """How much an effort may spend here."""
    return SIZES.get(effort.name, LEAST)
