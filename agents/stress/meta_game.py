"""Empirical games: what strategies earn against one another, and what a mix leaves to gain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core.lookup import unknown
from marketenv.metrics import Interval, mean_intervals

MOST_NUMBERS = 2**22  # mixes x (profiles x their columns) of chances held at once

Mix = Mapping[str, Mapping[str, float]]  # role to strategy to chance


@dataclass(frozen=True)
class MetaGame:
    """A game over strategies whose players of one role are interchangeable.

    A profile says how many agents of each role play each strategy; a column is a strategy of a
    role, roles in order.

    roles, agents: the roles, and the number of agents of each
    strategies:    names, a tuple a role
    counts:  agents that play each column                                    [profiles, columns]
    payoffs: of such an agent per episode, seed by seed, money; NaN where nobody plays the column
                                                                      [profiles, columns, pairs]
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
        """Number of ways in which the others of a column's player can share out a profile.

        They are the whole role's ways times the share of its agents that play the column: (n - 1)!
        / (c - 1)! = n! / c! * c / n. Where nobody plays the column there are none.
        """
        counts, log = self.counts.double(), torch.zeros_like(self.means[:, 0])
        sizes = []
        for span in self.spans:
            size, own = counts[:, span].sum(1, keepdim=True), counts[:, span]
            sizes.append(size.expand_as(own))
            log = log + torch.lgamma(size[:, 0] + 1) - torch.lgamma(own + 1).sum(1)
        return (log.exp().round()[:, None] * counts / torch.cat(sizes, 1)).round().T

    def chances(
        self, mixes: Float64[Tensor, "mixes columns"]
    ) -> Float64[Tensor, "mixes columns profiles"]:
        """Chance of each profile for an agent of each column while all others draw from the mix."""
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

    def by_name(self, mix: Float64[Tensor, "columns"]) -> dict[str, dict[str, float]]:
        """Numbers of the columns by role and name."""
        parts = zip(self.roles, self.strategies, self.spans, strict=True)
        return {
            role: dict(zip(names, mix[span].tolist(), strict=True)) for role, names, span in parts
        }

    def flat(self, mix: Mix) -> Float64[Tensor, "columns"]:
        """Chances of the columns, 0 where the mix names none.

        Raises ValueError for unknown names and for chances that are no distribution.
        """
        check_names("role", mix, self.roles)
        rows: list[float] = []
        for role, names in zip(self.roles, self.strategies, strict=True):
            chances = mix.get(role, {})
            check_names(f"strategy of {role}", chances, names)
            numbers = list(chances.values())
            if not all(chance >= 0 for chance in numbers) or not abs(sum(numbers) - 1) < 1e-6:
                raise ValueError(
                    f"the chances of {role} are {numbers}, wanted numbers >= 0 with sum 1 for every"
                    " role."
                )
            rows += [chances.get(name, 0.0) for name in names]
        return torch.tensor(rows, dtype=torch.float64, device="cpu")

    def rows(self) -> list[dict[str, Any]]:
        """Every payoff of every profile: role, strategy, profile in words, mean, low, high."""
        where = (self.counts > 0).nonzero()
        bounds = torch.stack(mean_intervals(self.payoffs[where[:, 0], where[:, 1]]), 1)
        columns = zip(self.roles, self.strategies, strict=True)
        names = [(role, name) for role, strategies in columns for name in strategies]
        rows = []
        for (profile, column), values in zip(where.tolist(), bounds, strict=True):
            counts = zip(names, self.counts[profile].tolist(), strict=True)
            words = ", ".join(f"{count} {role} {name}" for (role, name), count in counts if count)
            row = {"role": names[column][0], "strategy": names[column][1], "profile": words}
            rows.append(row | dict(zip(("mean", "low", "high"), _plain(values), strict=True)))
        return rows


def game_of(
    payoffs: Float64[Tensor, "players *profiles"], names: Sequence[Sequence[str]] | None = None
) -> MetaGame:
    """The game of a payoff tensor: one role of one agent a player, ``player_0`` and so on.

    payoffs: of each player at every profile, any unit   [players, S_1, ..., S_n]
    names:   of each player's strategies
    Raises ValueError for shapes that do not fit and payoffs that are not finite.

    >>> dilemma = torch.tensor([[[3.0, 0], [5, 1]], [[3, 5], [0, 1]]], dtype=torch.float64)
    >>> game = game_of(dilemma, [["cooperate", "defect"]] * 2)
    >>> [row["mean"] for row in game.rows() if row["role"] == "player_1"]
    [3.0, 5.0, 0.0, 1.0]
    """
    sizes = list(payoffs.shape[1:])
    names = names or [[str(k) for k in range(size)] for size in sizes]
    counts = [len(row) for row in names]
    if len(sizes) != len(payoffs) or counts != sizes or not bool(payoffs.isfinite().all()):
        raise ValueError(
            f"payoffs are {list(payoffs.shape)} with names for {counts} strategies; wanted finite"
            " ones [players, *strategies], one axis of strategies a player."
        )
    columns = torch.tensor(list(profile_columns([(1, size) for size in sizes])), device="cpu")
    empty = torch.zeros(len(columns), sum(sizes), dtype=torch.int64, device="cpu")
    table = torch.full(empty.shape, math.nan, dtype=torch.float64, device="cpu")
    table.scatter_(1, columns, payoffs.cpu().flatten(1).T)
    roles = tuple(f"player_{k}" for k in range(len(sizes)))
    strategies = tuple(tuple(row) for row in names)
    one_each = (1,) * len(sizes)
    return MetaGame(roles, one_each, strategies, empty.scatter(1, columns, 1), table[..., None])


def profile_columns(sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """The columns that agents play by profile; sizes are (agents, strategies) a role."""
    start, parts = 0, []
    for agents, strategies in sizes:
        columns = range(start, start + strategies)
        parts.append(list(itertools.combinations_with_replacement(columns, agents)))
        start += strategies
    for choice in itertools.product(*parts):
        yield [column for part in choice for column in part]


def regrets(game: MetaGame, mix: Mix) -> dict[str, dict[str, Interval]]:
    """What every strategy earns more than its role's mix while all others mix, with intervals.

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


def check_names(kind: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Raise ValueError for the first unknown name, with its neighbour."""
    for name in names:
        if name not in known:
            raise unknown(kind, name, tuple(known))
