"""Where a search begins: teach a fresh network the truthful policy."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from marketenv.core.market import Market, Move
from marketenv.core.policy import Policy, actions_of
from marketenv.envs.seats import Seat

STEPS, LEARNING_RATE = 400, 3e-3
INSIDE = 0.97  # a squashed policy reaches the ends of its box only with infinite weights


def imitate(model: BaseAlgorithm, envs: VecNormalize, policy: Policy) -> float:
    """Fit the mean action to a policy on one of its episodes; returns the largest error.

    min over the policy's weights of the mean square of (mean action - policy's action), by Adam

    The scaling of observations is learned on the way, and it is fixed while the network is fitted.
    """
    observations, targets = _demonstrate(envs, policy)
    model_policy = model.policy
    if model_policy.squash_output:
        # Boxes only
        low, high = (torch.as_tensor(getattr(model.action_space, side)) for side in ("low", "high"))
        targets = (2 * (targets - low) / (high - low) - 1).clamp(-INSIDE, INSIDE)
    scaled = torch.as_tensor(envs.normalize_obs(observations), device=model.device)
    optimizer = torch.optim.Adam(model_policy.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        loss = (model_policy._predict(scaled, deterministic=True) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        return float((model_policy._predict(scaled, deterministic=True) - targets).abs().max())


def _demonstrate(envs: VecNormalize, policy: Policy) -> tuple[np.ndarray, Tensor]:
    """One episode of the policy: observations [samples, dim] and actions [samples, actions].

    Of the actions that the door joins for several stages, those of other stages than the present
    one are 0.
    """
    market: Market = envs.get_attr("market")[0]
    seat: Seat = envs.get_attr("seat")[0]
    keys = torch.arange(envs.num_envs)
    envs.reset()
    observations, actions_taken = [envs.get_original_obs()], []
    for _, move in itertools.product(range(market.horizon), seat.moves):
        sees, does = _place(seat, move)
        actions = actions_of(policy, torch.as_tensor(observations[-1])[:, sees], move, keys)
        actions_taken.append(actions.new_zeros(len(actions), seat.action.dim))
        actions_taken[-1][:, does] = actions
        envs.step(actions_taken[-1].numpy())
        observations.append(envs.get_original_obs())
    return np.concatenate(observations[:-1]), torch.cat(actions_taken)  # type: ignore[arg-type]


def _place(seat: Seat, move: Move) -> tuple[slice, slice]:
    """Where a move's observation and action lie in what a door joins."""
    before = seat.moves[: seat.stages.index(move.stage)]
    flags = int(seat.flagged)
    sees = sum(one.observation.dim + flags for one in before) + flags
    does = sum(one.action.dim for one in before)
    return slice(sees, sees + move.observation.dim), slice(does, does + move.action.dim)
