"""What is attacked: a profile of play, who deviates from it, and what a deviation gains on the
same seeds.
"""

from __future__ import annotations

import math
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
from marketenv.metrics import Interval, mean_intervals

from ..lineups import Mixture, Profile, play, seat
from .deviation import Deviation, Family, Usual, Within
from .kinds import families, lines, saying_where

MOST_BYTES = 2**30  # of the markets that are played at once
# first seeds of the two blocks; training and its evaluations use others
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
    """Who deviates from which profile, in which stages, judged on which seeds.

    agents: one agent, or a coalition whose members' utilities are summed
    most_markets: markets that are played at once, fewer where they are large; larger grids are
        played in pieces
    fields: parts of the action in which they deviate, None for all
    stage:  in which they deviate, in every round; None for every stage in which they move
    Raises ValueError for unknown agents, fields or stages, a profile that lacks one, no or the same
    deviators, and no seeds.
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
        """Refuse a stage in which some deviator never moves, and fields that some deviator's
        actions lack.
        """
        each = [
            {name: None for move in self.moves_of(agent) for name in move.action.slices}
            for agent in self.agents
        ]
        known = tuple(name for name in each[0] if all(name in one for one in each))
        for name in self.fields or ():
            if name not in known:
                raise unknown("field of the action", name, known)
        if self.fields is not None and not self.fields:
            raise ValueError(
                "fields is empty, so nothing could be reported otherwise; wanted names among"
                f" {', '.join(known)}."
            )

    @property
    def roles(self) -> tuple[Role, ...]:
        """The deviators' roles."""
        return tuple(role_of(self.market, agent) for agent in self.agents)

    def moves_of(self, agent: str) -> tuple[Move, ...]:
        """An agent's moves in which it may deviate; ValueError where it never moves in the
        attack's stage.
        """
        if self.stage is not None:
            return (
                move_of(
                    self.market,
                    agent,
                    choice(self.stage, "stage", tuple(one.name for one in self.market.stages)),
                ),
            )
        return self.market.moves_of(role_of(self.market, agent).name)

    def several(self, agent: str) -> bool:
        """Whether an agent moves in more than one stage of a round, so that words about it name
        the stage.
        """
        return len(self.market.moves_of(role_of(self.market, agent).name)) > 1

    @cached_property
    def start(self) -> rounds.Situation:
        """Where the markets of all seeds stand at first, at the first move of the round."""
        return rounds.begin(self.market, self.seeds)

    @cached_property
    def places(self) -> dict[str, rounds.Situation]:
        """By stage where the first round stands when deviators move in it, all playing the
        profile until then.
        """
        wanted = {move.stage for agent in self.agents for move in self.moves_of(agent)}
        policies, who = seat(self.market, self.profile, self.seeds.to(self.market.device))
        now, found = self.start, {}
        while True:
            stage = rounds.stage_of(self.market, now).name
            if stage in wanted:
                found[stage] = now
            if len(found) == len(wanted):
                return found
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
        return self._of_deviators(
            play(self.market, policies, who[None], self.seeds, self.first).utility
        )[0]

    def bases(self) -> tuple[Policy, ...]:
        """What each deviator plays in the profile; of a mixture its likeliest policy."""
        parts = (self.profile[agent] for agent in self.agents)
        return tuple(
            p.policies[p.weights.index(max(p.weights))] if isinstance(p, Mixture) else p
            for p in parts
        )

    def starts(self) -> list[tuple[Policy, ...]]:
        """What searches set out from: the profile, and truth where that is another, in what may
        change.
        """
        own, truth = self.bases(), self.market.policies["truthful"]
        if all(one is truth for one in own):
            return [own]
        return [own, tuple(self.within(one, truth) for one in own)]

    def within(self, base: Policy, policy: Policy) -> Policy:
        """A policy in the fields and the stage of the attack, and a base elsewhere."""
        return (
            policy
            if self.fields is None and self.stage is None
            else Within(base, policy, self.fields, self.stage)
        )

    def seen(self, agent: str, stage: str | None = None) -> tuple[Tensor, Tensor]:
        """What an agent sees where all play the profile, and the keys that its policy draws from;
        at its first move in a stage.

        stage: None for the first in which it may deviate
        """
        role, now = role_of(self.market, agent), self.places[stage or self.moves_of(agent)[0].stage]
        mine = role.agents.index(agent)
        keys = rounds.policy_keys(self.market, now)[:, self.market.people.rows[role.name]]
        return rounds.observe(self.market, now)[role.name][:, mine], keys[:, mine]

    def usual(self, move: Move, bases: Sequence[Policy]) -> dict[str, Usual]:
        """By field what the deviators of a move's role report there at first, where they play
        their bases.
        """
        rows: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in move.action.slices}
        for role, agent, base in zip(self.roles, self.agents, bases, strict=True):
            if role.name != move.name:
                continue
            observation, keys = self.seen(agent, move.stage)
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
        """For each role of the deviators the families of one parameter that change what their bases
        report, by name.

        They are of every stage in which the role deviates, and are named by it where the role moves
        in several.
        """
        return self._families(lambda move: lines(move, self.usual(move, bases), self.fields))

    def families(self, kinds: Sequence[str]) -> dict[str, dict[str, Family]]:
        """For each role of the deviators the families of some kinds, as ``lines`` has them, as
        long as they can be.
        """
        return self._families(lambda move: families(move, kinds, self.fields))

    def _families(self, of: Callable[[Move], dict[str, Family]]) -> dict[str, dict[str, Family]]:
        found: dict[str, dict[str, Family]] = {}
        for role, agent in zip(self.roles, self.agents, strict=True):
            if role.name not in found:
                parts = [
                    saying_where(of(move)) if self.several(agent) else of(move)
                    for move in self.moves_of(agent)
                ]
                found[role.name] = {name: family for part in parts for name, family in part.items()}
        return found

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

        bases, members: of each deviator the policy whose reports are changed, and the family of
            changes
        parameters:     of all deviators side by side   [points, k]
        """
        widths = [len(member.low) for member in members]
        pieces = parameters.split(at_once(self.first, len(self.seeds), self.most_markets))
        done = [
            self._earned(
                [
                    Deviation(*who)
                    for who in zip(bases, members, piece.split(widths, 1), strict=True)
                ],
                len(piece),
            )
            for piece in pieces
        ]
        return torch.cat(done) - self.base

    def _earned(self, policies: Sequence[Policy], lineups: int) -> Float64[Tensor, "lineups pairs"]:
        """Utility of the deviators where they play these policies; a ``Deviation`` of many rows
        plays row l in line-up l.
        """
        table, who = seat(self.market, self.profile, self.seeds)
        who, names = who.repeat(lineups, 1, 1), agent_names(self.market)
        for k, agent in enumerate(self.agents):
            who[:, :, names.index(agent)] = len(table) + k
        return self._of_deviators(
            play(self.market, [*table, *policies], who, self.seeds, self.first).utility
        )

    def _of_deviators(self, utility: Tensor) -> Tensor:
        names = agent_names(self.market)
        return utility[..., [names.index(agent) for agent in self.agents]].sum(-1)


@dataclass(frozen=True)
class Curve:
    """Gain against deviation, with common random numbers.

    family:     as far as it goes without clipping every report
    parameters: of the family, one a point                        [points]
    gains:      what a point gains over the profile, seed by seed  [points, pairs]
    """

    family: Family
    parameters: Float64[Tensor, "points"]
    gains: Float64[Tensor, "points pairs"]

    def bands(self) -> list[Interval]:
        """Mean gain of every point with its interval."""
        rows = zip(*(part.tolist() for part in mean_intervals(self.gains)), strict=True)
        return [
            Interval(mean, *(None if math.isnan(end) else end for end in ends))
            for mean, *ends in rows
        ]


def curve(attack: Attack, family: Family, points: int = 41) -> Curve:
    """The gain along a family of one parameter: points x seeds as one batch; a coalition deviates
    alike.

    The line ends where the box begins to clip every report of the first deviator's role in the
    family's stage.

    >>> from agents.lineups import find_profile
    >>> from agents.stress import families
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="double_auction")
    >>> attack = Attack(market, find_profile(market), ("buyer_0",), seeds_of(JUDGE, 512))
    >>> found = curve(attack, families(market.moves[0])["scale price"], 61)
    >>> round(
    ...     float(found.parameters[found.gains.mean(1).argmax()]), 1
    ... )  # truth's best answer is 2/3
    0.7
    """
    bases = attack.bases()
    moves = [move for move in attack.moves_of(attack.agents[0]) if family.stage in ("", move.stage)]
    if not moves:
        raise ValueError(
            f"{family} changes what is done in stage {family.stage!r}, in which {attack.agents[0]}"
            " does not deviate."
        )
    family = family.within(attack.usual(moves[0], bases))
    parameters = family.line(points)
    alike = parameters.repeat(1, len(attack.agents))
    return Curve(
        family, parameters[:, 0], attack.grid(bases, (family,) * len(attack.agents), alike)
    )
