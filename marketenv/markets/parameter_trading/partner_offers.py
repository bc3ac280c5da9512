"""Alignment of a few sellers to each buyer: every pair is a market of two agents."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.alignment import Aligned, Alignment
from marketenv.core import draws
from marketenv.core.axes import Parameters
from marketenv.core.pairs import distinct_pairs, from_places
from marketenv.learners import Learner
from marketenv.markets.parameter_trading import own_parts
from marketenv.markets.parameter_trading.partners import Partners

Orders = Int[Tensor, "markets rows units"]


def partner_offers(
    alignment: Alignment,
    learner: Learner,
    models: Parameters,
    keys: Int[Tensor, "markets"],
    partners: Partners,
    last: Partners,
    orders: Orders,
) -> Aligned:
    """Align every seller to the buyers that try it; two agents that try each other only once.

    keys:   of the random draws   [markets]
    last:   the partners of the last round
    orders: of the units of these pairs, a row for each buyer and place, where the alignment of the
            same pair starts now; -1 where there are none   [markets, buyers x places, units]

    Returns offers [markets, buyers, places, params] and orders for the new partners. As in a whole
    market a pair's orders fit the agent of the higher number to that of the lower number.
    """
    market, low, high = distinct_pairs(partners.tried).T
    both = models[market[:, None], torch.stack([low, high], 1)]
    start = orders_of(last, orders, market, low, high)
    pair_keys = draws.fold(keys[market], low, high)
    aligned = own_parts.aligned(alignment, learner, both, pair_keys, start[:, None])
    number = torch.zeros_like(partners.tried, dtype=torch.int64)
    number[market, low, high] = torch.arange(len(market), device=market.device)
    pair = number.maximum(number.mT).gather(2, partners.sellers)
    # within its pair the agent of the lower number is 0
    buyer = (partners.sellers < torch.arange(models.shape[1], device=pair.device)[:, None]).long()
    offers = aligned.offers[pair, buyer, 1 - buyer]
    return Aligned(offers, aligned.orders[pair, 0].flatten(1, 2))


def orders_of(
    partners: Partners,
    orders: Orders,
    market: Int[Tensor, "pairs"],
    low: Int[Tensor, "pairs"],
    high: Int[Tensor, "pairs"],
) -> Int[Tensor, "pairs units"]:
    """The orders of some pairs among those of partners; -1 where neither tried the other."""
    rows = torch.arange(orders.shape[1], device=orders.device)
    rows = rows.view(partners.sellers.shape[1:]).expand_as(partners.sellers)
    place = from_places(rows, partners.sellers, -1)
    row = place.maximum(place.mT)[market, low, high]
    unknown = torch.full_like(orders[:, :1], -1)
    return torch.cat([orders, unknown], 1)[market, row]  # row -1 is the last one: unknown
