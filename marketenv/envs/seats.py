"""An agent's one fixed space at a door: the fields of all its stages side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from marketenv.core.checks import choice
from marketenv.core.fields import Field, Fields, Multiple
from marketenv.core.market import Market, Move


@dataclass(frozen=True)
class Seat:
    """The moves of a role, joined in the order of their stages.

    flagged: each stage has a flag, 1 where it is the agent's turn there

    With flags, everything is 0 outside its stage, so a box is the hull of its fields and 0. Where
    there is one move and no flag, a seat is that move.
    """

    moves: tuple[Move, ...]
    flagged: bool

    @property
    def name(self) -> str:
        """The role's name."""
        return self.moves[0].name

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages in which the role moves here."""
        return tuple(move.stage for move in self.moves)

    @cached_property
    def observation(self) -> Fields:
        """The fields of the observation: of every stage its turn flag, if any, and its fields."""
        items: list[Field] = []
        for move in self.moves:
            fields = list(move.observation.items)
            if self.flagged:
                text = f"1 where one moves now, in stage {move.stage!r}"
                fields = [Field("turn", 1, 0.0, 1.0, text), *map(_with_zero, fields)]
            items += [self._named(move, field) for field in fields]
        return Fields(tuple(items))

    @cached_property
    def action(self) -> Fields:
        """The fields of the action: those of every stage, of which the present one's count."""
        items = [self._named(move, field) for move in self.moves for field in move.action.items]
        return Fields(tuple(items))

    def see(
        self,
        stage: str | None,
        observation: Float[Tensor, "*batch width"],
        turn: Bool[Tensor, "#*batch"] | bool = True,
    ) -> Float[Tensor, "*batch dim"]:
        """The observation of a stage, among zeros for the other stages.

        stage: None where nobody of this role moves; then ``observation`` has no width, and gives
               the number of rows alone   [*batch, 0]
        turn:  the flag of the stage, where there are flags
        """
        if not self.flagged and len(self.moves) == 1 and stage is not None:
            return observation
        flat = observation.new_zeros(*observation.shape[:-1], self.observation.dim)
        start = 0
        for move in self.moves:
            first = start + int(self.flagged)
            if move.stage == stage:
                flat[..., first : first + move.observation.dim] = observation
                if self.flagged:
                    flat[..., start] = turn
            start = first + move.observation.dim
        low, high = self.observation.low.to(flat.device), self.observation.high.to(flat.device)
        return flat.clamp(low, high)

    def do(
        self, stage: str, actions: Float[Tensor, "*batch width"]
    ) -> Float[Tensor, "*batch moved"]:
        """The part of the joined actions that counts in a stage."""
        start = 0
        for move in self.moves:
            if move.stage == stage:
                return actions[..., start : start + move.action.dim]
            start += move.action.dim
        raise ValueError(
            f"a {self.name} does not move in stage {stage!r}, wanted one of"
            f" {', '.join(self.stages)}."
        )

    def _named(self, move: Move, field: Field) -> Field:
        """The field under a name of its own: with its stage, where the seat has several stages."""
        if len(self.moves) == 1:
            return field
        name = f"{move.stage}.{field.name}"
        if isinstance(field, Multiple) and field.of:
            return dataclasses.replace(field, name=name, of=f"{move.stage}.{field.of}")
        return dataclasses.replace(field, name=name)


def _with_zero(field: Field) -> Field:
    """A plain field whose range is the hull of a field's range and 0."""
    low, high = min(field.low, 0.0), max(field.high, 0.0)
    return Field(field.name, field.size, low, high, field.text, field.unit)


def door_seat(market: Market, role: str) -> Seat:
    """A role's seat at a door where everybody steps in every stage.

    It has flags where the market has several stages.
    """
    return Seat(market.moves_of(role), len(market.stages) > 1)


def learner_seat(market: Market, role: str, stages: Sequence[str] | None = None) -> Seat:
    """A role's seat at a door that stops at its moves only; it has flags where it has several.

    stages: in which the learner moves, None for all. Raises ValueError for a stage in which the
            role does not move.
    """
    moves = market.moves_of(role)
    if isinstance(stages, str):
        raise ValueError(f"stages is {stages!r}, wanted several names, for instance ({stages!r},).")
    known = tuple(move.stage for move in moves)
    names = known if stages is None else tuple(stages)
    for name in names:
        choice(name, f"stage in which {role}s move", known)
    if not names:
        raise ValueError(
            f"stages is {stages!r}, wanted one or more of {', '.join(known)}, or None for all."
        )
    mine = tuple(move for move in moves if move.stage in names)
    return Seat(mine, len(mine) > 1)


def same_seat(market: Market, roles: Sequence[str], stages: Sequence[str] | None = None) -> Seat:
    """The seat that several roles share; ValueError where their spaces or stages differ."""
    seats = [learner_seat(market, role, stages) for role in roles]
    if any(_shape(seat) != _shape(seats[0]) for seat in seats):
        raise ValueError(
            'agent="all" wants roles of equal spaces and stages; choose one agent, or one role by'
            " its name."
        )
    return seats[0]


def _shape(seat: Seat) -> tuple[Any, ...]:
    """Facts that are equal for seats of equal spaces and stages."""
    vectors = (seat.observation, seat.action)
    boxes = [(fields.low.tolist(), fields.high.tolist()) for fields in vectors]
    return seat.stages, boxes, [field.grid(2).tolist() for field in seat.action.items]


def nothing(market: Market, count: int, n_markets: int) -> Float[Tensor, "markets count none"]:
    """Observations of no width, which have the right number of rows."""
    return torch.zeros(n_markets, count, 0, dtype=torch.float32, device=market.device)
