"""Policies: from what an agent sees to what it does, for a whole batch of markets at once."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import callable_with
from marketenv.core.lookup import unknown
from marketenv.core.moves import Move
from marketenv.core.numbers import real

NO_KEYS = torch.empty(0, dtype=torch.int64, device="cpu")  # of a policy that draws nothing
ELSEWHERE = (  # what else may stand for a policy than a name of the market's table
    " Or give 'trained:name' or 'trained:file' of a trained one, 'module:name' of one that Python"
    " can import, or an object policy(observation, move, keys) -> actions. The scripted strategies,"
    " such as shade, lie in the folder agents of marketenv's repository, not in the installed"
    " package: there, STRATEGIES['shade'].build(market) of agents.markets makes such an object."
)


@runtime_checkable
class Policy(Protocol):
    """Anything that maps a role's observations to its actions.

    A policy keeps no memory between calls and draws randomness only from its keys, so it plays the
    same in one environment and in a batch of thousands. It reads observations by name:
    ``move.observation.unpack(observation)``. A policy that never draws may say so by an attribute
    ``draws = False``: its keys are an empty tensor then, and nobody computes them.
    """

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Return actions [markets, move.action.dim] inside the role's action bounds.

        ``actions_of`` takes other types too.
        """
        ...


def draws_keys(policy: Policy) -> bool:
    """Whether a policy wants keys: every one does that has no attribute ``draws = False``."""
    return bool(getattr(policy, "draws", True))


def uniform_random(observation: Tensor, move: Move, keys: Tensor) -> Tensor:
    """Draw every action uniformly from the role's action box: float32 [markets, actions]."""
    low, high = move.action.low.to(observation.device), move.action.high.to(observation.device)
    return low + (high - low) * draws.uniform(keys, move.action.dim).float()


def actions_of(
    policy: Policy, observation: Tensor, move: Move, keys: Tensor
) -> Float[Tensor, "markets actions"]:
    """Ask a policy, and check its actions: float32 [markets, move.action.dim] in the role's box.

    A policy may return numbers of every type, as a tensor, a numpy array or lists, from every
    device; gradients end here. Raises ValueError that names the role and the policy for anything
    else (bools, sparse tensors and masked entries too), another shape, NaN and values outside the
    box.
    """
    answer = policy(observation.detach(), move, keys)
    name = getattr(policy, "__qualname__", type(policy).__qualname__)
    subject = f"what the policy of {move.name}s returned ({name})"
    wanted = (observation.shape[0], move.action.dim)
    actions = real(answer, subject)
    if actions.dtype == torch.bool or actions.shape != wanted:
        word = str(actions.dtype).removeprefix("torch.")
        raise ValueError(
            f"{subject} is {word} {list(actions.shape)}, wanted float32 {list(wanted)}: one row an"
            " observation."
        )
    return move.action.check(actions.to(observation.device, torch.float32), subject)


def answers_of(
    move: Move,
    parts: Sequence[Policy | None],
    observation: Float[Tensor, "markets agents dim"],
    keys: Int[Tensor, "markets agents"] | None,
) -> Float[Tensor, "markets agents width"]:
    """The actions of a role's policies, each asked once; 0 where an agent has none.

    keys: None where no policy wants any
    """

    def answer(policy: Policy, rows: slice | list[int]) -> Tensor:
        own_keys = NO_KEYS
        if keys is not None and draws_keys(policy):
            own_keys = keys[:, rows].flatten()
        flat = actions_of(policy, observation[:, rows].flatten(0, 1), move, own_keys)
        return flat.unflatten(0, (observation.shape[0], -1))

    policies = {id(part): part for part in parts if part is not None}.values()
    if len(policies) == 1 and None not in parts:
        return answer(next(iter(policies)), slice(None))
    actions = observation.new_zeros(observation.shape[0], move.count, move.action.dim)
    for policy in policies:
        rows = [k for k, part in enumerate(parts) if part is policy]
        actions[:, rows] = answer(policy, rows)
    return actions


def find_policy(part: Any, table: dict[str, Any]) -> Policy:
    """Return a policy: an object itself, or one by its name in the table or ``"module:name"``.

    Raises ValueError for an unknown name (with its neighbour), module or attribute.
    """
    if isinstance(part, str) and ":" in part:
        part = _imported(part)
    if isinstance(part, str):
        if part not in table:
            raise unknown("policy", part, table, ELSEWHERE)
        part = table[part]
    if not callable(part) or isinstance(part, type):
        is_class = isinstance(part, type)
        fix = f"; this is the class {part.__name__}, make an object of it" if is_class else ""
        raise ValueError(
            f"policy {part!r} is not callable; wanted policy(observation, move, keys) ->"
            f" actions{fix}."
        )
    if not callable_with(part, 3):
        raise ValueError(
            f"policy {part!r} cannot be called with 3 arguments; wanted policy(observation, move,"
            " keys) -> actions."
        )
    policy: Policy = part
    return policy


def _imported(place: str) -> Any:
    """The attribute ``"module:name"``; ValueError for an unknown module or name."""
    module_name, _, name = place.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"policy {place!r}: cannot import {module_name!r} ({error}).") from error
    if not hasattr(module, name):
        known = tuple(n for n in dir(module) if not n.startswith("_"))
        raise unknown(f"policy in {module_name}", name, known)
    return getattr(module, name)
