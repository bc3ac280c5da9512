"""What an agent sees and does through a door, which has one fixed space an agent: the fields of
all its stages side by side.
"""

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

    flagged: with a flag a stage, 1 where it is one's turn there. Outside its stage everything is 0,
        so a box is the hull of its
    fields and 0. Where there is one move and no flag, a seat is that move.
    """

    moves: tuple[Move, ...]
    flagged: bool

    @property
    def name(self) -> str:
        """The role's name."""
        return self.moves[0].name

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages in which one moves here."""
        return tuple(move.stage for move in self.moves)

    @cached_property
    def observation(self) -> Fields:
        """What is seen: for every stage its turn flag, where there are flags, and its fields."""
        if not self.flagged:
            return Fields(
                tuple(
                    self._named(move, field)
                    for move in self.moves
                    for field in move.observation.items
                )
            )
        items: list[Field] = []
        for move in self.moves:
            items.append(
                self._named(
                    move,
                    Field("turn", 1, 0.0, 1.0, f"1 where one moves now, in stage {move.stage!r}"),
                )
            )
            for field in move.observation.items:
                hull = Field(
                    field.name,
                    field.size,
                    min(field.low, 0.0),
                    max(field.high, 0.0),
                    field.text,
                    field.unit,
                )
                items.append(self._named(move, hull))
        return Fields(tuple(items))

    @cached_property
    def action(self) -> Fields:
        """What is done: the fields of every stage; those of other stages than the present one
        count for nothing.
        """
        return Fields(
            tuple(self._named(move, field) for move in self.moves for field in move.action.items)
        )

    def see(
        self,
        stage: str | None,
        seen: Float[Tensor, "*batch width"],
        turn: Bool[Tensor, "#*batch"] | bool = True,
    ) -> Float[Tensor, "*batch dim"]:
        """What is seen in a stage, among zeros for the other stages.

        stage: None where nobody of this role moves: then ``seen`` says only how many
            there are   [*batch, 0]
        turn:  the flag of the stage, where there are flags
        """
        if not self.flagged and len(self.moves) == 1 and stage is not None:
            return seen
        flat = seen.new_zeros(*seen.shape[:-1], self.observation.dim)
        start = 0
        for move in self.moves:
            first = start + int(self.flagged)
            if move.stage == stage:
                flat[..., first : first + move.observation.dim] = seen
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
        """The field under a name of its own: with its stage where there are several."""
        if len(self.moves) == 1:
            return field
        name = f"{move.stage}.{field.name}"
        if isinstance(field, Multiple) and field.of:
            return dataclasses.replace(field, name=name, of=f"{move.stage}.{field.of}")
        return dataclasses.replace(field, name=name)


def door_seat(market: Market, role: str) -> Seat:
    """A role at a door where everybody steps in every stage: with flags where the market has
    several.
    """
    return Seat(market.moves_of(role), len(market.stages) > 1)


def learner_seat(market: Market, role: str, stages: Sequence[str] | None = None) -> Seat:
    """A role at a door that stops at its moves only; flags tell its stages apart where it has
    several.

    stages: names of those in which the learner moves, None for all. Raises ValueError for a stage
        where the role never moves.
    """
    moves = market.moves_of(role)
    if isinstance(stages, str):
        raise ValueError(f"stages is {stages!r}, wanted several names, for instance ({stages!r},).")
    known = tuple(move.stage for move in moves)
    named = (
        known
        if stages is None
        else tuple(choice(name, f"stage in which a {role} moves", known) for name in stages)
    )
    if not named:
        raise ValueError(
            f"stages is {stages!r}, wanted one or more of {', '.join(known)}, or None for all."
        )
    mine = tuple(move for move in moves if move.stage in named)
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
    """What seats of equal spaces and stages have in common."""
    boxes = [
        (fields.low.tolist(), fields.high.tolist()) for fields in (seat.observation, seat.action)
    ]
    return seat.stages, boxes, [field.grid(2).tolist() for field in seat.action.items]


def nothing(market: Market, count: int, n_markets: int) -> Float[Tensor, "markets count none"]:
    """Observations of no width: they say only how many there are."""
    return torch.zeros(n_markets, count, 0, dtype=torch.float32, device=market.device)
