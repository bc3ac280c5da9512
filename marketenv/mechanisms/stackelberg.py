"""Stackelberg equilibria of the tripartite game.

The leader commits to a payment, owners contest it with their data, and centres contest the owners'
fees. To solve it another way, write ``TripartiteGame -> Stackelberg`` and pass it as ``solver``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.checks import named_part
from marketenv.core.parts import made
from marketenv.mechanisms.capped_contest import Equilibria, equilibria
from marketenv.mechanisms.contest import (
    active_set,
    contest,
    contest_utilities,
    intensity,
    interior_efforts,
)
from marketenv.mechanisms.tripartite_game import (
    Number,
    PerCentre,
    PerMarket,
    PerOwner,
    Stackelberg,
    TripartiteGame,
    check_quality,
    per_market,
)

# halvings of an interval in which the leader's gain is concave: enough for all float64 digits
HALVINGS = 60


def stackelberg(
    quality: PerOwner,
    sigma: PerCentre,
    alpha: Number = 5.0,
    k: Number = 0.5,
    lam: Number = 1.0,
    rho: Number = 1.0,
    eps: Number = 1.0,
    caps: PerOwner | None = None,
    solver: str | Solver = "sne",
) -> Stackelberg:
    """Solve the tripartite game: eta, x, d, and the utilities of leader, owners and centres.

    Arguments as in ``TripartiteGame``;   solver: a name of ``STACKELBERG_SOLVERS``, or a callable

    With fewer than two owners or two centres there is no trade, and all numbers are 0.
    Raises ValueError as ``TripartiteGame``, for an unknown solver, and for what is no result.

    >>> solution = stackelberg(torch.ones(1, 10).double(), torch.ones(1, 10).double())
    >>> [round(float(part[0].mean()), 6) for part in solution]
    [1.388889, 0.125, 0.1125, 0.638437, 0.013889, 0.0125]
    """
    wanted = "a callable TripartiteGame -> Stackelberg"
    solve = named_part(solver, "solver", STACKELBERG_SOLVERS, wanted, takes=1)
    game = TripartiteGame(quality, sigma, alpha, k, lam, rho, eps, caps)
    return made(solve(game), Stackelberg, "solver")


def sne(game: TripartiteGame) -> Stackelberg:
    """The Stackelberg-Nash equilibrium by backward induction, with efforts >= 0 and within caps.

    owners: ``contest`` of eta at costs c_n;   centres: ``contest`` of lam rho sum x at costs e_m
    leader: ``leader_optimum``, which lets both re-equilibrate

    Source: derived here. The definition that arXiv 2501.14588 prints holds the followers fixed when
    the leader deviates; then eta = 0 always beats any eta > 0, so no trade could be an equilibrium.
    """
    eta = leader_optimum(game.quality, game.alpha, game.k, game.unit_cost, game.caps)
    eta = torch.where(game.computable, eta, 0.0)
    x = contributions(eta, game.quality, game.unit_cost, game.caps)
    return played(game, eta, x, contest(game.unit_cost * x.sum(-1), game.centre_costs))


def official_foc(game: TripartiteGame) -> Stackelberg:
    """The solution of the authors' public code: all first-order conditions, whatever the signs.

    as ``sne`` without caps, but K = (N - 1) / (c_1 + ... + c_N) over all owners, and centres alike

    An agent that the equilibrium leaves out gets a negative x or d here, so this is no equilibrium.
    Owners of quality 0 are left out.
    Raises ValueError for caps, which the code does not know.
    Source: ``find_stackelberg_equilibrium`` of leaveWhite9088/QD-RDFL. We differ: in closed form,
    so it also answers where the code's root finder fails (N > 70); the code solves no centres.
    """
    if game.caps is not None:
        raise ValueError(
            "caps are given, and official_foc knows none. Leave them out, or use solver='sne'."
        )
    owners, centres = everybody(game.owner_costs), everybody(game.centre_costs)
    eta = _uncapped_optimum(cast(Tensor, game.alpha * game.k), intensity(game.owner_costs, owners))
    eta = torch.where(game.computable, eta, 0.0)
    q = interior_efforts(eta, game.owner_costs, owners)
    x = torch.where(owners, q / game.quality, 0.0)
    d = interior_efforts(game.unit_cost * x.sum(-1), game.centre_costs, centres)
    return played(game, eta, x, d)


def everybody(costs: Float64[Tensor, "markets contestants"]) -> Bool[Tensor, "markets contestants"]:
    """Contestants of finite cost, if they are two or more: bool [markets, contestants]."""
    able = costs.isfinite()
    return able & (able.sum(-1, keepdim=True) >= 2)


def played(game: TripartiteGame, eta: PerMarket, x: PerOwner, d: PerCentre) -> Stackelberg:
    """The utilities of these actions, by the formulas of ``TripartiteGame``.

    eta: money [markets];   x: [markets, owners];   d: [markets, centres]
    """
    q = game.quality * x
    return Stackelberg(
        eta,
        x,
        d,
        leader_utility(eta, q.sum(-1), game.alpha, game.k),
        contest_utilities(eta, game.owner_costs, q),
        contest_utilities(game.unit_cost * x.sum(-1), game.centre_costs, d),
    )


def leader_utility(
    eta: PerMarket, total: PerMarket, alpha: Number = 5.0, k: Number = 0.5
) -> PerMarket:
    """U_s = alpha k ln(1 + sum q) - eta, money [markets].

    eta: money [markets];   total: sum of the true q_n [markets]. Source: as in ``TripartiteGame``.

    >>> leader_utility(torch.ones(1).double(), torch.ones(1).double())  # 2.5 ln 2 - 1
    tensor([0.7329], dtype=torch.float64)
    """
    return alpha * k * total.log1p() - eta


def contributions(
    eta: PerMarket, quality: PerOwner, cost: Number, caps: PerOwner | None = None
) -> PerOwner:
    """What owners contribute to a payment in equilibrium: x_n = q_n / f_n of ``contest``.

    eta: money >= 0 [markets];   quality, caps: as in ``TripartiteGame``   [markets, owners]
    cost: money per unit of x, lam rho: a float or [markets]
    Returns x >= 0 [markets, owners], never above the caps.

    >>> contributions(torch.ones(1).double(), torch.tensor([[1.0, 0.5]]).double(), 1.0)  # K = 1/3
    tensor([[0.2222, 0.2222]], dtype=torch.float64)
    """
    check_quality(quality, caps)
    costs = per_market(cost, "cost", quality)[:, None] / quality
    q = contest(eta, costs, None if caps is None else torch.where(quality > 0, caps * quality, 0.0))
    x = torch.where(q > 0, q / quality, 0.0)
    return x if caps is None else x.minimum(caps)


def leader_optimum(
    quality: PerOwner, alpha: Number, k: Number, cost: Number, caps: PerOwner | None = None
) -> PerMarket:
    """The leader's best payment, given that owners answer it by their equilibrium.

    without caps: eta* = max(0, alpha k - 1 / K), with K of ``contest``
    with caps:    the best of the optima of all segments between events of ``capped_contest``
    quality, caps: as in ``TripartiteGame``   [markets, owners]
    alpha, k, cost: > 0, floats or [markets]; cost is lam rho, money per unit of x
    Returns eta >= 0 [markets]; 0 where no trade is best, also with fewer than two owners.
    With caps the utility may have several peaks; in a segment it is concave in sum q <= alpha k K -
    1. Caps lower the effort that a payment brings, so where none binds at the optimum without caps,
    that is the optimum. Raises ValueError as ``TripartiteGame``.
    Source: derived here; agrees with the results that the authors of arXiv 2501.14588 saved.

    >>> leader_optimum(torch.ones(1, 10).double(), 5.0, 0.5, 1.0)  # 2.5 - 10 / 9
    tensor([1.3889], dtype=torch.float64)
    """
    check_quality(quality, caps)
    worth = per_market(alpha, "alpha", quality) * per_market(k, "k", quality)
    costs = per_market(cost, "cost", quality)[:, None] / quality
    if caps is None or not caps.shape[1]:
        return _uncapped_optimum(worth, intensity(costs, active_set(costs)))
    limits = torch.where(quality > 0, caps * quality, 0.0)
    active = active_set(torch.where(limits > 0, costs, torch.inf))
    rate = intensity(costs, active)
    eta = _uncapped_optimum(worth, rate)
    tight = (interior_efforts(eta, costs, active) > limits).any(-1).nonzero()[:, 0]
    if len(tight):
        paths = equilibria(costs[tight], limits[tight], active[tight])
        eta = eta.index_put((tight,), _best_prize(worth[tight], paths, rate[tight]))
    return eta


def _uncapped_optimum(worth: Tensor, rate: Tensor) -> Tensor:
    """max(0, alpha k - 1 / K), and 0 where K = 0: [markets]."""
    return torch.where(rate > 0, worth - 1 / rate, 0.0).clamp(min=0.0)


def _best_prize(worth: Tensor, paths: Equilibria, rate: Tensor) -> Tensor:
    """The prize that maximises alpha k ln(1 + Q) - P(Q), by halving every segment: [markets]."""
    most = (worth * rate - 1).clamp(min=0.0)[:, None]
    growing = paths.inside > 0  # where all caps are reached, a larger prize adds nothing
    low = paths.start
    high = low.maximum(paths.end.minimum(most))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rising = worth[:, None] / (1 + middle) > paths.slopes(middle)
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    prizes = paths.prizes(high)
    gains = worth[:, None] * high.log1p() - prizes
    gains = torch.where(growing & paths.prize.isfinite(), gains, -torch.inf)
    best, place = gains.max(-1, keepdim=True)
    return torch.where(best > 0, prizes.gather(-1, place), 0.0)[:, 0]


Solver = Callable[[TripartiteGame], Stackelberg]

STACKELBERG_SOLVERS: dict[str, Solver] = {"sne": sne, "official_foc": official_foc}
