"""What is attacked: a profile of play, who deviates from it, and what a deviation gains on the same seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws, rounds, tree
from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Role, agent_names, role_of
from marketenv.core.policy import Policy, actions_of
from marketenv.metrics import Interval, mean_intervals

from ..lineups import Mixture, Profile, play, seat
from .deviation import Deviation, Family, Usual, Within
from .kinds import lines

MOST_BYTES = 2**30  # of the markets that are played at once
SELECT, JUDGE = 3 * 2**60, 3 * 2**61  # first seeds of the two blocks; training and its evaluations use others


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
    """Who deviates from which profile, judged on which seeds.

    agents: one agent, or a coalition whose members' utilities are summed
    most_markets: markets that are played at once, fewer where they are large; larger grids are played in pieces
    fields: parts of the action in which they deviate, None for all
    Raises ValueError for unknown agents or fields, a profile that lacks one, no or the same deviators, and no seeds.
    """

    market: Market
    profile: Profile
    agents: tuple[str, ...]
    seeds: Int[Tensor, "pairs"]
    most_markets: int = 2**16
    fields: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        names = agent_names(self.market)
        for agent in self.agents:
            if agent not in names:
                raise unknown("agent", agent, names)
        missing = [name for name in names if name not in self.profile]
        if missing:
            raise ValueError(f"the profile lacks {', '.join(missing)}; find_profile gives every agent a policy.")
        if not self.agents or len(set(self.agents)) < len(self.agents):
            raise ValueError(f"the deviators are {self.agents}; wanted at least one agent, each once.")
        if len(self.seeds) == 0:
            raise ValueError("there are no seeds to play on; wanted at least one, see seeds_of.")
        shared = set.intersection(*(set(role.action.slices) for role in self.roles))
        known = tuple(name for name in self.roles[0].action.slices if name in shared)
        for name in self.fields or ():
            if name not in known:
                raise unknown("field of the action", name, known)
        if self.fields is not None and not self.fields:
            raise ValueError(f"fields is empty, so nothing could be reported otherwise; wanted names among {', '.join(known)}.")

    @property
    def roles(self) -> tuple[Role, ...]:
        """The deviators' roles."""
        return tuple(role_of(self.market, agent) for agent in self.agents)

    @cached_property
    def start(self) -> rounds.Situation:
        """Every seed's first quotes, which no deviation changes."""
        return rounds.begin(self.market, self.seeds)

    @cached_property
    def base(self) -> Float64[Tensor, "pairs"]:
        """Utility of the deviators per episode where nobody deviates, money."""
        policies, who = seat(self.market, self.profile, self.seeds)
        return self._of_deviators(play(self.market, policies, who[None], self.seeds, self.start).utility)[0]

    def bases(self) -> tuple[Policy, ...]:
        """What each deviator plays in the profile; of a mixture its likeliest policy."""
        parts = (self.profile[agent] for agent in self.agents)
        return tuple(p.policies[p.weights.index(max(p.weights))] if isinstance(p, Mixture) else p for p in parts)

    def starts(self) -> list[tuple[Policy, ...]]:
        """What searches set out from: the profile, and truth where that is another, in the fields that may change."""
        own, truth = self.bases(), self.market.policies["truthful"]
        if all(one is truth for one in own):
            return [own]
        return [own, (truth,) * len(own) if self.fields is None else tuple(Within(one, truth, self.fields) for one in own)]

    def seen(self, agent: str) -> tuple[Tensor, Tensor]:
        """What an agent sees at its first move, where all play the profile, and the keys that its policy draws from."""
        role, row, now = role_of(self.market, agent), agent_names(self.market).index(agent), self.start
        policies, who = seat(self.market, self.profile, self.seeds.to(self.market.device))
        while role.name not in self.market.stages[len(now.past)].movers:
            now, _ = rounds.advance(self.market, now, rounds.act_mixed(self.market, policies, who, now))
        keys = draws.agent_keys(draws.fold(now.state.seeds, now.state.round, len(now.past)), who.shape[1], "policy")
        return rounds.observe(self.market, now)[:, row, : role.observation.dim], keys[:, row]

    def usual(self, role: Role, bases: Sequence[Policy]) -> dict[str, Usual]:
        """By field what the deviators of a role report at their first move where they play their bases."""
        rows: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in role.action.slices}
        for agent, base in zip(self.agents, bases, strict=True):
            if role_of(self.market, agent) != role:
                continue
            observation, keys = self.seen(agent)
            ends = (end.to(observation.device).expand(len(keys), -1) for end in (role.action.low, role.action.high))
            parts = [role.read(observation, some) for some in (actions_of(base, observation, role, keys), *ends)]
            for name, row in rows.items():
                row.append(tuple(part[name].flatten() for part in parts))
        return {name: Usual(*map(torch.cat, zip(*row, strict=True))) for name, row in rows.items()}

    def lines(self, bases: Sequence[Policy]) -> dict[str, dict[str, Family]]:
        """For each role of the deviators the families of one parameter that change what their bases report, by name."""
        return {role.name: lines(role, self.usual(role, bases), self.fields) for role in self.roles}

    def gains(self, candidates: Sequence[tuple[Policy, ...]]) -> Float64[Tensor, "candidates pairs"]:
        """What each candidate, one policy a deviator, earns more than the profile, seed by seed."""
        return torch.cat([self._earned(policies, 1) for policies in candidates]) - self.base

    def grid(
        self, bases: Sequence[Policy], members: Sequence[Family], parameters: Float64[Tensor, "points k"]
    ) -> Float64[Tensor, "points pairs"]:
        """What each point gains, all points and seeds as one batch.

        bases, members: of each deviator the policy whose reports are changed, and the family of changes
        parameters:     of all deviators side by side   [points, k]
        """
        widths = [len(member.low) for member in members]
        pieces = parameters.split(at_once(self.start, len(self.seeds), self.most_markets))
        done = [
            self._earned([Deviation(*who) for who in zip(bases, members, piece.split(widths, 1), strict=True)], len(piece))
            for piece in pieces
        ]
        return torch.cat(done) - self.base

    def _earned(self, policies: Sequence[Policy], lineups: int) -> Float64[Tensor, "lineups pairs"]:
        """Utility of the deviators where they play these policies; a ``Deviation`` of many rows plays row l in line-up l."""
        table, who = seat(self.market, self.profile, self.seeds)
        who, names = who.repeat(lineups, 1, 1), agent_names(self.market)
        for k, agent in enumerate(self.agents):
            who[:, :, names.index(agent)] = len(table) + k
        return self._of_deviators(play(self.market, [*table, *policies], who, self.seeds, self.start).utility)

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
        return [Interval(mean, *(None if math.isnan(end) else end for end in ends)) for mean, *ends in rows]


def curve(attack: Attack, family: Family, points: int = 41) -> Curve:
    """The gain along a family of one parameter: points x seeds as one batch; a coalition deviates alike.

    The line ends where the box begins to clip every report of the first deviator's role.

    >>> from agents.lineups import find_profile
    >>> from agents.stress import families
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="double_auction")
    >>> attack = Attack(market, find_profile(market), ("buyer_0",), seeds_of(JUDGE, 512))
    >>> found = curve(attack, families(market.roles[0])["scale price"], 61)
    >>> round(float(found.parameters[found.gains.mean(1).argmax()]), 1)  # truth's best answer is 2/3
    0.7
    """
    bases = attack.bases()
    family = family.within(attack.usual(attack.roles[0], bases))
    parameters = family.line(points)
    alike = parameters.repeat(1, len(attack.agents))
    return Curve(family, parameters[:, 0], attack.grid(bases, (family,) * len(attack.agents), alike))
