"""Empirical games: what strategies earn against one another, measured by playing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.lookup import unknown
from marketenv.core.market import Market
from marketenv.core.policy import Policy
from marketenv.metrics import Interval, mean_intervals

from ..lineups import Mixture, find_profile, play

META = 5 * 2**60  # first seed of the meta-games' block; see ``attack.seeds_of``
MOST_EPISODES = 2**20  # profiles x seeds of one estimate
MOST_NUMBERS = 2**22  # mixes x (profiles x their columns) of chances held at once

Mix = Mapping[str, Mapping[str, float]]  # role to strategy to chance


@dataclass(frozen=True)
class MetaGame:
    """A game over strategies whose players of one role are interchangeable.

    A profile says how many agents of each role play each strategy; a column is a strategy of a
    role, roles in order.

    roles, agents: the roles and how many agents each has;   strategies: names, a tuple a role
    counts:   agents that play each column                                       [profiles, columns]
    payoffs:  of such an agent per episode, seed by seed, money; NaN where nobody plays the column
                                                                                 [profiles, columns,
                                                                                     pairs]
    """

    roles: tuple[str, ...]
    agents: tuple[int, ...]
    strategies: tuple[tuple[str, ...], ...]
    counts: Int[Tensor, "profiles columns"]
    payoffs: Float64[Tensor, "profiles columns pairs"]

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Where each role's columns lie."""
        ends = [0, *itertools.accumulate(len(names) for names in self.strategies)]
        return tuple(slice(start, stop) for start, stop in itertools.pairwise(ends))

    @cached_property
    def means(self) -> Float64[Tensor, "profiles columns"]:
        """Mean payoffs, 0 where nobody plays the column."""
        return self.payoffs.nan_to_num().mean(2)

    @cached_property
    def range(self) -> float:
        """The largest mean payoff less the smallest, 1 where all are equal."""
        played = self.means[self.counts > 0]
        return float(played.max() - played.min()) or 1.0

    @cached_property
    def ways(self) -> Float64[Tensor, "columns profiles"]:
        """In how many ways the others of an agent that plays a column can share the profile among
        themselves; 0 for none.

        They are the whole role's ways times the share of its agents that play the column: (n - 1)!
        / (c - 1)! = n! / c! * c / n
        """
        counts, log = self.counts.double(), torch.zeros_like(self.means[:, 0])
        size = torch.cat(
            [
                counts[:, span].sum(1, keepdim=True).expand_as(counts[:, span])
                for span in self.spans
            ],
            1,
        )
        for span in self.spans:
            log = (
                log
                + torch.lgamma(counts[:, span].sum(1) + 1)
                - torch.lgamma(counts[:, span] + 1).sum(1)
            )
        return (log.exp().round()[:, None] * counts / size).round().T

    def chances(
        self, mixes: Float64[Tensor, "mixes columns"]
    ) -> Float64[Tensor, "mixes columns profiles"]:
        """How likely each profile is for an agent that plays a column while all others draw
        from the mix.
        """
        # no chance at all stays far below any other: exp(-690)
        logs = mixes.clamp(min=1e-300).log()
        # all but the agent itself
        return self.ways * ((logs @ self.counts.double().T)[:, None] - logs[:, :, None]).exp()

    def earned(self, mixes: Float64[Tensor, "mixes columns"]) -> Float64[Tensor, "mixes columns"]:
        """Mean payoff of every column while all others draw from the mix."""
        profile, column = self.counts.nonzero().T
        worth = (self.ways.T * self.means)[profile, column]
        # as ``chances``, where somebody plays the column
        logs, counts = mixes.clamp(min=1e-300).log(), self.counts.double()
        parts = [
            some.new_zeros(some.shape).index_add_(
                1, column, worth * ((some @ counts.T)[:, profile] - some[:, column]).exp()
            )
            for some in logs.split(max(1, MOST_NUMBERS // len(profile)))
        ]
        return torch.cat(parts)

    def own(
        self, mixes: Float64[Tensor, "mixes columns"], earned: Float64[Tensor, "mixes columns"]
    ) -> Float64[Tensor, "mixes columns"]:
        """What the role of every column earns by mixing, where its strategies earn ``earned``."""
        parts = [
            (mixes[:, span] * earned[:, span]).sum(1, keepdim=True).expand_as(earned[:, span])
            for span in self.spans
        ]
        return torch.cat(parts, 1)

    def told(self, mix: Float64[Tensor, "columns"]) -> dict[str, dict[str, float]]:
        """Numbers of the columns by role and name."""
        parts = zip(self.roles, self.strategies, self.spans, strict=True)
        return {
            role: dict(zip(names, mix[span].tolist(), strict=True)) for role, names, span in parts
        }

    def flat(self, mix: Mix) -> Float64[Tensor, "columns"]:
        """Chances of the columns, 0 where the mix names none; ValueError for unknown names and
        what is no distribution.
        """
        _known("role", mix, self.roles)
        for role, names in zip(self.roles, self.strategies, strict=True):
            _known(f"strategy of {role}", mix.get(role, {}), names)
            chances = list(mix.get(role, {}).values())
            if not all(chance >= 0 for chance in chances) or not abs(sum(chances) - 1) < 1e-6:
                raise ValueError(
                    f"the chances of {role} are {chances}, wanted numbers >= 0 with sum 1 for every"
                    " role."
                )
        rows = [
            mix[role].get(name, 0.0)
            for role, names in zip(self.roles, self.strategies, strict=True)
            for name in names
        ]
        return torch.tensor(rows, dtype=torch.float64, device="cpu")

    def rows(self) -> list[dict[str, Any]]:
        """Every payoff of every profile with its interval: role, strategy, the profile in
        words, mean, low, high.
        """
        where = (self.counts > 0).nonzero()
        bounds = torch.stack(mean_intervals(self.payoffs[where[:, 0], where[:, 1]]), 1)
        names = [
            (role, name)
            for role, names in zip(self.roles, self.strategies, strict=True)
            for name in names
        ]
        found = []
        for (profile, column), values in zip(where.tolist(), bounds, strict=True):
            counts = zip(names, self.counts[profile].tolist(), strict=True)
            words = ", ".join(f"{count} {role} {name}" for (role, name), count in counts if count)
            told = {"role": names[column][0], "strategy": names[column][1], "profile": words}
            found.append(told | dict(zip(("mean", "low", "high"), _plain(values), strict=True)))
        return found


# --- measuring ------------------------------------------------------------------------------------


def find_strategies(
    market: Market, strategies: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Policy]]:
    """Policies by role and name: what ``estimate`` plays. A role that is left out is truthful.

    Raises ValueError for unknown roles and names, a role without strategies, and a mixture, for
    strategies are pure.
    """
    known = [role.name for role in market.roles]
    _known("role", strategies, known)
    found: dict[str, dict[str, Policy]] = {}
    for role in market.roles:
        given = strategies.get(role.name, {"truthful": "truthful"})
        if not given or any(isinstance(part, Mixture) for part in given.values()):
            raise ValueError(
                f"the strategies of {role.name} are {list(given)}, none or mixtures among them;"
                " wanted one pure strategy at least. List a mixture's policies instead: the game"
                " is solved for their chances."
            )
        found[role.name] = {
            name: find_profile(market, {role.name: part})[role.agents[0]]
            for name, part in given.items()
        }
    return found


def profiles_of(market: Market, strategies: Mapping[str, Mapping[str, Any]]) -> int:
    """How many profiles ``estimate`` plays: multisets of every role's strategies.

    >>> from marketenv import make_market
    >>> profiles_of(
    ...     make_market("reference_v0", game="second_price", n_buyers=3),
    ...     {"buyer": {"a": 0, "b": 1}},
    ... )
    4
    """
    sizes = ((role.count, len(strategies.get(role.name, "1"))) for role in market.roles)
    return math.prod(math.comb(n + s - 1, n) for n, s in sizes)


def estimate(
    market: Market,
    strategies: Mapping[str, Mapping[str, Any]],
    seeds: Int[Tensor, "pairs"],
    most_markets: int = 2**16,
    most_episodes: int = MOST_EPISODES,
) -> MetaGame:
    """Play every profile of strategies on the same seeds, all as one batch.

    strategies:   role to name to policy, scripted strategy, or its name; a role that is left out is
                  truthful
    most_markets: markets played at once; more profiles are played in pieces

    Agents of a role share its strategies and are taken for interchangeable: profiles are multisets
    a role, and who of them plays which strategy is drawn anew on every seed, alike in all profiles.
    The payoff of a strategy is the mean over the agents that play it. Raises ValueError for unknown
    names and for more episodes than ``most_episodes``.

    Source: Wellman, Methods for empirical game-theoretic analysis, AAAI 2006 (role-symmetric
    games).

    >>> from agents.stress.equilibria import solve
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="second_price", n_buyers=3)
    >>> game = estimate(
    ...     market, {"buyer": {"truth": "truthful", "shade": "shade"}}, torch.arange(1000)
    ... )
    >>> game.counts.tolist(), solve(game).mix
    ([[3, 0], [2, 1], [1, 2], [0, 3]], {'buyer': {'truth': 1.0, 'shade': 0.0}})
    """
    policies = find_strategies(market, strategies)
    sizes = [(role.count, len(policies[role.name])) for role in market.roles]
    n_profiles = profiles_of(market, policies)
    if n_profiles * len(seeds) > most_episodes or not len(seeds):
        raise ValueError(
            f"{n_profiles} profiles x {len(seeds)} seeds are {n_profiles * len(seeds)} episodes,"
            f" wanted 1 to {most_episodes}; take fewer strategies or seeds, or raise most_episodes."
        )
    seeds = seeds.cpu()
    columns = torch.tensor(list(_profiles(sizes)), device="cpu")  # of each agent
    counts = torch.zeros(n_profiles, sum(s for _, s in sizes), dtype=torch.int64, device="cpu")
    counts.scatter_add_(1, columns, torch.ones_like(columns))
    seats = torch.cat(list(_seats(market, seeds)), 1)
    table = [policy for row in policies.values() for policy in row.values()]
    pieces = columns.split(max(1, most_markets // len(seeds)))
    payoffs = torch.cat([_payoffs(market, table, piece[:, seats], seeds) for piece in pieces])
    names = tuple(tuple(row) for row in policies.values())
    return MetaGame(tuple(policies), tuple(n for n, _ in sizes), names, counts, payoffs)


def game_of(
    payoffs: Float64[Tensor, "players *profiles"], names: Sequence[Sequence[str]] | None = None
) -> MetaGame:
    """The game of a plain payoff tensor: one role a player, ``player_0`` and so on, of one agent
    each.

    payoffs: of each player at every profile, any unit [players, S_1, ..., S_n];
        names: of each player's strategies
    Raises ValueError for shapes that do not fit and payoffs that are not finite.

    >>> dilemma = torch.tensor([[[3.0, 0], [5, 1]], [[3, 5], [0, 1]]], dtype=torch.float64)
    >>> [
    ...     row["mean"]
    ...     for row in game_of(dilemma, [["cooperate", "defect"]] * 2).rows()
    ...     if row["role"] == "player_1"
    ... ]
    [3.0, 5.0, 0.0, 1.0]
    """
    sizes = list(payoffs.shape[1:])
    names = names or [[str(k) for k in range(size)] for size in sizes]
    if (
        len(sizes) != len(payoffs)
        or [len(row) for row in names] != sizes
        or not bool(payoffs.isfinite().all())
    ):
        raise ValueError(
            f"payoffs are {list(payoffs.shape)} with names for {[len(row) for row in names]}"
            " strategies; wanted finite ones [players, *strategies], one axis of strategies a"
            " player."
        )
    columns = torch.tensor(list(_profiles([(1, size) for size in sizes])), device="cpu")
    counts = torch.zeros(len(columns), sum(sizes), dtype=torch.int64, device="cpu").scatter_(
        1, columns, 1
    )
    table = torch.full(counts.shape, math.nan, dtype=torch.float64, device="cpu").scatter_(
        1, columns, payoffs.cpu().flatten(1).T
    )
    roles = tuple(f"player_{k}" for k in range(len(sizes)))
    return MetaGame(
        roles, (1,) * len(sizes), tuple(tuple(row) for row in names), counts, table[..., None]
    )


def _profiles(sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """The columns that the agents play, profile by profile; sizes are (agents, strategies) a
    role.
    """
    start, parts = 0, []
    for agents, strategies in sizes:
        parts.append(
            list(itertools.combinations_with_replacement(range(start, start + strategies), agents))
        )
        start += strategies
    for choice in itertools.product(*parts):
        yield [column for part in choice for column in part]


def _seats(market: Market, seeds: Tensor) -> Iterator[Int[Tensor, "pairs _"]]:
    """Whose part of the profile each agent of a role plays, drawn for every seed."""
    start = 0
    for role in market.roles:
        yield start + draws.permutation(draws.fold(seeds, "meta-game seats", role.name), role.count)
        start += role.count


def _payoffs(
    market: Market,
    table: Sequence[Policy],
    who: Int[Tensor, "profiles pairs agents"],
    seeds: Tensor,
) -> Float64[Tensor, "profiles columns pairs"]:
    """Mean utility of the agents that play each column, NaN where nobody does."""
    utility = play(market, table, who, seeds).utility
    sums = utility.new_zeros(*who.shape[:2], len(table))
    played = sums.scatter_add(2, who, torch.ones_like(utility))
    return (sums.scatter_add(2, who, utility) / played).permute(0, 2, 1)


def _known(kind: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise unknown(kind, name, tuple(known))


# --- regrets --------------------------------------------------------------------------------------


def regrets(game: MetaGame, mix: Mix) -> dict[str, dict[str, Interval]]:
    """What every strategy earns more than its role's mix while all others mix, with intervals over
    seeds.

    regret[s] = E payoff(s, others) - E payoff(mix, others),
    others drawn from the mix; all <= 0 at an equilibrium

    The expectation over the mix is exact and both sides share seeds, so only the seeds' noise is
    left. A mix that was solved for on these very seeds flatters itself: judge it on others. Raises
    ValueError for a mix that does not fit.

    >>> pennies = torch.tensor([[[1.0, -1], [-1, 1]], [[-1, 1], [1, -1]]], dtype=torch.float64)
    >>> heads = {"player_0": {"0": 1.0}, "player_1": {"0": 1.0}}
    >>> regrets(game_of(pennies), heads)["player_1"]["1"].mean
    2.0
    """
    flat = game.flat(mix)
    each = torch.einsum("cp,pck->ck", game.chances(flat[None])[0], game.payoffs.nan_to_num())
    less = torch.cat([(flat[span] @ each[span]).expand_as(each[span]) for span in game.spans])
    mean, low, high = mean_intervals(each - less)
    bounds = [Interval(*_plain(row)) for row in torch.stack([mean, low, high], 1)]
    parts = zip(game.roles, game.strategies, game.spans, strict=True)
    return {role: dict(zip(names, bounds[span], strict=True)) for role, names, span in parts}


def _plain(bounds: Float64[Tensor, "3"]) -> tuple[float, float | None, float | None]:
    """Mean, low and high as numbers; None for a bound that is NaN."""
    mean, low, high = bounds.tolist()
    return (mean, None, None) if math.isnan(low) else (mean, low, high)
