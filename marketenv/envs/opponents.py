"""Who plays the agents that are not learning: scripted policies or saved stable-baselines3 models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from torch import Tensor

from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Role, agent_names
from marketenv.core.policy import Policy, find_policy
from marketenv.envs import spaces


@dataclass(frozen=True)
class ModelPolicy:
    """A trained stable-baselines3 model as a policy; it acts deterministically and on the CPU copy of what it sees."""

    model: Any

    def __call__(self, observation: Tensor, role: Role, keys: Tensor) -> Tensor:
        """Predict actions [markets, actions] in the role's box."""
        actions = _predict(self.model, observation.detach().cpu().numpy())
        levels = spaces.levels_of(getattr(self.model, "action_space", None), role)
        return spaces.to_actions(actions, role, levels, "the model's action", observation.device, (len(observation),))


def model_policy(model: Any) -> ModelPolicy:
    """A model as a policy, asked once, so that one that cannot play is refused before the game starts.

    Raises ValueError for a model that keeps a memory, as RecurrentPPO does: policies have none.
    """
    space = getattr(model, "observation_space", None)
    if isinstance(space, gymnasium.spaces.Box):
        _predict(model, np.zeros((1, *space.shape), space.dtype).clip(space.low, space.high))
    return ModelPolicy(model)


def _predict(model: Any, observation: np.ndarray) -> Any:
    """The actions that a model predicts; ValueError where it answers otherwise than stable-baselines3's models without memory."""
    kind = type(model).__name__
    try:
        answer = model.predict(observation, deterministic=True)
    except TypeError as error:
        raise ValueError(f"{kind}.predict(observation, deterministic=True) failed: {error}. Wanted (actions, None).") from error
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ValueError(f"{kind}.predict returned a {type(answer).__name__}, wanted a pair (actions, None).")
    if answer[1] is not None:
        raise ValueError(
            f"{kind} is recurrent: its predict returned a state. Policies keep no memory, so it would play without it; "
            "train one without memory, or write a policy of your own from the model."
        )
    return answer[0]


def load_model(spec: str) -> ModelPolicy:
    """Load ``"ppo:path/to/model.zip"`` (or a2c, sac, td3, ddpg, dqn) as a policy.

    Such files are pickles: load only your own. Raises ValueError for an unknown algorithm or an unreadable file.
    """
    import stable_baselines3

    algorithm, _, path = spec.partition(":")
    known = {name.lower(): name for name in ("PPO", "A2C", "SAC", "TD3", "DDPG", "DQN")}
    if algorithm.lower() not in known:
        raise unknown("stable-baselines3 algorithm", algorithm, known)
    try:
        model = getattr(stable_baselines3, known[algorithm.lower()]).load(path, device="cpu")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"cannot load {path!r} as a {algorithm} model: {error}. Wanted a model.save() file.") from error
    return model_policy(model)


def one_policy(part: Any, market: Market) -> Policy:
    """A policy from an object, a name of the market's table, ``"module:name"``, a model, or ``"ppo:file.zip"``."""
    if isinstance(part, str) and part.endswith(".zip"):
        return load_model(part)
    return model_policy(part) if hasattr(part, "predict") else find_policy(part, market.policies)


def find_opponents(parts: Any, market: Market) -> dict[str, Policy]:
    """One policy per agent, from one part for all or a mapping from agent or role names to parts.

    Agents that a mapping leaves out play truthfully; ValueError for a name that is neither an agent nor a role.
    """
    if not isinstance(parts, Mapping):
        return dict.fromkeys(agent_names(market), one_policy(parts, market))
    known = (*agent_names(market), *(role.name for role in market.roles))
    for name in parts:
        if name not in known:
            raise unknown("agent or role", name, known)
    shared = {name: one_policy(part, market) for name, part in parts.items()}
    truthful = one_policy("truthful", market)
    return {a: shared.get(a, shared.get(role.name, truthful)) for role in market.roles for a in role.agents}
