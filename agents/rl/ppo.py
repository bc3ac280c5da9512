"""Proximal policy optimisation (Schulman et al. 2017), as stable-baselines3 has it."""

from __future__ import annotations

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from .config import TrainConfig


def ppo(config: TrainConfig, seed: int, envs: VecEnv) -> PPO:
    """A fresh PPO model for these environments; ValueError where the batches do not divide a rollout."""
    assert config.n_steps is not None and config.batch_size is not None and config.network is not None
    rollout = config.n_steps * envs.num_envs
    if rollout % config.batch_size:
        raise ValueError(
            f"batch_size is {config.batch_size}, wanted a divisor of the rollout: n_steps {config.n_steps} times "
            f"{envs.num_envs} rows = {rollout}."
        )
    return PPO(
        "MlpPolicy",
        envs,
        learning_rate=config.learning_rate,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.updates,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy,
        policy_kwargs={"net_arch": list(config.network), "log_std_init": config.log_std_init},
        seed=seed,
        device="cpu",
    )
