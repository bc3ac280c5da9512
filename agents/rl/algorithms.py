"""The table of learning algorithms.

To add one: a file with one function, its line here, and its ``SETTINGS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from .config import TrainConfig
from .ppo import check_batches, ppo
from .sac import sac


class Algorithm(NamedTuple):
    """How a model is built from (config without None, seed, envs), and the class that loads it.

    check: (config, rows) -> None, refuses settings that do not fit so many rows before anything is
        written
    """

    build: Callable[..., BaseAlgorithm]
    kind: type[BaseAlgorithm]
    check: Callable[[TrainConfig, int], None] = lambda config, rows: None


ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm(ppo, PPO, check_batches),
    "sac": Algorithm(sac, SAC),
}
