"""The study of private distances (arXiv 2509.18104): ``wad_private``.

It is the second and the third experiment that the paper's summary proposes, and its check of
privacy against fidelity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents.papers.core.rows import STANDS, about, row
from agents.papers.core.study import Common, Row, Study, run
from agents.papers.core.units import Unit
from agents.papers.data_valuation import figures, numbers, private
from agents.papers.data_valuation.settings import MixtureSetting, mean


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
    return {"error": (100 * one.error).tolist(), "found": (100 * one.reidentified).tolist()}


def approached(folder: Path, seeds: int, points: int, t: float | None) -> list[list[float]]:
    """FedWaD's error by iteration, %, seed by seed."""
    return (100 * private.history(seeds, points, t)).tolist()


def ordered(folder: Path, seeds: int, steps: int, sigma: float, t: float) -> dict[str, list[float]]:
    """What hidden rows still tell of mixtures."""
    return private.ordering(MixtureSetting(), seeds, steps, sigma, t)


def wad_private(config: Private) -> None:
    """Error, communication and reconstruction of private distances.

    These are the second and the third experiment of the paper's summary.
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
    results = run(units, config, "wad_private")
    triangle = dict(zip(cases, results, strict=False))
    history = dict(zip(ways, results[len(cases) :], strict=False))
    order = dict(zip(hidden, results[len(cases) + len(ways) :], strict=True))
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
        f"t = {t:g}": [mean(triangle[100, s, t, 1.0][what]) for s in config.sigmas]
        for t in config.shares
    }


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
        reidentified = [100 * x for x in one["found"]]
        yield row(
            f"{where}: rows found again", "%", reidentified, numbers.RECONSTRUCTED.get((sigma, t))
        )
    for scheme, count in private.communication(config.points, 100).items():
        yield row(f"numbers sent by one seller, {scheme}", "numbers", [float(count)])
