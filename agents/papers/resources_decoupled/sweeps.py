"""Utilities of all roles by alpha, eta, one owner's x and one centre's sigma: ``rdfl_sweeps``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.mechanisms import Stackelberg, TripartiteGame, contest, contributions, stackelberg
from marketenv.mechanisms.stackelberg import played

from .settings import ALPHA, OWNERS, SKEWED, K, qualities

LEADER, OWNER, CENTRE = "leader", "owners", "centres"
ROLES = (LEADER, OWNER, CENTRE)


class SweptUtilities(NamedTuple):
    """Mean utility of each role at every point: by role, a list of seeds at each point."""

    points: tuple[float, ...]
    utilities: dict[str, list[list[float]]]


def game(n_seeds: int) -> TripartiteGame:
    """Ten owners of noisy digits and ten centres of sigma 1, a market a seed."""
    quality = qualities("digits", SKEWED, OWNERS, n_seeds)
    return TripartiteGame(quality, torch.ones_like(quality), ALPHA, K)


def by_alpha(alpha: float, some: TripartiteGame) -> Stackelberg:
    """All play their equilibrium at another alpha."""
    return stackelberg(some.quality, some.sigma, alpha, K)


def by_eta(eta: float, some: TripartiteGame) -> Stackelberg:
    """The leader pays eta; owners and centres answer it."""
    paid = torch.full_like(some.quality[:, 0], eta)
    x = contributions(paid, some.quality, 1.0)
    return played(some, paid, x, contest(x.sum(-1), some.centre_costs))


def by_x(times: float, some: TripartiteGame) -> Stackelberg:
    """The first owner contributes a multiple of its equilibrium; all else stays."""
    equilibrium = stackelberg(some.quality, some.sigma, ALPHA, K)
    x = equilibrium.x.clone()
    x[:, 0] *= times
    return played(some, equilibrium.eta, x, contest(x.sum(-1), some.centre_costs))


def by_sigma(sigma: float, some: TripartiteGame) -> Stackelberg:
    """The first centre's work costs sigma, that of the others 1; all play their equilibrium."""
    costs = some.sigma.clone()
    costs[:, 0] = sigma
    return stackelberg(some.quality, costs, ALPHA, K)


SWEEPS: dict[
    str, tuple[Callable[[float, TripartiteGame], Stackelberg], tuple[float, ...], bool]
] = {
    # what is changed: how, points, and whether the first owner and the first centre are looked at
    # alone
    "alpha": (by_alpha, tuple(0.5 * k for k in range(1, 21)), False),
    "eta": (by_eta, tuple(0.1 * k for k in range(1, 26)), False),
    "x": (by_x, tuple(0.1 * k for k in range(31)), True),
    "sigma": (by_sigma, tuple(0.1 * k for k in range(1, 21)), True),
}


def swept(what: str, n_seeds: int) -> SweptUtilities:
    """Utilities along one sweep."""
    change, points, first = SWEEPS[what]
    some = game(n_seeds)
    equilibria = [change(point, some) for point in points]
    return SweptUtilities(
        points, {role: [_mean(getattr(one, role), first) for one in equilibria] for role in ROLES}
    )


def _mean(utility: Float64[Tensor, "..."], first: bool) -> list[float]:
    if utility.dim() == 1:
        values: list[float] = utility.tolist()
        return values
    one: Sequence[float] = (utility[:, 0] if first else utility.mean(-1)).tolist()
    return list(one)
