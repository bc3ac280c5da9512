"""Speed of the stress layer: a grid of deviations as one batch against single environments."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from agents.benchmarks.case import Case, case
from agents.benchmarks.markets import best_threads
from agents.lineups import find_profile
from agents.stress import JUDGE, Attack, Deviation, Family, curve, families, seeds_of
from marketenv import make_market, make_parallel
from marketenv.core.market import Market, move_of
from marketenv.core.policy import Policy

GAME: dict[str, Any] = {"game": "double_auction"}
AGENT = "buyer_0"


def one_by_one(
    market: Market, family: Family, points: Tensor, seeds: Tensor, episodes: int
) -> tuple[float, Tensor]:
    """Seconds of an episode in a loop of reset and step, and the deviator's utilities [episodes].

    Episode k takes point and seed k, evenly spread over the grid, and the same policies as the
    batch.
    """
    env = make_parallel("reference_v0", **GAME)
    truth, keys = market.policies["truthful"], torch.zeros(1, dtype=torch.long)
    earned = []
    start = time.perf_counter()
    for k in range(episodes):
        policies: dict[str, Policy] = dict.fromkeys(env.possible_agents, truth)
        policies[AGENT] = Deviation(truth, family, points[k % len(points)][None])
        observations, _ = env.reset(seed=int(seeds[k % len(seeds)]))
        total = 0.0
        while env.agents:
            actions = {
                agent: (
                    policies[agent](
                        torch.from_numpy(observations[agent])[None], move_of(market, agent), keys
                    )[0].numpy()
                )
                for agent in env.agents
            }
            observations, rewards, *_ = env.step(actions)
            total += rewards[AGENT]
        earned.append(total)
    return (time.perf_counter() - start) / episodes, torch.tensor(earned, dtype=torch.float64)


def deviation_grid(points: int = 101, pairs: int = 256, episodes: int = 1024) -> list[Case]:
    """Seconds of the whole grid both ways, and their ratio.

    The loop plays ``episodes`` episodes and is scaled up.
    """
    market = make_market("reference_v0", **GAME)
    seeds, family = seeds_of(JUDGE, pairs), families(move_of(market, AGENT))["scale price"]
    attack = Attack(market, find_profile(market), (AGENT,), seeds)
    gains = curve(attack, family, points)
    line = gains.parameters[:, None]
    batch, threads = best_threads(lambda: curve(attack, family, points))
    torch.set_num_threads(1)
    each, earned = one_by_one(market, family, line, seeds, episodes)
    at = torch.arange(episodes)
    expected = (gains.gains + attack.base)[at % len(line), at % pairs]
    # the same episodes, so that the times compare
    torch.testing.assert_close(earned, expected, atol=1e-6, rtol=1e-5)
    count = len(line) * pairs
    loop = f"loop of single environments, from {episodes} of {count} episodes"
    name = f"deviation grid, {len(line)} deviations x {pairs} seeds, double auction"
    return [
        case(f"{name}: one batch", batch, "s", threads=threads),
        case(f"{name}: {loop}", each * count, "s"),
        case(f"{name}: loop / batch", each * count / batch, "times"),
    ]


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    return deviation_grid(5, 8, 16) if quick else deviation_grid()
