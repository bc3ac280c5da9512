"""Studies of the tripartite game alone (arXiv 2501.14588): nothing is trained here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.papers.core.reported import Reported
from agents.papers.core.rows import STANDS, about, row
from agents.papers.core.study import Common, Row, Study, run
from agents.papers.core.units import Unit
from agents.papers.data_valuation.settings import mean, readable, skipped
from agents.papers.resources_decoupled import figures, numbers, sweeps
from agents.papers.resources_decoupled import utilities as payments
from agents.papers.resources_decoupled.settings import COUNTS, IID, IMAGES, SKEWED, SPLITS, TABLES
from marketenv.core.lookup import lookup

EMBEDDED = ("digits", "breast_cancer")


# --- rdfl_utilities -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Utilities(Common):
    """Arguments of the study of utilities against the baselines.

    Args:
        data: images and tables; those in files are skipped with a reason where MARKETENV_DATA names
            no folder that has them
        seeds: draws of the owners' noise; below 20 no interval is shown
        counts: numbers of owners
    """

    data: tuple[str, ...] = EMBEDDED
    seeds: int = 200
    counts: tuple[int, ...] = COUNTS

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.data:
            lookup(dict.fromkeys((*IMAGES, *TABLES)), name, "data set")
        if self.seeds < 1 or not self.data or not self.counts or min(self.counts) < 2:
            raise ValueError(
                "wanted one data set and seed or more, and numbers of owners that are two or more."
            )

    def here(self) -> tuple[str, ...]:
        """The data sets that can be read; ValueError where there is none."""
        return readable(self.data)


def earned(
    folder: Path, data: str, split: str, counts: Sequence[int], seeds: int
) -> dict[str, Any]:
    """Utilities by payment and number of owners, and gains over the baselines, a number a seed."""
    by_count = {n: payments.compare(data, split, n, seeds) for n in counts}
    paid: dict[str, Any] = {side: {name: {} for name in PAYMENTS} for side in payments.SIDES}
    gains: dict[str, Any] = {side: {} for side in payments.SIDES}
    for side in payments.SIDES:
        for name in PAYMENTS:
            for n, one in by_count.items():
                paid[side][name][str(n)] = getattr(one[name], side).tolist()
        for base in payments.BASELINES:
            gains[side][base] = payments.gains(data, split, base, side, seeds, tuple(counts))
    return {"paid": paid, "gains": gains}


PAYMENTS = (payments.EQUILIBRIUM, *payments.BASELINES)


def rdfl_utilities(config: Utilities) -> None:
    """Utility of leader and mean owner in equilibrium against eta = 1 and eta = U(0.5, 1) eta*."""
    cases = [(data, split) for data in config.here() for split in SPLITS]
    options = {"counts": list(config.counts), "seeds": config.seeds}
    work = [
        Unit(earned, {"data": data, "split": split, **options}, stands=STANDS)
        for data, split in cases
    ]
    results = dict(zip(cases, run(work, config, "rdfl_utilities"), strict=True))
    gains = list(_gains(results))
    rows = [
        row(f"{where}: gain of the {side} over {base}, sums over N", "%", points, reported)
        for where, side, base, points, reported in gains
    ]
    dots = {f"{where}: {side} over {base}": points for where, side, base, points, _ in gains}
    first = next(iter(results.values()))["paid"]
    curves = {
        side: {name: [mean(first[side][name][str(n)]) for n in config.counts] for name in PAYMENTS}
        for side in payments.SIDES
    }
    Study(
        name="rdfl_utilities",
        title="Utilities in equilibrium against two other payments",
        scaled="",
        about=about(config),
        rows=(*rows, *_by_count(config, results)),
        fig=figures.utilities(
            config.counts, curves[payments.LEADER], curves[payments.OWNERS], dots
        ),
        notes=(*_notes(), *skipped(config.data)),
        curves=curves,
    ).write(config.out)


def _gains(
    results: Mapping[tuple[str, str], Any],
) -> Iterator[tuple[str, str, str, list[float], Reported | None]]:
    """Data set and split, side, baseline, gains by seed, and the reported gain if there is one."""
    for (data, split), one in results.items():
        for side in payments.SIDES:
            for base in payments.BASELINES:
                reported = numbers.IID_GAINS.get((data, side, base)) if split == IID else None
                yield f"{data}, {split}", side, base, one["gains"][side][base], reported


def _notes() -> tuple[str, ...]:
    """What is reported, and why the gains come out as they do."""
    spans = {
        side: " to ".join(f"{one.value:g}" for one in numbers.RANGES[side])
        for side in payments.SIDES
    }
    return (
        f"Reported over all data sets and splits: leader +{spans['leader']} %, mean owner"
        f" +{spans['owners']} %, from one run each. Sums of the authors' tables of i.i.d."
        " data stand beside ours where the data set is the same.",
        "The game sees data by f alone, and the scale stretches any noise to [0.9, 1]: data"
        " sets and splits hardly differ.",
        "No payment is better for the leader than eta*, so that its gain is >= 0 by"
        " definition. Owners earn in proportion to the payment: over FIXED they gain where"
        " eta* > 1, over RANDOM whenever its draw is below 1.",
    )


def _by_count(config: Utilities, results: Mapping[tuple[str, str], Any]) -> Iterator[Row]:
    for (data, split), one in ((case, one) for case, one in results.items() if case[1] == SKEWED):
        for side, n, name in (
            (s, n, p) for s in payments.SIDES for n in config.counts for p in PAYMENTS
        ):
            yield row(
                f"{data}, {split}, N = {n}: utility of the {side}, {name}",
                "money",
                one["paid"][side][name][str(n)],
            )


# --- rdfl_sweeps ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sweeps(Common):
    """Arguments of the study of sweeps.

    Args:
        seeds: draws of the owners' noise
    """

    seeds: int = 20


def swept(folder: Path, what: str, seeds: int) -> dict[str, Any]:
    """Utilities by role along one sweep, a list of seeds at each point."""
    one = sweeps.swept(what, seeds)
    return {"points": one.points, "utilities": one.utilities}


SHOWN = {
    "alpha": (2.5, 5, 7.5, 10),
    "eta": (0.5, 1, 1.5, 2),
    "x": (0, 0.5, 1, 2),
    "sigma": (0.1, 0.5, 1, 2),
}  # in rows
LOOKED_AT = {
    "alpha": "alpha: all play their equilibrium",
    "eta": "eta: owners and centres answer it",
    "x": "x: one owner gives a multiple of its equilibrium x",
    "sigma": "sigma: cost of one centre, the others' is 1",
}


def rdfl_sweeps(config: Sweeps) -> None:
    """Utilities by alpha, payment, one owner's contribution and one centre's cost."""
    work = [
        Unit(swept, {"what": what, "seeds": config.seeds}, stands=STANDS) for what in sweeps.SWEEPS
    ]
    results = dict(zip(sweeps.SWEEPS, run(work, config, "rdfl_sweeps"), strict=True))
    rows = []
    for what, one in results.items():
        for role, lists in one["utilities"].items():
            for point, values in zip(one["points"], lists, strict=True):
                if not any(math.isclose(point, point_shown) for point_shown in SHOWN[what]):
                    continue
                pair = numbers.SWEPT.get(point) if what == "alpha" else None
                reported = pair and {sweeps.LEADER: pair[0], sweeps.OWNER: pair[1]}.get(role)
                rows.append(
                    row(
                        f"{what} = {point:g}: utility of the {role}",
                        "money",
                        values,
                        reported or None,
                    )
                )
    peaks = [max(lists) for lists in zip(*results["eta"]["utilities"][sweeps.LEADER], strict=True)]
    rows.append(row("eta: greatest utility of the leader", "money", peaks, numbers.PEAK))
    lines = {
        LOOKED_AT[what]: (
            one["points"],
            {role: [mean(v) for v in lists] for role, lists in one["utilities"].items()},
        )
        for what, one in results.items()
    }
    Study(
        name="rdfl_sweeps",
        title="Utilities by alpha, eta, x and sigma",
        scaled="",
        about=about(config),
        rows=tuple(rows),
        fig=figures.sweeps(lines),
        notes=(
            (
                "Ten owners of noisy digits (size skew), ten centres of sigma 1. The authors'"
                " qualities are not told, ours are other draws of the same noise. Along x and sigma"
                " the owner and the centre are the one that changes."
            ),
        ),
        curves={what: {"points": points, **curves} for what, (points, curves) in lines.items()},
    ).write(config.out)
