"""Who moves: roles, what each sees and does in a stage, and the stages of a round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float, Float32
from torch import Tensor

from marketenv.core.checks import choice
from marketenv.core.fields import Fields, Multiple


@dataclass(frozen=True)
class Role:
    """Agents of one kind: ``name_0 .. name_{count-1}``."""

    name: str
    count: int

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """Names of the role's agents in order."""
        return tuple(f"{self.name}_{i}" for i in range(self.count))


@dataclass(frozen=True)
class Move:
    """What a role sees and does in one stage.

    A phase names the fields; the market adds who moves, how many, and where.
    """

    observation: Fields
    action: Fields
    name: str = ""
    count: int = 0
    stage: str = ""

    def __post_init__(self) -> None:
        for multiple in self._multiples:
            subject = f"observed field for {multiple.name!r} to be a multiple of:"
            choice(multiple.of, subject, tuple(self.observation.slices))
            size = self.observation[multiple.of].size
            if size != multiple.size:
                raise ValueError(
                    f"{multiple.name!r} has the size {multiple.size}, wanted {size} as"
                    f" {multiple.of!r}, whose multiple it is."
                )

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents that move, in order."""
        return Role(self.name, self.count).agents

    def read(
        self, observation: Float[Tensor, "*batch dim"], actions: Float[Tensor, "*batch width"]
    ) -> dict[str, Tensor]:
        """What actions mean to an agent that sees this, by field: float64 [*batch, size] each."""
        return self.action.read(actions, self._known(observation))

    def write(
        self, observation: Float[Tensor, "*batch dim"], /, **meanings: Tensor | float | str
    ) -> Float32[Tensor, "*batch actions"]:
        """The actions with which an agent that sees this means this; see ``Fields.write``."""
        return self.action.write(observation, self._known(observation), **meanings)

    def _known(self, observation: Tensor) -> dict[str, Tensor]:
        """What each field of the action is a multiple of, as the agent sees it."""
        return {m.name: observation[..., self.observation.slices[m.of]] for m in self._multiples}

    @property
    def _multiples(self) -> list[Multiple]:
        """The action's fields that are multiples of a field of the observation."""
        return [f for f in self.action.items if isinstance(f, Multiple) and f.of]


@dataclass(frozen=True)
class Stage:
    """A phase in which somebody moves: its name, and its moves by role, in the agents' order."""

    name: str
    moves: Mapping[str, Move]

    @property
    def movers(self) -> tuple[str, ...]:
        """Names of the roles that move."""
        return tuple(self.moves)
