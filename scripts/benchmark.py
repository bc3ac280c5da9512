"""Measure speed as ratios within one run; write a JSON list of {name, value, unit, command}."""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    gpu,
    learners,
    marketplace,
    markets,
    merge_weights,
    partners,
    peers,
    resource_market,
    sharing,
    stepping,
    stress,
)
from agents.benchmarks.case import Case, case  # noqa: E402
from agents.cli import command  # noqa: E402
from marketenv.core.checks import check_fields, number, or_none  # noqa: E402
from marketenv.core.devices import device_of  # noqa: E402
from marketenv.core.lookup import unknown  # noqa: E402
from marketenv.core.storage import whole_file  # noqa: E402

TOY = {"models": 4, "batch": 8, "steps": 1, "repeats": 1, "threads": (1,)}


def of_learners(quick: bool, device: str = "cpu") -> Iterator[list[Case]]:
    """The learners' measurements, of tiny sizes where they shall be quick."""
    on = torch.device(device)
    threads = {} if on.type == "cpu" else {"threads": (1,)}  # a GPU's work has none
    for measure in learners.cases():
        yield measure(**threads | (TOY if quick else {}), device=on)


def of_alignment(quick: bool) -> Iterator[list[Case]]:
    """The alignment's measurements, of tiny sizes where they shall be quick."""
    for measure in (*alignment.cases(64 if quick else 512), merge_weights.searches):
        yield measure(**({"models": 3, "repeats": 1} if quick else {}))


# a group by name: (quick[, device]) -> its lines, or the lines of one measurement after another
GROUPS: dict[str, Callable[..., Iterable[Any]]] = {
    "gpu": gpu.cases,
    "learners": of_learners,
    "alignment": of_alignment,
    "markets": markets.cases,
    "stepping": stepping.cases,
    "sharing": sharing.cases,
    "data": data.cases,
    "contests": contests.cases,
    "resource_market": resource_market.cases,
    "marketplace": marketplace.cases,
    "stress": stress.cases,
    "partners": partners.cases,
    "peers": peers.cases,
}


# groups that measure on any device; the others measure a CPU
ON_DEVICES = ("gpu", "learners", "sharing")
GPU_BUDGET = 420.0  # seconds: with what a last measurement takes, less than 8 minutes


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Arguments of the benchmark.

    Args:
        quick: tiny sizes, to see that everything runs; the numbers mean nothing then
        device: where everything is computed, such as cuda. All groups are then those that measure
            any device; on a CPU they are all but gpu, whose sizes are tiny there
        budget: seconds after which no further measurement begins; None: 420 on a GPU, and no bound
            on a CPU
        out: the JSON file
    """

    only: Annotated[
        str, tyro.conf.arg(help=f"one group of measurements: {', '.join(GROUPS)}; or all")
    ] = "all"
    quick: bool = False
    device: str = "cpu"
    budget: float | None = None
    out: Path = ROOT / "results" / "benchmark.json"

    def __post_init__(self) -> None:
        check_fields(self, {"budget": or_none(number, above=0.0, fix=": seconds, or None")})


def main(config: BenchmarkConfig) -> None:
    """Run the chosen groups, print a table and write the file."""
    chosen = _chosen(config)
    command.check_file(config.out)
    line = "python scripts/benchmark.py"
    line += "" if config.only == "all" else f" --only {config.only}"
    line += "" if config.device == "cpu" else f" --device {config.device}"
    more = {"command": line, "machine": _machine(config.device)}
    rows = [row | more for row in _measured(chosen, config)]
    shown = Table(
        "name",
        "value",
        "unit",
        title=f"torch {torch.__version__}, {more['machine']}",
    )
    for row in rows:
        shown.add_row(row["name"], f"{row['value']:.4g}", row["unit"])
    command.show(shown)
    with whole_file(config.out) as part:
        part.write_text(json.dumps(rows, indent=1) + "\n")


def _chosen(config: BenchmarkConfig) -> list[str]:
    """The groups to run; ValueError for an unknown one, and for one that measures a CPU only."""
    if config.only not in ("all", *GROUPS):
        raise unknown("group of measurements", config.only, ("all", *GROUPS))
    on_cpu = device_of(config.device).type == "cpu"
    if config.only == "all":
        return [name for name in GROUPS if (name != "gpu" if on_cpu else name in ON_DEVICES)]
    if not on_cpu and config.only not in ON_DEVICES:
        raise ValueError(
            f"group {config.only!r} measures a CPU only, and device is {config.device!r}; leave"
            f" --device out, or give --only one of {', '.join(ON_DEVICES)}."
        )
    return [config.only]


def _measured(chosen: Sequence[str], config: BenchmarkConfig) -> Iterator[Case]:
    """The lines of one measurement after another, until the budget is spent."""
    start, budget = time.monotonic(), config.budget
    if budget is None:
        budget = math.inf if torch.device(config.device).type == "cpu" else GPU_BUDGET
    for name in track(chosen, description="measuring"):
        on = {"device": config.device} if name in ON_DEVICES else {}
        for part in GROUPS[name](config.quick, **on):
            yield from part if isinstance(part, list) else [part]
            spent = time.monotonic() - start
            if spent > budget:
                yield case(f"budget spent in group {name}: what follows is left out", spent, "s")
                return


def _machine(device: str) -> str:
    """The GPU's name, or the processor and the number of threads."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    command.run(
        lambda: main(command.read(BenchmarkConfig, __doc__)),
        "Nothing is kept: ratios are taken within one run, so the same command measures all of them"
        " anew.",
    )
