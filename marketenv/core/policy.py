"""Policies: from what an agent sees to what it does, for a whole batch of markets at once."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.lookup import lookup, unknown
from marketenv.core.market import Role


@runtime_checkable
class Policy(Protocol):
    """Anything that maps a role's observations to its actions.

    A policy keeps no memory between calls and draws randomness only from its keys, so it plays alike in one
    environment and in a batch of thousands. It reads observations by name: ``role.observation.unpack(observation)``.
    """

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Return actions float32 [markets, role.action.dim] inside the role's action bounds."""
        ...


def uniform_random(observation: Tensor, role: Role, keys: Tensor) -> Tensor:
    """Draw every action uniformly from the role's action box: float32 [markets, actions]."""
    low, high = role.action.low.to(observation.device), role.action.high.to(observation.device)
    return low + (high - low) * draws.uniform(keys, role.action.dim).float()


def find_policy(part: Any, table: dict[str, Any]) -> Policy:
    """Return a policy given as an object, a name in the market's table, or ``"module:name"``.

    Raises ValueError for an unknown name (with its neighbour), module or attribute.
    """
    if isinstance(part, str) and ":" in part:
        module_name, _, name = part.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise ValueError(f"policy {part!r}: cannot import {module_name!r} ({error}).") from error
        if not hasattr(module, name):
            raise unknown(f"policy in {module_name}", name, tuple(n for n in dir(module) if not n.startswith("_")))
        part = getattr(module, name)
    policy = lookup(table, part, "policy")
    if not callable(policy):
        raise ValueError(f"policy {policy!r} is not callable; wanted policy(observation, role, keys) -> actions.")
    return policy
