"""Loss barriers between networks trained apart: is the broker's alignment as good as its
source, Git Re-Basin, says?
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from safetensors.torch import load as unpack
from safetensors.torch import save as pack
from torch import Tensor

from marketenv.alignment import match, permute
from marketenv.core import draws
from marketenv.core.lookup import lookup
from marketenv.core.shards import Shards
from marketenv.data.sources import find_dataset
from marketenv.data.splitting import split
from marketenv.learners import LEARNERS, Learner, Training
from marketenv.render import figure
from marketenv.render.pictures import COLOURS
from scripts.studies.deep import dataset, place
from scripts.studies.study import Common, Row, Study, number, run
from scripts.units import Unit, beat, replace


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network whose twins are trained apart and joined.

    epochs: (epochs, learning rate) one after the other;   examples, test: rows, None takes all
    paper:  what the literature reports, by the name of our row, and where
    """

    label: str
    data: str
    learner: str
    options: tuple[tuple[str, Any], ...]
    epochs: tuple[tuple[int, float], ...]
    optimizer: str = "sgd"
    batch: int = 256
    weight_decay: float = 5e-4
    examples: int | None = None
    test: int | None = None
    shrink: int = 1
    paper: tuple[tuple[str, float], ...] = ()
    source: str = ""


_ROWS = (
    "accuracy of the trained models",
    "loss of the trained models",
    "accuracy at the midpoint, aligned",
    "loss at the midpoint, aligned",
)
GOAL = 0.05  # nats: midpoint barrier after alignment that we aim at
NETWORKS = {
    "mlp": Network(
        label="MLP 784-512-512-512-10, MNIST",
        data="mnist",
        learner="mlp",
        options=(("hidden", (512, 512, 512)),),
        epochs=((8, 0.1), (3, 0.01)),
        paper=tuple(zip(_ROWS, (99.1, 0.035, 82.4, 0.573), strict=True)),
        source=(
            "noted elsewhere for Git Re-Basin, MNIST MLP of 512 units a layer (depth not stated):"
            " trained, then permuted"
        ),
    ),
    "cnn": Network(
        label="CNN with GroupNorm, MNIST at 14 x 14",
        data="mnist",
        learner="cnn",
        options=(("norm", "group"), ("width", 32)),
        epochs=((8, 1e-2), (2, 1e-3)),
        optimizer="adam",
        batch=64,
        weight_decay=0.0,
        examples=10_000,
        test=2_000,
        shrink=2,
    ),
    "resnet": Network(
        label="ResNet-22 of width 1 with GroupNorm, CIFAR-10 at 16 x 16",
        data="cifar10",
        learner="resnet",
        options=(("depth", 22), ("width", 1)),
        epochs=((6, 1e-3), (2, 1e-4)),
        optimizer="adam",
        batch=64,
        weight_decay=0.0,
        examples=4_000,
        test=1_000,
        shrink=2,
        paper=tuple(zip(_ROWS, (95.5, 0.197, 88.5, 0.431), strict=True)),
        source=(
            "noted elsewhere for Git Re-Basin, CIFAR-10 ResNet20 of width 4 with LayerNorm:"
            " trained, then permuted"
        ),
    ),
}
STEPS = 10  # pieces of the path from one model to the other


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


def network_of(config: Barrier, name: str) -> Network:
    """The network with what the command line changes of it."""
    found = NETWORKS[name]
    changed: dict[str, Any] = {"examples": config.examples, "test": config.test}
    if config.epochs:
        changed["epochs"] = ((config.epochs, found.epochs[0][1]),)
    if config.width and name != "resnet":
        sized = {"mlp": ("hidden", (config.width,) * 3), "cnn": ("width", config.width)}[name]
        changed["options"] = tuple((dict(found.options) | dict([sized])).items())
        changed["label"] = f"{found.label}, changed to {config.width} units or channels"
    return dataclasses.replace(
        found, **{key: value for key, value in changed.items() if value is not None}
    )


def join_pair(
    folder: Path,
    network: Network,
    seed: int,
    data: str,
    root: str | None,
    restarts: int,
    device: str,
) -> dict[str, Any]:
    """Train two models from different starts in different batch orders, and score the path between
    them on the test data.

    Returns, for ``naive`` and ``aligned``, loss and accuracy (%) at weights 0, 0.1, ..., 1 of the
    second model.
    """
    found = dataset(data, root, network.shrink, None)
    parts = split(found, max_examples=network.examples, test_size=network.test, broker_data="test")
    x, y = parts.x.to(device), parts.y.to(device)
    keys = draws.agent_keys(torch.tensor([seed], device=device), 2, "barrier")[0]
    learner, params = _train_twins(
        folder, network, Shards(x, y, *_owned(parts.train.to(device), 2)), keys, found.n_classes
    )
    exam = learner.exam(Shards(x, y, *_owned(parts.test.to(device), 1)))
    assert learner.permutations is not None
    first, second = params[:1], params[1:]
    orders = match(learner.layout, learner.permutations, first, second, keys[:1], restarts=restarts)
    ends = {
        "naive": second,
        "aligned": permute(learner.layout, learner.permutations, second, orders),
    }
    weights = torch.linspace(0, 1, STEPS + 1, device=device)[:, None]
    scores = {
        name: learner.scores((first + weights * (end - first))[None], exam)
        for name, end in ends.items()
    }
    return {
        name: {
            "loss": [number(v) for v in s.loss[0].tolist()],
            "accuracy": [round(100 * v, 4) for v in s.accuracy[0].tolist()],
        }
        for name, s in scores.items()
    }


def _owned(rows: Tensor, owners: int) -> tuple[Tensor, Tensor]:
    """The same rows for every owner, as the index and size of shards."""
    return rows.expand(owners, -1), torch.tensor([len(rows)] * owners, device=rows.device)


def _train_twins(
    folder: Path, network: Network, shards: Shards, keys: Tensor, n_classes: int
) -> tuple[Learner, Tensor]:
    """Train one model per key on the same data; a killed training goes on from its last epoch."""
    rates = [rate for epochs, rate in network.epochs for _ in range(epochs)]
    learners = {rate: _learner(network, shards, rate, n_classes) for rate in rates}
    learner, file, start = learners[rates[0]], folder / "models.safetensors", 0
    params, slots = learner.init(keys), learner.fresh_slots(len(keys), keys.device)
    if file.exists():
        held = {name: tensor.to(keys.device) for name, tensor in unpack(file.read_bytes()).items()}
        params, slots, start = held["params"], held["slots"], int(held["epoch"])
    material, effort = learner.prepare(shards), torch.ones(len(keys), device=keys.device)
    for epoch in range(start, len(rates)):
        params, slots = learners[rates[epoch]].train(
            params, slots, material, effort, draws.fold(keys, "epoch", epoch)
        )
        held = {"params": params, "slots": slots, "epoch": torch.tensor(epoch + 1)}
        replace(file, pack({name: tensor.cpu().contiguous() for name, tensor in held.items()}))
        beat(folder, epoch + 1)
    return learner, params


def _learner(network: Network, shards: Shards, rate: float, n_classes: int) -> Learner:
    training = Training(
        optimizer=network.optimizer,
        learning_rate=rate,
        momentum=0.9 if network.optimizer == "sgd" else 0.0,
        weight_decay=network.weight_decay,
        batch_size=network.batch,
        steps=-(-int(shards.size[0]) // network.batch),
    )
    factory: Callable[..., Learner] = LEARNERS[network.learner]
    return factory(
        tuple(shards.x.shape[1:]), n_classes, "classification", training, **dict(network.options)
    )


def barrier(config: Barrier) -> None:
    """Loss between two networks that were trained apart, as they are and aligned: the quality
    gate of the broker's alignment.
    """
    networks, units = {name: network_of(config, name) for name in config.networks}, []
    for network in networks.values():
        data, root = place(network.data, config.root, config.download, config.out)
        if config.download:
            find_dataset(data, root=root, download=True)
        dataset(data, root, network.shrink, None)
        same = {
            "network": network,
            "data": data,
            "root": root,
            "restarts": config.restarts,
            "device": config.device,
        }
        rounds = sum(epochs for epochs, _ in network.epochs)
        units += [Unit(join_pair, same | {"seed": seed}, rounds) for seed in range(config.seeds)]
    results = run(units, config, "barrier", config.device)
    runs = {
        name: results[k * config.seeds : (k + 1) * config.seeds] for k, name in enumerate(networks)
    }
    cut = [n for n in networks.values() if n.examples or n.test]
    small = [
        f"{n.label}: {n.examples or 'all'} training rows, {n.test or 'all'} test rows" for n in cut
    ]
    small += [f"{config.epochs} epochs by request"] if config.epochs else []
    Study(
        name="barrier",
        title="Loss barriers between networks trained apart",
        scaled="; ".join(small),
        about={
            "networks": {name: dataclasses.asdict(n) for name, n in networks.items()},
            "restarts": config.restarts,
        },
        rows=tuple(row for name, n in networks.items() for row in barrier_rows(n, runs[name])),
        fig=draw_barriers(networks, runs),
        notes=(
            (
                "Barrier: test loss at the midpoint less the mean of the two ends; aligned we aim"
                f" at <= {GOAL} nats, which is reported and not required."
            ),
            (
                "The figures in the paper's column are of other trainings; a midpoint depends on"
                " how, and how long, models train."
            ),
        ),
        curves=runs,
    ).write(config.out)


def barrier_rows(network: Network, pairs: Sequence[dict[str, Any]]) -> list[Row]:
    """Ends, midpoints and barriers of all pairs of one network."""
    paths = {
        (way, what): _path(pairs, way, what)
        for way in ("naive", "aligned")
        for what in ("loss", "accuracy")
    }
    middle, paper = STEPS // 2, dict(network.paper)
    points = {
        f"{what} of the trained models": path[:, [0, -1]].mean(1)
        for (way, what), path in paths.items()
        if way == "naive"
    }
    points |= {
        f"{what} at the midpoint, {way}": path[:, middle] for (way, what), path in paths.items()
    }
    points |= {
        f"barrier, {way}": paths[way, "loss"][:, middle] - paths[way, "loss"][:, [0, -1]].mean(1)
        for way in ("naive", "aligned")
    }
    return [
        Row(
            what=f"{network.label}: {what}",
            unit="% right" if what.startswith("accuracy") else "nats",
            paper=paper.get(what),
            points=tuple(values.tolist()),
            source=(
                network.source
                if what in paper
                else f"our goal: <= {GOAL}"
                if what == "barrier, aligned"
                else ""
            ),
        )
        for what, values in points.items()
    ]


def _path(pairs: Sequence[dict[str, Any]], way: str, what: str) -> np.ndarray:
    """Loss or accuracy along the path [pairs, STEPS + 1]; what is not finite is inf."""
    return np.array(
        [[np.inf if v is None else v for v in pair[way][what]] for pair in pairs], dtype=float
    )


def draw_barriers(networks: dict[str, Network], runs: dict[str, Any]) -> Figure:
    """Two panels a network: test loss and test accuracy along the path, one thin line a pair
    and their mean.
    """
    fig, panels = figure(2 * len(networks), 3.7, 3.6)
    weights = np.linspace(0, 1, STEPS + 1)
    for k, (name, network) in enumerate(networks.items()):
        for axes, what, y in zip(
            panels[2 * k :],
            ("loss", "accuracy"),
            ("test loss, nats", "test accuracy, %"),
            strict=False,
        ):
            for colour, way in zip(COLOURS, ("naive", "aligned"), strict=False):
                path = _path(runs[name], way, what)
                axes.plot(weights, path.T, color=colour, lw=0.6, alpha=0.5)
                axes.plot(
                    weights, path.mean(0), color=colour, label=f"{way}, mean of {len(path)} pairs"
                )
            told = dict(network.paper).get(f"{what} at the midpoint, aligned")
            if told is not None:
                axes.scatter(
                    [0.5],
                    [told],
                    marker="D",
                    s=30,
                    facecolors="none",
                    edgecolors="black",
                    label="literature, aligned",
                )
            axes.set(title=network.label, xlabel="weight of the second model", ylabel=y)
            axes.title.set_fontsize(8)
            axes.legend(fontsize=7, frameon=False)
    return fig
