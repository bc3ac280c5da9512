"""What a phase shows a role, as one vector for each agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.core import contract
from marketenv.core.floor import Floor
from marketenv.core.moves import Move
from marketenv.core.numbers import has_nan
from marketenv.core.parts import taken
from marketenv.core.phase import Phase, library


def packed(
    phase: Phase, move: Move, shown: Any, floor: Floor, all_of_them: bool = True
) -> Float[Tensor, "markets agents dim"]:
    """The fields that a phase shows a role, in one vector; a phase may be a user's own.

    all_of_them: every field has to be there; otherwise a field that is not there is 0
    """
    subject = f"show of phase {phase.name!r} gave {move.name}"
    fields = _fields(move, shown, subject, all_of_them)
    own, parts = not library(phase), {}
    for name in move.observation.slices:
        value = _numbers(floor, move, name, fields, f"{subject} {name!r}")
        if own and has_nan(value):
            field = move.observation[name]
            raise ValueError(
                f"{subject} NaN as {name!r}, wanted numbers in [{field.low:g}, {field.high:g}]."
                " Nothing was changed."
            )
        parts[name] = value.detach() if value.requires_grad else value
    return move.observation.pack(**parts)


def _fields(move: Move, shown: Any, subject: str, all_of_them: bool) -> Mapping[str, Any]:
    """The fields that a role is shown, by name; ValueError for no mapping and for other names."""
    fields = shown.get(move.name, {}) if isinstance(shown, Mapping) else None
    known = move.observation.slices
    if not isinstance(fields, Mapping):
        raise ValueError(
            f"{subject} no fields by name, wanted {{{move.name!r}:"
            f" {{{', '.join(map(repr, known))}}}}}."
        )
    if fields.keys() - known.keys() or (all_of_them and fields.keys() != known.keys()):
        names = ", ".join(fields) or "nothing"
        raise ValueError(f"{subject} {names}, wanted {', '.join(known)}.")
    return fields


def _numbers(
    floor: Floor, move: Move, name: str, fields: Mapping[str, Any], subject: str
) -> Tensor:
    """The numbers of one field [markets, count, size], 0 where it is not there."""
    where = move.observation.slices[name]
    # the length of a tensor takes longer than its shape
    shape = (floor.seeds.shape[0], move.count, where.stop - where.start)
    if name not in fields:
        return floor.ended.new_zeros(shape)
    value = fields[name]
    if shape[2] == 1 and isinstance(value, Tensor) and value.dim() == 2:
        value = value[..., None]
    if not contract.fits(value, shape, floor.ended.device):
        like = shaped(floor, *shape[1:])
        taken(value, subject, like, "markets, agents, numbers", torch.float64)
    return value


def shaped(floor: Floor, *shape: int) -> Tensor:
    """A tensor of this shape after the market axis, on the floor's device.

    Its numbers mean nothing and take no memory.
    """
    zero: Tensor = floor.ended.new_zeros(())
    return zero.expand(floor.seeds.shape[0], *shape)
