"""The table of learning algorithms. To add one: a file with one function, its line here, and its ``SETTINGS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from .ppo import ppo
from .sac import sac


class Algorithm(NamedTuple):
    """How a fresh model is built, from (config with nothing left None, seed, envs), and the class that loads it again."""

    build: Callable[..., BaseAlgorithm]
    kind: type[BaseAlgorithm]


ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm(ppo, PPO),
    "sac": Algorithm(sac, SAC),
}
