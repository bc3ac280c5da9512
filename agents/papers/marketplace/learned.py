"""What PPO gains over truth in the marketplace, by role."""

from __future__ import annotations

import tempfile
from pathlib import Path

from marketenv import make_market

from ..core.effort import Effort
from ..core.evidence import Evidence
from .settings import DIGITS, NAME

LEARNERS = 3  # seeds of the learners
PAIRS = 64  # of episodes, learned and truthful, on which each is judged
NEEDS = "it trains learners, which wants the effort standard or full"
ROUNDS = 3


def gain_over_truth(condition: str, effort: Effort, *, role: str) -> Evidence:
    """Utility of a PPO agent of the role less that of truth on the same seeds, a pair each; which
    facts of its play differ most is in the table.
    """
    if not effort.steps:
        return Evidence(untested=NEEDS)
    from ...rl import TrainConfig, compare, load_policy, train  # heavy, and wanted here alone
    from ...rl.training import seed_folder

    market, agent = make_market(NAME, **DIGITS, max_cycles=ROUNDS), f"{role}_0"
    gains, rows = {}, []
    for seed in range(LEARNERS):
        with tempfile.TemporaryDirectory() as place:
            config = TrainConfig(
                market=NAME,
                agent=agent,
                start="truthful",
                num_envs=32,
                steps=effort.steps,
                evaluations=0,
                out=Path(place),
            )
            train(config, seed, market=market)
            policy = load_policy(seed_folder(config, seed), market)
            comparison = compare(market, policy, agent, pairs=PAIRS)
        gains[f"learner {seed}"] = (comparison.learned - comparison.truthful).tolist()
        rows += [[seed, name, *numbers] for name, numbers in comparison.behaviour.items()]
    head = ["learner", "what it does, a round", "learned", "truthful"]
    return Evidence(
        samples=gains,
        seeds=f"learners 0..{LEARNERS - 1}, {effort.steps} steps each, {PAIRS} pairs of episodes",
        tables=[{"title": f"{agent}: facts of its play", "head": head, "rows": rows}],
    )
