"""The k-double auction: each pair trades alone, at a price between bid and ask."""

from __future__ import annotations

from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import number
from marketenv.mechanisms.sales import Sales, acceptable, between, check_reports, sold


def double_auction(
    bids: Float64[Tensor, "markets buyers sellers"],
    asks: Float64[Tensor, "markets sellers"],
    *,
    weight: float = 0.5,
) -> Sales:
    """Sell a copy wherever the bid reaches the ask, at a fixed mix of both.

    allocation[b, s] = 1{bid > 0 and bid >= ask},   price[b, s] = weight * bid + (1 - weight) * ask

    bids: money offered, 0 means no bid   float64 [markets, buyers, sellers]
    asks: money wanted per copy           float64 [markets, sellers]
    weight: 1 charges the bid, 0 the ask, 1/2 settles in the middle

    Raises ValueError for reports that ``check_reports`` refuses and for a weight outside [0, 1].
    Source: Chatterjee and Samuelson, Operations Research 31 (1983); with weight 1/2 the transfer of
    Algorithm 1 in Huang et al., NeurIPS 2023.

    >>> import torch
    >>> double_auction(
    ...     torch.tensor([[[3.0, 1.0]]]).double(), torch.tensor([[1.0, 2.0]]).double()
    ... ).prices
    tensor([[[2., 0.]]], dtype=torch.float64)
    """
    check_reports(bids, asks)
    weight = number(weight, "weight", 0.0, 1.0, fix=", the bid's share in the price")
    return sold(acceptable(bids, asks), between(bids, asks, weight))
