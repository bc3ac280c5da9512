"""One page of all studies that have been run: the papers' numbers beside ours, and each picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from marketenv.render import image, notes, page, table

from .study import Common, cells
from .units import replace

HEAD = (
    "what",
    "unit",
    "paper",
    "ours",
    "least .. most, or 95 %",
    "seeds",
    "source of the paper's number",
)
INTRO = (
    "Every number of ours is a mean over seeds. From 20 seeds on the range is a 95 % interval"
    " (studentised bootstrap), except of shares and rates that are mostly equal; else it is the"
    " least and the greatest seed. The points are in the JSON files beside."
)


def report(config: Common) -> None:
    """Join all results in the folder into report.html, which opens offline."""
    files = [
        file for file in sorted(config.out.glob("*.json")) if file.with_suffix(".png").exists()
    ]
    if not files:
        raise ValueError(
            f"{config.out} holds no results; run a study first, for instance: reproduce.py fig3."
        )
    results = [(file, json.loads(file.read_text())) for file in files]
    sections = [(result["title"], _section(file, result)) for file, result in results]
    place = config.out / "report.html"
    replace(place, page("The paper's results beside ours", INTRO, sections).encode())
    Console().print(f"Report: {place}", soft_wrap=True)


def _section(file: Path, result: dict[str, Any]) -> str:
    scaled = [f"Scaled down: {result['scaled_down']}."] if result["scaled_down"] else []
    shown = image(file.with_suffix(".png").read_bytes(), result["title"])
    rows = [(*cells(row), row["source"]) for row in result["rows"]]
    return shown + notes([*scaled, *result["notes"]]) + table(HEAD, rows)
