"""Studies of deviations in the tripartite game alone: dynamics, false reports, agreements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents.papers.core.rows import STANDS, about, row
from agents.papers.core.study import Common, Row, Study, run
from agents.papers.core.units import Unit
from agents.papers.resources_decoupled import (
    agreements,
    dynamics,
    figures,
    golden,
    misreports,
    numbers,
    preferences,
)
from agents.papers.resources_decoupled.settings import OWNERS, equals, paper_games

# --- rdfl_dynamics --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Dynamics(Common):
    """Arguments of the study of best-response dynamics.

    Args:
        owners: numbers of them
        games: random games of each
        rounds: in which all answer each other
    """

    owners: tuple[int, ...] = (2, 3, 4, 5, 6, 10, 20, 60)
    games: int = 200
    rounds: int = 200


STEPS = {"the whole way": 1.0, "half": 0.5, "a quarter": 0.25, "2 / N": None}


def followed(folder: Path, owners: int, step: float, games: int, rounds: int) -> dict[str, Any]:
    """Median distance by round, and each game's last distance and swing of total effort."""
    path = dynamics.distances(owners, step, games, rounds)
    swing = dynamics.spread(owners, step, games, rounds)
    return {
        "median": path.median(-1).values.tolist(),
        "last": path[-1].tolist(),
        "swing": swing.tolist(),
    }


def rdfl_dynamics(config: Dynamics) -> None:
    """Owners that answer each other all at once, the whole way or a part of it."""
    cases = [(n, name, step or 2 / n) for n in config.owners for name, step in STEPS.items()]
    size = {"games": config.games, "rounds": config.rounds}
    work = [
        Unit(followed, {"owners": n, "step": step, **size}, stands=STANDS) for n, _, step in cases
    ]
    results = run(work, config, "rdfl_dynamics")
    by_case = {(n, name): one for (n, name, _), one in zip(cases, results, strict=True)}
    rows = []
    for (n, name), one in by_case.items():
        where = f"{n} owners, {name}"
        at_rest = [float(last < 1e-6) for last in one["last"]]
        rows.append(row(f"{where}: games that have settled", "of the games", at_rest))
        rows.append(row(f"{where}: distance after the last round", "of total effort", one["last"]))
        rows.append(row(f"{where}: swing of total effort", "of total effort", one["swing"]))
    whole, *_ = STEPS
    owners_shown = OWNERS if OWNERS in config.owners else config.owners[-1]
    lines = {f"{n} owners": by_case[n, whole]["median"] for n in config.owners}
    damped = {name: by_case[owners_shown, name]["median"] for name in STEPS}
    Study(
        name="rdfl_dynamics",
        title="Owners that answer each other all at once",
        scaled="",
        about=about(config),
        rows=tuple(rows),
        fig=figures.dynamics(lines, damped),
        notes=(
            (
                "Points are random games: qualities from 0.9 to 1, start from 0 to twice the"
                " equilibrium. Swing: the greatest less the least total effort of the last 20"
                " rounds, in parts of the equilibrium's."
            ),
            (
                "Near the equilibrium of N equal owners a common deviation is multiplied by 1 -"
                " step N / 2 in a round."
            ),
        ),
        curves={"median distance": lines, f"{owners_shown} owners, median distance": damped},
    ).write(config.out)


# --- rdfl_misreport -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Misreport(Common):
    """Arguments of the study of deviations in the game alone.

    Args:
        games: random games, and of the centres' orders
        reports: qualities that one owner may report
    """

    games: int = 600
    reports: tuple[float, ...] = tuple(round(0.9 + 0.005 * k, 3) for k in range(21))


def deviated(folder: Path, games: int, reports: Sequence[float]) -> dict[str, Any]:
    """The derived numbers measured again, curves of one report, and deviations in random games."""
    truth = equals(OWNERS, golden.QUALITY)
    one_report = misreports.by_report(truth, torch.tensor(reports, dtype=torch.float64))
    some = paper_games(games).quality
    own = misreports.played(some, some)
    best_lie = misreports.by_report(some, torch.ones(1, dtype=torch.float64))
    one, two = misreports.split_up(some)
    cartel = agreements.owners(some)
    return {
        "golden": golden.measure(),
        "curves": {
            "its utility": one_report.owners[:, 0, 0].tolist(),
            "another's": one_report.owners[:, 0, 1].tolist(),
        },
        "leader": one_report.leader[:, 0].tolist(),
        "random": {
            "an owner reports 1: times its utility": (
                (best_lie.owners[0, :, 0] / own.owners[:, 0]).tolist()
            ),
            "an owner reports 1: the leader's loss": (own.leader - best_lie.leader[0]).tolist(),
            "an owner comes as two: times its utility": (two / one).tolist(),
            "owners on half the supply: patience of the least patient": (
                cartel.patience.amax(-1).tolist()
            ),
        },
        "gainers": {
            name: preferences.gainers(name, games).tolist() for name in preferences.CONDITIONS
        },
        "patience": {
            name: float(party().patience.max()) for name, party in agreements.PARTIES.items()
        },
    }


def rdfl_misreport(config: Misreport) -> None:
    """What owners and centres gain by false reports, second names and agreements."""
    arguments = {"games": config.games, "reports": list(config.reports)}
    (results,) = run([Unit(deviated, arguments, stands=STANDS)], config, "rdfl_misreport")
    times = _times(results["golden"])
    Study(
        name="rdfl_misreport",
        title="What false reports, second names and agreements gain",
        scaled="",
        about=about(config),
        rows=tuple(_rows(results)),
        fig=figures.misreports(config.reports, results["curves"], times, results["patience"]),
        notes=(
            (
                "Ten equal owners and centres where nothing else is said; random games have"
                " qualities from 0.9 to 1 and costs from 0.1 to 1. Owners are paid by what they"
                " report. Who delivers junk and reports 0.95 is paid as who delivers 0.95."
            ),
            (
                "Orders: a centre moves one owner to the top or the bottom of what the public code"
                " reports for it. At sigma = 1 the code likes all owners alike, ties go by number,"
                " and a centre gains unless its owner is the largest of those that are left: 10 -"
                " (1 + 1/2 + .. + 1/10) = 7.07 of 10."
            ),
        ),
        curves={
            "by report": results["curves"],
            "U_s on the true data by report": results["leader"],
        },
    ).write(config.out)


def _rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """Numbers derived beforehand, then those of random games, orders and agreements."""
    for name, value in results["golden"].items():
        derived = numbers.Reported(float(numbers.GOLDEN[name]), numbers.DERIVED)
        yield row(name, "-", [value], derived)
    for name, values in results["random"].items():
        yield row(f"random games, {name}", "-", values)
    for name, values in results["gainers"].items():
        mismatched = numbers.MISMATCHED if name == preferences.OFFICIAL else None
        words = f"centres paid by their match that gain by another order, {name}"
        yield row(words, f"of {OWNERS}", values, mismatched)
    for name, value in results["patience"].items():
        yield row(f"agreement of {name}: patience", "discount factor", [value])


def _times(own: Mapping[str, float]) -> dict[str, float]:
    """By which factor a deviation or an agreement multiplies the utility of one who takes part."""
    one_identity = own["one identity: U_n"]
    honest = own["all 0.95, all report it: U_n"]
    return {
        "reports 1 in place of 0.95": own["all 0.95, one reports 1: its U_n"] / honest,
        "comes as two": own["two identities: U_n"] / one_identity,
        "owners on half the supply": own["owners on half the supply: times U_n"],
        "breaks that agreement": own["owners on half the supply: best breach"] / one_identity,
        "centres on no work": own["centres on no work: times U_m"],
    }
