"""Speed of steps without training, beside NumPy by hand, and of the first step of a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.benchmarks.case import Case, case
from agents.benchmarks.clocks import cpu_seconds
from agents.benchmarks.games import LONG, games_by_hand
from agents.benchmarks.markets import ROOT
from agents.lineups import find_profile
from marketenv import make_market, make_parallel, make_vec
from marketenv.core import rounds
from marketenv.core.market import Market
from marketenv.markets.reference import Auctioned
from marketenv.markets.table import MARKETS

Numbers = NDArray[np.float64]
GAMES = ("model_sharing_v0", "resource_market_v0")  # also played without a learner


def auction(types: Numbers, bids: Numbers) -> Numbers:
    """Utilities of one round of the double auction with a truthful seller, in plain NumPy.

    types: the buyer's value and the seller's cost, money   [markets, 2]
    bids:  of the buyer, money                              [markets]
    Returns utilities [markets, 2]; every line is a rule of ``reference_v0``.
    """
    asks, weight = types[:, 1], 0.5
    trade = (bids > 0) & (bids >= asks)
    price = np.where(trade, weight * bids + (1 - weight) * asks, 0.0)
    return np.stack([trade * types[:, 0] - price, price - trade * types[:, 1]], 1)


def reference_steps(n_markets: int = 4096, steps: int = 20) -> list[Case]:
    """Agent-steps a CPU second of the reference market, in its vector environment and by hand.

    Episodes have one round, so every step ends all of them and begins the next ones. By hand there
    are no checks, no ledger, no reports and no infos: NumPy draws types, and plays.
    """
    torch.set_num_threads(1)
    venv = make_vec("reference_v0", n_markets, agent="buyer_0")
    venv.reset(seed=0)
    actions = venv.action_space.sample()
    prices = venv.market.moves[0].action.read(torch.from_numpy(actions))["price"]
    bids, generator = prices[:, 0].numpy(), np.random.default_rng(0)

    def by_hand() -> Numbers:
        types = generator.random((n_markets, 2))
        observations = np.stack([types[:, 0], np.zeros(n_markets), np.zeros(n_markets)], 1)
        observations.astype(np.float32)
        return auction(types, bids)

    venv.step(actions)
    report = venv.report
    assert report is not None
    types = report.of(Auctioned).types.numpy()
    # equal rules, so that the times compare; the seller's ask is rounded to a float32 action
    np.testing.assert_allclose(report.rewards.numpy(), auction(types, bids), rtol=0, atol=1e-6)
    ours, theirs = cpu_seconds(partial(venv.step, actions), steps), cpu_seconds(by_hand, steps)
    name = f"reference_v0, {n_markets} markets"
    return [
        case(f"{name}: vector step", 2 * n_markets / ours, "agent-steps/CPU s"),
        case(f"{name}: NumPy by hand", 2 * n_markets / theirs, "agent-steps/CPU s"),
        case(f"{name}: vector step / NumPy by hand", ours / theirs, "times its time"),
    ]


def alone(steps: int = 300) -> list[Case]:
    """Steps a CPU second of one reference market: its PettingZoo door, and its rounds alone."""
    torch.set_num_threads(1)
    env = make_parallel("reference_v0", max_cycles=LONG)
    env.reset(seed=0)
    actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    market = env.market
    now = rounds.begin(market, torch.arange(1))
    tensors = {role.name: torch.zeros(1, role.count, 1) for role in market.roles}
    calls: dict[str, Callable[[], Any]] = {
        "PettingZoo step": partial(env.step, actions),
        "round": partial(rounds.advance, market, now, tensors),
    }
    return [
        case(f"reference_v0 alone: {name}", 1 / cpu_seconds(call, steps), "steps/CPU s")
        for name, call in calls.items()
    ]


def games_alone(n_markets: int = 4096, repeats: int = 5) -> list[Case]:
    """Agent-rounds a CPU second of markets that have a learner, without it; all are truthful."""
    torch.set_num_threads(1)
    cases: list[Case] = []
    for name in GAMES:
        market = make_market(name, learner=None, max_cycles=LONG)
        for count in (1, n_markets):
            start = rounds.begin(market, torch.arange(count))
            seconds = cpu_seconds(partial(_round, market, start), repeats)
            rate = market.people.count * count / seconds
            cases.append(
                case(f"{name} without a learner, {count} markets", rate, "agent-rounds/CPU s")
            )
    return cases


def _round(market: Market, now: rounds.Situation) -> None:
    """Play one round of truthful agents."""
    profile, report = find_profile(market), None
    while report is None:
        now, report = rounds.advance(market, now, rounds.act(market, profile, now))


def first_steps(names: tuple[str, ...] = tuple(MARKETS)) -> list[Case]:
    """CPU seconds of a new process until its first step is done, by market; and of its imports."""
    code = (
        "import sys, time, marketenv; start = time.process_time();"
        " env = marketenv.make_parallel(sys.argv[1]); env.reset(seed=0);"
        " env.step({agent: env.action_space(agent).sample() for agent in env.agents});"
        " print(start, time.process_time())"
    )
    cases: list[Case] = []
    for name in names:
        command = [sys.executable, "-c", code, name]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        imported, done = map(float, run.stdout.split())
        cases.append(case(f"{name}: first step of a process", done, "CPU s"))
        cases.append(case(f"{name}: of it after the imports", done - imported, "CPU s"))
    return cases


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    if quick:
        small = reference_steps(64, 2) + alone(2) + games_alone(4, 1) + games_by_hand(4, 1)
        return small + first_steps(("reference_v0",))
    return reference_steps() + alone() + games_alone() + games_by_hand() + first_steps()
