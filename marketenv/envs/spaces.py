"""Gymnasium spaces from named fields, and actions back to tensors."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import or_none, whole
from marketenv.core.fields import Fields
from marketenv.core.moves import Move
from marketenv.core.numbers import numbers
from marketenv.envs.seats import Seat

Mover = Move | Seat  # whatever has a name and an action
LEVELS = or_none(whole, least=2, fix=": grid points per action, or None for continuous actions")


def box(fields: Fields) -> gymnasium.spaces.Box:
    """The float32 Box of a flat vector."""
    return gymnasium.spaces.Box(fields.low.numpy(), fields.high.numpy(), dtype=np.float32)


def action_space(mover: Mover, levels: int | None) -> gymnasium.Space[Any]:
    """A Box of the mover's actions, or with ``levels`` a Discrete (one number) or MultiDiscrete
    grid over it.

    A choice has one level an option, every other number ``levels``.
    """
    if levels is None:
        return box(mover.action)
    counts = _counts(mover, levels)
    return (
        gymnasium.spaces.MultiDiscrete(counts)
        if len(counts) > 1
        else gymnasium.spaces.Discrete(counts[0])
    )


def levels_of(space: Any, mover: Mover) -> int | None:
    """The number of levels by which ``action_space`` makes this space for a mover; None for what is
    no grid.

    Raises ValueError for a grid that is not the mover's.
    """
    if not isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
        return None
    counts = np.atleast_1d(
        space.n if isinstance(space, gymnasium.spaces.Discrete) else space.nvec
    ).tolist()
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
    """Turn what a user gave [*batch, actions] into checked float32 actions [*batch, dim].

    With levels, whole numbers of any numeric type, and one action per agent the last axis may be
    left out, as Discrete spaces do.

    Raises ValueError for NaN, a wrong shape, or values outside the space; level k of n means low +
    k (high - low) / (n - 1), and that of a choice its option k.
    """
    given = numbers(values, who, device)
    actions = (
        mover.action.check(given.to(torch.float32), who)
        if levels is None
        else _grid(given, mover, levels, who, batch)
    )
    if actions.shape[:-1] != batch:
        raise ValueError(
            f"{who} has shape {list(given.shape)}, wanted {[*batch, mover.action.dim]}."
        )
    return actions


def idle(mover: Mover, levels: int | None) -> Float64[Tensor, "*action"]:
    """Some action of its space as a user gives it: the one nearest to 0, or level 0."""
    nothing = torch.zeros(mover.action.dim, dtype=torch.float64)
    return (
        nothing.clamp(mover.action.low.double(), mover.action.high.double())
        if levels is None
        else nothing[0]
    )


def _counts(mover: Mover, levels: int) -> list[int]:
    """How many levels each number of an action has."""
    return [len(field.grid(levels)) for field in mover.action.items for _ in range(field.size)]


def _grid(given: Tensor, mover: Mover, levels: int, who: str, batch: tuple[int, ...]) -> Tensor:
    """Levels as actions: each number's from 0 to one less than it has."""
    given = given[..., None] if mover.action.dim == 1 and given.shape == batch else given
    if given.shape[-1:] != (mover.action.dim,):
        raise ValueError(
            f"{who} has shape {list(given.shape)}, wanted [..., {mover.action.dim}] levels."
        )
    counts = _counts(mover, levels)
    if not bool(
        ((given == given.floor()) & (given >= 0) & (given < given.new_tensor(counts))).all()
    ):
        most = [count - 1 for count in counts]
        raise ValueError(
            f"{who} is {given.tolist()!r}, wanted integers from 0 to"
            f" {most[0] if len(set(most)) == 1 else most}."
        )
    chosen = mover.action.unpack(given)
    return torch.cat(
        [
            field.grid(levels).to(given.device)[chosen[field.name].long()]
            for field in mover.action.items
        ],
        -1,
    )
