"""Owners that answer each other again and again, all at once: ``rdfl_dynamics``.

x <- (1 - step) x + step BR(x).
Near the equilibrium of N equal owners a common deviation is multiplied by 1 - step N / 2 in a
round, so that it dies out for step < 4 / N alone: without damping (step 1) for N <= 3.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.mechanisms import contest, contest_response, leader_optimum

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .settings import ALPHA, COUNTS, SEED, K, paper_games, size_of

# what an owner contributes that finds no others, as a part of the prize: 0 is a trap that nobody
# leaves
LEAST = 1e-6
ROUNDS, LONG = 200, 1000  # without damping, and with small steps
GAMES = 1000
Contest = Float64[Tensor, "games owners"]


def follow(
    prize: Float64[Tensor, "games"], costs: Contest, start: Contest, rounds: int, step: float
) -> list[Contest]:
    """Efforts before each round and after the last."""
    path = [start]
    for _ in range(rounds):
        response = contest_response(prize, costs, path[-1], least=LEAST)
        path.append((1 - step) * path[-1] + step * response)
    return path


def starts(efforts: Contest, key: str) -> Contest:
    """Efforts from which owners begin: each from 0 to twice its own of the equilibrium."""
    keys = draws.fold(torch.tensor(SEED), "start", key)
    return 2 * efforts * draws.uniform(keys, *efforts.shape)


@lru_cache(maxsize=64)
def distances(
    n: int, step: float, games: int, rounds: int = ROUNDS
) -> Float64[Tensor, "rounds games"]:
    """Distance from equilibrium after each round of random games, as a part of total effort."""
    game = paper_games(games, n)
    eta, costs = leader_optimum(game.quality, ALPHA, K, 1.0), game.owner_costs
    efforts = contest(eta, costs)
    path = torch.stack(follow(eta, costs, starts(efforts, str(n)), rounds, step))
    return (path - efforts).abs().sum(-1) / efforts.sum(-1)


def spread(n: int, step: float, games: int, rounds: int = ROUNDS) -> Float64[Tensor, "games"]:
    """Range of total effort over the last 20 rounds, in parts of the equilibrium's; 0 at rest."""
    game = paper_games(games, n)
    eta, costs = leader_optimum(game.quality, ALPHA, K, 1.0), game.owner_costs
    efforts = contest(eta, costs)
    totals = torch.stack(follow(eta, costs, starts(efforts, str(n)), rounds, step)[-20:]).sum(-1)
    return (totals.amax(0) - totals.amin(0)) / efforts.sum(-1)


# --- evidence -------------------------------------------------------------------------------------

# numbers of owners, and the step; None: 2 / N
CONDITIONS: dict[str, tuple[tuple[int, ...], float | None]] = {
    AS_STATED: (COUNTS, 1.0),
    "2 and 3 owners": ((2, 3), 1.0),
    "5 owners": ((5,), 1.0),
    "half a step a round": (COUNTS, 0.5),
    "a step of 2 / N a round": (COUNTS, None),
}


def settle(condition: str, effort: Effort) -> Evidence:
    """Distance from the equilibrium after all rounds, the greatest of all numbers of owners."""
    counts, step = CONDITIONS[condition]
    games, rounds = min(size_of(effort).games, GAMES), LONG if step is None else ROUNDS
    ends = {n: distances(n, step or 2 / n, games, rounds)[-1] for n in counts}
    return Evidence(
        samples={
            f"distance after {rounds} rounds": torch.stack(list(ends.values())).amax(0).tolist()
        },
        seeds=f"{games} random games, key {SEED}; start: 0 to twice the equilibrium",
        tables=[
            {
                "title": condition,
                "head": ["owners", "median distance, of total effort", "greatest"],
                "rows": [[n, float(end.median()), float(end.max())] for n, end in ends.items()],
            }
        ],
    )
