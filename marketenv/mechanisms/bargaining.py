"""Nash bargaining over the price of each pair's goods."""

from __future__ import annotations

from jaxtyping import Float64
from torch import Tensor

from marketenv.mechanisms.sales import Sales, acceptable, between, check_reports, sold


def nash_bargaining(
    bids: Float64[Tensor, "markets buyers sellers"],
    asks: Float64[Tensor, "markets sellers"],
    *,
    power: Float64[Tensor, "markets agents"] | None = None,
) -> Sales:
    """Share the surplus of each sale between its two agents by their bargaining power.

    price[b, s] = ask + power_s / (power_s + power_b) * (bid - ask)   where bid > 0 and bid >= ask

    bids:  money offered, 0 means no bid   float64 [markets, buyers, sellers]
    asks:  money wanted per copy           float64 [markets, sellers]
    power: bargaining power > 0           float64 [markets, agents]
           None: equal, so that the price is (bid + ask) / 2

    Agents that both buy and sell bid 0 to themselves; with ``power`` there are as many buyers as
    sellers, the same agents. Source: Huang et al., NeurIPS 2023, section 3.4. Eq. 1 fixes only the
    difference P_A - P_B of a pair's prices; ours, each good alone, are the canonical ones with that
    difference, and U_A = power_A / (power_A + power_B) * surplus.
    We differ: P_A lies in [v_A(A), v_B(A)] (the printed box has v_A(B)); utilities >= 0 come before
    the product, which is positive too where both lose; the net payment is Delta_b - Delta_a
    (section 4 prints the opposite sign).
    Raises ValueError for refused reports, and for power that is not positive or not one number per
    agent.

    >>> import torch
    >>> bids = torch.tensor([[[0.0, 2.0], [6.0, 0.0]]]).double()
    >>> nash_bargaining(
    ...     bids, torch.ones(1, 2).double(), power=torch.tensor([[3.0, 1.0]]).double()
    ... ).prices
    tensor([[[0.0000, 1.2500],
             [4.7500, 0.0000]]], dtype=torch.float64)
    """
    check_reports(bids, asks)
    share = 0.5 if power is None else _seller_share(bids, power)
    return sold(acceptable(bids, asks), between(bids, asks, share))


def _seller_share(bids: Tensor, power: Tensor) -> Tensor:
    """The seller's part of each surplus: [markets, buyers, sellers]."""
    if not power.shape[-1] == bids.shape[1] == bids.shape[2] or not bool(
        (power.isfinite() & (power > 0)).all()
    ):
        raise ValueError(
            f"power {list(power.shape)} for bids {list(bids.shape)}; wanted one finite number > 0"
            " for each agent, who both buys and sells. Leave power out where buyers and sellers"
            " are different parties."
        )
    return power[:, None, :] / (power[:, None, :] + power[:, :, None])
