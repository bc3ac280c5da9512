"""The neural studies of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023): Tables 1 and
2, and Figure 2.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from agents.scripted.parameter_trading import never_trade
from agents.stress.claims.tables import MNIST_MLP, MNIST_PIXELS, Joins, averaging_from
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.batch import Batch
from marketenv.core.lookup import lookup
from marketenv.core.market import Market, agent_names
from marketenv.data import make_source
from marketenv.data.dataset import Dataset
from marketenv.data.sources import find_dataset
from marketenv.learners import Training
from marketenv.markets.parameter_trading import Traded
from marketenv.markets.training import Trained
from marketenv.render import draw_lines, figure
from marketenv.render.pictures import COLOURS
from scripts.studies.study import Common, Row, Study, number, play, run
from scripts.units import ROOT, Unit

SHARED = Path(os.environ.get("MARKETENV_DATA", ROOT.parent / "shared" / "data"))
EVERY = 60.0  # seconds between checkpoints inside a unit
CASH = 1e6  # so much that no purchase ever fails for money
AGENTS = ("A", "B")
BROKERS = {"test": "broker holds the test data", "validation": "broker holds data of its own"}
SHORT = {"test": "broker: test data", "validation": "broker: own data"}
POINTS = "points"


# --- what Table 1 varies --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A data set, a network, and how two agents train and trade; a round is an epoch, sizes count
    examples.

    options:    of the learner;   join: epochs before agents enter the market;
                shrink: side of the pixel blocks that are averaged into one;
                pixels: mean and deviation of each channel, which images are standardised by
    validation: the broker's examples where it has its own;   test, examples: None takes all
    also:       another epoch to report: where the authors' configuration ends, if not where the
                paper says
    """

    data: str
    learner: str
    options: tuple[tuple[str, Any], ...]
    optimizer: str
    learning_rate: float
    batch: int
    rounds: int = 60
    join: int = 5
    validation: int = 10_000
    test: int | None = None
    examples: int | None = None
    shrink: int = 1
    pixels: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    augmentation: str = "none"
    also: int | None = None


_MLP = Setting(
    data="mnist",
    learner="mlp",
    options=MNIST_MLP,
    optimizer="sgd",
    learning_rate=1e-2,
    batch=512,
    pixels=MNIST_PIXELS,
    also=50,
)
_RESNET = Setting(
    data="cifar10",
    learner="resnet",
    options=(("depth", 22), ("width", 6)),
    optimizer="adam",
    learning_rate=1e-2,
    batch=512,
    validation=5_000,
    pixels=((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    augmentation="flip_crop",
)
_SMALL: dict[str, Any] = {
    "options": (("depth", 22), ("width", 1)),
    "batch": 32,
    "rounds": 10,
    "join": 2,
    "shrink": 2,
}
_SMALL |= {"validation": 256, "test": 256, "examples": 3_000, "augmentation": "none"}
_TINY: dict[str, Any] = {
    "data": "tiny_imagenet",
    "batch": 256,
    "shrink": 2,
    "validation": 10_000,
    "augmentation": "flip",
}
_TINY["pixels"] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SETTINGS = {
    "mnist": _MLP,
    "cifar10": dataclasses.replace(_RESNET, **_SMALL),
    "cifar10_full": _RESNET,
    "tinyimagenet": dataclasses.replace(_RESNET, **_TINY),
}
TITLES = {
    "mnist": "MNIST, MLP 784-32-32-32-16-10",
    "cifar10": "CIFAR-10, pre-activation ResNet-22",
    "cifar10_full": "CIFAR-10, pre-activation ResNet-22, width 6",
    "tinyimagenet": "TinyImageNet, pre-activation ResNet-22, width 6",
}
SEEDS = {"cifar10": 2}  # 5 elsewhere
# where data lies in the folder of data sets, if there is one
LOCAL = {"mnist": "mnist", "cifar10": "small/cifar10_8k_2k.npz"}
SCALED = {
    "tinyimagenet": "images averaged from 64 x 64 to 32 x 32, as in the authors' configuration",
    "cifar10": (
        "width 1 for 6, images averaged to 16 x 16, 3,000 training rows and 256 test rows, 10"
        " epochs of which the first 2 out of the market, batch 32 for 512, a broker with 256"
        " examples, and no augmentation"
    ),
}


@dataclass(frozen=True)
class Method:
    """How agents get on: their label, how the broker aligns, which layers are traded, and
    whether they trade or average.
    """

    label: str
    alignment: str = "none"
    layers: tuple[int, ...] | None = None
    trades: bool = True
    averages: bool = False


METHODS = {
    "out_of_market": Method("out-of-market", trades=False),
    "fedavg": Method("FedAvg", trades=False, averages=True),
    "no_alignment": Method("no alignment"),
    "aligned": Method("aligned", "weight_matching"),
    "layers_34": Method("layers {3, 4}", "weight_matching", (3, 4)),
    "layers_234": Method("layers {2, 3, 4}", "weight_matching", (2, 3, 4)),
    "layers_012": Method("layers {0, 1, 2}", "weight_matching", (0, 1, 2)),
    "layers_01": Method("layers {0, 1}", "weight_matching", (0, 1)),
}
TABLE_1 = ("out_of_market", "fedavg", "no_alignment", "aligned")
TABLE_2 = ("out_of_market", "layers_34", "layers_234", "layers_012", "layers_01", "aligned")

# test accuracy of agents A and B, %
PAPER_1 = {
    "mnist": dict(
        zip(TABLE_1, ((68.50, 72.97), (81.98, 81.98), (84.64, 84.64), (86.96, 86.96)), strict=True)
    ),
    "cifar10": dict(
        zip(TABLE_1, ((71.14, 70.56), (70.35, 67.85), (78.31, 78.31), (79.90, 79.90)), strict=True)
    ),
    "tinyimagenet": dict(
        zip(TABLE_1, ((21.67, 15.89), (19.95, 19.33), (31.28, 31.30), (31.69, 31.82)), strict=True)
    ),
}
_SUBSETS = (
    (71.29, 72.54),
    (66.28, 71.98),
    (70.73, 73.36),
    (74.76, 74.16),
    (78.86, 79.82),
    (86.96, 86.96),
)
PAPER_2 = dict(zip(TABLE_2, _SUBSETS, strict=True))


@dataclass(frozen=True, kw_only=True)
class Neural(Common):
    """What studies of trading networks are told.

    Args:
        seeds: pairs of agents per method and broker; None takes the setting's own number
        root: folder of the data as torchvision leaves it (TinyImageNet: as it unpacks), or an .npz
            file to use in its place; None looks in the folder that the variable MARKETENV_DATA
            names
        download: let torchvision fetch what is missing into root (None: data in out)
        rounds: epochs; None takes the setting's own number, as everywhere below
        join: epochs before the agents enter the market
        examples: training rows before they are dealt out
        validation: examples of a broker that has its own
        test: test rows
        augmentation: how agents change their images: none, flip, crop or flip_crop
        device: where everything is computed, such as cuda
    """

    seeds: int | None = None
    root: Path | None = None
    download: bool = False
    rounds: int | None = None
    join: int | None = None
    examples: int | None = None
    validation: int | None = None
    test: int | None = None
    augmentation: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seeds", "rounds", "examples", "validation", "test"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(
                    f"{name} is {value}, wanted >= 1; leave it out for the setting's own."
                )
        if self.join is not None and self.join < 0:
            raise ValueError(
                f"join is {self.join}, wanted >= 0: epochs before the agents enter the market."
            )


@dataclass(frozen=True, kw_only=True)
class Table1(Neural):
    """Table 1: test accuracy out of the market, by FedAvg, and trading without and with alignment.

    Args:
        setting: mnist, cifar10 (scaled down so that it takes minutes) or tinyimagenet (give root;
            wants a GPU)
        full: cifar10 as in the paper; wants a GPU
    """

    setting: str = "mnist"
    full: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        lookup(PAPER_1, self.setting, "setting")
        if self.full and self.setting != "cifar10":
            raise ValueError(
                f"full is for setting cifar10; {self.setting} always runs at full size. Leave"
                " --full out."
            )


# --- data -----------------------------------------------------------------------------------------


def place(name: str, root: Path | None, download: bool, out: Path) -> tuple[str, str | None]:
    """Where a setting's data comes from: (name or path of an .npz file, root); ValueError where
    nobody said.
    """
    own = SHARED / LOCAL.get(name, "")
    found = root or (own if name in LOCAL and own.exists() else None)
    if found is None and download:
        found = out / "data"
    if found is None:
        raise ValueError(
            f"no data for {name!r}: give --root FOLDER (or an .npz file)"
            + ("." if name == "tinyimagenet" else ", or --download, which needs torchvision.")
        )
    return (str(found), None) if found.suffix == ".npz" else (SETTINGS[name].data, str(found))


@cache
def dataset(data: str, root: str | None, shrink: int, pixels: Any) -> Dataset:
    """Load a data set of images once a process, average blocks of shrink x shrink pixels, and
    standardise each channel.
    """
    found = find_dataset(data, root=root)
    if len(found.feature_shape) != 3 or (pixels and found.feature_shape[0] != len(pixels[0])):
        wanted = f"{len(pixels[0])} channels" if pixels else "channels"
        raise ValueError(
            f"{found.name} has examples of shape {found.feature_shape}, wanted images with {wanted}"
            " first."
        )

    def changed(x: Tensor) -> Tensor:
        x = torch.nn.functional.avg_pool2d(x, shrink) if shrink > 1 else x
        mean, deviation = (
            (x.new_tensor(part)[:, None, None] for part in pixels) if pixels else (0.0, 1.0)
        )
        return (x - mean) / deviation

    return dataclasses.replace(
        found, x=changed(found.x), x_test=None if found.x_test is None else changed(found.x_test)
    )


# --- one pair of agents, one method ---------------------------------------------------------------


def market_of(
    setting: Setting,
    method: Method,
    broker: str,
    seed: int,
    data: str,
    root: str | None,
    device: str,
) -> Market:
    """The market of two agents of whom A has a tenth of the classes 0-4 and B of 5-9, both
    drawn from the same rows.
    """
    options: dict[str, Any] = {
        "keep": 0.1,
        "overlap": True,
        "max_examples": setting.examples,
        "test_size": setting.test,
    }
    if broker == "validation":
        options["validation_size"] = setting.validation
    found = dataset(data, root, setting.shrink, setting.pixels)
    source = make_source(found, "class_imbalance", len(AGENTS), broker_data=broker, **options)
    largest = int(source.federation(torch.tensor([seed])).train.size.max())
    training = Training(
        optimizer=setting.optimizer,
        learning_rate=setting.learning_rate,
        batch_size=setting.batch,
        steps=-(-largest // setting.batch),
    )
    return make_market(
        "parameter_trading_v0",
        n_agents=len(AGENTS),
        max_cycles=setting.rounds,
        data=source,
        learner=setting.learner,
        learner_options=dict(setting.options),
        training=training,
        augmentation=setting.augmentation,
        alignment=method.alignment,
        layers=method.layers,
        exchange=partial(averaging_from, setting.join) if method.averages else "trade",
        valuation="relative_loss",
        after_purchase="reset",  # the authors make a new optimiser after each purchase
        cash=CASH,
        device=device,
    )


def seen(market: Market, batch: Batch) -> dict[str, Any]:
    """What is kept of a round, one entry an agent: test loss and accuracy (%), purchases, their
    weights, divergence.
    """
    # where the round ended; what is running has trained for the next one
    report, end = batch.report, batch.standing().start
    assert report is not None and end is not None
    test = rounds.test_scores(market, end)
    done = report.of(Traded)
    weights = done.alpha[0].sum(1) * done.bought[0]
    return {
        "loss": [number(loss) for loss in test.loss[0].tolist()],
        "accuracy": [round(100 * share, 4) for share in test.accuracy[0].tolist()],
        "bought": done.bought[0].tolist(),
        "alpha": [round(weight, 6) for weight in weights.tolist()],
        "diverged": report.of(Trained).diverged[0].tolist(),
    }


def trade(
    folder: Path,
    setting: Setting,
    method: str,
    broker: str,
    seed: int,
    data: str,
    root: str | None,
    device: str,
) -> list[dict[str, Any]]:
    """Play one pair of agents through all epochs and keep what ``seen`` tells of each."""
    market = market_of(setting, METHODS[method], broker, seed, data, root, device)
    outside, inside = never_trade(market), market.policies["truthful"]
    policy = (
        Joins(outside, inside, (setting.join - 0.5) / setting.rounds)
        if METHODS[method].trades
        else outside
    )
    return play(
        market,
        dict.fromkeys(agent_names(market), policy),
        seed,
        partial(seen, market),
        folder,
        EVERY,
    )


@dataclass(frozen=True)
class Found:
    """All runs of a study: rounds of every seed by (method, broker)."""

    name: str
    setting: Setting
    scaled: str
    runs: dict[tuple[str, str], list[list[dict[str, Any]]]]

    def of(self, method: str, broker: str, what: str) -> np.ndarray:
        """One fact of every round: [seeds, rounds, agents]; what is not finite is inf."""
        rounds = [
            [[np.inf if v is None else v for v in one[what]] for one in run]
            for run in self.runs[method, broker]
        ]
        return np.array(rounds, dtype=float)

    def last(self, method: str, broker: str, agent: int, epoch: int = 0) -> np.ndarray:
        """Test accuracy after an epoch (0: the last), % [seeds]."""
        return self.of(method, broker, "accuracy")[:, epoch - 1, agent]

    def epochs(self) -> tuple[int, ...]:
        """Epochs to report: the last one, and another that the setting names."""
        also = self.setting.also
        return (
            (self.setting.rounds, also)
            if also and also < self.setting.rounds
            else (self.setting.rounds,)
        )

    def curves(self) -> dict[str, Any]:
        """Test loss and accuracy [seeds, rounds, agents] of every run, as plain data."""
        return {
            f"{method}, {broker}": {
                what: [[one[what] for one in run] for run in runs]
                for what in ("loss", "accuracy", "alpha")
            }
            for (method, broker), runs in self.runs.items()
        }

    def notes(self) -> tuple[str, ...]:
        """What a reader of any of these studies must know."""
        diverged = sum(int(self.of(*key, "diverged").sum()) for key in self.runs)
        mlp = self.setting.learner == "mlp"
        return (
            (
                "Accuracy and loss are those of the held-out test data after the epoch named; every"
                " epoch is among the curves."
            ),
            (
                "In the paper's setup the broker's data are the test data. A broker with data of"
                " its own takes them from the training rows, so agents then also own fewer:"
                " out-of-market's difference is what that alone costs."
            ),
            (
                f"Agents trade, or average, after each epoch from epoch {self.setting.join + 1} on."
                " A purchase needs a gain > 0; bids are truthful, asks are zero, and cash is never"
                " short."
            ),
            (
                "First models: uniform as torch.nn.Linear draws them. The paper says 60 epochs, the"
                " authors' configuration 50."
                if mlp
                else (
                    "We differ from the authors' network: first models are normal with variance 2 /"
                    " inputs, strides stand in a block's first convolution, and its shortcut has no"
                    " norm."
                )
            ),
            (
                f"Training diverged, and went back to the epoch before, in {diverged} of the"
                " agents' epochs."
            ),
        )


def play_all(config: Neural, name: str, methods: Sequence[str], label: str) -> Found:
    """Run every method with both brokers on every seed; equal runs of different studies are
    done once.
    """
    asked = {
        f: getattr(config, f)
        for f in ("rounds", "join", "examples", "validation", "test", "augmentation")
    }
    changed = {f: value for f, value in asked.items() if value is not None}
    setting, seeds = (
        dataclasses.replace(SETTINGS[name], **changed),
        config.seeds or SEEDS.get(name, 5),
    )
    if not setting.join < setting.rounds:
        raise ValueError(
            f"join is {setting.join} and rounds is {setting.rounds}, wanted join < rounds, or"
            " nobody ever trades."
        )
    data, root = place(name, config.root, config.download, config.out)
    if config.download:
        find_dataset(data, root=root, download=True)
    dataset(data, root, setting.shrink, setting.pixels)  # before any process: it may be refused
    keys = [(method, broker) for broker in BROKERS for method in methods]
    same = {"setting": setting, "data": data, "root": root, "device": config.device}
    units = [
        Unit(trade, same | {"method": method, "broker": broker, "seed": seed}, setting.rounds)
        for method, broker in keys
        for seed in range(seeds)
    ]
    results = run(units, config, label, config.device)
    runs = {key: results[k * seeds : (k + 1) * seeds] for k, key in enumerate(keys)}
    scaled = [
        SCALED.get(name, ""),
        *(f"{f} {v} by request" for f, v in changed.items() if v != getattr(SETTINGS[name], f)),
    ]
    return Found(name, setting, "; ".join(part for part in scaled if part), runs)


# --- rows and pictures ----------------------------------------------------------------------------


def accuracies(
    found: Found, methods: Sequence[str], paper: dict[str, tuple[float, float]], source: str
) -> list[Row]:
    """Test accuracy of both agents by every method, for both brokers."""
    return [
        Row(
            what=f"{METHODS[method].label}, {agent}, {SHORT[broker]}, epoch {epoch}",
            unit="% right",
            paper=paper[method][k],
            points=tuple(found.last(method, broker, k, epoch).tolist()),
            source=source,
        )
        for epoch in found.epochs()
        for broker in BROKERS
        for method in methods
        for k, agent in enumerate(AGENTS)
    ]


def gaps(
    found: Found, against: str, paper: dict[str, tuple[float, float]], source: str
) -> list[Row]:
    """What aligned trade adds to another method, paired by seed, for both brokers."""
    return [
        Row(
            what=f"aligned less {METHODS[against].label}, {agent}, {SHORT[broker]}",
            unit=POINTS,
            paper=round(paper["aligned"][k] - paper[against][k], 2),
            points=tuple(
                (found.last("aligned", broker, k) - found.last(against, broker, k)).tolist()
            ),
            source=f"difference of {source}",
        )
        for broker in BROKERS
        for k, agent in enumerate(AGENTS)
    ]


def leaks(found: Found, methods: Sequence[str]) -> list[Row]:
    """How much better each method looks where the broker holds the test data, paired by seed."""
    return [
        Row(
            what=f"test-data broker less own-data broker, {METHODS[method].label}, {agent}",
            unit=POINTS,
            paper=None,
            points=tuple(
                (found.last(method, "test", k) - found.last(method, "validation", k)).tolist()
            ),
        )
        for method in methods
        for k, agent in enumerate(AGENTS)
    ]


def draw_accuracies(
    found: Found, methods: Sequence[str], paper: dict[str, tuple[float, float]], title: str
) -> Figure:
    """One panel a broker: every seed's accuracy as a dot, the mean as a line, the paper's as a
    diamond.
    """
    fig, panels = figure(2, 5.6, 1.6 + 0.55 * len(methods))
    for axes, (broker, held) in zip(panels, BROKERS.items(), strict=True):
        for row, method in enumerate(methods):
            for k, agent in enumerate(AGENTS):
                y = row + 0.3 * k - 0.15
                _draw_points(
                    axes, y, found.last(method, broker, k), paper[method][k], k, agent, not row
                )
                for epoch in found.epochs()[1:]:
                    mean, told = (
                        found.last(method, broker, k, epoch).mean(),
                        f"mean of epoch {epoch}",
                    )
                    axes.scatter(
                        [mean],
                        [y],
                        marker="x",
                        s=24,
                        color=COLOURS[k],
                        label=None if row or k else told,
                    )
        axes.set(title=held, xlabel="test accuracy, %", yticks=range(len(methods)))
        axes.set_yticklabels([METHODS[method].label for method in methods])
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
    panels[0].legend(fontsize=7, loc="best")
    fig.suptitle(title, fontsize=10)
    return fig


def _draw_points(
    axes: Axes, y: float, points: np.ndarray, paper: float, k: int, agent: str, named: bool
) -> None:
    """One agent's line: dots, their mean, and the paper's figure; the first line of a panel is
    named in the legend.
    """
    colour, label = COLOURS[k], (f"agent {agent}, one dot a seed" if named else None)
    axes.scatter(points, np.full(len(points), y), s=16, color=colour, alpha=0.8, label=label)
    mean = f"mean of agent {agent}" if named else None
    axes.scatter([points.mean()], [y], marker="|", s=160, color=colour, label=mean)
    told = "paper" if named and not k else None
    axes.scatter([paper], [y], marker="D", s=30, facecolors="none", edgecolors="black", label=told)


def about(found: Found) -> dict[str, Any]:
    """Settings that were used, as plain data."""
    return {
        "setting": found.name,
        **dataclasses.asdict(found.setting),
        "seeds": len(next(iter(found.runs.values()))),
    }


# --- the studies ----------------------------------------------------------------------------------


def table1(config: Table1) -> None:
    """Table 1: test accuracy out of the market, by FedAvg, and trading without and with
    alignment.
    """
    name = "cifar10_full" if config.full and config.setting == "cifar10" else config.setting
    found = play_all(config, name, TABLE_1, f"table1 {name}")
    paper, source, title = (
        PAPER_1[config.setting],
        "Train 'n Trade, Table 1",
        f"Table 1, {TITLES[name]}",
    )
    rows = [*accuracies(found, TABLE_1, paper, source)]
    rows += [
        row
        for against in ("out_of_market", "no_alignment")
        for row in gaps(found, against, paper, source)
    ]
    Study(
        name="table1" if name == "mnist" else f"table1_{name}",
        title=title,
        scaled=found.scaled,
        about=about(found),
        rows=(*rows, *leaks(found, TABLE_1)),
        fig=draw_accuracies(found, TABLE_1, paper, title),
        notes=found.notes(),
        curves=found.curves(),
    ).write(config.out)


def table2(config: Neural) -> None:
    """Table 2: test accuracy on MNIST where only some layers of the aligned model are traded."""
    found = play_all(config, "mnist", TABLE_2, "table2")
    source, title = "Train 'n Trade, Table 2", f"Table 2, layers traded, {TITLES['mnist']}"
    rows = [
        *accuracies(found, TABLE_2, PAPER_2, source),
        *gaps(found, "out_of_market", PAPER_2, source),
    ]
    whole = (
        "The whole model is aligned; the buyer then takes the traded layers of the aligned model."
        " Layer 0 reads the pixels."
    )
    Study(
        name="table2",
        title=title,
        scaled=found.scaled,
        about=about(found),
        rows=(*rows, *leaks(found, TABLE_2)),
        fig=draw_accuracies(found, TABLE_2, PAPER_2, title),
        notes=(*found.notes(), whole),
        curves=found.curves(),
    ).write(config.out)


def fig2(config: Neural) -> None:
    """Figure 2: test loss over epochs on MNIST, out of the market, by FedAvg, and trading
    without and with alignment.
    """
    found = play_all(config, "mnist", TABLE_1, "fig2")
    # mean of both agents [seeds, rounds]
    loss = {key: found.of(*key, "loss").mean(2) for key in found.runs}
    Study(
        name="fig2",
        title=f"Figure 2, {TITLES['mnist']}",
        scaled=found.scaled,
        about=about(found),
        rows=tuple(row for broker in BROKERS for row in loss_rows(loss, broker)),
        fig=draw_losses(loss, found.setting.join),
        notes=(
            *found.notes(),
            "The paper prints the picture only: 'testing loss converges the fastest by aligning'.",
        ),
        curves=found.curves(),
    ).write(config.out)


def loss_rows(loss: dict[tuple[str, str], np.ndarray], broker: str) -> list[Row]:
    """Final test loss of every method, and in which epoch it first is where out-of-market ends."""
    target, rows = loss["out_of_market", broker][:, -1:], []
    for method in TABLE_1:
        curve, label = loss[method, broker], f"{METHODS[method].label}, {SHORT[broker]}"
        # one epoch more than there are where it never gets there
        first = np.append(curve <= target, np.ones_like(target, dtype=bool), 1).argmax(1) + 1
        rows.append(
            Row(
                what=f"final test loss, {label}",
                unit="nats",
                paper=None,
                points=tuple(curve[:, -1].tolist()),
            )
        )
        what = f"first epoch at out-of-market's final loss (never: {len(curve[0]) + 1}), {label}"
        rows.append(
            Row(what=what, unit="epochs", paper=None, points=tuple(first.astype(float).tolist()))
        )
    return rows


def draw_losses(loss: dict[tuple[str, str], np.ndarray], join: int) -> Figure:
    """One panel a broker: every method's mean over seeds with the middle half of the seeds
    shaded.
    """
    fig, panels = figure(2, 5.6, 4.0)
    for axes, (broker, held) in zip(panels, BROKERS.items(), strict=True):
        curves = {METHODS[method].label: loss[method, broker] for method in TABLE_1}
        draw_lines(axes, curves, held, "epoch", "test loss, nats, mean of both agents")
        axes.axvline(join + 1, color="grey", lw=0.8, ls=":", label="agents enter the market")
        axes.legend(fontsize=7, frameon=False)
    return fig
