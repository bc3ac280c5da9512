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

from marketenv import make_market, make_parallel, make_vec
from marketenv.core import draws, rounds, tree
from marketenv.core.market import Market, agent_names
from marketenv.data.dataset import Dataset
from marketenv.learners import Training

ROOT = Path(__file__).resolve().parents[2]
Case = dict[str, Any]
LINEAR = {
    "data": "linear",
    "learner": "linear",
    "partition": "balanced",
    "data_options": {"dimension": 100},
}
SETTINGS: dict[str, dict[str, Any]] = {"linear_d100": LINEAR, "digits_mlp": {}}


def best_threads(call: Any, repeats: int = 5) -> tuple[float, int]:
    """Median seconds of a call and the thread count, of 1 and 2, that gives the least."""
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        call()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        found.append((statistics.median(times), threads))
    return min(found)


def reference_steps(n_markets: int = 4096, steps: int = 20) -> list[Case]:
    """Agent-steps a second of the reference market's vector environment, both agents of every
    market counted.
    """
    venv = make_vec("reference_v0", n_markets, agent="buyer_0")
    venv.reset(seed=0)
    actions = venv.action_space.sample()

    def some_steps() -> None:
        for _ in range(steps):
            venv.step(actions)

    seconds, threads = best_threads(some_steps)
    value = 2 * n_markets * steps / seconds
    return [
        {
            "name": f"reference_v0 vector step, {n_markets} markets",
            "value": value,
            "unit": "agent-steps/s",
            "threads": threads,
        }
    ]


def trading_rounds(
    setting: str, n_markets: int, n_rounds: int = 5, device: str = "cpu"
) -> list[Case]:
    """Agent-steps a second, seconds of each phase of a round, and the process's peak memory of
    one setting and size.
    """
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
    cases: list[Case] = [{"name": f"{name}: steps", "value": rate, "unit": "agent-steps/s"}]
    for phase in phases[0]:
        cases.append(
            {
                "name": f"{name}: {phase}",
                "value": statistics.median(s[phase] for s in phases),
                "unit": "s/round",
            }
        )
    return [
        *cases,
        {"name": f"{name}: peak memory of the process", "value": peak_memory(), "unit": "GiB"},
    ]


def paper_epoch(examples: int = 60_000, n_rounds: int = 3) -> list[Case]:
    """Seconds of a market epoch in the paper's MNIST setting, split by phase: two agents, trade
    with alignment every round.

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
    found: list[list[Case]] = []
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
        found.append(
            [
                {"name": f"{name}: {k}", "value": v, "unit": "s", "threads": threads}
                for k, v in parts.items()
            ]
        )
    return min(found, key=lambda cases: cases[0]["value"])


def peak_memory() -> float:
    """Most memory that this process has held, GiB. Linux's own count, since getrusage starts
    from the parent's.
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


def trading_case(setting: str, n_markets: int) -> list[Case]:
    """``trading_rounds`` in a process of its own, so that its peak memory is its own; the
    faster of 1 and 2 threads.
    """
    code = (
        "import json, sys, torch; torch.set_num_threads(int(sys.argv[3])); from"
        " scripts.benchmarks.markets import trading_rounds;"
        " print(json.dumps(trading_rounds(sys.argv[1], int(sys.argv[2]))))"
    )
    found = []
    for threads in ("1", "2"):
        command = [sys.executable, "-c", code, setting, str(n_markets), threads]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if run.returncode:
            raise RuntimeError(
                f"the benchmark of {setting} with {n_markets} markets failed:\n{run.stderr[-2000:]}"
            )
        found.append([case | {"threads": int(threads)} for case in json.loads(run.stdout)])
    return max(found, key=lambda cases: cases[0]["value"])


def door(steps: int = 20) -> list[Case]:
    """Milliseconds that a PettingZoo step of one digits market spends outside the phases,
    medians.
    """
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
        begun = sum(env.situation.seconds.values())
        ended = sum(env.report.seconds[phase] for phase in ("trade", "score"))
        outside.append(whole - ended - begun)
    return [
        {
            "name": "PettingZoo step of one digits market: door",
            "value": 1e3 * statistics.median(outside),
            "unit": "ms",
        }
    ]


def replays(line_ups: int = 10, seeds: int = 40) -> list[Case]:
    """How much faster line-ups replay the markets of their seeds than a market for every line-up
    takes to open.

    ratio = seconds(open one market a line-up and seed) / seconds(open one a seed, and index it for
    every line-up)
    """
    torch.set_num_threads(1)
    found: list[Case] = []
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
        case = f"{line_ups} line-ups x {seeds} seeds of {name}"
        found += [{"name": f"{case}: opened once a seed", "value": shared, "unit": "s"}]
        found += [
            {
                "name": f"{case}: against once a market",
                "value": apart / shared,
                "unit": "times faster",
            }
        ]
    return found


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
    sizes = (1, 4) if quick else (1, 16, 256)
    found = reference_steps(64, 2) if quick else reference_steps()
    for setting in SETTINGS:
        for size in sizes:
            found += trading_case(setting, size)
    found += replays(2, 3) if quick else replays()
    return found + (paper_epoch(600, 1) if quick else paper_epoch()) + door(2 if quick else 20)
