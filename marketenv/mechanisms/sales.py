"""What a payment rule returns, what it refuses, and which prices are refused of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core import tree
from marketenv.core.numbers import at_least, finite
from marketenv.core.parts import made, taken

ROUNDING = 1e-9  # share of the bid by which a price may pass it
# money of a price that no bid bounds: sums of a hundred million such prices are numbers
LARGEST = 1e300
_AXES = "markets, buyers, sellers"


@dataclass(frozen=True)
class Sales:
    """Who gets which good, and what is paid for it.

    allocation: the buyer gets a copy of the seller's good      bool [markets, buyers, sellers]
    prices:     money per sold copy, 0 where nothing is sold   float64 [markets, buyers, sellers]
    """

    allocation: Bool[Tensor, "markets buyers sellers"]
    prices: Float64[Tensor, "markets buyers sellers"]

    @property
    def transfers(self) -> Float64[Tensor, "markets buyers sellers"]:
        """Money from buyer to seller, >= 0: the prices   float64 [markets, buyers, sellers]."""
        return self.prices


def sold(
    allocation: Bool[Tensor, "markets buyers sellers"],
    prices: Float64[Tensor, "markets buyers sellers"],
) -> Sales:
    """Keep the prices of what is sold and put 0 elsewhere: both [markets, buyers, sellers]."""
    return Sales(allocation, torch.where(allocation, prices, 0.0))


def acceptable(
    bids: Float64[Tensor, "markets buyers sellers"], floor: Float64[Tensor, "markets sellers"]
) -> Tensor:
    """Where a bid is > 0 and at least the seller's floor: bool [markets, buyers, sellers]."""
    return (bids > 0) & (bids >= floor[:, None])


def between(
    bids: Float64[Tensor, "markets buyers sellers"],
    asks: Float64[Tensor, "markets sellers"],
    weight: Tensor | float,
) -> Float64[Tensor, "markets buyers sellers"]:
    """weight * bid + (1 - weight) * ask, kept inside [ask, bid] against rounding."""
    wanted = asks[:, None]
    return (weight * bids + (1 - weight) * wanted).clamp(wanted, bids)


def apply_rule(
    rule: Callable[..., Sales],
    bids: Float64[Tensor, "markets buyers sellers"],
    asks: Float64[Tensor, "markets sellers"],
) -> Sales:
    """Call a payment rule, and refuse sales that cannot be settled.

    0 <= price <= bid where something is sold, and price = 0 elsewhere

    rule: ``(bids, asks) -> Sales``;   bids, asks: as in ``check_reports``
    Returns the sales in float64. A price that passes its bid by rounding (1e-9 of the bid, or two
    rounding units of the type that the rule computed in) is the bid.

    A rule of one's own works on copies, so that what it edits in place changes no bid.

    Raises ValueError, by the word ``mechanism``, for anything but ``Sales`` of these shapes,
    and for other prices.

    >>> free = lambda bids, asks: Sales(bids > 0, torch.zeros_like(bids))
    >>> apply_rule(free, torch.ones(1, 1, 1).double(), torch.ones(1, 1).double()).prices
    tensor([[[0.]]], dtype=torch.float64)
    """
    home = rule.__globals__.get("__name__", "") if isinstance(rule, FunctionType) else ""
    if home.startswith("marketenv."):
        return rule(bids, asks)  # every rule of this library keeps its prices in these bounds
    sales, axes = made(tree.apart(rule)(bids, asks), Sales, "mechanism"), _AXES
    allocation = taken(sales.allocation, "mechanism returned allocation", bids, axes, torch.bool)
    prices = taken(sales.prices, "mechanism returned prices", bids, axes)
    return Sales(allocation, fair_prices("mechanism", allocation, prices, bids, sales.prices.dtype))


def fair_prices(
    part: str,
    allocation: Bool[Tensor, "markets buyers sellers"],
    prices: Float64[Tensor, "markets buyers sellers"],
    bids: Float64[Tensor, "markets buyers sellers"],
    computed: torch.dtype,
) -> Float64[Tensor, "markets buyers sellers"]:
    """Return prices from 0 to the bid where something is sold, and 0 elsewhere.

    computed: the type that the part computed in, two rounding units of which are no fault: such a
        price is the bid
    Raises ValueError that names the part and the first price that is another.
    """
    unit = torch.finfo(computed).eps if computed.is_floating_point else 0.0
    most = bids * (1 + max(ROUNDING, 2 * unit))
    fair = torch.where(allocation, (prices >= 0) & (prices <= most), prices == 0)
    if not bool(fair.all()):
        where = tuple((~fair).nonzero()[0].tolist())
        raise ValueError(
            _unfair(
                part, float(prices[where]), float(bids[where]), bool(allocation[where]), list(where)
            )
        )
    return prices.minimum(bids)


def check_unbounded(
    part: str,
    allocation: Bool[Tensor, "markets buyers sellers"],
    prices: Float64[Tensor, "markets buyers sellers"],
) -> None:
    """Refuse prices beyond +-1e300 where something is sold, and other prices than 0 elsewhere.

    Raises ValueError that names the part and the first of them.
    """
    fair = torch.where(allocation, prices.abs() <= LARGEST, prices == 0)
    if not bool(fair.all()):
        where = tuple((~fair).nonzero()[0].tolist())
        raise ValueError(
            _unfair(part, float(prices[where]), None, bool(allocation[where]), list(where))
        )


def _unfair(part: str, price: float, bid: float | None, sold: bool, where: list[int]) -> str:
    if not sold:
        problem = "where nothing is sold; wanted 0 there"
    elif bid is None:
        problem = f"wanted a finite amount, at most {LARGEST:g} either way"
    elif price > bid:
        problem = f"which is more than the bid of {bid:g}; wanted prices <= bids"
    else:
        problem = "wanted a finite amount >= 0"
    return f"{part} returned a price of {price:g} at index {where}, {problem}. No money moved."


def check_reports(bids: Tensor, asks: Tensor) -> None:
    """Refuse reports that no payment rule can settle.

    bids: money offered, 0 means no bid                     float64 [markets, buyers, sellers]
    asks: money wanted per copy, inf means not for sale     float64 [markets, sellers]

    Raises ValueError for shapes that disagree, another dtype, a negative, infinite or NaN bid, a
    negative or NaN ask.
    """
    if bids.dim() != 3 or asks.shape != (bids.shape[0], bids.shape[-1]) or 0 in bids.shape[1:]:
        raise ValueError(
            f"bids {list(bids.shape)} and asks {list(asks.shape)} do not fit; wanted bids [markets,"
            " buyers, sellers] and asks [markets, sellers] of the same market and sellers, with at"
            " least one buyer and one seller."
        )
    if bids.dtype != torch.float64 or asks.dtype != torch.float64:
        raise ValueError(
            f"bids are {bids.dtype} and asks {asks.dtype}; money is torch.float64. Convert with"
            " .double()."
        )
    if not finite(bids, least=0.0):
        bad = ~(bids.isfinite() & (bids >= 0))
        refuse("bid", bids, bad, "a finite amount >= 0; 0 means no bid")
    if not at_least(asks, 0.0):
        refuse("ask", asks, ~(asks >= 0), "an amount >= 0; inf means not for sale")


def refuse(what: str, values: Tensor, bad: Tensor, wanted: str) -> None:
    """Raise ValueError that names the first bad number, if there is one."""
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"{what} {float(values[where]):g} at index {list(where)}; wanted {wanted}."
        )
