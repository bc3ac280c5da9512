"""Studies of play in ``resource_market_v0`` (arXiv 2501.14588): pay under audits, and accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.papers.core.rows import STANDS, about, row
from agents.papers.core.study import Common, Row, Study, run
from agents.papers.core.units import Unit
from agents.papers.data_valuation.settings import DATA_SETS, mean, readable, skipped
from agents.papers.resources_decoupled import accuracy, audits, figures, numbers
from marketenv.core.lookup import lookup

# --- rdfl_audit_gaming ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Audits(Common):
    """Arguments of the study of audits.

    Args:
        seeds: markets; below 20 no interval is shown
        audits: which; none takes all
    """

    seeds: int = 20
    audits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.audits:
            lookup(audits.DEFENCES, name, "audit")
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, wanted 1 or more.")


def audited(folder: Path, defence: str, seeds: int) -> dict[str, Any]:
    """Utility of the deviant and of the leader by conduct, a number a seed."""
    utilities = audits.earned(defence, seeds)
    return {
        name: {"own": own.tolist(), "leader": leader.tolist()}
        for name, (own, leader) in utilities.items()
    }


def rdfl_audit_gaming(config: Audits) -> None:
    """What each conduct of one of ten owners earns once the audited qualities count."""
    names = config.audits or tuple(audits.DEFENCES)
    work = [
        Unit(audited, {"defence": name, "seeds": config.seeds}, stands=STANDS) for name in names
    ]
    by_audit = dict(zip(names, run(work, config, "rdfl_audit_gaming"), strict=True))
    rows = []
    money: dict[str, dict[str, float]] = {}
    points: dict[str, list[float]] = {}
    for name, conducts in by_audit.items():
        honest = mean(conducts[audits.HONEST]["own"])
        for conduct, one in conducts.items():
            pair = numbers.AUDITED.get(conduct)
            derived = pair and {audits.DISTANCE: pair[0], audits.VOCABULARY: pair[1]}.get(name)
            rows.append(
                row(
                    f"{name}, {conduct}: utility of the owner", "money", one["own"], derived or None
                )
            )
            change = [
                a - b for a, b in zip(one["leader"], conducts[audits.HONEST]["leader"], strict=True)
            ]
            rows.append(row(f"{name}, {conduct}: what the leader earns more", "money", change))
            money.setdefault(conduct, {})[name] = 100 * mean(one["own"]) / honest
        points |= {
            f"{name}, {conduct}": conducts[conduct]["own"]
            for conduct in (audits.HONEST, "random_labels")
        }
    Study(
        name="rdfl_audit_gaming",
        title="What bad data earn under every audit",
        scaled="ten owners of 100 digits each, a small perceptron",
        about=about(config),
        rows=tuple(rows),
        fig=figures.audits(money, points),
        notes=(
            (
                "The third of three rounds: in the second one the audit pays, and for the third the"
                " leader and the owners solve the game for the audited qualities, f = 0.9 + 0.1 (v"
                " - min) / (max - min). All data are clean."
            ),
            (
                "The derived numbers are of other draws of the same data: 8 seeds, the global model"
                " trained beforehand."
            ),
        ),
        curves={"earned, % of an honest owner": money},
    ).write(config.out)


# --- rdfl_accuracy --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Accuracy(Common):
    """Arguments of the study of accuracy.

    Args:
        data: data sets; those in files are skipped with a reason where MARKETENV_DATA names no
            folder that has them
        seeds: markets; below 20 no interval is shown
        rounds: of each
        sequential: also keep a model only if it is better, as the public code does
    """

    data: tuple[str, ...] = ("digits",)
    seeds: int = 20
    rounds: int = 10
    sequential: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.data:
            lookup(DATA_SETS, name, "data set")
        if self.seeds < 1 or self.rounds < 2 or not self.data:
            raise ValueError("wanted one data set and seed or more, and two rounds or more.")


def train(
    folder: Path, data: str, adjusted: str, rounds: int, seeds: int, sequential: bool
) -> dict[str, Any]:
    """Test accuracy after every round by the leader's payment, a list of seeds each."""
    accuracies = accuracy.accuracies(data, adjusted, rounds, seeds, sequential)
    return {name: values.tolist() for name, values in accuracies.items()}


def rdfl_accuracy(config: Accuracy) -> None:
    """Test accuracy with and without the adjustment, in equilibrium and under other payments."""
    here = readable(config.data)
    ways = (False, True) if config.sequential else (False,)
    cases = [
        (data, way, adjusted) for data in here for way in ways for adjusted in accuracy.ADJUSTED
    ]
    size = {"rounds": config.rounds, "seeds": config.seeds}
    work = [
        Unit(train, {"data": d, "adjusted": a, "sequential": w, **size}, stands=STANDS)
        for d, w, a in cases
    ]
    runs = dict(zip(cases, run(work, config, "rdfl_accuracy"), strict=True))
    curves = _curves(runs)
    Study(
        name="rdfl_accuracy",
        title="Accuracy with and without the dynamic adjustment",
        scaled=f"{config.rounds} rounds, ten owners, a small perceptron; subsets of images",
        about=about(config),
        rows=tuple(_rows(runs)),
        fig=figures.accuracy(curves),
        notes=(
            (
                "The adjustment audits the owners' data from the second round on, by the fall of"
                " the training loss per row (the public code's) or by that of the leader's own"
                " loss, and the game is solved anew for what it finds."
            ),
            (
                "Accuracy is that on rows that nobody trades by. What is accepted one by one is"
                " decided on the leader's examples, where the public code takes test rows."
            ),
            *skipped(config.data),
        ),
        curves=curves,
    ).write(config.out)


# data, whether one by one, adjustment -> payment -> rounds
AccuracyRuns = Mapping[tuple[str, bool, str], dict[str, list[list[float]]]]


def _where(data: str, one_by_one: bool) -> str:
    return f"{data}, {'accepted one by one' if one_by_one else 'weighted mean'}"


def _rows(runs: AccuracyRuns) -> Iterator[Row]:
    """Final accuracies, and what the adjustment and the equilibrium's payment add to them."""
    for (data, way, adjusted), one in runs.items():
        plain = runs[data, way, accuracy.WITHOUT]
        for payment, values in one.items():
            what = f"{_where(data, way)}, {adjusted}, {payment}"
            pair = numbers.ADJUSTED.get(data) if way and payment == "equilibrium" else None
            reported = pair and {accuracy.WITH: pair[0], accuracy.WITHOUT: pair[1]}.get(adjusted)
            yield row(
                f"{what}: final accuracy", "%", [100 * a for a in values[-1]], reported or None
            )
            if adjusted != accuracy.WITHOUT:
                more = [100 * (a - b) for a, b in zip(values[-1], plain[payment][-1], strict=True)]
                yield row(f"{what}: final accuracy more than without", "points", more)
        for payment, (name, k) in itertools.product(
            ("FIXED", "RANDOM"), (("first", 0), ("final", -1))
        ):
            gain = [
                100 * (a / b - 1)
                for a, b in zip(one["equilibrium"][k], one[payment][k], strict=True)
            ]
            claimed = (
                numbers.SUMMARISED["accuracy"]
                if (name, adjusted) == ("final", accuracy.WITH)
                else None
            )
            yield row(
                f"{_where(data, way)}, {adjusted}: {name} accuracy over {payment}",
                "% more",
                gain,
                claimed,
            )


def _curves(runs: AccuracyRuns) -> dict[str, dict[str, list[float]]]:
    """Mean accuracy by round, %: every adjustment in equilibrium; baselines without adjustment."""
    curves: dict[str, dict[str, list[float]]] = {}
    for (data, way, adjusted), one in runs.items():
        payments = one if adjusted == accuracy.WITHOUT else ("equilibrium",)
        lines = {f"{p}, {adjusted}": [100 * mean(values) for values in one[p]] for p in payments}
        curves.setdefault(_where(data, way), {}).update(lines)
    return curves
