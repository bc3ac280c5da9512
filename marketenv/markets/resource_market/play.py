"""Play by the solution of the game: commitment, contributions and prices, with several names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.pairs import others
from marketenv.markets.resource_market.own_parts import solved
from marketenv.mechanisms import (
    Solver,
    TripartiteGame,
    bertrand_price,
    contributions,
    leader_optimum,
)
from marketenv.mechanisms.stackelberg import official_foc, sne

PerMarket = Float64[Tensor, "markets"]
PerOwner = Float64[Tensor, "markets owners"]
PerCentre = Float64[Tensor, "markets centres"]


@dataclass(frozen=True)
class Play:
    """Solves the game for truthful agents.

    alpha, k: of the leader's gain;   solver: as those of ``STACKELBERG_SOLVERS``
    identities: the most names under which an owner contributes
    """

    alpha: float
    k: float
    solver: Solver
    identities: int = 1

    def commitment(
        self, quality: PerOwner, identities: PerOwner, cost: PerMarket, caps: PerOwner
    ) -> PerMarket:
        """The leader's payment, money.

        quality: of every owner;   identities: number of names of each owner
        cost:    of a unit of x, money;   caps: of x
        """
        quality, caps = self._split(quality, identities), self._split(caps / identities, identities)
        if self.solver is sne:
            return leader_optimum(quality, self.alpha, self.k, cost, caps)
        return solved(self.solver, self._game(quality, cost, caps))[0]

    def shares(
        self,
        eta: PerMarket,
        quality: PerOwner,
        identities: PerOwner,
        cost: PerMarket,
        caps: PerOwner,
    ) -> PerOwner:
        """What owners contribute for a payment: x, all names of an owner together.

        The x of a solver that knows its own payment alone is scaled to this one: without caps x is
        proportional to eta.
        """
        quality, caps = self._split(quality, identities), self._split(caps / identities, identities)
        if self.solver is sne:
            x = contributions(eta, quality, cost, caps)
        else:
            best, answer = solved(self.solver, self._game(quality, cost, caps))
            scale = torch.where(best > 0, eta / best, 0.0)
            x = (answer * scale[:, None]).clamp(min=0.0).minimum(caps)
        return x.unflatten(1, (-1, self.identities)).sum(-1)

    def price(
        self,
        costs: PerCentre,
        quality: PerOwner,
        identities: PerOwner,
        pricing: Callable[..., Tensor] = bertrand_price,
    ) -> Tensor:
        """The price for centres of these costs, by default after all undercutting   [markets]."""
        return pricing(costs, self._split(quality, identities), self.alpha, self.k)

    def _game(self, quality: Tensor, cost: Tensor, caps: Tensor) -> TripartiteGame:
        """The game for a solver, with centres that are equal; ``official_foc`` knows no caps."""
        limits = None if self.solver is official_foc else caps
        sigma = torch.ones_like(quality[:, :1]).expand(-1, 2)
        return TripartiteGame(quality, sigma, self.alpha, self.k, lam=cost, caps=limits)

    def _split(self, values: Tensor, identities: Tensor) -> Tensor:
        """Numbers of owners for each name, 0 for unused names: [markets, owners * names]."""
        used = torch.arange(self.identities, device=values.device) < identities[..., None]
        return torch.where(used, values[..., None], 0.0).flatten(1)


def of_others(values: Float64[Tensor, "markets agents"]) -> Float64[Tensor, "markets agents rest"]:
    """What each agent sees of the others, in their order; one 0 where there are no others."""
    count = values.shape[1]
    if count == 1:
        return torch.zeros_like(values)[..., None]
    return others(values[:, None].expand(-1, count, -1))
