"""A study: units of work that survive a kill, and results as JSON, CSV and a picture."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from agents.cli import command
from marketenv.core.batch import Batch
from marketenv.core.market import Market
from marketenv.core.policy import Policy
from marketenv.metrics import Interval, mean_interval
from marketenv.render import png

from . import units
from .shown import between, short
from .units import ROOT, Crew, Unit, beat, replace


@dataclass(frozen=True, kw_only=True)
class Common:
    """Arguments of every study.

    Args:
        out: folder of the results; what is done there already is not done again
        workers: processes; 0 takes one per processor, or one where device is not the CPU
        fresh: do everything again
    """

    out: Path = ROOT / "results" / "reproduce"
    workers: int = 0
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}, wanted >= 0; 0 takes one per processor.")


def run(work: Sequence[Unit], common: Common, label: str, device: str = "cpu") -> list[Any]:
    """All results in the units' order; those that are kept are not computed again.

    Raises RuntimeError where a unit fails twice.
    """
    crew = Crew(workers=common.workers or (0 if device == "cpu" else 1))
    return units.run(work, common.out / "units", label, crew, common.fresh).all()


def play(
    market: Market,
    policies: Mapping[str, Policy],
    seed: int,
    watch: Callable[[Batch], dict[str, Any]],
    folder: Path,
    every: float = 60.0,
) -> list[dict[str, Any]]:
    """Play one episode; returns what ``watch`` says after each round.

    folder: of checkpoints; an episode that was killed goes on from its last one
    every:  seconds between checkpoints; they change no result
    """
    batch, notes = Batch(market, 1), folder / "notes.json"
    state = folder / "state.safetensors"
    rounds: list[dict[str, Any]] = []
    if state.exists():
        batch.load(state)
        rounds = json.loads(notes.read_text())[: int(batch.running().floor.round)]
    else:
        batch.reset(seed)
    saved = time.monotonic()
    while batch.running().playing:
        if batch.step(batch.act(policies)).report is None:  # the round goes on
            continue
        rounds.append(watch(batch))
        beat(folder, len(rounds))
        if time.monotonic() - saved > every:
            # first the notes: they may run ahead of the state, never behind
            replace(notes, json.dumps(rounds).encode())
            batch.save(state)
            saved = time.monotonic()
    return rounds


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of the paper beside ours.

    paper:  what the paper reports, None where it reports nothing
    points: ours, one for each seed
    source: where the paper's number stands
    """

    what: str
    unit: str
    paper: float | None
    points: tuple[float, ...]
    source: str = ""

    def shown(self) -> dict[str, Any]:
        """The row as plain data: mean, range and 95 % interval of the finite points, every point.

        The interval needs 20 points, and 256 where half of them or more are one value (see
        ``mean_interval``).
        """
        known = [point for point in self.points if math.isfinite(point)]
        mean = Interval(math.nan, None, None)
        if known:
            mean = mean_interval(torch.tensor(known, dtype=torch.float64))
        return {
            "what": self.what,
            "unit": self.unit,
            "paper": self.paper,
            "source": self.source,
            "ours": number(mean.mean),
            "low": mean.low,
            "high": mean.high,
            "least": min(known, default=None),
            "most": max(known, default=None),
            "seeds": len(known),
            "not_finite": len(self.points) - len(known),
            "points": [number(point) for point in self.points],
        }


def cells(row: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    """A row's cells: what, unit, the paper's number, ours, its 95 % interval or range, seeds."""
    low, high = (row["least"], row["most"]) if row["low"] is None else (row["low"], row["high"])
    paper, ours = (
        short(None if row[name] is None else float(row[name])) for name in ("paper", "ours")
    )
    seeds = f"{row['seeds']}" + (f" ({row['not_finite']} not finite)" if row["not_finite"] else "")
    return row["what"], row["unit"], paper, ours, between(low, high, "-"), seeds


@dataclass(frozen=True, kw_only=True)
class Study:
    """A finished study.

    scaled: what is smaller than in the paper, in words; "" where nothing is
    about:  the settings;   notes: what to know
    curves: further numbers, for those who want to draw them
    """

    name: str
    title: str
    scaled: str
    about: Mapping[str, Any]
    rows: tuple[Row, ...]
    fig: Figure
    notes: tuple[str, ...] = ()
    curves: Mapping[str, Any] = field(default_factory=dict)

    def write(self, out: Path) -> None:
        """Write name.json, name.csv and name.png into the folder, and print the rows."""
        out.mkdir(parents=True, exist_ok=True)
        rows = [row.shown() for row in self.rows]
        result = {
            "title": self.title,
            "scaled_down": self.scaled,
            "settings": self.about,
            "notes": self.notes,
            "rows": rows,
            "curves": self.curves,
        }
        text = json.dumps(result, indent=1, default=str)
        replace(out / f"{self.name}.json", text.encode())
        replace(out / f"{self.name}.csv", _csv(rows).encode())
        replace(out / f"{self.name}.png", png(self.fig))
        self.print(rows, out)

    def print(self, rows: Sequence[dict[str, Any]], out: Path) -> None:
        """Show the rows, what is scaled down, the notes, and where the files are."""
        shown = Table("what", "unit", "paper", "ours", "range or 95 %", "seeds", title=self.title)
        for row in rows:
            shown.add_row(*cells(row))
        command.show(shown)
        console = Console()
        for line in (*((f"Scaled down: {self.scaled}",) if self.scaled else ()), *self.notes):
            console.print(line, soft_wrap=True)
        console.print(f"Files: {out / self.name}.json, .csv, .png", soft_wrap=True)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV; the points of a row stand in one cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    for row in rows:
        points = ("-" if point is None else f"{point:.6g}" for point in row["points"])
        writer.writerow({**row, "points": " ".join(points)})
    return text.getvalue()


def number(value: Any) -> float | None:
    """A float that JSON can hold: None for what is not finite."""
    return float(value) if math.isfinite(float(value)) else None
