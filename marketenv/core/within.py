"""Phases of one market played by the people of another one.

A marketplace in which several markets meet is a longer chain: ``Within(phase, inside)`` is a phase
of the larger market that plays a phase of the smaller one. ``Inside`` says which role of the larger
market plays which role of the smaller one. Where several agents play a role of which the smaller
market has one (a leader, a buyer), each of them has a copy of the smaller market, and all other
roles are in all copies: an owner of data deals with every developer at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.floor import Floor
from marketenv.core.folded import Folded, into_copies, out_of_copies, unfold
from marketenv.core.inside import Inside
from marketenv.core.moves import Move
from marketenv.core.phase import Outcome, Phase, Shown
from marketenv.core.policy import Policy
from marketenv.core.tree import STATIC


@dataclass(frozen=True)
class Inner(Outcome):
    """What a phase of a smaller market came to.

    inner:  its outcome in all copies;   inside: who plays whom
    flows:  names of its payments in the larger market
    """

    KIND: ClassVar[type[Outcome]] = Outcome
    WITHOUT: ClassVar[frozenset[str]] = frozenset()

    inner: Folded
    inside: Inside = field(metadata=STATIC)
    rows: Mapping[str, slice] = field(metadata=STATIC)
    agents: int = field(metadata=STATIC)
    flows: tuple[str, ...] = field(metadata=STATIC, default=())

    def __reduce__(self) -> tuple[Any, ...]:
        """Its class is made when it is asked for, so a file says of which outcome."""
        parts = (self.inner, self.inside, self.rows, self.agents, self.flows)
        return _unpickled, (self.KIND, self.WITHOUT, parts)

    def of(self, kind: type[Any]) -> Any:
        """The outcome of all copies, where it is of this kind."""
        known = self.inner.like.of(kind) is not None
        return self.inner.tree.of(kind) if known else None

    def facts(self) -> dict[str, Tensor]:
        """Its facts; an agent that is in all copies has the mean of them."""
        return {
            name: self._everyone(value)
            for name, value in self.inner.tree.facts().items()
            if name in self.FACTS
        }

    def edges(self) -> Tensor | None:
        """Who dealt with whom in any copy."""
        edges = self.inner.tree.edges()
        return None if edges is None else self._square(edges)

    def story(self, agents: Sequence[str]) -> list[str]:
        """The first market's part of the round. Lines that do not say in which copy they hold stand
        below the names of those whose copies they are of. Nothing where the words are not true.
        """
        if self.KIND in self.inside.silent:
            return []
        told = [self._of_copy(k) for k in range(self.inside.copies)]
        own = self.inside.names.get(self.inside.alone, "")
        if len(told) == 1 or all(f"{own}_{k}" in s for k, lines in enumerate(told) for s in lines):
            return [line for lines in told for line in lines]
        whose: dict[tuple[str, ...], list[str]] = {}
        for k, lines in enumerate(told):
            whose.setdefault(tuple(lines), []).append(f"{own}_{k}")
        return [
            line
            for lines, players in whose.items()
            for line in (f"With {', '.join(players)}:", *(f"  {line}" for line in lines))
        ]

    def _of_copy(self, k: int) -> list[str]:
        """The lines of a copy, in the words of the larger market."""
        roles = self.inside.people.roles
        names = [f"{role}_{number}" for role, count in roles.items() for number in range(count)]
        copy = tree.rows(self.inner.tree, torch.tensor([k]))
        return [self._retold(line, k) for line in copy.story(names)]

    def _retold(self, line: str, k: int) -> str:
        """A line in the words of the larger market."""
        inside = self.inside
        for own, role in inside.players.items():
            if role == inside.alone:
                for word in (f"The {role}", f"the {role}", f"{role}_0"):
                    line = line.replace(word, f"{own}_{k}")
            elif own != role:
                line = line.replace(f"{role}_", f"{own}_")
        return line

    def _everyone(self, values: Tensor) -> Tensor:
        """Numbers of all agents of the copies, of all agents of the markets."""
        inside = self.inside
        total = values.new_zeros(len(values) // inside.copies, self.agents, *values.shape[2:])
        for role in inside.roles:
            part = values[:, inside.people.rows[role]]
            total[:, self.rows[inside.names[role]]] = inside.leave(role, part)
        return total

    def _square(self, edges: Tensor) -> Tensor:
        """Edges between all agents of the markets."""
        inside = self.inside
        total = edges.new_zeros(len(edges) // inside.copies, self.agents, self.agents)
        for one in inside.roles:
            for other in inside.roles:
                part = edges[:, inside.people.rows[one], inside.people.rows[other]]
                rows, columns = (self.rows[inside.names[role]] for role in (one, other))
                total[:, rows, columns] |= inside.money(one, other, part.double()) > 0
        return total


@cache
def inner_outcome(kind: Any, without: frozenset[str]) -> type[Inner]:
    """The class of what phases with outcomes of a kind come to, without some facts."""
    words = {
        "FACTS": tuple(name for name in kind.FACTS if name not in without),
        "EDGES": kind.EDGES,
        "KIND": kind,
        "WITHOUT": without,
        "__doc__": kind.__doc__,
        "__module__": __name__,
    }
    return type(f"Inner{kind.__name__}", (Inner,), words)


def _unpickled(kind: Any, without: frozenset[str], parts: tuple[Any, ...]) -> Inner:
    made: type[Inner] = inner_outcome(kind, without)
    return made(*parts)


class Within(Phase):
    """A phase of a smaller market, played by the people of a larger one.

    phase: of the smaller market;   inside: who plays whom
    """

    def __init__(self, phase: Phase, inside: Inside) -> None:
        self.phase, self.inside, self.name = phase, inside, phase.name
        self.moves = {
            inside.names[role]: inside.widened(role, move) for role, move in phase.moves.items()
        }
        self._own_moves = {
            role: replace(move, name=role, count=inside.people.roles[role], stage=self.name)
            for role, move in phase.moves.items()
        }
        kind: Any = phase.outcome  # a class, which has a hash whatever its objects have
        self.outcome: type[Inner] = inner_outcome(kind, inside.without | inside.untold)
        if hasattr(phase, "breakpoints"):
            self.breakpoints = self._breakpoints
        if hasattr(phase, "test_scores"):
            self.test_scores = self._test_scores

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew: the class of its outcome is made when it is asked for."""
        return Within, (self.phase, self.inside)

    def named(self, word: str) -> str:
        """As the phase calls it, or as a fact is renamed."""
        return self.phase.named(self.inside.renamed.get(word, word))

    def purpose(self, *parts: int | str) -> tuple[int | str, ...]:
        """As the phase draws for it."""
        return self.phase.purpose(*parts)

    def begin(self, floor: Floor) -> Folded | None:
        """The memory of the phase in all copies."""
        return Folded.of(self.phase.begin(self.inside.inner(floor)), self.inside.copies)

    def quote(self, floor: Floor, own: Any) -> Folded | None:
        """What the movers are shown in all copies."""
        quotes = self.phase.quote(self.inside.inner(floor), _tree(own))
        return Folded.of(quotes, self.inside.copies)

    def show(self, floor: Floor, own: Any, quotes: Any) -> Shown:
        """What the movers see in all copies."""
        shown = self.phase.show(self.inside.inner(floor), _tree(own), _tree(quotes))
        return self._shown(shown)

    def show_end(self, floor: Floor, own: Any) -> Shown:
        """The same after the last round."""
        return self._shown(self.phase.show_end(self.inside.inner(floor), _tree(own)))

    @property
    def truth_draws(self) -> bool:
        """Whether the phase's truthful mover may read its keys."""
        return self.phase.truth_draws

    def truthful(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """What the phase's truthful mover does in every copy."""
        return self.answered(self.phase.truthful, observation, move, keys)

    def answered(self, policy: Policy, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """The actions of one who plays a policy of the smaller market in every copy."""
        inside, role = self.inside, self.inside.players[move.name]
        own = self._own_moves[role]
        if not inside.shared(role) or inside.copies == 1:
            return policy(observation, own, keys)
        sees, common = own.observation, inside.common
        observations = into_copies(sees, observation, common, inside.copies).flatten(0, 1)
        copies = torch.arange(inside.copies, device=keys.device)
        many = draws.fold(keys[:, None].expand(-1, inside.copies), "copy", copies).flatten()
        actions = policy(observations, own, many)
        return out_of_copies(own.action, unfold(actions, inside.copies), inside.common)

    def act(
        self, floor: Floor, own: Any, quotes: Any, actions: Mapping[str, Tensor]
    ) -> tuple[Floor, Any, Outcome]:
        """Play the phase in all copies, and book what comes of it."""
        inside = self.inside
        before = inside.inner(floor)
        mine = {inside.players[role]: self._entered(role, part) for role, part in actions.items()}
        after, memory, outcome = self.phase.act(before, _tree(own), _tree(quotes), mine)
        inner = Folded(Folded.leaves_of(outcome, inside.copies), outcome)
        flows = tuple(map(inside.booked, after.flows))
        told = self.outcome(inner, inside, floor.rows, floor.present.shape[1], flows)
        return inside.outer(floor, before, after), Folded.of(memory, inside.copies), told

    def _entered(self, role: str, actions: Tensor) -> Tensor:
        """Actions of a role of the larger market, for the copies."""
        inside, own = self.inside, self.inside.players[role]
        if not inside.shared(own) or inside.copies == 1:
            return inside.enter(own, actions).contiguous()
        each = into_copies(self.phase.moves[own].action, actions, inside.common, inside.copies)
        return each.transpose(1, 2).flatten(0, 1).contiguous()

    def _shown(self, shown: Shown) -> Shown:
        return {
            self.inside.names[role]: {n: self._field(role, n, v) for n, v in fields.items()}
            for role, fields in shown.items()
        }

    def _field(self, role: str, name: str, value: Tensor) -> Tensor:
        """A field of the copies, as the players see it."""
        inside = self.inside
        if not inside.shared(role) or inside.copies == 1:
            return inside.leave(role, value)
        each = unfold(value if value.dim() == 3 else value[..., None], inside.copies)
        return each[:, 0] if name in inside.common else each.transpose(1, 2).flatten(2, 3)

    def _breakpoints(
        self,
        floor: Floor,
        own: Any,
        quotes: Any,
        actions: Mapping[str, Tensor],
        who: tuple[str, int],
        fields: Sequence[str] | None,
    ) -> Tensor | None:
        """Those of the phase; None for an agent that answers in several copies at once."""
        inside, (role, number) = self.inside, who
        player = inside.players[role]
        many = inside.copies > 1
        if many and inside.shared(player):
            return None
        mine = {inside.players[name]: self._entered(name, part) for name, part in actions.items()}
        one = (player, 0 if player == inside.alone else number)
        phase: Any = self.phase
        found = phase.breakpoints(inside.inner(floor), _tree(own), _tree(quotes), mine, one, fields)
        return None if found is None else unfold(found, inside.copies)[:, number if many else 0]

    def _test_scores(self, floor: Floor, own: Any, **asked: Any) -> Any:
        """Those of the phase, of every agent that has a model."""
        phase: Any = self.phase
        scores = phase.test_scores(self.inside.inner(floor), _tree(own), **asked)
        return tree.mapped(lambda part: unfold(part, self.inside.copies).flatten(1, 2), scores)


def _tree(folded: Folded | None) -> Any:
    return None if folded is None else folded.tree
