"""Speed of the tripartite game: one batch against game by game, with and without caps."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch

from agents.benchmarks.case import Case, case
from agents.benchmarks.markets import best_threads
from marketenv.core import draws
from marketenv.mechanisms import Stackelberg, stackelberg


def drawn_games(n_games: int, n_owners: int) -> dict[str, Any]:
    """Qualities and costs from 0.1 to 1, alphas from 1 to 21, caps that bind half the owners."""
    key = torch.tensor(0)
    u = {
        name: draws.uniform(draws.fold(key, name), n_games, n_owners)
        for name in ("quality", "sigma", "caps")
    }
    alpha = 1 + 20 * draws.uniform(draws.fold(key, "alpha"), n_games)
    return {
        "quality": 0.1 + 0.9 * u["quality"],
        "sigma": 0.1 + 0.9 * u["sigma"],
        "caps": 0.3 * u["caps"],
        "alpha": alpha,
    }


def batch_against_loop(n_games: int = 10_000, n_owners: int = 10, looped: int = 64) -> list[Case]:
    """Seconds of all games as one batch and game by game (scaled up), and ratios."""
    capped = drawn_games(n_games, n_owners)
    kinds = {
        "no caps": {name: numbers for name, numbers in capped.items() if name != "caps"},
        "caps": capped,
    }
    name = f"stackelberg, {n_games} games x {n_owners} owners and centres"
    cases: list[Case] = []
    batches = {}
    for kind, games in kinds.items():
        batches[kind], threads = best_threads(partial(stackelberg, **games))
        each = one_by_one(games, min(looped, n_games)) * n_games
        cases += [
            case(f"{name}, {kind}: one batch", batches[kind], "s", threads=threads),
            case(f"{name}, {kind}: game by game, from {min(looped, n_games)}", each, "s"),
            case(f"{name}, {kind}: loop / batch", each / batches[kind], "times"),
        ]
    ratio = batches["caps"] / batches["no caps"]
    return [*cases, case(f"{name}: batch with caps / without", ratio, "times")]


def one_by_one(games: dict[str, Any], count: int) -> float:
    """Seconds a game where each is solved alone, checked against the batch."""
    torch.set_num_threads(1)
    together = stackelberg(**games)
    start = time.perf_counter()
    alone: list[Stackelberg] = [
        stackelberg(**{name: numbers[game : game + 1] for name, numbers in games.items()})
        for game in range(count)
    ]
    seconds = (time.perf_counter() - start) / count
    for game, solved in enumerate(alone):  # so that the times compare
        torch.testing.assert_close(
            solved,
            Stackelberg(*(part[game : game + 1] for part in together)),
            rtol=1e-9,
            atol=1e-12,
        )
    return seconds


def cases(quick: bool = False) -> list[Case]:
    """All measurements of this file; ``quick`` runs small sizes, for tests."""
    return batch_against_loop(16, 3, 4) if quick else batch_against_loop()
