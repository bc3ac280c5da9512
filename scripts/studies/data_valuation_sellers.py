"""Studies of private distances, dishonest sellers and many sellers (arXiv 2509.18104), in rows and
pictures.

``wad_private`` is the second and the third experiment that the paper's summary proposes, and its
check of privacy against fidelity; ``wad_sellers`` is its check of hundreds to thousands of sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents.papers.data_valuation import exploits, figures, many_sellers, numbers, private
from agents.papers.data_valuation.attacks import ATTACKS, HONEST
from agents.papers.data_valuation.mixtures import pearson
from agents.papers.data_valuation.settings import Setting
from scripts.studies.rows import STANDS, about, row
from scripts.studies.study import Common, Row, Study, run
from scripts.units import Unit

# --- wad_private ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Private(Common):
    """Arguments of the study of private distances.

    Args:
        seeds: pairs of Gaussians, and markets
        points: of each Gaussian
        sigmas: spread of the reference, in deviations of a feature
        shares: of the way that points are moved, t
        anchors: points of the reference, k
        steps: of the grid of mixtures whose order is looked at
    """

    seeds: int = 8
    points: int = 500
    sigmas: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0)
    shares: tuple[float, ...] = (0.1, 0.5, 0.9)
    anchors: tuple[int, ...] = (1, 10, 100)
    steps: int = 10


def gaussians(
    folder: Path, seeds: int, k: int, sigma: float, t: float, points: int, shift: float = 1.0
) -> dict[str, list[float]]:
    """TriangleWad of two Gaussians: error and rows found again, %."""
    one = private.triangle(seeds, k, sigma, t, points, shift)
    return {"error": (100 * one.error).tolist(), "found": (100 * one.found).tolist()}


def approached(folder: Path, seeds: int, points: int, t: float | None) -> list[list[float]]:
    """FedWaD's error by iteration, %, seed by seed."""
    return (100 * private.history(seeds, points, t)).tolist()


def ordered(folder: Path, seeds: int, steps: int, sigma: float, t: float) -> dict[str, list[float]]:
    """What hidden rows still tell of mixtures."""
    return private.ordering(Setting(), seeds, steps, sigma, t)


def wad_private(config: Private) -> None:
    """Error, communication and reconstruction of private distances: the summary's second and
    third experiment.
    """
    size = {"seeds": config.seeds, "points": config.points}
    ks = [(k, 1.0, 0.5, 1.0) for k in config.anchors]
    swept = [(100, sigma, t, 1.0) for t in config.shares for sigma in config.sigmas]
    cases = list(dict.fromkeys([*ks, *swept, *((100, *key) for key in numbers.TRIANGLE_ERRORS)]))
    units = [
        Unit(
            gaussians,
            size | dict(zip(("k", "sigma", "t", "shift"), case, strict=True)),
            stands=STANDS,
        )
        for case in cases
    ]
    ways = {"random t": None, "fixed t": 0.5}
    units += [Unit(approached, size | {"t": t}, stands=STANDS) for t in ways.values()]
    hidden = [(sigma, t) for sigma in config.sigmas for t in config.shares[1:]]
    market = {"seeds": config.seeds, "steps": config.steps}
    units += [
        Unit(ordered, market | {"sigma": sigma, "t": t}, stands=STANDS) for sigma, t in hidden
    ]
    done = run(units, config, "wad_private")
    triangle = dict(zip(cases, done, strict=False))
    history = dict(zip(ways, done[len(cases) :], strict=False))
    order = dict(zip(hidden, done[len(cases) + len(ways) :], strict=True))
    Study(
        name="wad_private",
        title="Private distances: error, and what they give away",
        scaled="",
        about=about(config),
        rows=tuple(_private_rows(config, triangle, history, order)),
        fig=figures.private(
            {name: torch.tensor(values).mean(0).tolist() for name, values in history.items()},
            config.sigmas,
            *(_by_sigma(config, triangle, what) for what in ("error", "found")),
        ),
        notes=(
            (
                "Two standard Gaussians in 10 dimensions, the second one moved along the first"
                " coordinate. A row is found again where it is the nearest to its own upload,"
                " scaled back: this is obfuscation, not privacy."
            ),
            "k = 1 moves all points alike and is exact; k above the number of points splits them.",
        ),
        curves={"FedWaD": history},
    ).write(config.out)


def _by_sigma(config: Private, triangle: Mapping[Any, Any], what: str) -> dict[str, list[float]]:
    return {
        f"t = {t:g}": [_mean(triangle[100, s, t, 1.0][what]) for s in config.sigmas]
        for t in config.shares
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _private_rows(
    config: Private,
    triangle: Mapping[Any, Any],
    history: Mapping[str, Any],
    order: Mapping[Any, Any],
) -> Iterator[Row]:
    for (k, sigma, t, shift), one in triangle.items():
        where = f"TriangleWad, k = {k}, sigma = {sigma:g}, t = {t:g}, shift {shift:g}"
        yield row(
            f"{where}: error",
            "% of W2",
            one["error"],
            numbers.TRIANGLE_ERRORS.get((sigma, t, shift)) if k == 100 else None,
        )
        yield row(f"{where}: rows found again", "%", one["found"])
    for name, values in history.items():
        yield row(
            f"FedWaD, {name}: error after 10 iterations",
            "% of W2",
            [x[-1] for x in values],
            numbers.FEDWAD_ERRORS[name],
        )
    for (sigma, t), one in order.items():
        where = f"digits, hidden by sigma = {sigma:g}, t = {t:g}"
        yield row(f"{where}: r of CombineWad with accuracy", "correlation", one["accuracy"])
        yield row(f"{where}: r with CombineWad of the rows", "correlation", one["distance"])
        found = [100 * x for x in one["found"]]
        yield row(f"{where}: rows found again", "%", found, numbers.RECONSTRUCTED.get((sigma, t)))
    for scheme, count in private.communication(config.points, 100).items():
        yield row(f"numbers sent by one seller, {scheme}", "numbers", [float(count)])


# --- wad_exploits ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Exploits(Common):
    """Arguments of the study of attacks and defences.

    Args:
        seeds: markets; below 20 no interval is shown
        steps: of the grid of mixtures that honest pilots are trained on
    """

    seeds: int = 20
    steps: int = 10


def defended(
    folder: Path, defence: str, seeds: int, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Every attack against one defence."""
    found = {name: exploits.exploit(name, defence, seeds, steps) for name in ATTACKS}
    return {
        name: {part: values.tolist() for part, values in vars(one).items()}
        for name, one in found.items()
    }


UNITS = {
    "wad": "W2",
    "predicted": "of the test rows",
    "true": "of the test rows",
    "value": "of the test rows",
    "money": "money",
}


def wad_exploits(config: Exploits) -> None:
    """Every attack of a seller against every defence: distance, predicted and realised
    accuracy, value and money.
    """
    told = {"seeds": config.seeds, "steps": config.steps}
    done = run(
        [Unit(defended, {"defence": name, **told}, stands=STANDS) for name in exploits.DEFENCES],
        config,
        "wad_exploits",
    )
    found = dict(zip(exploits.DEFENCES, done, strict=True))
    rows = []
    for defence, attacks in found.items():
        for attack, one in attacks.items():
            known = numbers.EXPLOITS.get(attack) if defence == "none" else None
            cited = vars(known) | {"value": known.leave_one_out} if known else {}
            for part, values in one.items():
                number = cited.get(part)
                told_by = numbers.Reported(number, numbers.DERIVED) if number is not None else None
                rows.append(row(f"{defence}, {attack}: {part}", UNITS[part], values, told_by))
    plain = found["none"]
    money = {
        attack: {
            d: 100 * _mean(of[attack]["money"]) / _mean(of[HONEST]["money"])
            for d, of in found.items()
        }
        for attack in ATTACKS
    }
    Study(
        name="wad_exploits",
        title="What a dishonest seller is paid",
        scaled="three sellers of 100 embedded digits each",
        about=about(config),
        rows=tuple(rows),
        fig=figures.exploits(
            *({a: _mean(one[part]) for a, one in plain.items()} for part in ("predicted", "true")),
            money,
        ),
        notes=(
            (
                "The platform's estimator has seen honest pilots alone. Money: a budget of 100 in"
                " proportion to leave-one-out values on predicted accuracy; half of it waits for"
                " the realised accuracy under hold-back; an audit pays nothing where the delivery"
                " lies farther from the buyer's rows than the pilot by a quarter, or from the pilot"
                " by a quarter of that."
            ),
        ),
        curves={"money, % of honest": money},
    ).write(config.out)


# --- wad_sellers ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sellers(Common):
    """Arguments of the study of many sellers.

    Args:
        sellers: how many there are
        seeds: markets of each number
        mixtures: of up to ten sellers each
    """

    sellers: tuple[int, ...] = (3, 10, 30, 100, 300, 1000)
    seeds: int = 8
    mixtures: int = 66


def crowd(folder: Path, sellers: int, seeds: int, mixtures: int) -> dict[str, Any]:
    """Correlations and seconds of one number of sellers."""
    one = many_sellers.crowd(sellers, seeds, mixtures)
    pairs = {
        "sliced with accuracy": (one.sliced, one.accuracy),
        "exact with accuracy": (one.exact, one.accuracy),
        "sliced with exact": (one.sliced, one.exact),
    }
    return {
        "r": {name: pearson(*pair).tolist() for name, pair in pairs.items()},
        "seconds": one.seconds,
    }


def wad_sellers(config: Sellers) -> None:
    """From 3 to 1,000 sellers: seconds of the additive sliced distance, and how it goes with
    accuracy.
    """
    told = {"seeds": config.seeds, "mixtures": config.mixtures}
    done = run(
        [Unit(crowd, {"sellers": n, **told}, stands=STANDS) for n in config.sellers],
        config,
        "wad_sellers",
    )
    rows = []
    for n, one in zip(config.sellers, done, strict=True):
        rows += [
            row(
                f"{n} sellers: r of {name}",
                "correlation",
                values,
                numbers.SLICED if name == "sliced with exact" else None,
            )
            for name, values in one["r"].items()
        ]
        rows.append(
            row(f"{n} sellers: {config.mixtures} mixtures", "seconds a market", [one["seconds"]])
        )
    lines = {name: [_mean(one["r"][name]) for one in done] for name in done[0]["r"]}
    Study(
        name="wad_sellers",
        title="Many sellers by one upload each",
        scaled=(
            "embedded digits, 20 rows a seller, mixtures of up to ten sellers, 200 training points"
        ),
        about=about(config),
        rows=tuple(rows),
        fig=figures.many_sellers(config.sellers, [one["seconds"] for one in done], lines),
        notes=(
            (
                "Seconds are of this machine and whatever else it did, uploads included; the exact"
                " distance takes a mixture's rows."
            ),
        ),
        curves=lines,
    ).write(config.out)
