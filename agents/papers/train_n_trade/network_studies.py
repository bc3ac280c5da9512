"""Studies of networks that trade: tables 1 and 2, and figure 2, in rows and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketenv.core.lookup import lookup

from ..core.study import Common, Row, Study, run
from ..core.units import Unit
from . import network_figures as figures
from .images import ready
from .methods import METHODS, TABLE_1, TABLE_2
from .network_rows import accuracies, gaps, leaks, loss_rows, panels
from .numbers import TABLE_1 as PAPER_1
from .numbers import TABLE_2 as PAPER_2
from .runs import TradingRuns, trade
from .settings import BROKERS, SCALED, SEEDS, SETTINGS, TITLES, ImageSetting

# arguments that change a setting
CHANGES = ("rounds", "join", "examples", "validation", "test", "augmentation")


@dataclass(frozen=True, kw_only=True)
class Neural(Common):
    """Arguments of the studies of trading networks.

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

    def changed(self, name: str) -> tuple[ImageSetting, str]:
        """The named setting with these changes, and in words what is smaller than in the paper.

        Raises ValueError where the agents would never trade.
        """
        usual = SETTINGS[name]
        asked = {field: getattr(self, field) for field in CHANGES}
        changes = {field: value for field, value in asked.items() if value is not None}
        setting = dataclasses.replace(usual, **changes)
        if not setting.join < setting.rounds:
            raise ValueError(
                f"join is {setting.join} and rounds is {setting.rounds}, wanted join < rounds, or"
                " nobody ever trades."
            )
        scaled = [
            f"{field} {value} by request"
            for field, value in changes.items()
            if value != getattr(usual, field)
        ]
        return setting, "; ".join(filter(None, [SCALED.get(name, ""), *scaled]))


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


def play_all(config: Neural, name: str, methods: Sequence[str], label: str) -> TradingRuns:
    """Run every method with both brokers on every seed; equal runs of different studies are
    done once.
    """
    setting, scaled = config.changed(name)
    seeds = config.seeds or SEEDS.get(name, 5)
    data, root = ready(name, setting.data, config.root, config.download, config.out)
    setting.images(data, root)  # before any process starts: wrong images are refused here
    same = {"setting": setting, "data": data, "root": root, "device": config.device}
    keys = [(method, broker) for broker in BROKERS for method in methods]
    units = [
        Unit(trade, same | {"method": method, "broker": broker, "seed": seed}, setting.rounds)
        for method, broker in keys
        for seed in range(seeds)
    ]
    results = run(units, config, label, config.device)
    rounds = {key: results[k * seeds : (k + 1) * seeds] for k, key in enumerate(keys)}
    return TradingRuns(name, setting, scaled, rounds)


# --- settings and notes ---------------------------------------------------------------------------


def about(runs: TradingRuns) -> dict[str, Any]:
    """The settings of the runs, as plain data."""
    seeds = len(next(iter(runs.rounds.values())))
    return {"setting": runs.name, **dataclasses.asdict(runs.setting), "seeds": seeds}


MLP_NOTE = (
    "First models: uniform as torch.nn.Linear draws them. The paper says 60 epochs, the authors'"
    " configuration 50."
)
RESNET_NOTE = (
    "We differ from the authors' network: first models are normal with variance 2 / inputs, strides"
    " stand in a block's first convolution, and its shortcut has no norm."
)
LAYERS_NOTE = (
    "The whole model is aligned; the buyer then takes the traded layers of the aligned model. Layer"
    " 0 reads the pixels."
)
PICTURE_NOTE = (
    "The paper prints the picture only: 'testing loss converges the fastest by aligning'."
)


def notes(runs: TradingRuns) -> tuple[str, ...]:
    """What a reader of any of these studies must know."""
    return (
        "Accuracy and loss are those of the held-out test data after the epoch named; every epoch"
        " is among the curves.",
        "In the paper's setup the broker's data are the test data. A broker with data of its own"
        " takes them from the training rows, so agents then also own fewer: the difference out of"
        " the market is what that alone costs.",
        f"Agents trade, or average, after each epoch from epoch {runs.setting.join + 1} on. A"
        " purchase needs a gain > 0; bids are truthful, asks are zero, and cash is never short.",
        MLP_NOTE if runs.setting.learner == "mlp" else RESNET_NOTE,
        f"Training diverged, and went back to the epoch before, in {runs.diverged()} of the agents'"
        " epochs.",
    )


# --- the studies ----------------------------------------------------------------------------------


def table1(config: Table1) -> None:
    """Table 1: test accuracy out of the market, by FedAvg, and trading without and with
    alignment.
    """
    name = "cifar10_full" if config.full else config.setting
    runs = play_all(config, name, TABLE_1, f"table1 {name}")
    paper, title = PAPER_1[config.setting], f"Table 1, {TITLES[name]}"
    rows = accuracies(runs, paper)
    rows += gaps(runs, "out_of_market", paper) + gaps(runs, "no_alignment", paper)
    rows += leaks(runs, TABLE_1)
    picture = figures.accuracies(panels(runs, paper), title)
    study = "table1" if name == "mnist" else f"table1_{name}"
    _study(runs, study, title, rows, picture).write(config.out)


def table2(config: Neural) -> None:
    """Table 2: test accuracy on MNIST where only some layers of the aligned model are traded."""
    runs = play_all(config, "mnist", TABLE_2, "table2")
    title = f"Table 2, layers traded, {TITLES['mnist']}"
    rows = accuracies(runs, PAPER_2) + gaps(runs, "out_of_market", PAPER_2) + leaks(runs, TABLE_2)
    picture = figures.accuracies(panels(runs, PAPER_2), title)
    _study(runs, "table2", title, rows, picture, LAYERS_NOTE).write(config.out)


def fig2(config: Neural) -> None:
    """Figure 2: test loss over epochs on MNIST, out of the market, by FedAvg, and trading
    without and with alignment.
    """
    runs = play_all(config, "mnist", TABLE_1, "fig2")
    loss = {key: runs.of(*key, "loss").mean(2) for key in runs.rounds}  # mean of both agents
    curves = {
        held: {METHODS[method].label: loss[method, broker] for method in TABLE_1}
        for broker, held in BROKERS.items()
    }
    rows = [line for broker in BROKERS for line in loss_rows(loss, broker)]
    picture = figures.losses(curves, runs.setting.join)
    title = f"Figure 2, {TITLES['mnist']}"
    _study(runs, "fig2", title, rows, picture, PICTURE_NOTE).write(config.out)


def _study(
    runs: TradingRuns, name: str, title: str, rows: Sequence[Row], picture: Any, *more: str
) -> Study:
    """A study of these runs; ``more`` are notes of its own."""
    return Study(
        name=name,
        title=title,
        scaled=runs.scaled,
        about=about(runs),
        rows=tuple(rows),
        fig=picture,
        notes=(*notes(runs), *more),
        curves=runs.curves(),
    )
