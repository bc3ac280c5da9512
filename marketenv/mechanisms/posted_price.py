"""Take it or leave it."""

from __future__ import annotations

from jaxtyping import Float64
from torch import Tensor

from marketenv.mechanisms.sales import Sales, acceptable, check_reports, sold


def posted_price(
    bids: Float64[Tensor, "markets buyers sellers"], asks: Float64[Tensor, "markets sellers"]
) -> Sales:
    """Sell a copy to every buyer that offers at least the ask, at the ask.

    allocation[b, s] = 1{bid > 0 and bid >= ask},   price[b, s] = ask

    bids: money offered, 0 means no bid   float64 [markets, buyers, sellers]
    asks: money wanted per copy           float64 [markets, sellers]

    Bidding one's value is a dominant strategy, since the bid decides only whether to buy.
    Raises ValueError for reports that ``check_reports`` refuses.
    Source: the offer whose revenue Myerson (1981) maximises; Huang et al., NeurIPS 2023, eq. 2.

    >>> import torch
    >>> posted_price(torch.tensor([[[3.0], [1.0]]]).double(), torch.tensor([[2.0]]).double()).prices
    tensor([[[2.],
             [0.]]], dtype=torch.float64)
    """
    check_reports(bids, asks)
    return sold(acceptable(bids, asks), asks[:, None].expand_as(bids))
