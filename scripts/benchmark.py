"""Measure speed as ratios within one run; write a JSON list of {name, value, unit, command}."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.benchmarks import (  # noqa: E402
    alignment,
    contests,
    data,
    learners,
    marketplace,
    markets,
    resource_market,
    sharing,
    stress,
)
from agents.cli import command  # noqa: E402
from marketenv.core.lookup import unknown  # noqa: E402
from marketenv.core.storage import whole_file  # noqa: E402

TOY = {"models": 4, "batch": 8, "steps": 1, "repeats": 1, "threads": (1,)}


def of_learners(quick: bool) -> list[dict[str, Any]]:
    """The learners' measurements, of tiny sizes where they shall be quick."""
    return [row for case in learners.cases() for row in case(**(TOY if quick else {}))]


def of_alignment(quick: bool) -> list[dict[str, Any]]:
    """The alignment's measurements, of tiny sizes where they shall be quick."""
    return [
        row
        for case in alignment.cases(64 if quick else 512)
        for row in case(**({"models": 3, "repeats": 1} if quick else {}))
    ]


GROUPS = {
    "learners": of_learners,
    "alignment": of_alignment,
    "markets": markets.cases,
    "sharing": sharing.cases,
    "data": data.cases,
    "contests": contests.cases,
    "resource_market": resource_market.cases,
    "marketplace": marketplace.cases,
    "stress": stress.cases,
}


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Arguments of the benchmark.

    Args:
        quick: tiny sizes, to see that everything runs; the numbers mean nothing then
        out: the JSON file
    """

    only: Annotated[
        str, tyro.conf.arg(help=f"one group of measurements: {', '.join(GROUPS)}; or all")
    ] = "all"
    quick: bool = False
    out: Path = ROOT / "results" / "benchmark.json"


def main(config: BenchmarkConfig) -> None:
    """Run the chosen groups, print a table and write the file."""
    if config.only not in ("all", *GROUPS):
        raise unknown("group of measurements", config.only, ("all", *GROUPS))
    command.check_file(config.out)
    line = "python scripts/benchmark.py" + (
        "" if config.only == "all" else f" --only {config.only}"
    )
    chosen = list(GROUPS) if config.only == "all" else [config.only]
    rows = [
        case | {"command": line}
        for name in track(chosen, description="measuring")
        for case in GROUPS[name](config.quick)
    ]
    shown = Table(
        "name",
        "value",
        "unit",
        title=f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads",
    )
    for case in rows:
        shown.add_row(case["name"], f"{case['value']:.4g}", case["unit"])
    command.show(shown)
    with whole_file(config.out) as part:
        part.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    command.run(
        lambda: main(command.read(BenchmarkConfig, __doc__)),
        "Nothing is kept: ratios are taken within one run, so the same command measures all of them"
        " anew.",
    )
