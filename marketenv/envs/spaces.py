"""Gymnasium spaces from named fields, and actions back to tensors."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import or_none, whole
from marketenv.core.fields import Field, Fields
from marketenv.core.moves import Move
from marketenv.core.numbers import numbers, real
from marketenv.envs.seats import Seat

Mover = Move | Seat  # both have a name and an action
MOST_LEVELS = 1_000_000  # a grid is a tensor
LEVELS = or_none(
    whole,
    least=2,
    most=MOST_LEVELS,
    fix=": grid points per action, or None for continuous actions",
)


def box(fields: Fields) -> gymnasium.spaces.Box:
    """The float32 Box of a flat vector."""
    return gymnasium.spaces.Box(fields.low.numpy(), fields.high.numpy(), dtype=np.float32)


def action_space(mover: Mover, levels: int | None) -> gymnasium.Space[Any]:
    """A Box of the mover's actions, or with ``levels`` a grid over it.

    The grid is a Discrete space for one number, and MultiDiscrete for several. A choice has as many
    levels as options, every other number ``levels``.
    """
    if levels is None:
        return box(mover.action)
    counts = _counts(mover, levels)
    if len(counts) == 1:
        return gymnasium.spaces.Discrete(counts[0])
    return gymnasium.spaces.MultiDiscrete(counts)


def levels_of(space: Any, mover: Mover) -> int | None:
    """The number of levels with which ``action_space`` makes this space; None for no grid.

    Raises ValueError for a grid that is not the mover's.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        counts = [int(space.n)]
    elif isinstance(space, gymnasium.spaces.MultiDiscrete):
        counts = space.nvec.tolist()
    else:
        return None
    for levels in {2, *counts} - {1}:
        if counts == _counts(mover, levels):
            return levels
    raise ValueError(
        f"the model acts in {space}, wanted the actions of a {mover.name}:"
        f" {action_space(mover, max(2, *counts))}."
    )


def to_actions(
    values: Any,
    mover: Mover,
    levels: int | None,
    who: str,
    device: torch.device,
    batch: tuple[int, ...] = (),
) -> Tensor:
    """Turn a user's values [*batch, actions] into checked float32 actions [*batch, dim].

    levels: None for actions themselves; otherwise values are levels, whole numbers of any numeric
            type. Level k of n means low + k (high - low) / (n - 1), and that of a choice its option
            k. With one number an agent the last axis may be missing, as in Discrete spaces.

    Raises ValueError for NaN, a wrong shape, or values outside the space.
    """
    if levels is None:
        raw = real(values, who)
        actions = mover.action.check(raw.to(device, torch.float32), who)
    else:
        raw = numbers(values, who, device)
        actions = _grid(raw, mover, levels, who, batch)
    if actions.shape[:-1] != batch:
        wanted = [*batch, mover.action.dim]
        raise ValueError(f"{who} has shape {list(raw.shape)}, wanted {wanted}.")
    return actions


def idle(mover: Mover, levels: int | None) -> Float64[Tensor, "*action"]:
    """An action of the mover's space as a user would write it: the nearest to 0, or level 0."""
    nothing = torch.zeros(mover.action.dim, dtype=torch.float64)
    if levels is not None:
        return nothing[0]
    return nothing.clamp(mover.action.low.double(), mover.action.high.double())


def _counts(mover: Mover, levels: int) -> list[int]:
    """How many levels each number of an action has."""
    return [len(_points(field, levels)) for field in mover.action.items for _ in range(field.size)]


@functools.lru_cache(maxsize=1024)  # every step of every agent needs them
def _points(field: Field, levels: int) -> Tensor:
    """The actions that the levels of a field mean."""
    return field.grid(levels)


def _grid(raw: Tensor, mover: Mover, levels: int, who: str, batch: tuple[int, ...]) -> Tensor:
    """Levels as actions; a number of n levels takes those from 0 to n - 1."""
    raw = raw[..., None] if mover.action.dim == 1 and raw.shape == batch else raw
    if raw.shape[-1:] != (mover.action.dim,):
        raise ValueError(
            f"{who} has shape {list(raw.shape)}, wanted [..., {mover.action.dim}] levels."
        )
    counts = _counts(mover, levels)
    inside = (raw == raw.floor()) & (raw >= 0) & (raw < raw.new_tensor(counts))
    if not bool(inside.all()):
        most = [count - 1 for count in counts]
        top = most[0] if len(set(most)) == 1 else most
        raise ValueError(f"{who} is {raw.tolist()!r}, wanted integers from 0 to {top}.")
    parts = []
    for field, level in zip(mover.action.items, mover.action.unpack(raw).values(), strict=True):
        parts.append(_points(field, levels).to(raw.device)[level.long()])
    return torch.cat(parts, -1)
