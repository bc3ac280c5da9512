"""Speed and memory of the markets and of the doors, measured in one run."""

from __future__ import annotations

import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from agents.benchmarks.case import Case, case
from marketenv import make_market, make_parallel
from marketenv.core import draws, rounds, tree
from marketenv.core.market import Market, agent_names
from marketenv.data.dataset import Dataset
from marketenv.learners import Training

ROOT = Path(__file__).resolve().parents[2]
LINEAR = {
    "data": "linear",
    "learner": "linear",
    "partition": "balanced",
    "data_options": {"dimension": 100},
}
SETTINGS: dict[str, dict[str, Any]] = {"linear_d100": LINEAR, "digits_mlp": {}}


def best_threads(call: Any, repeats: int = 5) -> tuple[float, int]:
    """Median seconds of a call and the thread count, of 1 and 2, that gives the least."""
    timings = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        call()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        timings.append((statistics.median(times), threads))
    return min(timings)


def trading_rounds(
    setting: str, n_markets: int, n_rounds: int = 5, device: str = "cpu"
) -> list[Case]:
    """Agent-steps a second, seconds of each phase of a round, and peak memory of one setting."""
    market = make_market(
        "parameter_trading_v0", max_cycles=n_rounds + 1, device=device, **SETTINGS[setting]
    )
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    now = rounds.begin(market, torch.arange(n_markets))
    phases: list[Mapping[str, float]] = []
    times = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        now, report = rounds.advance(market, now, rounds.act(market, policies, now))
        times.append(time.perf_counter() - start)
        assert report is not None
        phases.append(report.seconds)
    name = f"parameter_trading_v0 {setting}, {n_markets} markets x 4"
    rate = n_markets * market.people.count / statistics.median(times)
    cases: list[Case] = [case(f"{name}: steps", rate, "agent-steps/s")]
    for phase in phases[0]:
        cases.append(
            case(f"{name}: {phase}", statistics.median(s[phase] for s in phases), "s/round")
        )
    return [
        *cases,
        case(f"{name}: peak memory of the process", peak_memory(), "GiB"),
    ]


def paper_epoch(examples: int = 60_000, n_rounds: int = 3) -> list[Case]:
    """Seconds of an epoch by phase: the paper's MNIST setting, two agents, aligned trade.

    On arrays of MNIST's shape and number, filled at random: speed does not depend on what is in
    them.
    """
    tests = max(64, examples // 6)
    rows = torch.arange(examples + tests)
    pixels = draws.uniform(draws.fold(rows, "pixels"), 784).float().view(-1, 1, 28, 28)
    data = Dataset(
        "mnist-like",
        pixels[:examples],
        rows[:examples] % 10,
        10,
        pixels[examples:],
        rows[examples:] % 10,
    )
    market = make_market(
        "parameter_trading_v0",
        n_agents=2,
        max_cycles=n_rounds + 1,
        data=data,
        data_options={"keep": 0.1, "overlap": True, "broker_data": "test"},
        learner="mlp",
        learner_options={"hidden": (32, 32, 32, 16)},
        training=Training(
            learning_rate=0.01, batch_size=512, steps=math.ceil(examples * 0.55 / 512)
        ),
        valuation="relative_loss",
    )
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    by_threads: list[list[Case]] = []
    name = f"paper's MNIST setting, {examples} examples, one epoch"
    for threads in (1, 2):
        torch.set_num_threads(threads)
        now, reports = rounds.begin(market, torch.tensor([0])), []
        for _ in range(n_rounds):
            now, report = rounds.advance(market, now, rounds.act(market, policies, now))
            assert report is not None
            reports.append(report.seconds)
        phases = {phase: statistics.median(r[phase] for r in reports) for phase in reports[0]}
        parts = {"all phases": sum(phases.values())} | phases
        by_threads.append([case(f"{name}: {k}", v, "s", threads=threads) for k, v in parts.items()])
    return min(by_threads, key=lambda cases: cases[0]["value"])


def peak_memory() -> float:
    """Most memory that this process has held, GiB.

    This is Linux's own count, since getrusage starts from the parent's.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        next(
            int(line.split()[1])
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
        / 2**20
    )


def trading_case(
    setting: str, n_markets: int, threads_tried: tuple[str, ...] = ("1", "2")
) -> list[Case]:
    """``trading_rounds`` in a process of its own, so that its peak memory is its own.

    The fastest of the numbers of threads counts.
    """
    code = (
        "import json, sys, torch; torch.set_num_threads(int(sys.argv[3])); from"
        " agents.benchmarks.markets import trading_rounds;"
        " print(json.dumps(trading_rounds(sys.argv[1], int(sys.argv[2]))))"
    )
    by_threads = []
    for threads in threads_tried:
        command = [sys.executable, "-c", code, setting, str(n_markets), threads]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if run.returncode:
            raise RuntimeError(
                f"the benchmark of {setting} with {n_markets} markets failed:\n{run.stderr[-2000:]}"
            )
        by_threads.append([one | {"threads": int(threads)} for one in json.loads(run.stdout)])
    return max(by_threads, key=lambda cases: cases[0]["value"])


def door(steps: int = 20) -> list[Case]:
    """Median milliseconds of a PettingZoo step of one digits market outside the phases."""
    torch.set_num_threads(1)
    env = make_parallel("parameter_trading_v0", max_cycles=steps + 1)
    env.reset(seed=0)
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    outside = []
    for _ in range(steps):
        start = time.perf_counter()
        env.step(actions)
        whole = time.perf_counter() - start
        assert env.report is not None
        # a step ends this round, and trains and quotes the next
        opening = sum(env.situation.seconds.values())
        closing = sum(env.report.seconds[phase] for phase in ("trade", "score"))
        outside.append(whole - closing - opening)
    return [
        case("PettingZoo step of one digits market: door", 1e3 * statistics.median(outside), "ms")
    ]


def replays(line_ups: int = 10, seeds: int = 40) -> list[Case]:
    """How much faster line-ups replay one market a seed than open one market a line-up and seed.

    ratio = seconds(open one market a line-up and seed) / seconds(open one a seed, and index it for
    every line-up)
    """
    torch.set_num_threads(1)
    cases: list[Case] = []
    markets: dict[str, Any] = {
        "parameter_trading_v0 digits_mlp": make_market("parameter_trading_v0"),
        "parameter_trading_v0 linear_d100": make_market("parameter_trading_v0", **LINEAR),
        "model_sharing_v0 digits_mlp": make_market("model_sharing_v0"),
    }
    for name, market in markets.items():
        calls = (
            partial(rounds.opened, market, torch.arange(line_ups * seeds)),
            partial(_replayed, market, line_ups, seeds),
        )
        apart, shared = (statistics.median(_seconds(call) for _ in range(3)) for call in calls)
        title = f"{line_ups} line-ups x {seeds} seeds of {name}"
        cases += [case(f"{title}: opened once a seed", shared, "s")]
        cases += [case(f"{title}: against once a market", apart / shared, "times faster")]
    return cases


def _replayed(market: Market, line_ups: int, seeds: int) -> rounds.Situation:
    """The markets of every line-up, which stand in the worlds of some seeds."""
    some = torch.arange(seeds)
    return tree.rows(rounds.opened(market, some), some.repeat(line_ups))


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    sizes = (4,) if quick else (1, 16, 256)
    threads = ("1",) if quick else ("1", "2")
    measurements: list[Case] = []
    for setting in SETTINGS:
        for size in sizes:
            measurements += trading_case(setting, size, threads)
    measurements += replays(2, 3) if quick else replays()
    epoch = paper_epoch(600, 1) if quick else paper_epoch()
    return measurements + epoch + door(2 if quick else 20)
