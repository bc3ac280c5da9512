"""Proximal policy optimisation (Schulman et al. 2017), as stable-baselines3 has it."""

from __future__ import annotations

from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from .config import TrainConfig


def check_batches(config: TrainConfig, rows: int) -> None:
    """Refuse a batch size that does not divide a rollout of so many rows."""
    settings: Any = config  # with every default filled in
    rollout = settings.n_steps * rows
    if rollout % settings.batch_size:
        raise ValueError(
            f"batch_size is {settings.batch_size}, wanted a divisor of the rollout: n_steps"
            f" {settings.n_steps} times {rows} rows = {rollout}."
        )


def ppo(config: TrainConfig, seed: int, envs: VecEnv) -> PPO:
    """A fresh PPO model for these environments."""
    settings: Any = config  # with every default filled in
    return PPO(
        "MlpPolicy",
        envs,
        learning_rate=settings.learning_rate,
        n_steps=settings.n_steps,
        batch_size=settings.batch_size,
        n_epochs=settings.updates,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        ent_coef=settings.entropy,
        policy_kwargs={"net_arch": list(settings.network), "log_std_init": settings.log_std_init},
        seed=seed,
        device="cpu",
    )
