"""Learned best replies: one agent trains by reinforcement learning against a fixed profile."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from marketenv.core.market import Market
from marketenv.core.policy import Policy

from ..lineups import Profile
from ..markets import entry_of
from ..rl import TrainConfig, load_policy, seed_folder, train
from ..rl.monitoring import read_rows


def best_reply(
    algorithm: str,
    market: Market,
    profile: Profile,
    agent: str,
    steps: int | None = None,
    seed: int = 0,
) -> tuple[Policy, list[dict[str, Any]]]:
    """Train an agent against a profile; returns its policy and its evaluations during the training.

    An evaluation holds steps, utility and truthful.

    steps: of the learning agent; None takes the setting of ``agents.rl`` for this market
    Raises ValueError for an unknown algorithm.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            market=market.name if entry_of(market) else "any",
            algorithm=algorithm,
            agent=agent,
            steps=steps,
            out=Path(folder),
            checkpoint_every=0,
        )
        train(config, seed, opponents=dict(profile), market=market)
        run_folder = seed_folder(config, seed)
        return load_policy(run_folder, market), [
            row for row in read_rows(run_folder / "progress.csv") if "utility" in row
        ]
