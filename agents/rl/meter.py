"""The door between markets and learner: times the markets and adds up returns."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn


class Meter(VecEnvWrapper):
    """Counts the seconds that the markets take and the returns of episodes that end, in money."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self.seconds = 0.0
        self.returns = np.zeros(self.num_envs)  # of the running episodes
        self.total, self.episodes = 0.0, 0  # of the episodes that ended since the last ``take``

    def reset(self) -> np.ndarray:
        """Start all episodes anew."""
        self.returns = np.zeros(self.num_envs)
        return self.venv.reset()  # type: ignore[return-value]

    def step_async(self, actions: np.ndarray) -> None:
        """Hand the actions on."""
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step all markets."""
        start = time.perf_counter()
        observations, rewards, over, infos = self.venv.step_wait()
        self.seconds += time.perf_counter() - start
        self.returns += rewards
        self.total, self.episodes = (
            self.total + float(self.returns[over].sum()),
            self.episodes + int(over.sum()),
        )
        self.returns[over] = 0.0
        return observations, rewards, over, infos

    def take(self) -> tuple[float, int]:
        """Mean return and number of episodes that ended since the last call; 0 where none did."""
        total, episodes = self.total, self.episodes
        self.total, self.episodes = 0.0, 0
        return total / max(episodes, 1), episodes

    def forget(self) -> None:
        """Begin to count anew: what was played until now was no learner's."""
        self.seconds, self.total, self.episodes = 0.0, 0.0, 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "seconds": self.seconds,
            "returns": self.returns.tolist(),
            "total": self.total,
            "episodes": self.episodes,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self.seconds, self.returns = state["seconds"], np.array(state["returns"])
        self.total, self.episodes = state["total"], state["episodes"]
