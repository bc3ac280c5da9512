"""Our work beside that of others, in turns: what ``scripts/benchmark.py --only peers`` measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agents.benchmarks.case import Case, case
from agents.benchmarks.peers import auction, federated, matching, training
from agents.benchmarks.peers.side_by_side import ratios

ROOT = Path(__file__).resolve().parents[3]
SUBJECTS = (training, federated, auction, matching)
MISSING = (
    "Flower is not installed, so its rows are left out: pip install 'marketenv[peers]' adds it."
)


CODE = "import json; from agents.benchmarks import peers; print(json.dumps(peers.measured()))"


def cases(quick: bool = False) -> list[Case]:
    """All ratios, measured in a process of its own; ``quick`` runs small sizes here, for tests.

    It begins with one thread, and NumPy's products stay at one: torch's number does not rule them.
    """
    if not find_spec("flwr"):
        print(MISSING)
    if quick:
        return measured(quick)
    one, command = os.environ | {"OMP_NUM_THREADS": "1"}, [sys.executable, "-c", CODE]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=one)
    if run.returncode:
        raise RuntimeError(f"the benchmark of peers failed:\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def measured(quick: bool = False) -> list[Case]:
    """All ratios, and the load of the machine meanwhile."""
    settings: dict[str, Any] = {"turns": 1, "least": 0.0, "threads": (1,)} if quick else {}
    rows, loads = [], [os.getloadavg()[0]]
    for subject in SUBJECTS:
        for make in subject.comparisons(quick):
            rows += ratios(make(), **settings)
            loads.append(os.getloadavg()[0])
    unit = f"processes that run or wait, mean of a minute, on {os.cpu_count()} cores"
    return [
        *rows,
        case("load of the machine while the peers run, least", min(loads), unit),
        case("load of the machine while the peers run, most", max(loads), unit),
    ]
