"""Prices of computing where centres post them: an extension of the tripartite game.

Centres post unit prices r at unit costs c = eps sigma, owners buy at the lowest, and the leader and
the owners answer it as they answer lam rho in the game. Without caps the demand is sum x = G (alpha
k / r - 1 / K), with K and G of the contest at r = 1, so that (r - c) sum x is largest at r = sqrt(c
alpha k K).
Source: ours; arXiv 2501.14588 takes the price as given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import number
from marketenv.mechanisms.contest import active_set, intensity, proportional_shares
from marketenv.mechanisms.procurement import check_money
from marketenv.mechanisms.sales import refuse
from marketenv.mechanisms.stackelberg import contributions, leader_optimum
from marketenv.mechanisms.tripartite_game import (
    Number,
    PerCentre,
    PerMarket,
    PerOwner,
    check_quality,
    per_market,
)


def bertrand_price(
    costs: PerCentre, quality: PerOwner, alpha: Number = 5.0, k: Number = 0.5
) -> PerMarket:
    """The price of competing centres: the second cheapest's least one, at most the monopoly's.

    r = min(c_(2), sqrt(c_(1) alpha k K));   equal costs: r = c

    costs: money per unit of work, > 0; inf does not take part   [markets, centres]
    quality, alpha, k: as in ``TripartiteGame``
    Returns the lowest price posted [markets]; inf where no centre takes part.

    With equal costs an equilibrium. With unequal ones the cheapest centre serves all at r; where a
    tie is shared it has to post a little less, so that there only comes close.
    Raises ValueError for shapes that disagree, another dtype, and numbers out of these ranges.
    Source: Bertrand competition; in this game ours.

    >>> bertrand_price(torch.tensor([[1.0, 1.2]]).double(), torch.ones(1, 10).double())
    tensor([1.2000], dtype=torch.float64)
    """
    monopoly = collusive_price(costs, quality, alpha, k)
    second = torch.nn.functional.pad(costs, (0, 1), value=torch.inf).sort(dim=-1).values[:, 1]
    return monopoly.minimum(second)


def collusive_price(
    costs: PerCentre, quality: PerOwner, alpha: Number = 5.0, k: Number = 0.5
) -> PerMarket:
    """The price that is best for all centres together, the cheapest of whom does the work.

    r = max(c, sqrt(c alpha k K)),   c = min_m c_m;   nothing is traded at alpha k K or above

    Arguments, errors and source as in ``bertrand_price``. Holds without caps. Returns [markets].

    >>> collusive_price(torch.ones(1, 2).double(), torch.ones(1, 10).double())  # sqrt(2.5 * 9 / 10)
    tensor([1.5000], dtype=torch.float64)
    """
    _check_costs(costs, quality)
    cheapest = costs.amin(-1)
    return cheapest.maximum(_alone(cheapest, reservation_price(quality, alpha, k)))


def reservation_price(quality: PerOwner, alpha: Number = 5.0, k: Number = 0.5) -> PerMarket:
    """The price at which trade ends: alpha k K, with K = (|A| - 1) / sum_A (1 / f), [markets].

    quality, alpha, k: as in ``TripartiteGame``
    Source: the leader's condition alpha k K > 1 at lam rho = r; derived here.

    >>> reservation_price(torch.ones(1, 10).double())
    tensor([2.2500], dtype=torch.float64)
    """
    check_quality(quality, None)
    worth = per_market(alpha, "alpha", quality) * per_market(k, "k", quality)
    return worth * intensity(1 / quality, active_set(1 / quality))


def cheapest_shares(prices: PerCentre) -> PerCentre:
    """Who does which share of the work: the lowest price all of it, equal ones equal shares.

    prices: money per unit, inf posts none   [markets, centres]. Returns shares of the same shape.

    >>> cheapest_shares(torch.tensor([[2.0, 1.0, 1.0]]).double())
    tensor([[0.0000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    lowest = (prices == prices.amin(-1, keepdim=True)) & prices.isfinite()
    return proportional_shares(lowest.to(prices.dtype))


def posted_profits(
    prices: PerCentre,
    costs: PerCentre,
    quality: PerOwner,
    alpha: Number = 5.0,
    k: Number = 0.5,
    caps: PerOwner | None = None,
) -> PerCentre:
    """What centres earn by the prices that they post, once leader and owners answer the lowest.

    U_m = (r_m - c_m) share_m sum x

    prices: money per unit of work, > 0; inf posts none   [markets, centres]
    costs:  as in ``bertrand_price``;   quality, alpha, k, caps: as in ``TripartiteGame``
    Returns money [markets, centres]. Raises ValueError as ``bertrand_price``. Source: ours.

    >>> both = torch.tensor([[1.5, 1.5]]).double()  # (1.5 - 1) (2.25 / 1.5 - 1) / 2 each
    >>> posted_profits(both, both - 0.5, torch.ones(1, 10).double())
    tensor([[0.1250, 0.1250]], dtype=torch.float64)
    """
    _check_costs(costs, quality)
    _check_costs(prices, quality, "price")
    lowest = prices.amin(-1)
    posted = lowest.isfinite()
    price = torch.where(posted, lowest, 1.0)
    eta = leader_optimum(quality, alpha, k, price, caps)
    work = torch.where(posted, contributions(eta, quality, price, caps).sum(-1), 0.0)
    shares = cheapest_shares(prices)
    return torch.where(shares > 0, (prices - costs) * shares * work[:, None], 0.0)


def price_response(
    prices: PerCentre,
    costs: PerCentre,
    quality: PerOwner,
    alpha: Number = 5.0,
    k: Number = 0.5,
    *,
    step: float | int = 1e-6,
) -> PerCentre:
    """The best price of every centre against the prices of the others, without caps.

    r_m = max(c_m, min(sqrt(c_m alpha k K), (1 - step) r)),   r = the lowest price of the others

    prices, costs, quality, alpha, k: as in ``posted_profits``
    step: part of a rival's price by which it is undercut, in (0, 1); ever less is ever better
    Returns prices [markets, centres]. Raises ValueError as ``posted_profits`` and for another step.
    Source: Bertrand competition; in this game ours.

    >>> costs = torch.ones(1, 2).double()
    >>> price_response(1.5 * costs, costs, torch.ones(1, 10).double(), step=0.1)
    tensor([[1.3500, 1.3500]], dtype=torch.float64)
    """
    _check_costs(costs, quality)
    _check_costs(prices, quality, "price")
    step = number(
        step, "step", above=0.0, below=1.0, fix=", the part by which a rival's price is undercut"
    )
    alone = _alone(costs, reservation_price(quality, alpha, k)[:, None])
    return alone.minimum((1 - step) * _rival(prices)).maximum(costs)


def _alone(costs: Tensor, reservation: Tensor) -> Tensor:
    """The best price of who has no rival, sqrt(c alpha k K); inf for who takes no part."""
    return torch.where(costs.isinf(), costs, costs * reservation).sqrt()


def _rival(prices: Tensor) -> Tensor:
    """The lowest price of the others, inf where there are none: [markets, centres]."""
    padded = torch.nn.functional.pad(prices, (0, 1), value=torch.inf)
    two = padded.topk(2, dim=-1, largest=False)
    centre = torch.arange(prices.shape[-1], device=prices.device)
    return torch.where(centre == two.indices[:, :1], two.values[:, 1:], two.values[:, :1])


def _check_costs(costs: Tensor, quality: Tensor, name: str = "cost") -> None:
    if costs.dim() != 2 or costs.shape[0] != quality.shape[0] or not costs.shape[1]:
        raise ValueError(
            f"{name}s {list(costs.shape)} do not fit quality {list(quality.shape)}; wanted"
            " [markets, centres] of the same markets, with at least one centre."
        )
    check_money(**{f"{name}s": costs})
    refuse(name, costs, ~(costs > 0), "money per unit of work > 0; inf takes no part")


PRICINGS: dict[str, Callable[..., Float64[Tensor, "markets"]]] = {
    "bertrand": bertrand_price,
    "collusive": collusive_price,
}
