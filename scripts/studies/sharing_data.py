"""What the studies of the model-sharing market train on, and one market played through:
settings, tables from files, rounds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from agents.lineups import find_profile
from agents.scripted.model_sharing import client
from agents.stress.claims.sharing_experiments import PAPER_TYPES
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.batch import Batch
from marketenv.core.lookup import lookup
from marketenv.core.market import Market
from marketenv.data.dataset import Dataset, from_arrays
from marketenv.data.datasets import DATASETS
from marketenv.data.sources import find_dataset
from marketenv.learners import LEARNERS, Training
from marketenv.markets.model_sharing import Left, Shared
from scripts.studies.study import Common, number, play
from scripts.units import ROOT

SHARED = Path(os.environ.get("MARKETENV_DATA", ROOT.parent / "shared" / "data"))
EVERY = 60.0  # seconds between checkpoints inside a unit


@dataclass(frozen=True)
class Setting:
    """A data set, how it is dealt out, and what trains on it.

    data:  a name of ``DATASETS``, or under the folder of data sets an .npz file;
           partitions: names of ``DEALT``
    strength, eta: the paper's, where it names them;   scaled: what is not as in the paper
    """

    data: str
    learner: str
    strength: float
    eta: float
    title: str
    scaled: str
    partitions: tuple[str, ...] = ("dirichlet", "label_skew")


NOT_PAPER = "a task of ours"
SETTINGS = {
    "digits": Setting("digits", "mlp", 1.0, 5.0, "digits of 8 x 8 pixels", NOT_PAPER),
    "mnist": Setting(
        "small/mnist_6k_1k.npz",
        "mlp",
        1.0,
        5.0,
        "MNIST",
        f"{NOT_PAPER}, 6,000 training and 1,000 test rows",
    ),
    "fashion_mnist": Setting(
        "small/fashion_mnist_6k_1k.npz",
        "cnn",
        0.001,
        5.0,
        "Fashion-MNIST",
        "6,000 training and 1,000 test rows for 60,000 and 10,000; two small convolutions for the"
        " paper's CNN",
    ),
    "cifar10": Setting(
        "small/cifar10_8k_2k.npz",
        "cnn",
        2.0,
        5.0,
        "CIFAR-10",
        "8,000 training and 2,000 test rows for 50,000 and 10,000; two small convolutions for the"
        " paper's CNN",
    ),
    "finance": Setting(
        "german_credit",
        "mlp",
        5.0,
        1.0,
        "finance: German credit",
        "credit decisions by a small network for the paper's instruction tuning of a language"
        " model",
        partitions=("dirichlet",),
    ),
    "shakespeare": Setting(
        "shakespeare",
        "recurrent",
        2.0,
        5000.0,
        "Shakespeare, a client per speaker",
        "a small recurrent network for the paper's LSTM",
        partitions=("by_group",),
    ),
}
DEALT: dict[str, dict[str, Any]] = {
    "dirichlet": {"alpha": 0.1, "min_size": 8},
    "label_skew": {"classes_per_agent": 5},
    "by_group": {},
}
SHORT = {"dirichlet": "Dirichlet .1", "label_skew": "5 classes each", "by_group": "by speaker"}
# attacks that need no model of one's own: after the first round they train no more
LAZY = ("relay", "copy")


@dataclass(frozen=True, kw_only=True)
class Sharing(Common):
    """Arguments of the studies in which clients train and share models; the training is the
    paper's.

    Args:
        setting: digits, mnist, fashion_mnist, cifar10, finance or shakespeare
        data: an .npz file in place of the setting's own data (see marketenv.data.read_npz; also
            x_num, x_cat and y of a table)
        seeds: markets per scheme; below 20 no interval is shown
        rounds: rounds of training and trade
        clients: of a market
        steps: local steps of 64 examples in a round; the summary of the paper does not tell theirs
        strength: lambda of the market; None takes the setting's, as for eta
        eta: step of the prox centre
        device: where everything is computed, such as cuda
    """

    setting: str = "digits"
    data: Path | None = None
    seeds: int = 5
    rounds: int = 50
    clients: int = 10
    steps: int = 10
    strength: float | None = None
    eta: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        lookup(SETTINGS, self.setting, "setting")
        for name, least in (("seeds", 1), ("rounds", 1), ("clients", 3), ("steps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted >= {least}.")

    @property
    def chosen(self) -> Setting:
        """The setting by its name."""
        return SETTINGS[self.setting]

    def arguments(self) -> dict[str, Any]:
        """What a unit of work is told beside scheme, partition and seed; refuses data and
        learners that are not there.
        """
        setting, place = self.chosen, str(self.data or self.chosen.data)
        if self.data is None and place.endswith(".npz"):
            place = str(SHARED / place)
        if not place.endswith(".npz"):
            lookup(DATASETS, place, "data set")
        lookup(LEARNERS, setting.learner, "learner")
        dataset(place)
        names = ("setting", "rounds", "clients", "steps", "device")
        return {name: getattr(self, name) for name in names} | {
            "data": place,
            "strength": setting.strength if self.strength is None else self.strength,
            "eta": setting.eta if self.eta is None else self.eta,
        }

    def scaled(self) -> str:
        """What is not as in the paper or as the setting has it, in words."""
        own = "data from a file of one's own" if self.data else ""
        told = (
            f"{name} {now:g}, {whose} {usual:g}"
            for name, now, whose, usual in self.compared()
            if now not in (None, usual)
        )
        return "; ".join(part for part in (self.chosen.scaled, own, *told) if part)

    def compared(self) -> list[tuple[str, float | None, str, float]]:
        """Arguments beside the usual: name, ours (None: as the setting has it), whose the usual
        one is, and that one.
        """
        return [
            ("rounds", self.rounds, "the paper's", 50),
            ("clients", self.clients, "the paper's", 10),
            ("local steps", self.steps, "the default", Sharing.steps),
            ("lambda", self.strength, "the setting's", self.chosen.strength),
            ("eta", self.eta, "the setting's", self.chosen.eta),
        ]


# --- data -----------------------------------------------------------------------------------------


@cache
def dataset(place: str) -> Any:
    """What ``make_source`` takes: a name, a file of images, or a table of numbers and
    categories once it is read.
    """
    if place == "shakespeare":
        return find_dataset(place, root=SHARED / "text")
    if not place.endswith(".npz"):
        return place
    if not Path(place).is_file():
        raise ValueError(
            f"no data at {place}: give --data FILE.npz, or set MARKETENV_DATA to the folder of data"
            " sets."
        )
    with np.load(place, allow_pickle=False) as box:
        return (
            of_table(box["x_num"], box["x_cat"], box["y"], Path(place).name)
            if "x_num" in box.files
            else place
        )


def of_table(numbers: np.ndarray, categories: np.ndarray, y: np.ndarray, name: str) -> Dataset:
    """A table as features: numbers standardised, and a column of 0 and 1 for each category.

    A category of a column is told by its number, >= 0; a negative one is missing and gets zeros.
    """
    scaled = (numbers - numbers.mean(0)) / np.maximum(numbers.std(0), 1e-9)
    hot = [column[:, None] == np.unique(column[column >= 0]) for column in categories.T]
    return from_arrays(
        np.concatenate([scaled, *hot], 1).astype(np.float32), y.astype(np.int64), name=name
    )


def market_of(
    setting: str,
    partition: str,
    scheme: str,
    *,
    data: str,
    rounds: int,
    clients: int,
    steps: int,
    strength: float,
    eta: float,
    device: str,
    **more: Any,
) -> Market:
    """The market of a unit, with the paper's types and training; ``more`` are further arguments
    of the market.
    """
    chosen = SETTINGS[setting]
    return make_market(
        "model_sharing_v0",
        n_agents=clients,
        max_cycles=rounds,
        data=dataset(data),
        partition=partition,
        data_options=DEALT[partition],
        learner=chosen.learner,
        training=Training(
            optimizer="sgd",
            learning_rate=0.01,
            momentum=0.9,
            weight_decay=1e-5,
            batch_size=64,
            steps=steps,
        ),
        scheme=scheme,
        strength=strength,
        eta=eta,
        device=device,
        **PAPER_TYPES,
        **more,
    )


# --- one market -----------------------------------------------------------------------------------


def trade(
    folder: Path,
    partition: str,
    scheme: str,
    seed: int,
    attack: str = "honest",
    cost: float = 1.0,
    **arguments: Any,
) -> list[dict[str, Any]]:
    """Play one market through all rounds and keep what ``seen`` tells of each.

    attack: what client 0 uploads;   cost: what a sale costs it, and what it reports   money
    """
    costs = {} if cost == 1.0 else {"types": {"costs": [cost] + [1.0] * (arguments["clients"] - 1)}}
    market = market_of(partition=partition, scheme=scheme, **arguments, **costs)
    policies = find_profile(market)
    if attack != "honest":
        policies["client_0"] = client(market, upload=attack, effort=0.0 if attack in LAZY else 1.0)
    return play(market, policies, seed, partial(seen, market), folder, EVERY)


def seen(market: Market, batch: Batch) -> dict[str, Any]:
    """What is kept of a round, one entry a client; after the last one also the test accuracy of
    both kinds of model, %.
    """
    report, now = batch.report, batch.running()
    assert report is not None
    done = report.of(Shared)
    facts = {
        "utility": done.utility,
        "bought": done.bought,
        "sold": done.sold,
        "validation": 100 * report.of(Left).accuracy,
    }
    if not now.playing:  # test data are read once, when all is over
        facts |= {
            at: 100 * rounds.test_scores(market, now, at=at).accuracy for at in ("last", "best")
        }
    return {name: [number(value) for value in values[0].tolist()] for name, values in facts.items()}
