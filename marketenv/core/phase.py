"""Phases, of which markets are made: each shows, is answered, and returns a new floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.moves import Move

# by role and field, [markets, count] or [markets, count, size]
Shown = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Outcome:
    """A phase's part of the report, which later phases may read: a tree that leads with markets.

    FACTS: names of the fields of shape [markets, agents] that PettingZoo's infos show
    EDGES: the word for ``edges`` in a picture's title
    """

    FACTS: ClassVar[tuple[str, ...]] = ()
    EDGES: ClassVar[str] = "deals"

    def of(self, kind: type[Any]) -> Any:
        """The outcome itself, or one that it holds, of a kind; None where there is none."""
        return self if isinstance(self, kind) else None

    def facts(self) -> dict[str, Tensor]:
        """The numbers that infos show: each [markets, agents]."""
        return {name: getattr(self, name) for name in self.FACTS}

    def edges(self) -> Tensor | None:
        """Who dealt with whom, from row to column (buyer to seller), or None for no picture.

        bool [markets, agents, agents]
        """
        return None

    def story(self, agents: Sequence[str]) -> list[str]:
        """The first market's part of the round in lines of text."""
        return []


class Phase:
    """A part of a round; a class of one's own needs a name, moves and ``act``.

    name:    unique in a market. A class has its usual name; a second phase of a class gets another
             one, which its draws, payments and facts carry too (see ``purpose`` and ``named``)
    moves:   by role, what it sees and does here; empty where nobody acts
    outcome: class of the outcome that ``act`` returns

    A phase changes nothing: its methods return new values, and it keeps nothing from one call to
    the next.
    """

    name: str = ""
    moves: Mapping[str, Move] = {}
    outcome: type[Outcome] = Outcome

    def named(self, word: str) -> str:
        """The name of a fact, payment or term: the word; of a second phase ``word of name``."""
        return word if type(self).name in ("", self.name) else f"{word} of {self.name}"

    def purpose(self, *parts: int | str) -> tuple[int | str, ...]:
        """The purpose of a random draw: the parts; of a second phase of a class its name too."""
        return parts if type(self).name in ("", self.name) else (*parts, self.name)

    def begin(self, floor: Floor) -> Any:
        """The phase's own memory at the start of an episode: a tree, which no other phase reads."""
        return None

    def quote(self, floor: Floor, own: Any) -> Any:
        """What the movers are shown, computed once a stage; it trains nothing."""
        return None

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """What the movers see, by role and field: [markets, count], or [markets, count, size]."""
        return {}

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same where the game is over and nothing is on offer; a missing field is 0."""
        return {}

    @property
    def truth_draws(self) -> bool:
        """Whether ``truthful`` may read its keys; no phase of this library does."""
        return not library(self)

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """The actions of a mover that tells the truth."""
        raise NotImplementedError(
            f"{type(self).__name__} has movers, wanted truthful(self, observation, move, keys) ->"
            " actions"
        )

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Outcome]:
        """The new floor, the phase's new memory, and its outcome.

        actions: of the movers, by role [markets, count, width]
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no act(self, floor, own, quotes, actions) -> floor, own,"
            " outcome"
        )


def library(phase: Phase) -> bool:
    """Whether a phase is this library's, which edits nothing in place and keeps the contract."""
    return type(phase).__module__.startswith("marketenv.")


@runtime_checkable
class Breakpoints(Protocol):
    """A phase that can list actions among which there is always a best reply to the others."""

    def breakpoints(
        self,
        floor: Floor,
        own: Any,
        quotes: Any,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Float[Tensor, "markets candidates width"] | None:
        """Actions of agent ``who`` (role, number), or None where they are not known.

        actions: of all movers of the stage
        fields:  those that may differ from the agent's own row of ``actions``, None for all
        """
        ...


@runtime_checkable
class Tested(Protocol):
    """A phase that scores models on examples that nobody trains or trades by.

    ``rounds.test_scores`` calls it.
    """

    name: str

    def test_scores(self, floor: Floor, own: Any) -> Any:
        """Loss and accuracy [markets, count] of every model."""
        ...
