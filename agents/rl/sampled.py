"""Policies of agents that learn, as the others meet them: they draw their actions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from stable_baselines3 import PPO
from torch import Tensor

from marketenv.core import draws
from marketenv.core.market import Move
from marketenv.core.policy import Policy
from marketenv.envs.trained import TrainedPolicy

from .policy import learned


@dataclass(frozen=True)
class SampledPolicy:
    """A PPO policy that draws its actions, from the keys of the markets.

    action = clip(mean + deviation * z),   z ~ N(0, 1)

    policy:    the policy, which plays the mean, clipped to its box
    mean:      the same in a box without ends
    deviation: of each number of the action   [width]
    """

    policy: TrainedPolicy
    mean: TrainedPolicy
    deviation: Float[Tensor, "width"]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the move's box, float32 [markets, actions]."""
        policy, device = self.policy, observation.device
        assert policy.seat is not None
        if move.stage not in policy.seat.stages:
            return policy(observation, move, keys)
        noise = self.deviation.to(device) * draws.normal(keys, len(self.deviation)).float()
        actions = self.mean.act(policy.seat.see(move.stage, observation)) + noise
        actions = actions.clamp(policy.low.to(device), policy.high.to(device))
        return policy.seat.do(move.stage, actions)


def sampled(model: PPO) -> SampledPolicy:
    """The policy of a model as it stands: copies, which later updates leave alone."""
    policy = learned(model)
    ends = torch.full_like(policy.high, torch.inf)
    mean = dataclasses.replace(policy, low=-ends, high=ends)
    deviation: Any = model.policy.log_std
    return SampledPolicy(policy, mean, deviation.detach().exp())


@dataclass(frozen=True)
class PresentPolicy:
    """The policy that an agent has in this iteration."""

    agent: str
    policies: dict[str, Policy]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """That policy's actions."""
        return self.policies[self.agent](observation, move, keys)
