"""One page of all studies that have been run: the paper's numbers beside ours, with every
picture.
"""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from marketenv.render import page, table
from scripts.studies.study import Common, told
from scripts.units import replace

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
    found = [(file, json.loads(file.read_text())) for file in files]
    sections = [(facts["title"], _section(file, facts)) for file, facts in found]
    replace(
        config.out / "report.html",
        page("The paper's results beside ours", INTRO, sections).encode(),
    )
    Console().print(f"Report: {config.out / 'report.html'}", soft_wrap=True)


def _section(file: Path, facts: dict[str, Any]) -> str:
    data = base64.b64encode(file.with_suffix(".png").read_bytes()).decode()
    notes = [
        *([f"Scaled down: {facts['scaled_down']}."] if facts["scaled_down"] else []),
        *facts["notes"],
    ]
    text = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    shown = f'<img alt="{escape(facts["title"])}" src="data:image/png;base64,{data}">'
    return shown + text + table(HEAD, [(*told(row), row["source"]) for row in facts["rows"]])
