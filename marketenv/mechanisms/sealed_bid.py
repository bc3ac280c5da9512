"""Sealed-bid auctions of one exclusive copy per seller, as references: parameters can be copied."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import number
from marketenv.mechanisms.sales import Sales, acceptable, check_reports, sold


def first_price(
    bids: Float64[Tensor, "markets buyers sellers"],
    asks: Float64[Tensor, "markets sellers"],
    *,
    reserve: float = 0.0,
) -> Sales:
    """Sell each seller's one copy to the highest bid, at that bid.

    winner(s) = argmax_b bid[b, s] if that bid > 0 and >= max(ask[s], reserve);
    price = bid of the winner

    bids: money offered, 0 means no bid   float64 [markets, buyers, sellers]
    asks: money wanted for the copy       float64 [markets, sellers]
    reserve: the broker's least price

    Ties go to the lower index. A buyer may win from several sellers.
    Raises ValueError for reports that ``check_reports`` refuses and for a negative or NaN reserve.
    Source: Vickrey, Journal of Finance 16 (1961).

    >>> import torch
    >>> first_price(
    ...     torch.tensor([[[3.0], [5.0]]]).double(), torch.tensor([[1.0]]).double()
    ... ).prices.flatten()
    tensor([0., 5.], dtype=torch.float64)
    """
    return sold(_winners(bids, _floor(bids, asks, reserve)), bids)


def second_price(
    bids: Float64[Tensor, "markets buyers sellers"],
    asks: Float64[Tensor, "markets sellers"],
    *,
    reserve: float = 0.0,
) -> Sales:
    """Sell each seller's one copy to the highest bid, at the least bid that would still have won.

    winner(s) as in ``first_price``;   price = max(second highest bid, ask[s], reserve)

    bids: money offered, 0 means no bid   float64 [markets, buyers, sellers]
    asks: money wanted for the copy       float64 [markets, sellers]
    reserve: the broker's least price

    Bidding one's value is a dominant strategy. Ties go to the lower index and cost the full bid.
    Raises ValueError for reports that ``check_reports`` refuses and for a negative or NaN reserve.
    Source: Vickrey, Journal of Finance 16 (1961).

    >>> import torch
    >>> second_price(
    ...     torch.tensor([[[3.0], [5.0]]]).double(), torch.tensor([[1.0]]).double()
    ... ).prices.flatten()
    tensor([0., 3.], dtype=torch.float64)
    """
    floor = _floor(bids, asks, reserve)
    winners = _winners(bids, floor)
    runner_up = bids.masked_fill(winners, 0.0).amax(1)
    return sold(winners, torch.maximum(runner_up, floor)[:, None].expand_as(bids))


def _floor(bids: Tensor, asks: Tensor, reserve: float) -> Tensor:
    """Least money that each copy sells for: [markets, sellers]; checks the reports first."""
    check_reports(bids, asks)
    reserve = number(reserve, "reserve", 0.0, infinite=True)
    return asks.clamp(min=reserve)


def _winners(bids: Tensor, floor: Tensor) -> Tensor:
    """The highest acceptable bid for each seller's copy, the lower index at a tie."""
    best = torch.zeros_like(bids, dtype=torch.bool).scatter(1, bids.argmax(1, keepdim=True), True)
    return best & acceptable(bids, floor)
