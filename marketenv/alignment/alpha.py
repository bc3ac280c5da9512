"""The weight of an offer in a merge: by a grid of losses, or in closed form for linear models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.alignment.merge import Offers
from marketenv.core.axes import Parameters, PerPair

PAPER_GRID = (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
# hidden units take several times as much in the loss; twice as fast as 256 MiB on a CPU
LIMIT_BYTES = 16 * 2**20
TINY = 1e-6  # the least weight in (0, 1] that the closed form returns
FLAT = 1e-12  # curvature below this part of |G| |v|^2 counts as none

Losses = Callable[[Float[Tensor, "markets k params"]], Float[Tensor, "markets k"]]
OnGrid = Float[Tensor, "markets pairs points"]  # a loss for every pair and weight


@dataclass(frozen=True)
class BestWeights:
    """The best weight of every offer, and its loss; 0 and inf on the diagonal, which has no offer.

    alpha: weight of the offer     [markets, buyers, sellers]
    loss:  of the merged model     [markets, buyers, sellers]
    """

    alpha: PerPair
    loss: PerPair


def offered(
    own: Parameters, offers: Float[Tensor, "markets buyers places params"]
) -> Bool[Tensor, "buyers places"]:
    """Where a buyer has an offer.

    Where there are as many places as agents, place s is that of agent s, and one's own has none.
    With fewer places, each buyer has offers of others alone, the same number for all.

    >>> offered(torch.zeros(1, 2, 5), torch.zeros(1, 2, 2, 5))
    tensor([[False,  True],
            [ True, False]])
    """
    n, places = own.shape[1], offers.shape[2]
    everybody = torch.ones(n, places, dtype=torch.bool, device=own.device)
    return everybody.fill_diagonal_(False) if places == n else everybody


def alpha_grid(
    losses: Losses,
    own: Parameters,
    offers: Offers,
    mask: Float[Tensor, "params"],
    grid: tuple[float, ...] = PAPER_GRID,
    limit_bytes: int = LIMIT_BYTES,
    mirrored: bool = False,
) -> BestWeights:
    """Try a grid of weights for every offer, and keep the weight of least loss.

    alpha[m, b, s] = argmin over a in grid of losses(own[m, b] + a * mask * (offers[m, b, s] -
    own[m, b]))

    losses: callable from merged models [markets, k, params] to their losses [markets, k]; all
            markets in every call, so that it may hold data of its own for each
    own:    parameters            [markets, agents, params]
    offers: aligned parameters    [markets, buyers, sellers, params]; of a few sellers, in as many
            places, see ``offered``
    mask:   1 where traded        [params]
    grid:   increasing weights in (0, 1]
    limit_bytes: most that the merged models of one call may take, and as much again while they are
            computed; one model per market is the least that a call can hold
    mirrored: whether losses[m, s, b] at 1 - a are losses[m, b, s] at a where whole models are
            traded, so that half of them need not be computed: as where offers are P own[m, s] and
            P^-1 own[m, b], and P changes no loss

    Ties go to the smaller weight. A loss that is not finite never wins; if all losses are so, the
    result is the first weight and inf.

    Raises ValueError for a grid that is empty, not increasing or outside (0, 1], and for losses of
    another shape.

    Source: Train 'n Trade (2023), section 3 ("finds the best weight on its validation data"); the
    ten-point grid is that of the authors' public configuration.

    >>> own, offers = torch.zeros(1, 2, 1), torch.ones(1, 2, 2, 1)
    >>> best = alpha_grid(lambda x: (x[..., 0] - 0.5) ** 2, own, offers, torch.ones(1))
    >>> best.alpha[0, 0, 1]
    tensor(0.4500)
    """
    weights, pairs = grid_of(grid, own), pairs_of(own, offers, mask, grid, mirrored)
    on_grid = losses_of_merges(losses, own, offers, mask, pairs, weights, limit_bytes)
    return best_of(on_grid, pairs, weights, offers)


class Pairs(NamedTuple):
    """The offers whose losses are computed, and whether those of (s, b) follow from (b, s)."""

    buyer: Int[Tensor, "pairs"]
    place: Int[Tensor, "pairs"]
    mirrored: bool


def pairs_of(
    own: Parameters,
    offers: Offers,
    mask: Float[Tensor, "params"],
    grid: tuple[float, ...],
    mirrored: bool,
) -> Pairs:
    """All offers; those of sellers b < s where losses are mirrored, and the grid is too."""
    n = own.shape[1]
    even = all(abs(a + b - 1.0) < TINY for a, b in zip(grid, reversed(grid), strict=True))
    if mirrored and even and bool((mask == 1).all()):
        buyer, seller = torch.triu_indices(n, n, 1, device=own.device)
        return Pairs(buyer, seller, True)
    buyer, place = offered(own, offers).nonzero().T
    return Pairs(buyer, place, False)


def losses_of_merges(
    losses: Losses,
    own: Parameters,
    offers: Offers,
    mask: Float[Tensor, "params"],
    pairs: Pairs,
    weights: Float[Tensor, "points"],
    limit_bytes: int,
) -> OnGrid:
    """Losses of every pair's merged models, one model a weight; arguments as in ``alpha_grid``."""
    n_markets, _, size = own.shape
    (buyer, place, _), points, mask = pairs, len(weights), mask.to(own)
    if not len(buyer):
        return own.new_empty(n_markets, 0, points)
    width = max(1, limit_bytes // (n_markets * size * own.element_size()))
    parts = []
    # column = pair * points + point
    for column in torch.arange(len(buyer) * points, device=own.device).split(width):
        b, s = (number[column // points] for number in (buyer, place))
        mine, weight = own[:, b], weights[column % points, None]
        merged = offers[:, b, s].sub_(mine).mul_(mask).mul_(weight).add_(mine)
        parts.append(_checked(losses(merged), merged))
    return torch.cat(parts, 1).unflatten(1, (len(buyer), points))


def best_of(
    on_grid: OnGrid, pairs: Pairs, weights: Float[Tensor, "points"], offers: Offers
) -> BestWeights:
    """The weight of least loss of every offer; ties go to the smaller weight."""
    buyer, place, mirrored = pairs
    if mirrored:
        on_grid = torch.cat([on_grid, on_grid.flip(-1)], 1)
        buyer, place = torch.cat([buyer, place]), torch.cat([place, buyer])
    # torch takes the first of equals
    loss, point = on_grid.where(on_grid.isfinite(), torch.inf).min(-1)
    shape = offers.shape[:3]
    best = BestWeights(offers.new_zeros(shape), loss.new_full(shape, torch.inf))
    best.alpha[:, buyer, place], best.loss[:, buyer, place] = weights[point], loss
    return best


def grid_of(grid: tuple[float, ...], like: Tensor) -> Float[Tensor, "points"]:
    """The weights of a grid; ValueError where they do not increase, or lie outside (0, 1]."""
    rising = all(a < b for a, b in pairwise(grid))
    if not grid or not rising or not grid[0] > 0 or not grid[-1] <= 1:
        raise ValueError(
            f"grid is {grid}, wanted increasing weights in (0, 1], for example PAPER_GRID."
        )
    return like.new_tensor(grid)


def _checked(loss: Tensor, merged: Float[Tensor, "markets k params"]) -> Float[Tensor, "markets k"]:
    if loss.shape != merged.shape[:2]:
        raise ValueError(
            f"losses returned {list(loss.shape)} for models {list(merged.shape)}, wanted"
            f" {list(merged.shape[:2])}."
        )
    return loss


def alpha_closed_form(
    gram: Float[Tensor, "owners params params"],
    cross: Float[Tensor, "owners params"],
    own: Parameters,
    offers: Offers,
    mask: Float[Tensor, "params"],
) -> PerPair:
    """Compute the best weight of every offer for a linear model with squared loss.

    alpha[m, b, s] = v^T (c - G own) / v^T G v, clipped to [TINY, 1];
    v = mask * (offers[m, b, s] - own[m, b])

    the minimiser of 1/2 theta^T G theta - c^T theta on the segment from own to the offer

    gram, cross: G = X^T X / n and c = X^T y / n of the validation data, of owners whose numbers of
                 successive markets are equal: one owner for all markets, or one for each
                                         [owners, params, params] and [owners, params]
    own:         parameters              [markets, agents, params]
    offers:      aligned parameters      [markets, buyers, sellers, params]; of a few sellers, in as
                 many places, see ``offered``
    mask:        1 where traded          [params]

    Returns [markets, buyers, sellers] in own's dtype, computed in float64; 0 on the diagonal. Where
    the loss is flat along the segment, or a model is not finite: TINY.

    Raises ValueError where the markets cannot be shared out evenly among the owners.

    Source: own, a quadratic's minimum on a line; Train 'n Trade (2023), section 3, asks for a
    weight in (0, 1].

    >>> gram, cross = torch.eye(2)[None], torch.tensor([[1.0, 0.0]])
    >>> own, offers = torch.zeros(1, 2, 2), torch.tensor([4.0, 0.0]).expand(1, 2, 2, 2)
    >>> alpha_closed_form(gram, cross, own, offers, torch.ones(2))[0, 0]
    tensor([0.0000, 0.2500])
    """
    owners = len(gram)
    if len(cross) != owners or len(own) % owners:
        raise ValueError(
            f"gram and cross have {owners} and {len(cross)} owners, wanted equally many, among whom"
            f" {len(own)} markets can be shared out evenly, such as 1 or one a market."
        )
    each = len(own) // owners
    g, c, mine = gram.double(), cross.double().repeat_interleave(each, 0), own.double()
    step = (offers.double() - mine[:, :, None]).mul_(mask.to(mine))
    downhill = c[:, None] - _times(mine, g)
    curved = (_times(step.flatten(1, 2), g).unflatten(1, step.shape[1:3]) * step).sum(-1)
    steepness = (step * downhill[:, :, None]).sum(-1)
    size = torch.linalg.matrix_norm(g).repeat_interleave(each)
    floor = FLAT * size[:, None, None] * step.square().sum(-1)
    alpha = torch.where(curved > floor, steepness / curved, TINY)
    alpha = alpha.nan_to_num(nan=TINY).clamp(TINY, 1.0)
    return (alpha * offered(own, offers)).to(own)


def _times(models: Tensor, gram: Tensor) -> Tensor:
    """Every model times its owner's matrix, which is not copied per market: [markets, k, d]."""
    if len(gram) == 1:
        return models @ gram[0]
    return (models.reshape(len(gram), -1, models.shape[-1]) @ gram).view(models.shape)
