"""What a market is: people on a floor, and a chain of phases.

Everything else in the library is built on it. To write a market of one's own is to write a phase:
what its movers see and do, and what comes of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from torch import Tensor

from marketenv.core.checks import choice, whole
from marketenv.core.moves import Move, Role, Stage
from marketenv.core.people import People
from marketenv.core.phase import Breakpoints, Outcome, Phase, Shown, Tested
from marketenv.core.policy import Policy, uniform_random
from marketenv.core.report import EVERYWHERE, Report

__all__ = [
    "Breakpoints",
    "Market",
    "Move",
    "Outcome",
    "People",
    "Phase",
    "Report",
    "Role",
    "Shown",
    "Stage",
    "Tested",
    "agent_names",
    "move_of",
    "role_of",
]

T = TypeVar("T")


class Market:
    """A batch of markets of one kind: people, and the chain of phases that makes a round.

    horizon: rounds of an episode
    cut:     False: the number of rounds is part of the game, so its last round ends it
             (``terminated``). True: the game goes on, and agents do not know when the cut comes, so
             what would have come later still counts (``truncated``)
    config, source: arguments and data by which a saved file knows its market

    Raises ValueError for phases of one name, two that tell one fact, a role that is unknown or
    moves nowhere, and for a chain in which nobody moves.
    """

    def __init__(
        self,
        people: People,
        phases: Sequence[Phase],
        *,
        horizon: int = 1,
        cut: bool = False,
        name: str = "market",
        config: Any = None,
        source: Any = None,
    ) -> None:
        self.people, self.phases = people, tuple(phases)
        self.horizon, self.cut = whole(horizon, "horizon", 1), cut
        self.name, self.config, self.source, self.device = name, config, source, people.device
        self._check_phases()
        self.roles = tuple(Role(role, count) for role, count in people.roles.items() if count)
        self.stage_at = tuple(map(self._stage, self.phases))
        self.stages = tuple(stage for stage in self.stage_at if stage is not None)
        self._check_movers()
        self.moves = tuple(move for stage in self.stages for move in stage.moves.values())
        self.fact_names = {
            phase.name: {fact: phase.named(fact) for fact in phase.outcome.FACTS}
            for phase in self.phases
        }
        self.facts = tuple(dict.fromkeys((*EVERYWHERE, *self._facts())))
        self.policies: dict[str, Policy] = {
            "truthful": Truthful(self.phases),
            "random": uniform_random,
        }

    def _check_phases(self) -> None:
        """Refuse what is no phase, and names that are no names or stand twice."""
        for phase in self.phases:
            if not isinstance(phase, Phase):
                raise ValueError(
                    f"a phase is {phase!r}, wanted an object of a class of Phase, such as"
                    f" {getattr(phase, '__name__', 'Offer')}()."
                )
        names = [phase.name for phase in self.phases]
        listed = ", ".join(map(repr, names))
        if not all(isinstance(name, str) and "." not in name for name in names):
            raise ValueError(
                f"phases are named {listed}, wanted text without dots, under which files are kept."
            )
        if len(set(names)) < len(names) or not all(names):
            raise ValueError(
                f"phases are named {listed}, wanted every name once: rename one of the two."
            )

    def _check_movers(self) -> None:
        """Refuse a chain in which nobody moves, or a role that never does."""
        if not self.stages:
            names = ", ".join(phase.name for phase in self.phases) or "a chain without phases"
            raise ValueError(f"nobody moves in {names}, wanted a phase with movers.")
        for role in self.roles:
            if all(role.name not in stage.moves for stage in self.stages):
                raise ValueError(
                    f"{role.name} moves in no phase, wanted every role to move: leave it out, or"
                    " make it an account."
                )

    def _facts(self) -> list[str]:
        """The facts that phases show in infos; ValueError where two phases show the same one."""
        teller: dict[str, str] = {}
        for phase, names in self.fact_names.items():
            for fact in names.values():
                if fact in teller:
                    raise ValueError(
                        f"phases {teller[fact]!r} and {phase!r} both tell the fact {fact!r}, wanted"
                        " every fact once: rename it in FACTS of one of their outcomes, or give"
                        " one of the two a name that is not its class's."
                    )
                teller[fact] = phase
        return list(teller)

    def _stage(self, phase: Phase) -> Stage | None:
        """The stage of a phase, None where nobody of this market moves in it."""
        for role in phase.moves:
            choice(role, f"role of phase {phase.name!r}", tuple(self.people.roles))
        moves = {
            role.name: dataclasses.replace(
                phase.moves[role.name], name=role.name, count=role.count, stage=phase.name
            )
            for role in self.roles
            if role.name in phase.moves
        }
        return Stage(phase.name, moves) if moves else None

    def phase(self, kind: type[T]) -> T:
        """The latest phase of a class or protocol; ValueError where there is none."""
        phases = [phase for phase in self.phases if isinstance(phase, kind)]
        if not phases:
            classes = ", ".join(type(phase).__name__ for phase in self.phases)
            raise ValueError(f"{self.name} has no phase {kind.__name__}: {classes}.")
        return phases[-1]

    def moves_of(self, role: str) -> tuple[Move, ...]:
        """A role's moves in the order of the stages; ValueError for an unknown role."""
        choice(role, "role", tuple(r.name for r in self.roles))
        return tuple(move for move in self.moves if move.name == role)


class Truthful:
    """The policy that gives in every stage the truthful answer of its phase."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = {phase.name: phase for phase in phases}
        self.draws = any(phase.truth_draws for phase in phases)

    def __call__(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Actions [markets, move.action.dim]."""
        return self.phases[move.stage].truthful(observation, move, keys)


def agent_names(market: Market) -> tuple[str, ...]:
    """Names of all agents of a market, roles in order; the order of every agent axis."""
    return tuple(name for role in market.roles for name in role.agents)


def role_of(market: Market, agent: str) -> Role:
    """The role of an agent; ValueError for an unknown name."""
    choice(agent, "agent", agent_names(market))
    return next(role for role in market.roles if agent in role.agents)


def move_of(market: Market, agent: str, stage: str | None = None) -> Move:
    """What an agent sees and does in a stage, by default in the first in which it moves.

    Raises ValueError for a stage in which it does not move.
    """
    moves = market.moves_of(role_of(market, agent).name)
    if stage is None:
        return moves[0]
    known = tuple(move.stage for move in moves)
    return moves[known.index(choice(stage, f"stage in which {agent} moves", known))]
