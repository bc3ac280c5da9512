"""Parts of the resource market's strategies: truth with exceptions, and signs of the last round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.market import Move
from marketenv.core.policy import Policy

HALF = 0.5  # of the equilibrium: what colluding owners keep to, and where best replies begin

View = Mapping[str, Tensor]  # what an agent sees, by field: float64 [markets, size]
# (what it sees, what truth means in the field, keys) -> what it means
Rule = Callable[[View, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Player:
    """Truthful, except for some beliefs and some fields of the action, in one role.

    truthful: the market's own policy, which is the equilibrium's
    believes: by field of the observation, from what it sees to what it takes for true
    does:     by field of the action, a meaning or a rule; fields that the market lacks are left out
    """

    truthful: Policy
    role: str
    believes: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    does: Mapping[str, float | str | Rule] = field(default_factory=dict)

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, actions]."""
        belief = self._belief(observation, move) if move.name == self.role else observation
        actions = self.truthful(belief, move, keys)
        changes = {name: rule for name, rule in self.does.items() if name in move.action.slices}
        if move.name != self.role or not changes:
            return actions
        view = {name: value.double() for name, value in move.observation.unpack(belief).items()}
        meanings: dict[str, Any] = move.read(belief, actions)
        for name, rule in changes.items():
            meanings[name] = rule(view, meanings[name], keys) if callable(rule) else rule
        return move.write(observation, **meanings)

    def _belief(self, observation: Tensor, move: Move) -> Tensor:
        """The observation, with beliefs in place of what is seen."""
        view = move.observation.unpack(observation)
        beliefs = {name: rule(view[name]) for name, rule in self.believes.items() if name in view}
        return move.observation.pack(**view | beliefs)


def part(values: Tensor, of: Tensor) -> Tensor:
    """Values as a part of something, 0 where that is nothing."""
    return torch.where(of > 0, values / of, 0.0)


def first(last: Tensor) -> Tensor:
    """Whether nobody else has done anything yet: [markets, 1]."""
    return (last == 0).all(1, keepdim=True)


def broken(last: Tensor, equilibrium: Tensor, factor: float) -> Tensor:
    """Whether another agent exceeded the geometric mean of agreement and equilibrium: [markets, 1].

    In the first round nobody has done anything. Punishment by the equilibrium looks like a breach
    itself, so it never ends.
    """
    return (last > factor**0.5 * equilibrium).any(1, keepdim=True)
