"""Equation 1 and optimal transfers: what two agents agree on, for random valuations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from marketenv.mechanisms import Sales, nash_bargaining

from ..core.effort import Effort
from ..core.evidence import Evidence
from .cases import pairs, uniform, worst

COVERED = "every bid covers its ask"
REVERSED = "with the sign reversed"

Settle = Callable[[Tensor, Tensor], Sales]  # (bids, asks) -> who buys at which prices


def table_of(for_a: Tensor, for_b: Tensor) -> Tensor:
    """Bids [cases, buyers, sellers] of B for A's model, and of A for B's."""
    table = torch.zeros(len(for_a), 2, 2, dtype=torch.float64)
    table[:, 1, 0], table[:, 0, 1] = for_a, for_b
    return table


def bargaining(condition: str, effort: Effort) -> Evidence:
    """By how much the product of both utilities falls short of the best of a fine grid, relative.

    The grid is over price differences.
    """
    u = uniform("bargaining", effort, 4)
    asks = u[:, :2]  # of A for its model, of B for its own
    bids = asks + (1 - asks) * u[:, 2:]  # of B for A's model, of A for B's: they cover the asks
    prices = nash_bargaining(table_of(*bids.T), asks).prices
    difference = prices[:, 1, 0] - prices[:, 0, 1]
    formula = (bids[:, 0] + asks[:, 0] - bids[:, 1] - asks[:, 1]) / 2
    steps = torch.linspace(0, 1, 2001, dtype=torch.float64)
    low, high = asks[:, 0] - bids[:, 1], bids[:, 0] - asks[:, 1]
    best = torch.stack([_product(bids, asks, low + step * (high - low)) for step in steps]).amax(0)
    short = (best - _product(bids, asks, difference)) / best
    samples = {
        "shortfall of the product": worst(short),
        "distance of the market's difference from eq. 1": worst((difference - formula).abs()),
    }
    return Evidence(samples=samples, seeds=pairs(effort, "bids and asks in [0, 1]"))


def _product(bids: Tensor, asks: Tensor, difference: Tensor) -> Tensor:
    """U_A U_B at a price difference P_A - P_B."""
    return (difference - asks[:, 0] + bids[:, 1]) * (bids[:, 0] - difference - asks[:, 1])


def nobody_loses(
    everything: bool, condition: str, effort: Effort, settle: Settle = nash_bargaining
) -> Evidence:
    """What an agent loses at the prices that the broker settles, and whether they are eq. 1's.

    everything: both models change hands at the middle of bid and ask, as eq. 1 alone has it;
                otherwise a model that its buyer values less than its seller does is not sold
    Any price between ask and bid leaves nobody with a loss; so a second sample compares the prices
    with eq. 1. Valuations are any, or bids cover the asks.
    """
    u = uniform("valuations", effort, 4)
    asks, wants = u[:, :2], u[:, 2:]  # of B for A's model, of A for B's
    wants = asks + (1 - asks) * wants if condition == COVERED else wants
    bids = table_of(*wants.T)
    outcome, middle = settle(bids, asks), (bids + asks[:, None]) / 2
    both = ~torch.eye(2, dtype=torch.bool)
    sold = (both if everything else outcome.allocation).expand_as(bids).double()
    price = torch.where(outcome.allocation, outcome.prices, middle)
    # as a seller, as a buyer
    loss = -(sold * (price - asks[:, None])).sum(1) - (sold * (bids - price)).sum(2)
    off = ((outcome.prices - middle).abs() * outcome.allocation).amax((1, 2))
    losses = {f"loss of {agent}": worst(loss[:, k].clamp(min=0)) for k, agent in enumerate("AB")}
    case = int(loss.amax(1).argmax())
    return Evidence(
        samples=losses | {"distance of a price from the middle": worst(off)},
        seeds=pairs(effort, "valuations uniform on [0, 1]"),
        counterexample=(
            f"asks {asks[case].tolist()}, bids {wants[case].tolist()}: losses"
            f" {loss[case].tolist()}, a price {float(off.max()):.3g} from the middle at most"
        ),
        notes=(f"{100 * float(sold.sum((1, 2)).div(2).mean()):.3g} % of the models are sold",),
    )


def optimal_transfer(condition: str, effort: Effort) -> Evidence:
    """How far P_A - P_B is from Delta_a - Delta_b, or from the reverse.

    Each seller asks what its buyer bids.
    """
    gains = uniform("gains", effort, 2)  # of A, of B
    prices = nash_bargaining(table_of(gains[:, 1], gains[:, 0]), gains.flip(1)).prices
    formula = (gains[:, 1] - gains[:, 0]) * (1 if condition == REVERSED else -1)
    off = (prices[:, 1, 0] - prices[:, 0, 1] - formula).abs()
    case = int(off.argmax())
    a, b = gains[case].tolist()
    counterexample = (
        f"Delta_a = {a:.3f}, Delta_b = {b:.3f}: B pays {prices[case, 1, 0]:.3f} for A's model, A"
        f" {prices[case, 0, 1]:.3f}"
    )
    return Evidence(
        samples={"distance": worst(off)},
        seeds=pairs(effort, "gains uniform on [0, 1]"),
        counterexample=counterexample,
    )
