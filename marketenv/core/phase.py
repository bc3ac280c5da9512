"""What a market is made of: phases, each of which shows, is answered, and gives back a new
floor.
"""

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
    """What a phase came to: its part of the report, and what later phases may read. A tree of
    tensors that lead with markets.

    ``FACTS`` names the fields of shape [markets, agents] that PettingZoo's infos show; ``EDGES``
    says in a picture's title what ``edges`` are.
    """

    FACTS: ClassVar[tuple[str, ...]] = ()
    EDGES: ClassVar[str] = "deals"

    def facts(self) -> dict[str, Tensor]:
        """The numbers that infos show: each [markets, agents]."""
        return {name: getattr(self, name) for name in self.FACTS}

    def edges(self) -> Tensor | None:
        """Who dealt with whom, drawn from row to column (buyer to seller): bool [markets,
        agents, agents]; None for none.
        """
        return None

    def story(self, agents: Sequence[str]) -> list[str]:
        """The first market's part of the round in lines of text."""
        return []


class Phase:
    """A part of a round. Who writes one gives it a name, says who moves, and writes ``act``; the
    rest has defaults.

    name:    unique in a market. A class names its usual one; a second phase of a kind gets another
             one, under which it draws, books and tells (see ``purpose`` and ``named``)
    moves:   by role what it sees and does here, empty where nobody acts
    outcome: class of what ``act`` gives for the report
    A phase changes nothing but what its methods return, and keeps nothing from one call to the
    next.
    """

    name: str = ""
    moves: Mapping[str, Move] = {}
    outcome: type[Outcome] = Outcome

    def named(self, word: str) -> str:
        """How a fact, a payment or a term of this phase is called: the word, or in a second
        phase of a kind ``word of name``.
        """
        return word if type(self).name in ("", self.name) else f"{word} of {self.name}"

    def purpose(self, *parts: int | str) -> tuple[int | str, ...]:
        """What this phase's random draws are for: the parts, and of another phase of its kind
        its name too.
        """
        return parts if type(self).name in ("", self.name) else (*parts, self.name)

    def begin(self, floor: Floor) -> Any:
        """The phase's own memory at the start of an episode, which no other phase reads: a
        tree, None for none.
        """
        return None

    def quote(self, floor: Floor, own: Any) -> Any:
        """What the movers are shown, computed once a stage; it trains nothing and may be
        computed again.
        """
        return None

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """By role and field what the movers see: [markets, count], or [markets, count, size] of
        a field of several numbers.
        """
        return {}

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same where the game is over and nothing is on offer; fields that are left out are
        0.
        """
        return {}

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """The actions of a mover that tells the truth."""
        raise NotImplementedError(
            f"{type(self).__name__} has movers, wanted truthful(self, observation, move, keys) ->"
            " actions"
        )

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Outcome]:
        """What comes of the movers' actions, by role [markets, count, width]: the new floor,
        own memory, and the outcome.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no act(self, floor, own, quotes, actions) -> floor, own,"
            " outcome"
        )


@runtime_checkable
class Breakpoints(Protocol):
    """A phase that knows the actions among which a best reply to the others' actions always is."""

    def breakpoints(
        self,
        floor: Floor,
        own: Any,
        quotes: Any,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Float[Tensor, "markets candidates width"] | None:
        """Actions of agent ``who`` (role, number), of which only ``fields`` may change (None: all);
        None where it is not known.

        actions: of all movers of the stage, whose own row says what is kept
        """
        ...


@runtime_checkable
class Tested(Protocol):
    """A phase that scores models on examples that nobody trains or trades by; see
    ``rounds.test_scores``.
    """

    name: str

    def test_scores(self, floor: Floor, own: Any) -> Any:
        """Loss and accuracy [markets, count] of every model."""
        ...
