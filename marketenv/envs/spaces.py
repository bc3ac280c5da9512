"""Gymnasium spaces from named fields, and actions back to tensors."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.fields import Fields
from marketenv.core.market import Role


def box(fields: Fields) -> gymnasium.spaces.Box:
    """The float32 Box of a flat vector."""
    return gymnasium.spaces.Box(fields.low.numpy(), fields.high.numpy(), dtype=np.float32)


def action_space(role: Role, levels: int | None) -> gymnasium.Space[Any]:
    """A Box of the role's actions, or with ``levels`` a Discrete (one action) or MultiDiscrete grid over it."""
    if levels is None:
        return box(role.action)
    if levels < 2:
        raise ValueError(f"action_levels is {levels}, wanted >= 2 grid points per action, or None for continuous actions.")
    many = role.action.dim > 1
    return gymnasium.spaces.MultiDiscrete([levels] * role.action.dim) if many else gymnasium.spaces.Discrete(levels)


def numbers(values: Any, who: str, device: torch.device) -> Tensor:
    """Copy what a user gave, of any numeric type, into a float64 tensor without a gradient.

    Tensors may live on any device, require grad, or be of a type that NumPy lacks; lists may hold them.

    Raises ValueError for what holds no real numbers (words, objects, complex numbers) and for masked entries.
    """
    try:
        if isinstance(values, Tensor):
            return _strided(values, who).to(device, torch.float64, copy=True)
        given = np.asarray(_without_tensors(values, who))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{who} is {values!r}, wanted real numbers ({error}).") from error
    if given.dtype.kind not in "biuf":
        raise ValueError(
            f"{who} is {values!r} (dtype {given.dtype}), wanted real numbers: convert it, as with .astype(np.float32)."
        )
    return torch.tensor(given.astype(np.float64), device=device)


def _strided(values: Tensor, who: str) -> Tensor:
    """The tensor without its gradient; ValueError where it is complex or sparse."""
    if values.is_complex() or values.layout != torch.strided:
        raise ValueError(f"{values.dtype}, {values.layout}: give {who} as a dense tensor of real numbers")
    return values.detach()


def _without_tensors(values: Any, who: str) -> Any:
    """Lists with arrays in place of their tensors; ValueError for an array with masked entries, which NumPy would unmask."""
    if isinstance(values, Tensor):
        return _strided(values, who).to("cpu", torch.float64).numpy()
    if isinstance(values, list | tuple):
        return [_without_tensors(value, who) for value in values]
    if np.ma.is_masked(values):
        raise ValueError("it has masked entries; give a number for each")
    return values


def to_actions(
    values: Any, role: Role, levels: int | None, who: str, device: torch.device, batch: tuple[int, ...] = ()
) -> Tensor:
    """Turn what a user gave [*batch, actions] into checked float32 actions [*batch, dim].

    With levels, whole numbers of any numeric type, and one action per agent the last axis may be left out, as Discrete spaces do.

    Raises ValueError for NaN, a wrong shape, or values outside the space; grid level k of n means low + k (high - low) / (n - 1).
    """
    given = numbers(values, who, device)
    actions = role.action.check(given.to(torch.float32), who) if levels is None else _grid(given, role, levels, who, batch)
    if actions.shape[:-1] != batch:
        raise ValueError(f"{who} has shape {list(given.shape)}, wanted {[*batch, role.action.dim]}.")
    return actions


def idle(role: Role, levels: int | None) -> Float64[Tensor, "*action"]:
    """Some action of the role's space as a user gives it: the one nearest to 0, or level 0."""
    nothing = torch.zeros(role.action.dim, dtype=torch.float64)
    return nothing.clamp(role.action.low.double(), role.action.high.double()) if levels is None else nothing[0]


def _grid(given: Tensor, role: Role, levels: int, who: str, batch: tuple[int, ...]) -> Tensor:
    """Levels 0 .. n - 1 as actions: low + k (high - low) / (n - 1)."""
    given = given[..., None] if role.action.dim == 1 and given.shape == batch else given
    if given.shape[-1:] != (role.action.dim,):
        raise ValueError(f"{who} has shape {list(given.shape)}, wanted [..., {role.action.dim}] levels.")
    if not bool(((given == given.floor()) & (given >= 0) & (given < levels)).all()):
        raise ValueError(f"{who} is {given.tolist()!r}, wanted integers from 0 to {levels - 1}.")
    low, high = role.action.low.to(given.device), role.action.high.to(given.device)
    return low + (high - low) * given.float() / (levels - 1)
