"""What the studies of trained clients are told, what they run, and what they read from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.papers.core import rows
from agents.papers.core.study import Common, run
from agents.papers.core.units import Unit
from agents.papers.ipfl.attackers import DISHONEST
from agents.papers.ipfl.data import dataset, large
from agents.papers.ipfl.settings import TASKS, Task
from agents.papers.ipfl.sharing import trade
from marketenv.core.lookup import lookup
from marketenv.data.datasets import DATASETS
from marketenv.learners import LEARNERS

# an argument, ours, whose the usual one is, and that one; ours is None where the setting decides
Compared = tuple[str, int | float | None, str, int | float]

# --- arguments ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sharing(Common):
    """Arguments of the studies in which clients train and share models.

    The training is the paper's.

    Args:
        setting: digits, mnist, fashion_mnist, cifar10, finance or shakespeare
        data: an .npz file in place of the setting's own data (see marketenv.data.read_npz; also
            x_num, x_cat and y of a table)
        seeds: markets per scheme; below 20 no interval is shown
        rounds: rounds of training and trade
        clients: of a market
        steps: local steps of 64 examples in a round; the summary of the paper does not say how many
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
        lookup(TASKS, self.setting, "setting")
        for name, least in (("seeds", 1), ("rounds", 1), ("clients", 3), ("steps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted >= {least}.")

    @property
    def task(self) -> Task:
        """The task of the setting."""
        return TASKS[self.setting]

    def arguments(self) -> dict[str, Any]:
        """The arguments of a unit of work beside scheme, partition and seed.

        Raises ValueError for data and learners that are not there.
        """
        task, place = self.task, str(self.data or self.task.data)
        if self.data is None and place.endswith(".npz"):
            place = str(large(place))
        if not place.endswith(".npz"):
            lookup(DATASETS, place, "data set")
        lookup(LEARNERS, task.learner, "learner")
        dataset(place)
        names = ("setting", "rounds", "clients", "steps", "device")
        return {name: getattr(self, name) for name in names} | {
            "data": place,
            "strength": task.strength if self.strength is None else self.strength,
            "eta": task.eta if self.eta is None else self.eta,
        }

    def scaled(self) -> str:
        """What is not as in the paper or as the setting has it, in words."""
        own = "data from a file of one's own" if self.data else ""
        differences = (
            f"{name} {value:g}, {whose} {usual:g}"
            for name, value, whose, usual in self.compared()
            if value not in (None, usual)
        )
        return "; ".join(part for part in (self.task.scaled, own, *differences) if part)

    def compared(self) -> list[Compared]:
        """Arguments beside the usual ones."""
        return [
            ("rounds", self.rounds, "the paper's", 50),
            ("clients", self.clients, "the paper's", 10),
            ("local steps", self.steps, "the default", Sharing.steps),
            ("lambda", self.strength, "the setting's", self.task.strength),
            ("eta", self.eta, "the setting's", self.task.eta),
        ]

    def about(self) -> dict[str, Any]:
        """The arguments and the task, as plain data."""
        return rows.about(self) | {"setting of the data": dataclasses.asdict(self.task)}

    def file(self, study: str) -> str:
        """The name of a study's files; digits need no mention."""
        return study if self.setting == "digits" else f"{study}_{self.setting}"


@dataclass(frozen=True, kw_only=True)
class Lambdas(Sharing):
    """Arguments of the studies of sharing, and the strengths to compare.

    Args:
        strengths: values of lambda
    """

    strengths: tuple[float, ...] = (0.1, 1.0, 10.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.strengths or min(self.strengths) < 0:
            raise ValueError(f"strengths is {self.strengths}, wanted one or more numbers >= 0.")
        if self.strength is not None:
            raise ValueError(
                f"strength is {self.strength}, but this study compares several: give strengths in"
                " its place."
            )


@dataclass(frozen=True, kw_only=True)
class Attacks(Lambdas):
    """Arguments of the studies of sharing, the strengths, and what client 0 uploads.

    Args:
        strengths: values of lambda
        attacks: kinds of upload beside the honest one
        cost: of a sale for client 0, honest or not: what is no model of its own costs nothing to
            give away
        rounds: rounds of training and trade
    """

    strengths: tuple[float, ...] = (1.0, 2.0)
    attacks: tuple[str, ...] = DISHONEST
    cost: float = 0.0
    rounds: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.attacks:
            lookup(dict.fromkeys(DISHONEST), name, "attack")
        if self.cost < 0:
            raise ValueError(f"cost is {self.cost}, wanted money >= 0.")

    def compared(self) -> list[Compared]:
        """As for every study, and what a sale costs client 0."""
        return [*super().compared(), ("cost of a sale for client 0", self.cost, "the paper's", 1.0)]


# --- runs -----------------------------------------------------------------------------------------

Markets = list[list[dict[str, Any]]]  # of each seed the facts of each round
Key = tuple[str, str, float, str]  # partition, scheme, lambda, attack
Runs = Mapping[Key, Markets]


def play_all(config: Sharing, keys: Sequence[Key], label: str, **more: Any) -> Runs:
    """Run every key on every seed; equal runs of different studies are made once."""
    same = config.arguments() | more
    names = ("partition", "scheme", "strength", "attack")
    units = [
        Unit(trade, same | dict(zip(names, key, strict=True)) | {"seed": seed}, config.rounds)
        for key in keys
        for seed in range(config.seeds)
    ]
    results = run(units, config, label, config.device)
    return {key: results[k * config.seeds : (k + 1) * config.seeds] for k, key in enumerate(keys)}


def by_round(markets: Markets, fact: str) -> np.ndarray:
    """One fact of every round: [seeds, rounds, clients]; what is not finite is nan."""
    return np.array([[one[fact] for one in rounds] for rounds in markets], dtype=float)


def accuracy(markets: Markets, at: str, first: int = 0) -> np.ndarray:
    """Mean test accuracy of the clients from number ``first`` on, % [seeds]."""
    return np.array([rounds[-1][at][first:] for rounds in markets], dtype=float).mean(1)


def welfare(markets: Markets) -> np.ndarray:
    """Utility of all clients, mean over rounds [seeds]."""
    return by_round(markets, "utility").sum(2).mean(1)


def buyers(markets: Markets) -> np.ndarray:
    """How many buy from client 0, mean over rounds [seeds]."""
    return by_round(markets, "sold")[:, :, 0].mean(1)
