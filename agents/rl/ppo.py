"""Proximal policy optimisation (Schulman et al. 2017), as stable-baselines3 has it."""

from __future__ import annotations

from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from .config import TrainConfig


def check_batches(config: TrainConfig, rows: int) -> None:
    """Refuse batches that do not divide a rollout of so many rows, of which some samples would
    be left.
    """
    chosen: Any = config  # settled: nothing is None
    rollout = chosen.n_steps * rows
    if rollout % chosen.batch_size:
        raise ValueError(
            f"batch_size is {chosen.batch_size}, wanted a divisor of the rollout: n_steps"
            f" {chosen.n_steps} times {rows} rows = {rollout}."
        )


def ppo(config: TrainConfig, seed: int, envs: VecEnv) -> PPO:
    """A fresh PPO model for these environments."""
    chosen: Any = config  # settled: nothing is None
    return PPO(
        "MlpPolicy",
        envs,
        learning_rate=chosen.learning_rate,
        n_steps=chosen.n_steps,
        batch_size=chosen.batch_size,
        n_epochs=chosen.updates,
        gamma=chosen.gamma,
        gae_lambda=chosen.gae_lambda,
        ent_coef=chosen.entropy,
        policy_kwargs={"net_arch": list(chosen.network), "log_std_init": chosen.log_std_init},
        seed=seed,
        device="cpu",
    )
