"""Soft actor-critic (Haarnoja et al. 2018), as stable-baselines3 has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import VecEnv

from .config import TrainConfig

MEMORY = 200_000  # transitions kept, over all rows


def memory_rows(config: TrainConfig, rows: int) -> int:
    """Rounds of all rows that the memory holds: the whole run, at most ``MEMORY`` transitions.

    A run ends with a whole rollout.
    """
    settings: Any = config  # with every default filled in
    rollouts = math.ceil(settings.steps / (settings.n_steps * rows))
    return max(min(max(rollouts * settings.n_steps, 2), MEMORY // rows), 1)


def enlarge(model: SAC, rows: int) -> None:
    """Give a model that goes on to more steps the memory that it would have had from the start."""
    memory = model.replay_buffer
    assert memory is not None
    count = memory.size()
    if rows <= memory.buffer_size:
        return
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        # the oldest first
        part = np.roll(getattr(memory, name), -memory.pos if memory.full else 0, axis=0)
        setattr(
            memory,
            name,
            np.concatenate([part, np.zeros((rows - len(part), *part.shape[1:]), part.dtype)]),
        )
    memory.buffer_size, memory.pos, memory.full = rows, count, False
    model.buffer_size = rows * memory.n_envs


def sac(config: TrainConfig, seed: int, envs: VecEnv) -> SAC:
    """A fresh SAC model: ``updates`` gradient steps after every ``n_steps`` rounds of all rows.

    It learns from the first rollout on: a batch is drawn with replacement from whatever the memory
    holds. All rollouts are its own policy's, for a search that starts from truth would be lost in
    uniformly random ones.
    """
    settings: Any = config  # with every default filled in
    model = SAC(
        "MlpPolicy",
        envs,
        learning_rate=settings.learning_rate,
        buffer_size=memory_rows(config, envs.num_envs) * envs.num_envs,
        learning_starts=0,
        batch_size=settings.batch_size,
        gamma=settings.gamma,
        train_freq=settings.n_steps,
        gradient_steps=settings.updates,
        ent_coef="auto" if settings.entropy is None else settings.entropy,
        policy_kwargs={"net_arch": list(settings.network or ())},
        seed=seed,
        device="cpu",
    )
    log_std = model.actor.log_std
    assert isinstance(log_std, torch.nn.Linear)
    with torch.no_grad():  # SB3 knows a first deviation for other policies only
        log_std.weight.mul_(0.01)
        log_std.bias.fill_(settings.log_std_init)
    return model
