"""Empirical games by play: every profile of a market's strategies on the same seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.market import Market
from marketenv.core.policy import Policy

from ..lineups import MixedStrategy, find_profile, play
from .meta_game import MetaGame, check_names, profile_columns

META = 5 * 2**60  # first seed of the meta-games' block; see ``attack.seeds_of``
MOST_EPISODES = 2**20  # profiles x seeds of one estimate


def find_strategies(
    market: Market, strategies: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Policy]]:
    """Policies by role and name, as ``estimate`` plays them; a role that is left out is truthful.

    Raises ValueError for unknown roles and names, for a role without strategies, and for a mixture:
    strategies are pure.
    """
    check_names("role", strategies, [role.name for role in market.roles])
    policies: dict[str, dict[str, Policy]] = {}
    for role in market.roles:
        parts = strategies.get(role.name, {"truthful": "truthful"})
        if not parts or any(isinstance(part, MixedStrategy) for part in parts.values()):
            raise ValueError(
                f"the strategies of {role.name} are {list(parts)}, none or mixtures among them;"
                " wanted one pure strategy at least. List a mixture's policies instead: the game"
                " is solved for their chances."
            )
        first = role.agents[0]
        policies[role.name] = {
            name: find_profile(market, {role.name: part})[first] for name, part in parts.items()
        }
    return policies


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

    >>> from agents.stress import solve
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
    columns = torch.tensor(list(profile_columns(sizes)), device="cpu")  # of each agent
    counts = torch.zeros(n_profiles, sum(s for _, s in sizes), dtype=torch.int64, device="cpu")
    counts.scatter_add_(1, columns, torch.ones_like(columns))
    seats = torch.cat(list(_seats(market, seeds)), 1)
    table = [policy for row in policies.values() for policy in row.values()]
    pieces = columns.split(max(1, most_markets // len(seeds)))
    payoffs = torch.cat([_payoffs(market, table, piece[:, seats], seeds) for piece in pieces])
    names = tuple(tuple(row) for row in policies.values())
    return MetaGame(tuple(policies), tuple(n for n, _ in sizes), names, counts, payoffs)


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
