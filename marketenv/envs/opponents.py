"""Who plays the agents that are not learning: scripted policies or saved stable-baselines3 models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        actions, _ = self.model.predict(np.asarray(observation.cpu()), deterministic=True)
        return spaces.to_actions(
            actions, role, _levels(self.model.action_space), "the model's action", observation.device, (len(observation),)
        )


def _levels(space: Any) -> int | None:
    """Grid points per action of the space that a model was trained on; None for a Box."""
    return int(space.n) if hasattr(space, "n") else int(space.nvec[0]) if hasattr(space, "nvec") else None


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
        return ModelPolicy(getattr(stable_baselines3, known[algorithm.lower()]).load(path, device="cpu"))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"cannot load {path!r} as a {algorithm} model: {error}. Wanted a model.save() file.") from error


def one_policy(part: Any, market: Market) -> Policy:
    """A policy from an object, a name of the market's table, ``"module:name"``, a model, or ``"ppo:file.zip"``."""
    if isinstance(part, str) and part.endswith(".zip"):
        return load_model(part)
    return ModelPolicy(part) if hasattr(part, "predict") else find_policy(part, market.policies)


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
