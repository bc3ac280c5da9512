"""What every study stands on: units of work that survive a kill, and results beside the paper's
as JSON, CSV and a picture.
"""

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

from marketenv.core.batch import Batch
from marketenv.core.market import Market
from marketenv.core.policy import Policy
from marketenv.metrics import Interval, mean_interval
from marketenv.render import png
from scripts import command, units
from scripts.units import ROOT, Crew, Unit, beat, replace


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
    """Do the units that are not done yet and return all results in their order; RuntimeError
    where one failed again.
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
    """Play one episode and note what ``watch`` sees after each round; a killed one goes on from its
    last checkpoint.

    every: seconds between checkpoints; where they fall changes no result
    """
    batch, notes = Batch(market, 1), folder / "notes.json"
    state, seen = folder / "state.safetensors", []
    if state.exists():
        batch.load(state)
        seen = json.loads(notes.read_text())[: int(batch.running().floor.round)]
    else:
        batch.reset(seed)
    last = time.monotonic()
    while batch.running().playing:
        if batch.step(batch.act(policies)).report is None:  # the round goes on
            continue
        seen.append(watch(batch))
        beat(folder, len(seen))
        if time.monotonic() - last > every:
            # first the notes: they may run ahead of the state, never behind
            replace(notes, json.dumps(seen).encode())
            batch.save(state)
            last = time.monotonic()
    return seen


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of the paper beside ours, one point a seed.

    paper: what the paper reports, None where it reports nothing;   points: ours;
        source: where the paper's number stands
    """

    what: str
    unit: str
    paper: float | None
    points: tuple[float, ...]
    source: str = ""

    def shown(self) -> dict[str, Any]:
        """The row as plain data, of the points that are finite: mean, range, every point, and the
        95 % interval.

        The interval needs 20 points, and 256 where half or more of them are one value (see
        ``mean_interval``).
        """
        known = [point for point in self.points if math.isfinite(point)]
        about: dict[str, Any] = {
            "what": self.what,
            "unit": self.unit,
            "paper": self.paper,
            "source": self.source,
        }
        counts = {"seeds": len(known), "not_finite": len(self.points) - len(known)}
        found = (
            mean_interval(torch.tensor(known, dtype=torch.float64))
            if known
            else Interval(math.nan, None, None)
        )
        bounds = {"low": found.low, "high": found.high}
        ends = {"least": min(known, default=None), "most": max(known, default=None)}
        return about | {
            "ours": number(found.mean),
            **bounds,
            **ends,
            **counts,
            "points": [number(p) for p in self.points],
        }


def told(row: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    """A row's cells: what, unit, the paper's number, ours, its 95 % interval or range, and
    seeds.
    """
    low, high = (row["least"], row["most"]) if row["low"] is None else (row["low"], row["high"])
    paper, ours = ("-" if row[name] is None else f"{row[name]:.4g}" for name in ("paper", "ours"))
    between = "-" if low is None else f"{low:.4g} .. {high:.4g}"
    seeds = f"{row['seeds']}" + (f" ({row['not_finite']} not finite)" if row["not_finite"] else "")
    return row["what"], row["unit"], paper, ours, between, seeds


@dataclass(frozen=True, kw_only=True)
class Study:
    """A finished study.

    scaled: what is smaller than in the paper, in words; "" where nothing is
    about:  settings that were used;   curves: further numbers for whoever wants to draw them;
            notes: what to know
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
        facts = {
            "title": self.title,
            "scaled_down": self.scaled,
            "settings": self.about,
            "notes": self.notes,
        }
        text = json.dumps(facts | {"rows": rows, "curves": self.curves}, indent=1, default=str)
        replace(out / f"{self.name}.json", text.encode())
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            row | {"points": " ".join("-" if p is None else f"{p:.6g}" for p in row["points"])}
            for row in rows
        )
        replace(out / f"{self.name}.csv", table.getvalue().encode())
        replace(out / f"{self.name}.png", png(self.fig))
        self.print(rows, out)

    def print(self, rows: Sequence[dict[str, Any]], out: Path) -> None:
        """Show the rows, what was scaled down, and where the files are."""
        shown = Table("what", "unit", "paper", "ours", "range or 95 %", "seeds", title=self.title)
        for row in rows:
            shown.add_row(*told(row))
        command.show(shown)
        console = Console()
        for line in (*((f"Scaled down: {self.scaled}",) if self.scaled else ()), *self.notes):
            console.print(line, soft_wrap=True)
        console.print(f"Files: {out / self.name}.json, .csv, .png", soft_wrap=True)


def number(value: Any) -> float | None:
    """A float that JSON can hold: None for what is not finite."""
    return float(value) if math.isfinite(float(value)) else None
