"""What strategies of the resource market are made of: truth with exceptions, and what they tell
from the last round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.market import Move
from marketenv.core.policy import Policy

Seen = Mapping[str, Tensor]  # what an agent sees, by field: float64 [markets, size]
# (what it sees, what truth means in the field, keys) -> what it means
Rule = Callable[[Seen, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Player:
    """Truthful, but for what it takes for true and for the meanings that are given, in one role.

    truthful: the market's own policy, which is the equilibrium's
    believes: by observed field what it takes for true in place of what it sees
    does:     by field of the action a meaning or a rule; of those fields that the market has
    """

    truthful: Policy
    role: str
    believes: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    does: Mapping[str, float | str | Rule] = field(default_factory=dict)

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, actions]."""
        believed = self._believed(observation, move) if move.name == self.role else observation
        actions = self.truthful(believed, move, keys)
        changes = {name: rule for name, rule in self.does.items() if name in move.action.slices}
        if move.name != self.role or not changes:
            return actions
        seen = {name: value.double() for name, value in move.observation.unpack(believed).items()}
        meant: dict[str, Any] = move.read(believed, actions)
        new = {
            name: rule(seen, meant[name], keys) if callable(rule) else rule
            for name, rule in changes.items()
        }
        return move.write(observation, **meant | new)

    def _believed(self, observation: Tensor, move: Move) -> Tensor:
        """What is seen, with what is believed in its place."""
        seen = move.observation.unpack(observation)
        return move.observation.pack(
            **seen
            | {name: rule(seen[name]) for name, rule in self.believes.items() if name in seen}
        )


def part(values: Tensor, of: Tensor) -> Tensor:
    """Values as a part of something, 0 where that is nothing."""
    return torch.where(of > 0, values / of, 0.0)


def first(last: Tensor) -> Tensor:
    """Whether nobody else has done anything yet: [markets, 1]."""
    return (last == 0).all(1, keepdim=True)


def broken(last: Tensor, equilibrium: Tensor, factor: float) -> Tensor:
    """Whether some other agent did more in the last round than lies halfway, by factors, to the
    equilibrium: [markets, 1].

    In the first round nobody has done anything. Who is punished for it by the equilibrium goes on
    seeing it, and so for ever.
    """
    return (last > factor**0.5 * equilibrium).any(1, keepdim=True)
