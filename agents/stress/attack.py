"""An attack: a profile of play, the agents that deviate from it, and what a deviation gains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import rounds, tree
from marketenv.core.checks import choice
from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Move, Role, agent_names, move_of, role_of
from marketenv.core.policy import Policy, actions_of

from ..lineups import MixedStrategy, Profile, play, seat
from .deviation import Deviation, Family, Usual, Within
from .kinds import families, lines, saying_where

MOST_BYTES = 2**30  # of the markets that are played at once
# first seeds of the blocks of selection and judging; trainings and their evaluations use others
SELECT, JUDGE = 3 * 2**60, 3 * 2**61


def seeds_of(block: int, count: int, repeat: int = 0) -> Int[Tensor, "count"]:
    """Seeds of a block, ``SELECT`` or ``JUDGE``; another ``repeat`` gives others.

    >>> bool(seeds_of(SELECT, 4)[-1] < seeds_of(SELECT, 4, repeat=1)[0] < seeds_of(JUDGE, 1)[0])
    True
    """
    return block + repeat * 2**32 + torch.arange(count, device="cpu")


def at_once(start: rounds.Situation, pairs: int, most_markets: int = 2**16) -> int:
    """How many copies of some markets fit into ``MOST_BYTES``, at least one."""
    return max(1, min(most_markets, MOST_BYTES * pairs // max(tree.size(start), 1)) // pairs)


@dataclass(frozen=True)
class Attack:
    """A deviation's setting: the profile, the deviators, their fields and stages, and the seeds.

    agents: one agent, or a coalition whose members' utilities are summed
    most_markets: the most markets to play at once, fewer where they are large; larger grids are
            played in pieces
    fields: of the action in which they deviate, None for all
    stage:  in which they deviate, in every round; None for every stage in which they move
    Raises ValueError for unknown agents, fields or stages, for a profile that lacks an agent, for
    deviators that are none or not different, and for no seeds.
    """

    market: Market
    profile: Profile
    agents: tuple[str, ...]
    seeds: Int[Tensor, "pairs"]
    most_markets: int = 2**16
    fields: tuple[str, ...] | None = None
    stage: str | None = None

    def __post_init__(self) -> None:
        names = agent_names(self.market)
        for agent in self.agents:
            if agent not in names:
                raise unknown("agent", agent, names)
        missing = [name for name in names if name not in self.profile]
        if missing:
            raise ValueError(
                f"the profile lacks {', '.join(missing)}; find_profile gives every agent a policy."
            )
        if not self.agents or len(set(self.agents)) < len(self.agents):
            raise ValueError(
                f"the deviators are {self.agents}; wanted at least one agent, each once."
            )
        if len(self.seeds) == 0:
            raise ValueError("there are no seeds to play on; wanted at least one, see seeds_of.")
        self._check_fields()

    def _check_fields(self) -> None:
        """Refuse a stage in which a deviator never moves, and fields that its actions lack."""
        each = [
            {name: None for move in self.moves_of(agent) for name in move.action.slices}
            for agent in self.agents
        ]
        fields = tuple(name for name in each[0] if all(name in one for one in each))
        for name in self.fields or ():
            if name not in fields:
                raise unknown("field of the action", name, fields)
        if self.fields is not None and not self.fields:
            raise ValueError(
                "fields is empty, so nothing could be reported otherwise; wanted names among"
                f" {', '.join(fields)}."
            )

    @property
    def roles(self) -> tuple[Role, ...]:
        """The deviators' roles."""
        return tuple(role_of(self.market, agent) for agent in self.agents)

    def moves_of(self, agent: str) -> tuple[Move, ...]:
        """An agent's moves in which it may deviate.

        Raises ValueError where it never moves in the attack's stage.
        """
        if self.stage is None:
            return self.market.moves_of(role_of(self.market, agent).name)
        names = tuple(stage.name for stage in self.market.stages)
        return (move_of(self.market, agent, choice(self.stage, "stage", names)),)

    def several(self, agent: str) -> bool:
        """Whether an agent moves in more than one stage of a round."""
        return len(self.market.moves_of(role_of(self.market, agent).name)) > 1

    @cached_property
    def start(self) -> rounds.Situation:
        """The first situation of the markets of all seeds, at the first move of the round."""
        return rounds.begin(self.market, self.seeds)

    @cached_property
    def places(self) -> dict[str, rounds.Situation]:
        """By stage: the situation in the first round before it, where all play the profile."""
        wanted = {move.stage for agent in self.agents for move in self.moves_of(agent)}
        policies, who = seat(self.market, self.profile, self.seeds.to(self.market.device))
        now, places = self.start, {}
        while True:
            stage = rounds.stage_of(self.market, now).name
            if stage in wanted:
                places[stage] = now
            if len(places) == len(wanted):
                return places
            now, _ = rounds.advance(
                self.market, now, rounds.act_mixed(self.market, policies, who, now)
            )

    @property
    def first(self) -> rounds.Situation:
        """Where the first deviator is to move: what no deviation changes is played once."""
        return next(iter(self.places.values()))

    @cached_property
    def base(self) -> Float64[Tensor, "pairs"]:
        """Utility of the deviators per episode where nobody deviates, money."""
        policies, who = seat(self.market, self.profile, self.seeds)
        return self._of_deviators(self._play(policies, who[None]))[0]

    def bases(self) -> tuple[Policy, ...]:
        """What each deviator plays in the profile; of a mixture its likeliest policy."""
        return tuple(_likeliest(self.profile[agent]) for agent in self.agents)

    def starts(self) -> list[tuple[Policy, ...]]:
        """Where searches begin: the profile, and truth where the profile is another policy."""
        own, truth = self.bases(), self.market.policies["truthful"]
        if all(one is truth for one in own):
            return [own]
        return [own, tuple(self.within(one, truth) for one in own)]

    def within(self, base: Policy, policy: Policy) -> Policy:
        """A policy in the fields and the stage of the attack, and a base elsewhere."""
        if self.fields is None and self.stage is None:
            return policy
        return Within(base, policy, self.fields, self.stage)

    def policy_inputs(self, agent: str, stage: str | None = None) -> tuple[Tensor, Tensor]:
        """An agent's observation, and its policy's keys, at its first move in a stage.

        All agents play the profile. stage: None for the first in which the agent may deviate
        """
        role, now = role_of(self.market, agent), self.places[stage or self.moves_of(agent)[0].stage]
        mine = role.agents.index(agent)
        keys = rounds.policy_keys(self.market, now)[:, self.market.people.rows[role.name]]
        return rounds.observe(self.market, now)[role.name][:, mine], keys[:, mine]

    def usual(self, move: Move, bases: Sequence[Policy]) -> dict[str, Usual]:
        """By field: reports of the deviators of a move's role where they play their bases."""
        rows: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in move.action.slices}
        for role, agent, base in zip(self.roles, self.agents, bases, strict=True):
            if role.name != move.name:
                continue
            observation, keys = self.policy_inputs(agent, move.stage)
            ends = (
                end.to(observation.device).expand(len(keys), -1)
                for end in (move.action.low, move.action.high)
            )
            parts = [
                move.read(observation, some)
                for some in (actions_of(base, observation, move, keys), *ends)
            ]
            for name, row in rows.items():
                row.append(tuple(part[name].flatten() for part in parts))
        return {name: Usual(*map(torch.cat, zip(*row, strict=True))) for name, row in rows.items()}

    def lines(self, bases: Sequence[Policy]) -> dict[str, dict[str, Family]]:
        """By role: families of one parameter that change what the bases report, by name.

        They cover every stage in which the role deviates; where it moves in several stages, names
        say the stage.
        """
        return self._families(lambda move: lines(move, self.usual(move, bases), self.fields))

    def families(self, kinds: Sequence[str]) -> dict[str, dict[str, Family]]:
        """By role: the families of some kinds at full length, by name as in ``lines``."""
        return self._families(lambda move: families(move, kinds, self.fields))

    def _families(self, of: Callable[[Move], dict[str, Family]]) -> dict[str, dict[str, Family]]:
        by_role: dict[str, dict[str, Family]] = {}
        for role, agent in zip(self.roles, self.agents, strict=True):
            if role.name in by_role:
                continue
            parts = [of(move) for move in self.moves_of(agent)]
            if self.several(agent):
                parts = [saying_where(part) for part in parts]
            by_role[role.name] = {name: family for part in parts for name, family in part.items()}
        return by_role

    def gains(
        self, candidates: Sequence[tuple[Policy, ...]]
    ) -> Float64[Tensor, "candidates pairs"]:
        """What each candidate, one policy a deviator, earns more than the profile, seed by seed."""
        return torch.cat([self._earned(policies, 1) for policies in candidates]) - self.base

    def grid(
        self,
        bases: Sequence[Policy],
        members: Sequence[Family],
        parameters: Float64[Tensor, "points k"],
    ) -> Float64[Tensor, "points pairs"]:
        """What each point gains, all points and seeds as one batch.

        bases:      each deviator's policy whose reports are changed
        members:    each deviator's family of changes
        parameters: of all deviators side by side   [points, k]
        """
        widths = [len(member.low) for member in members]
        utilities = []
        for piece in parameters.split(at_once(self.first, len(self.seeds), self.most_markets)):
            parts = zip(bases, members, piece.split(widths, 1), strict=True)
            utilities.append(self._earned([Deviation(*part) for part in parts], len(piece)))
        return torch.cat(utilities) - self.base

    def _earned(self, policies: Sequence[Policy], lineups: int) -> Float64[Tensor, "lineups pairs"]:
        """Utility of the deviators where they play these policies.

        A ``Deviation`` of many rows plays row l in line-up l.
        """
        table, who = seat(self.market, self.profile, self.seeds)
        who, names = who.repeat(lineups, 1, 1), agent_names(self.market)
        for k, agent in enumerate(self.agents):
            who[:, :, names.index(agent)] = len(table) + k
        return self._of_deviators(self._play([*table, *policies], who))

    def _play(self, policies: Sequence[Policy], who: Tensor) -> Tensor:
        return play(self.market, policies, who, self.seeds, self.first).utility

    def _of_deviators(self, utility: Tensor) -> Tensor:
        names = agent_names(self.market)
        return utility[..., [names.index(agent) for agent in self.agents]].sum(-1)


def _likeliest(part: Policy | MixedStrategy) -> Policy:
    if isinstance(part, MixedStrategy):
        return part.policies[part.weights.index(max(part.weights))]
    return part
