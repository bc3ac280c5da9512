"""Speed of the whole marketplace: rounds by phase and memory, growth with the number of agents, and
the game alone against the resource market.

All times are CPU time of the process, so that other work on the machine does not count; on one
thread, since a thread that waits for another one on a busy machine counts as work. A phase has its
part of the wall time of the round.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from agents.benchmarks.case import Case, case
from agents.benchmarks.data import round_seconds
from agents.benchmarks.markets import ROOT, peak_memory
from agents.lineups import find_profile
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market, Report

MARKET, THREADS = "marketplace_v0", 1
TINY = {"n_developers": 2, "n_owners": 2, "data_options": {"max_examples": 300}}


def played(market: Market, n_markets: int) -> list[tuple[float, Report]]:
    """CPU seconds and report of every round of truthful agents but the first, which warms up."""
    torch.set_num_threads(THREADS)
    profile, reports = find_profile(market), []
    now, start = rounds.begin(market, torch.arange(n_markets)), time.process_time()
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))
        if report is not None:
            reports.append((time.process_time() - start, report))
            start = time.process_time()
    return reports[1:]


def seconds_of_round(
    n_markets: int, n_rounds: int = 2, market: str = MARKET, **config: Any
) -> float:
    """Median CPU seconds of a round."""
    timings = played(make_market(market, max_cycles=n_rounds + 1, **config), n_markets)
    return statistics.median(seconds for seconds, _ in timings)


# --- rounds by phase ------------------------------------------------------------------------------


def split_rounds(rule: str, n_markets: int, n_rounds: int = 2, **config: Any) -> list[Case]:
    """Market-rounds a CPU second, CPU seconds of each phase, and the peak memory of the process."""
    market = make_market(MARKET, rule=rule, max_cycles=n_rounds + 1, **config)
    timings = played(market, n_markets)
    whole = statistics.median(seconds for seconds, _ in timings)
    splits = [round_seconds(report) for _, report in timings]
    parts = {phase: statistics.median(one[phase] for one in splits) for phase in splits[0]}
    scale = whole / sum(parts.values())
    name = f"{MARKET} {rule} on digits, {n_markets} markets of {market.people.count} agents"
    return [
        case(f"{name}: rounds", n_markets / whole, "market-rounds/CPU s", threads=THREADS),
        *(case(f"{name}: {k}", v * scale, "CPU s/round") for k, v in parts.items()),
        case(f"{name}: peak memory of the process", peak_memory(), "GiB"),
    ]


def split_case(rule: str, n_markets: int, n_rounds: int = 2, **config: Any) -> list[Case]:
    """``split_rounds`` in a process of its own, so that its peak memory is its own."""
    code = (
        "import json, sys; from agents.benchmarks.marketplace import split_rounds;"
        " rule, markets, rounds, config = json.loads(sys.argv[1]);"
        " print(json.dumps(split_rounds(rule, markets, rounds, **config)))"
    )
    arguments = json.dumps((rule, n_markets, n_rounds, config))
    command = [sys.executable, "-c", code, arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if run.returncode:
        raise RuntimeError(f"the benchmark of rule {rule!r} failed:\n{run.stderr[-2000:]}")
    cases: list[Case] = json.loads(run.stdout)
    return cases


# --- growth ---------------------------------------------------------------------------------------


def growth(role: str, counts: tuple[int, ...], n_markets: int, **config: Any) -> list[Case]:
    """CPU seconds of a round by the number of agents of a role, and the exponent: the slope of the
    logarithm of the seconds in the logarithm of the number, by least squares.
    """
    seconds = [seconds_of_round(n_markets, **{**config, f"n_{role}s": n}) for n in counts]
    exponent = statistics.linear_regression(*(list(map(math.log, v)) for v in (counts, seconds)))
    name = f"{MARKET} contest on digits, {n_markets} markets"
    return [
        *(
            case(f"{name}: {n} {role}s", value, "CPU s/round")
            for n, value in zip(counts, seconds, strict=True)
        ),
        case(f"{name}: exponent in {role}s", exponent.slope, "power"),
    ]


# --- the game alone -------------------------------------------------------------------------------


def game_alone(n_games: int, n_developers: int = 2, n_rounds: int = 10) -> list[Case]:
    """Agent-steps a CPU second of contests without training, played as marketplaces and as resource
    markets, and how many times as long a marketplace takes for as many contests.
    """
    same: dict[str, Any] = {"learner": None, "n_owners": 4, "n_centres": 2, "n_rounds": n_rounds}
    n_markets = n_games // n_developers
    whole = seconds_of_round(n_markets, n_developers=n_developers, trade=None, **same)
    part = seconds_of_round(n_games, market="resource_market_v0", **same)
    name = f"the game alone, {n_games} contests"
    agents = n_markets * (n_developers + 6), n_games * 7
    return [
        case(f"{name} as {MARKET}: steps", agents[0] / whole, "agent-steps/CPU s"),
        case(f"{name} as resource_market_v0: steps", agents[1] / part, "agent-steps/CPU s"),
        case(f"{name}: {MARKET} / resource_market_v0", whole / part, "times"),
    ]


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    if quick:
        return [
            *split_case("contest", 2, 1, **TINY),
            *growth("developer", (1, 2), 1, n_rounds=1, data_options=TINY["data_options"]),
            *game_alone(4, n_rounds=1),
        ]
    return [
        *split_case("contest", 64),
        *split_case("procurement", 64),
        *growth("developer", (2, 4, 8, 16), 8),
        *growth("owner", (4, 16, 64, 256), 8),
        *game_alone(128),
        *game_alone(4096),
    ]
