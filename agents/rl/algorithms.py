"""The table of learning algorithms. To add one: a file with one function, its line here, and its ``SETTINGS``."""

from __future__ import annotations

from collections.abc import Callable

from stable_baselines3.common.base_class import BaseAlgorithm

from .ppo import ppo
from .sac import sac

Builder = Callable[..., BaseAlgorithm]  # (config with nothing left None, seed, envs) -> a fresh model

ALGORITHMS: dict[str, Builder] = {
    "ppo": ppo,
    "sac": sac,
}
