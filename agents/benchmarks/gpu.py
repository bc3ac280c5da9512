"""What a GPU does in stacked training, under vmap and in every market, and the memory it takes.

All cases run on any device: on a CPU at tiny sizes, which show that they run and nothing else.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from agents.benchmarks import gpu_networks
from agents.benchmarks.case import Case, case
from agents.benchmarks.instruments import allocated, timed
from agents.benchmarks.learners import synthetic
from agents.lineups import find_profile
from marketenv import make_market, make_vec
from marketenv.core import clock, rounds
from marketenv.core.market import Report
from marketenv.learners import MLP, Training

GIB, MS = 2**30, 1e3


# --- stacked training -----------------------------------------------------------------------------


def stacked_training(
    device: torch.device,
    n_markets: int = 4096,
    n_agents: int = 2,
    batch: int = 32,
    steps: int = 50,
    repeats: int = 5,
) -> list[Case]:
    """Training of 64-32-10 networks, all at once: steps a second, memory, and use of the GPU."""
    models = n_markets * n_agents
    training = Training(batch_size=batch, steps=steps)
    learner = MLP((64,), 10, "classification", training, hidden=(32,))
    keys = torch.arange(models, device=device)
    params, slots = learner.init(keys), learner.fresh_slots(models, device)
    material = learner.prepare(synthetic(models, 4 * batch, 64, 10, device))
    effort = torch.ones(models, dtype=torch.float32, device=device)
    call = partial(learner.train, params, slots, material, effort, keys)
    seconds = timed(call, device, repeats)
    name = f"{n_markets} markets x {n_agents} MLPs 64-32-10, batch {batch}"
    return [
        case(f"{name}: training", models * steps / seconds, "agent-train-steps/s"),
        case(f"{name}: training", seconds / steps * MS, "ms/step"),
        case(f"{name}: memory of a round of {steps} steps", allocated(call, device) / GIB, "GiB"),
        *use_of_gpu(name, call, device),
    ]


def use_of_gpu(
    name: str, call: Callable[[], Any], device: torch.device, program: str = "nvidia-smi"
) -> list[Case]:
    """Share of the time in which the GPU computes, and its memory in use, while a call repeats.

    Nothing where the device is no GPU, or the program that asks it is missing.
    """
    found = shutil.which(program)
    if device.type != "cuda" or found is None:
        return []
    busy, memory = sampled(found, device.index or 0, partial(_repeated, call, device, 2.0))
    return [
        case(f"{name}: time with a kernel running", busy, "%"),
        case(f"{name}: memory of the GPU in use, all programs", memory / 2**10, "GiB"),
    ]


def _repeated(call: Callable[[], Any], device: torch.device, seconds: float) -> None:
    """Repeat a call for some seconds."""
    end = clock.seconds(device) + seconds
    while clock.seconds(device) < end:
        call()


def sampled(program: str, index: int, call: Callable[[], Any]) -> tuple[float, float]:
    """Mean use in percent and most memory in MiB that nvidia-smi reports during a call."""
    command = [program, "--query-gpu=utilization.gpu,memory.used", f"--id={index}"]
    command += ["--format=csv,noheader,nounits", "--loop-ms=100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sampler:
        call()
        sampler.terminate()
        lines = sampler.communicate()[0].splitlines()
    samples = [tuple(map(float, line.split(","))) for line in lines if line.count(",") == 1]
    if not samples:
        raise RuntimeError(f"{program} reported nothing; wanted lines such as '97, 1024'.")
    use, memory = zip(*samples, strict=True)
    return statistics.mean(use), max(memory)


# --- markets --------------------------------------------------------------------------------------


def market_rounds(
    name: str, n_markets: int, device: torch.device, n_rounds: int = 2, **config: Any
) -> list[Case]:
    """Rounds a second of a market of truthful agents, and the time of each phase.

    The first round warms up.
    """
    market = make_market(name, device=str(device), max_cycles=n_rounds + 1, **config)
    profile, reports, times = find_profile(market), [], []
    now, start = rounds.begin(market, torch.arange(n_markets, device=device)), clock.seconds(device)
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))
        if report is not None:
            reports.append(report)
            times.append(clock.seconds(device) - start)
            start = clock.seconds(device)
    title = f"{name}, {n_markets} markets of {market.people.count} agents"
    title += "" if getattr(market.config, "learner", None) is not None else ", the game alone"
    rate = n_markets / statistics.median(times[1:])
    return [
        case(f"{title}: rounds", rate, "market-rounds/s"),
        *(case(f"{title}: {k}", v * MS, "ms/round") for k, v in _phases(reports[1:]).items()),
    ]


def _phases(reports: list[Report]) -> dict[str, float]:
    """Median seconds of every phase, without those that take less than a thousandth of all."""
    parts = {
        phase: statistics.median(one.seconds[phase] for one in reports)
        for phase in reports[0].seconds
    }
    return {phase: part for phase, part in parts.items() if part > sum(parts.values()) / 1000}


def trading_with_training(
    device: torch.device, n_markets: int = 4096, batch: int = 32, steps: int = 20
) -> list[Case]:
    """Rounds of digits markets with two agents, networks 64-32-10, and their training alone."""
    training = Training(batch_size=batch, steps=steps)
    cases = market_rounds("parameter_trading_v0", n_markets, device, n_agents=2, training=training)
    train = next(one for one in cases if one["name"].endswith(": train"))
    rate = n_markets * 2 * steps / (train["value"] / MS)
    name = f"{train['name']}, batch {batch}, {steps} steps"
    return [*cases, case(name, rate, "agent-train-steps/s")]


def vector_steps(device: torch.device, n_markets: int = 4096, steps: int = 20) -> list[Case]:
    """Agent-steps a second of the reference market's vector environment; both agents count."""
    venv = make_vec("reference_v0", n_markets, agent="buyer_0", device=str(device))
    venv.reset(seed=0)
    actions = venv.action_space.sample()
    seconds = timed(lambda: [venv.step(actions) for _ in range(steps)], device, 3)
    name = f"reference_v0 vector step, {n_markets} markets"
    return [case(name, 2 * n_markets * steps / seconds, "agent-steps/s")]


# --- all of them ----------------------------------------------------------------------------------

MARKETS: dict[str, int] = {
    "reference_v0": 4096,
    "model_sharing_v0": 256,
    "data_market_v0": 64,
    "resource_market_v0": 256,
    "marketplace_v0": 256,
}
TINY: dict[str, dict[str, Any]] = {
    "reference_v0": {},
    "model_sharing_v0": {"n_agents": 3, "training": Training(batch_size=8, steps=1)},
    "data_market_v0": {"communications": 1, "pilots": (4, 8), "points": 16, "mixtures": 2},
    "resource_market_v0": {"n_owners": 3, "n_centres": 2, "communications": 1, "audit_rows": 8},
    "marketplace_v0": {"n_developers": 2, "n_owners": 2, "data_options": {"max_examples": 300}},
}


def cases(quick: bool = False, device: str = "cpu") -> Iterator[list[Case]]:
    """All measurements of this file, one after another; tiny on a CPU and where ``quick``."""
    on = torch.device(device)
    tiny = quick or on.type == "cpu"
    yield stacked_training(on, **({"n_markets": 4, "batch": 8, "steps": 2} if tiny else {}))
    yield trading_with_training(on, **({"n_markets": 3, "batch": 8, "steps": 2} if tiny else {}))
    yield vector_steps(on, **({"n_markets": 8, "steps": 2} if tiny else {}))
    for name, n_markets in MARKETS.items():
        yield market_rounds(name, 2 if tiny else n_markets, on, **(TINY[name] if tiny else {}))
    small = {"models": 3, "batch": 4, "width": 8, "depth": 10} if tiny else {}
    yield from gpu_networks.memory_under_vmap(on, **small)
    yield from gpu_networks.paper_step(on, **(gpu_networks.tiny_paper() if tiny else {}))
