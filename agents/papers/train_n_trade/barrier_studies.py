"""Study of barriers between networks trained apart, in rows and a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marketenv.core.lookup import lookup

from ..core.reported import Reported
from ..core.rows import row
from ..core.study import Common, Row, Study, run
from ..core.units import Unit
from . import network_figures as figures
from .barriers import NETWORKS, STEPS, Network, join_pair
from .images import read_images, ready
from .numbers import BARRIERS
from .runs import finite_or_inf

GOAL = 0.05  # nats: midpoint barrier after alignment that we aim at
WAYS, SCORES = ("naive", "aligned"), ("loss", "accuracy")
Pairs = Sequence[Mapping[str, Any]]  # results of ``join_pair``


@dataclass(frozen=True, kw_only=True)
class Barrier(Common):
    """Loss between two networks that were trained apart on the same data, as they are and aligned
    by weight matching.

    Args:
        seeds: pairs of models per network
        networks: mlp, cnn (a small one with GroupNorm), resnet (on CIFAR-10; minutes more)
        root: folder of the data as torchvision leaves it, or an .npz file to use in its place; None
            looks in the folder that the variable MARKETENV_DATA names
        download: let torchvision fetch what is missing into root (None: data in out)
        examples: training rows; None takes the network's own number, as everywhere below
        test: test rows
        epochs: epochs at the network's first learning rate, with none at the second
        width: units of each hidden layer of the MLP, or channels of the CNN's first convolution
        restarts: starts of the alignment, of which the best is kept
        device: where everything is computed, such as cuda
    """

    seeds: int = 3
    networks: tuple[str, ...] = ("mlp", "cnn")
    root: Path | None = None
    download: bool = False
    examples: int | None = None
    test: int | None = None
    epochs: int | None = None
    width: int | None = None
    restarts: int = 3
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.networks:
            raise ValueError(f"networks is empty, wanted some of {', '.join(NETWORKS)}.")
        for name in self.networks:
            lookup(NETWORKS, name, "network")
        for name in ("seeds", "examples", "test", "epochs", "width", "restarts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, wanted >= 1.")

    def network(self, name: str) -> Network:
        """The network with what the command line changes of it."""
        usual = NETWORKS[name]
        changes: dict[str, Any] = {"examples": self.examples, "test": self.test}
        if self.epochs:
            changes["epochs"] = ((self.epochs, usual.epochs[0][1]),)
        if self.width and name != "resnet":
            sized = {"mlp": ("hidden", (self.width,) * 3), "cnn": ("width", self.width)}[name]
            changes["options"] = tuple((dict(usual.options) | dict([sized])).items())
            changes["label"] = f"{usual.label}, changed to {self.width} units or channels"
        known = {field: value for field, value in changes.items() if value is not None}
        return dataclasses.replace(usual, **known)

    def scaled(self) -> str:
        """What is smaller than it could be, in words."""
        networks = [self.network(name) for name in self.networks]
        parts = [
            f"{one.label}: {one.examples or 'all'} training rows, {one.test or 'all'} test rows"
            for one in networks
            if one.examples or one.test
        ]
        return "; ".join(parts + ([f"{self.epochs} epochs by request"] if self.epochs else []))


def units(config: Barrier, network: Network) -> list[Unit]:
    """The pairs of one network, each a unit; ValueError for data that do not suit it."""
    data, root = ready(network.data, network.data, config.root, config.download, config.out)
    read_images(data, root, network.shrink, None)
    same = {
        "network": network,
        "data": data,
        "root": root,
        "restarts": config.restarts,
        "device": config.device,
    }
    epochs = sum(epochs for epochs, _ in network.epochs)
    return [Unit(join_pair, same | {"seed": seed}, epochs) for seed in range(config.seeds)]


def barrier(config: Barrier) -> None:
    """Loss between two networks that were trained apart, as they are and aligned: the quality
    gate of the broker's alignment.
    """
    networks = {name: config.network(name) for name in config.networks}
    work = [unit for network in networks.values() for unit in units(config, network)]
    results, seeds = run(work, config, "barrier", config.device), config.seeds
    pairs = {name: results[k * seeds : (k + 1) * seeds] for k, name in enumerate(networks)}
    Study(
        name="barrier",
        title="Loss barriers between networks trained apart",
        scaled=config.scaled(),
        about={
            "networks": {name: dataclasses.asdict(one) for name, one in networks.items()},
            "restarts": config.restarts,
        },
        rows=tuple(
            line
            for name, one in networks.items()
            for line in barrier_rows(one, pairs[name], BARRIERS.get(name, {}))
        ),
        fig=figures.barriers(
            {
                one.label: paths(pairs[name], BARRIERS.get(name, {}))
                for name, one in networks.items()
            }
        ),
        notes=(
            f"Barrier: test loss at the midpoint less the mean of the two ends; aligned we aim at"
            f" <= {GOAL} nats, which is reported and not required.",
            "The figures in the paper's column are of other trainings; a midpoint depends on how,"
            " and how long, models train.",
        ),
        curves=pairs,
    ).write(config.out)


def barrier_rows(network: Network, pairs: Pairs, reported: Mapping[str, Reported]) -> list[Row]:
    """Ends, midpoints and barriers of all pairs of one network."""
    path = {(way, score): _path(pairs, way, score) for way in WAYS for score in SCORES}
    middle = STEPS // 2
    points = {
        f"{score} of the trained models": path["naive", score][:, [0, -1]].mean(1)
        for score in SCORES
    }
    points |= {
        f"{score} at the midpoint, {way}": scores[:, middle]
        for (way, score), scores in path.items()
    }
    for way in WAYS:
        loss = path[way, "loss"]
        points[f"barrier, {way}"] = loss[:, middle] - loss[:, [0, -1]].mean(1)
    rows = [
        row(
            f"{network.label}: {what}",
            "% right" if what.startswith("accuracy") else "nats",
            values.tolist(),
            reported.get(what),
        )
        for what, values in points.items()
    ]
    return [*rows[:-1], dataclasses.replace(rows[-1], source=f"our goal: <= {GOAL}")]


def _path(pairs: Pairs, way: str, score: str) -> np.ndarray:
    """Loss or accuracy along the path [pairs, STEPS + 1]; a value that is not finite is inf."""
    return finite_or_inf([pair[way][score] for pair in pairs])


def paths(pairs: Pairs, reported: Mapping[str, Reported]) -> list[figures.Paths]:
    """What the picture of one network shows: its losses and its accuracies along the paths."""
    shown = []
    for score, label in (("loss", "test loss, nats"), ("accuracy", "test accuracy, %")):
        ways = {way: _path(pairs, way, score) for way in WAYS}
        number = reported.get(f"{score} at the midpoint, aligned")
        shown.append(figures.Paths(label, ways, number.value if number else None))
    return shown
