"""What a payment rule returns, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """Who gets which good, and what is paid for it.

    allocation: True where the buyer gets a copy of the seller's good   bool [markets, buyers, sellers]
    prices:     money per sold copy, 0 where nothing is sold            float64 [markets, buyers, sellers]
    """

    allocation: Bool[Tensor, "markets buyers sellers"]
    prices: Float64[Tensor, "markets buyers sellers"]

    @property
    def transfers(self) -> Float64[Tensor, "markets buyers sellers"]:
        """Money from buyer to seller, >= 0: float64 [markets, buyers, sellers]; it equals the prices."""
        return self.prices


def sold(allocation: Bool[Tensor, "markets buyers sellers"], prices: Float64[Tensor, "markets buyers sellers"]) -> Outcome:
    """Keep the prices of what is sold and put 0 elsewhere: both [markets, buyers, sellers]."""
    return Outcome(allocation, torch.where(allocation, prices, 0.0))


def acceptable(bids: Float64[Tensor, "markets buyers sellers"], floor: Float64[Tensor, "markets sellers"]) -> Tensor:
    """Where a buyer bids at all and bids at least the seller's floor: bool [markets, buyers, sellers]."""
    return (bids > 0) & (bids >= floor[:, None])


def between(
    bids: Float64[Tensor, "markets buyers sellers"], asks: Float64[Tensor, "markets sellers"], weight: Tensor | float
) -> Float64[Tensor, "markets buyers sellers"]:
    """Money between ask and bid: weight * bid + (1 - weight) * ask, kept inside [ask, bid] against rounding."""
    wanted = asks[:, None]
    return (weight * bids + (1 - weight) * wanted).clamp(wanted, bids)


def check_reports(bids: Tensor, asks: Tensor) -> None:
    """Refuse reports that no payment rule can settle.

    bids: money offered, 0 means no bid                     float64 [markets, buyers, sellers]
    asks: money wanted per copy, inf means not for sale     float64 [markets, sellers]

    Raises ValueError for shapes that disagree, another dtype, a negative, infinite or NaN bid, a negative or NaN ask.
    """
    if bids.dim() != 3 or asks.shape != (bids.shape[0], bids.shape[-1]) or 0 in bids.shape[1:]:
        raise ValueError(
            f"bids {list(bids.shape)} and asks {list(asks.shape)} do not fit; wanted bids [markets, buyers, sellers] and "
            "asks [markets, sellers] of the same market and sellers, with at least one buyer and one seller."
        )
    if bids.dtype != torch.float64 or asks.dtype != torch.float64:
        raise ValueError(f"bids are {bids.dtype} and asks {asks.dtype}; money is torch.float64. Convert with .double().")
    _refuse("bid", bids, ~(bids.isfinite() & (bids >= 0)), "a finite amount >= 0; 0 means no bid")
    _refuse("ask", asks, ~(asks >= 0), "an amount >= 0; inf means not for sale")


def _refuse(what: str, values: Tensor, bad: Tensor, wanted: str) -> None:
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"{what} {float(values[where]):g} at index {list(where)}; wanted {wanted}.")
