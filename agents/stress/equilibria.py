"""Equilibria of empirical games: exact for two players, by replicator dynamics for more."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.policy import Policy

from ..lineups import MixedStrategy
from .meta_game import MetaGame

STEPS, RATE, STARTS = 2000, 0.2, 8  # of the replicator dynamics; random starts beside the corners
PIVOTS = 5000  # of a complementary path; with rounding a path may be lost
PURE = 4096  # pure profiles that are looked at one by one
SUPPORTS = 6  # strategies of a player up to which all supports are enumerated
ROUNDING = 1e-9  # regrets that differ by less, relative to the payoffs' range, are equal


@dataclass(frozen=True)
class Equilibrium:
    """A mix per role from which the strategies at hand gain least.

    mix:    role to strategy to chance
    value:  what a role's agent earns, money
    regret: what each strategy earns more than its role's mix, money; a lower bound of the regret
            over all strategies
    method: "pure", "support enumeration", "Lemke-Howson" or "replicator dynamics"
    """

    mix: dict[str, dict[str, float]]
    value: dict[str, float]
    regret: dict[str, dict[str, float]]
    method: str

    @property
    def distance(self) -> float:
        """The largest regret of any strategy, money, >= 0; 0 at an equilibrium."""
        return max(0.0, *(each for row in self.regret.values() for each in row.values()))

    def mixture(self, role: str, policies: Mapping[str, Policy]) -> MixedStrategy:
        """The role's mix over policies by name, those without a chance left out."""
        chances = {name: chance for name, chance in self.mix[role].items() if chance > 0}
        return MixedStrategy(tuple(policies[name] for name in chances), tuple(chances.values()))


def solve(game: MetaGame) -> Equilibrium:
    """The mix per role from which no strategy of the game gains, or the candidate of least regret.

    Pure profiles come first. Where none is an equilibrium, two players (two roles of one agent, or
    one role of two) are solved exactly: all supports, by nashpy, where the game is small, else the
    algorithm of Lemke and Howson from every label. More players, and games that these methods miss,
    are solved by replicator dynamics from many starts, points and time averages alike. Of all
    candidates the one of least regret is taken, then of the largest sum of payoffs, then the first;
    its ``distance`` says how far it is from an equilibrium. Agents of one role get the same mix.

    Raises ImportError where a small game of two players is to be solved and nashpy is absent.

    >>> from agents.stress.meta_game import game_of
    >>> rock = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64)
    >>> result = solve(game_of(torch.stack([rock, -rock])))
    >>> [round(chance, 9) for chance in result.mix["player_0"].values()], result.method
    ([0.333333333, 0.333333333, 0.333333333], 'support enumeration')
    """
    candidates = list(_candidates(game, pure))
    for method in _methods(game):
        if any(regret <= ROUNDING * game.range for regret, *_ in candidates):
            break
        candidates += _candidates(game, method)
    _, _, mix, name = min(candidates, key=partial(_rank, game))
    earned = game.earned(mix[None])
    own = game.own(mix[None], earned)[0]
    spans = zip(game.roles, game.spans, strict=True)
    value = {role: float(own[span.start]) for role, span in spans}
    return Equilibrium(game.by_name(mix), value, game.by_name(earned[0] - own), name)


def _rank(game: MetaGame, candidate: tuple[float, float, Tensor, str]) -> tuple[int, float]:
    """Regret in units of rounding, then minus the sum of payoffs."""
    regret, payoffs, *_ = candidate
    return max(0, round(regret / (ROUNDING * game.range))), payoffs


def _candidates(
    game: MetaGame, method: Callable[[MetaGame], Iterator[tuple[Tensor, str]]]
) -> Iterator[tuple[float, float, Tensor, str]]:
    """(largest regret, minus the sum of payoffs, mix, method) of what a method finds."""
    for mixes, name in method(game):
        earned = game.earned(mixes)
        own = game.own(mixes, earned)
        starts = [span.start for span in game.spans]
        total = (own[:, starts] * own.new_tensor(game.agents)).sum(1) / game.range
        rows = zip((earned - own).amax(1).tolist(), total.tolist(), mixes, strict=True)
        yield from ((regret, -round(sums, 9), mix, name) for regret, sums, mix in rows)


def _methods(game: MetaGame) -> tuple[Callable[[MetaGame], Iterator[tuple[Tensor, str]]], ...]:
    """What a game is solved with, in turn, until an equilibrium is found."""
    if game.agents not in ((1, 1), (2,)):
        return (replicator,)
    small = max(len(names) for names in game.strategies) <= SUPPORTS
    return (supports, lemke_howson, replicator) if small else (lemke_howson, replicator)


def pure(game: MetaGame) -> Iterator[tuple[Float64[Tensor, "mixes columns"], str]]:
    """Every profile of one strategy a role; none where there are too many."""
    if math.prod(len(names) for names in game.strategies) <= PURE:
        parts = [
            torch.eye(len(names), dtype=torch.float64, device="cpu") for names in game.strategies
        ]
        yield torch.stack([torch.cat(rows) for rows in itertools.product(*parts)]), "pure"


def supports(game: MetaGame) -> Iterator[tuple[Float64[Tensor, "mixes columns"], str]]:
    """Equilibria of all supports of a two-player game, by nashpy.

    Where both players are agents of one role, a mix is the first player's.

    Raises ImportError where nashpy is absent.
    """
    try:
        import nashpy
    except ImportError:
        raise ImportError(
            "a game of two players is solved with nashpy: pip install 'marketenv[stress]'"
        ) from None
    first, second = _matrices(game)
    with warnings.catch_warnings():
        # it warns of degenerate games; what it finds in them is judged by its regret
        warnings.simplefilter("ignore")
        pairs = list(nashpy.Game(first.numpy(), second.numpy()).support_enumeration())
    parts = [
        [torch.as_tensor(mix, dtype=torch.float64, device="cpu") for mix in pair] for pair in pairs
    ]
    rows = [torch.cat(pair) if len(game.agents) == 2 else pair[0] for pair in parts]
    if rows:
        yield _normal(game, torch.stack(rows)), "support enumeration"


def lemke_howson(game: MetaGame) -> Iterator[tuple[Float64[Tensor, "mixes columns"], str]]:
    """Equilibria of a two-player game: the ends of complementary paths from every label.

    Where both players are agents of one role, a mix is one for both.

    z >= 0, C z <= 1, z (1 - C z) = 0;
    C = [[0, A], [B', 0]] for payoffs A, B > 0 of two roles; C = A for one

    Source: Lemke and Howson, Journal of the SIAM 12 (1964), as one problem of linear
    complementarity; ties are broken lexicographically, so no path returns but by rounding.
    """
    first, second = _matrices(game)
    first, second = first - first.min() + game.range, second - second.min() + game.range
    if len(game.agents) == 2:
        rows, columns = first.shape
        top = torch.cat([first.new_zeros(rows, rows), first], 1)
        first = torch.cat([top, torch.cat([second.T, first.new_zeros(columns, columns)], 1)])
    ends = [_path(first / game.range, label) for label in range(len(first))]
    whole = [end for end in ends if end is not None]
    if whole:
        yield _normal(game, torch.stack(whole)), "Lemke-Howson"


def _path(matrix: Float64[Tensor, "n n"], label: int) -> Float64[Tensor, "n"] | None:
    """Follow the complementary path that begins by dropping a label; None where it is lost.

    Column k of the tableau is z_k, column n + k its slack 1 - (C z)_k; one of the two is 0, but for
    the label's pair.
    """
    n = len(matrix)
    tableau = torch.cat(
        [matrix, torch.eye(n, dtype=torch.float64, device="cpu"), matrix.new_ones(n, 1)], 1
    )
    basis, entering = list(range(n, 2 * n)), label
    for _ in range(PIVOTS):
        rows = (tableau[:, entering] > 1e-10).nonzero()[:, 0]
        # the least ratio; of ties the least in lexicographic order
        for column in (2 * n, *range(n, 2 * n)):
            ratios = tableau[rows, column] / tableau[rows, entering]
            rows = rows[ratios <= ratios.amin() + 1e-12] if len(rows) > 1 else rows
        if not len(rows):
            return None
        row = int(rows[0])
        pivot = tableau[row] / tableau[row, entering]
        tableau = tableau - tableau[:, entering, None] * pivot
        tableau[row] = pivot
        leaving, basis[row] = basis[row], entering
        if leaving % n == label:
            solution = tableau.new_zeros(2 * n)
            solution[basis] = tableau[:, -1]
            return solution[:n]
        entering = (leaving + n) % (2 * n)
    return None


def _normal(game: MetaGame, mixes: Tensor) -> Float64[Tensor, "mixes columns"]:
    """The mixes of which every role has one, with sum 1."""
    mixes = mixes.clamp(min=0.0)
    sums = torch.cat(
        [mixes[:, span].sum(1, keepdim=True).expand_as(mixes[:, span]) for span in game.spans], 1
    )
    mixes = mixes / sums
    return mixes[mixes.isfinite().all(1)]


def _matrices(
    game: MetaGame,
) -> tuple[Float64[Tensor, "rows columns"], Float64[Tensor, "rows columns"]]:
    """Mean payoffs of both players; those of one role have each other's matrix, transposed."""
    rows, columns = game.spans[0], game.spans[-1]
    every = torch.eye(game.counts.shape[1], dtype=torch.float64, device="cpu")
    earned = game.earned(every)  # of every column against every other
    first = earned[columns, rows].T
    return first, earned[rows, columns] if len(game.agents) == 2 else first.T


def replicator(game: MetaGame) -> Iterator[tuple[Float64[Tensor, "mixes columns"], str]]:
    """Of every start of the dynamics the point, and the time average, of least regret.

    x'[s] = x[s] (1 + rate (u[s] - u[mix]) / range),   u of strategy s and of its role's mix

    Started from the middle, near every strategy, and at random. Source: Taylor and Jonker,
    Mathematical Biosciences 40 (1978); for several roles, Weibull, Evolutionary Game Theory (1995),
    chapter 5.
    """
    now = _starts(game)
    least = torch.full((2, len(now)), math.inf, dtype=torch.float64, device="cpu")
    best, total = torch.stack([now, now]), torch.zeros_like(now)
    for step in range(1, STEPS + 1):
        total = total + now
        both = torch.stack([now, total / step])
        earned = game.earned(both.flatten(0, 1))
        gain = (earned - game.own(both.flatten(0, 1), earned)).unflatten(0, (2, -1))
        best = torch.where((gain.amax(2) < least)[..., None], both, best)
        least = least.minimum(gain.amax(2))
        if float(least.min()) <= 1e-14 * game.range:
            break
        now = now * (1 + RATE * gain[0] / game.range)
    yield best.flatten(0, 1), "replicator dynamics"


def _starts(game: MetaGame) -> Float64[Tensor, "starts columns"]:
    """The middle, a point near every strategy, and random points: mixes of all roles."""
    columns = game.counts.shape[1]
    weights = torch.ones(1 + columns + STARTS, columns, dtype=torch.float64, device="cpu")
    weights[1 : 1 + columns] += 10 * torch.eye(columns, dtype=torch.float64, device="cpu")
    weights[1 + columns :] = -draws.uniform(
        draws.fold(torch.arange(STARTS, device="cpu"), "replicator"), columns
    ).log()
    for span in game.spans:
        weights[:, span] = weights[:, span] / weights[:, span].sum(1, keepdim=True)
    return weights
