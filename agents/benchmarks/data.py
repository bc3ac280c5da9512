"""Speed of the data market: rounds by phase, and time and memory of a round of many sellers."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from agents.benchmarks.case import Case, case
from agents.benchmarks.markets import ROOT, peak_memory
from agents.lineups import find_profile
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Report

# of each of many sellers
FEW_ROWS = {"data_options": {"size": 20, "overlap": True}, "communications": 1, "conduct": ()}
QUICK = {"communications": 1, "pilots": (4, 8), "points": 16, "mixtures": 2}


def data_rounds(n_markets: int = 64, n_rounds: int = 2, **config: Any) -> list[Case]:
    """Market-rounds a second on digits with three truthful sellers, and seconds of each phase.

    The first round warms up.
    """
    market = make_market("data_market_v0", max_cycles=n_rounds + 1, **config)
    torch.set_num_threads(1)
    timings = [round_seconds(report) for report in _reports(market, n_markets)][1:]
    name = f"data_market_v0 on digits, {n_markets} markets x {market.config.n_sellers} sellers"
    whole = statistics.median(sum(one.values()) for one in timings)
    cases: list[Case] = [case(f"{name}: rounds", n_markets / whole, "market-rounds/s", threads=1)]
    parts = {phase: statistics.median(one[phase] for one in timings) for phase in timings[0]}
    return cases + [case(f"{name}: {phase}", value, "s/round") for phase, value in parts.items()]


def _reports(market: Any, n_markets: int) -> list[Report]:
    now, reports = rounds.begin(market, torch.arange(n_markets)), []
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, find_profile(market), now))
        reports += [report] if report is not None else []
    return reports


def round_seconds(report: Report) -> dict[str, float]:
    """Seconds of each phase of a round, its quote included."""
    by_phase: dict[str, float] = {}
    for step, seconds in report.seconds.items():
        phase = step.split(":")[0]
        by_phase[phase] = by_phase.get(phase, 0.0) + seconds
    return by_phase


def many_sellers(n_sellers: int = 1000) -> list[Case]:
    """Seconds and peak memory of a round of one market with so many sellers."""
    config = {
        "n_sellers": n_sellers,
        "pilots": (n_sellers, 2 * n_sellers),
        "points": 4 * n_sellers,
        "mixtures": 16,
        **FEW_ROWS,
    }
    market = make_market(
        "data_market_v0",
        max_cycles=1,
        rule="posted",
        selection="uniform",
        distance="sliced",
        **config,
    )
    start = time.perf_counter()
    _reports(market, 1)
    name = f"data_market_v0 on digits, one market x {n_sellers} sellers"
    return [
        case(f"{name}: one round", time.perf_counter() - start, "s"),
        case(f"{name}: peak memory of the process", peak_memory(), "GiB"),
    ]


def sellers_case(n_sellers: int) -> list[Case]:
    """``many_sellers`` in a process of its own, so that its peak memory is its own."""
    code = (
        "import json, sys; from agents.benchmarks.data import many_sellers;"
        " print(json.dumps(many_sellers(int(sys.argv[1]))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(n_sellers)], capture_output=True, text=True, cwd=ROOT
    )
    if run.returncode:
        raise RuntimeError(f"the benchmark of {n_sellers} sellers failed:\n{run.stderr[-2000:]}")
    cases: list[Case] = json.loads(run.stdout)
    return cases


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    return (
        data_rounds(2, 1, **QUICK) + sellers_case(10)
        if quick
        else data_rounds() + sellers_case(1000)
    )
