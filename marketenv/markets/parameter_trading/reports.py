"""What traders are shown, what they said, and what a trade came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core.axes import Parameters, PerPair
from marketenv.core.moves import Move
from marketenv.core.pairs import pairs_of
from marketenv.core.phase import Outcome
from marketenv.core.tree import STATIC
from marketenv.valuation import Gain

REASONS = {
    0: "bought",
    1: "no seller offers a gain",
    2: "bids nothing",
    3: "bids less than every ask",
    4: "cannot pay its bid",
    5: "the rule declined",
    6: "training diverged: the agent was reset to its last finite parameters",
    7: "averaged with everybody, without a broker",
    8: "merged to a model that is not finite: bought nothing, paid nothing and kept its own",
}


@dataclass(frozen=True)
class Quotes:
    """What the broker's trials came to.

    trained:   everybody's model before the trade;
               diverged: who has nothing to sell, since its training diverged
    offers:    every seller's model as each buyer would get it   [markets, buyers, sellers, params]
    orders:    how the units of each pair of agents were reordered
    alpha, gain: best weight of each purchase, and what it would bring   [markets, buyers, sellers]
    low, high: bounds of a buyer's value that the seller is told, money  [markets, buyers, sellers]
    """

    trained: Parameters
    diverged: Bool[Tensor, "markets agents"]
    offers: Float[Tensor, "markets buyers sellers params"]
    orders: Int[Tensor, "markets pairs units"]
    alpha: PerPair
    gain: Gain
    low: PerPair
    high: PerPair


@dataclass(frozen=True)
class Reports:
    """What the agents said, as money [markets, buyers, sellers]: bids, asks = cost + markup,
    cost; and their next effort.
    """

    bids: Float64[Tensor, "markets buyers sellers"]
    markup: Float64[Tensor, "markets sellers"]
    asks: Float64[Tensor, "markets buyers sellers"]
    cost: Float64[Tensor, "markets buyers sellers"]
    effort: Float[Tensor, "markets buyers"]


def read(
    move: Move,
    actions: Float[Tensor, "markets agents width"],
    worth: Float64[Tensor, "markets buyers sellers"] | None,
    cost: Float64[Tensor, "markets buyers sellers"],
    coalition: Bool[Tensor, "markets agents"],
    bid_max: float,
) -> Reports:
    """Turn actions into money: bids, asks above cost (set together inside a coalition), and the
    next effort.

    worth: what bids are multiples of, money; None where they are money;   cost: of each sale, money
    """
    means = move.action.read(actions)
    bids = pairs_of(means["bid"])
    bids = (bids if worth is None else bids * worth).clamp(0, bid_max)
    asks = means["ask"][..., 0]
    together = asks.masked_fill(~coalition, 0.0).amax(1, keepdim=True)
    asks = torch.where(coalition, together, asks)
    return Reports(bids, asks, cost + asks[:, None], cost, means["effort"][..., 0].float())


@dataclass(frozen=True)
class Traded(Outcome):
    """What a trade came to.

    bought, sold: purchases and sales;
        reason: why a buyer ended as it did, a number of ``REASONS``   [markets, agents]
    trades: who bought whose model;   prices: money, 0 where nothing
        was sold   [markets, buyers, sellers]
    gain, alpha, bids, asks: as they were quoted and reported   [markets, buyers, sellers]
    """

    FACTS: ClassVar[tuple[str, ...]] = ("bought", "sold", "reason")

    role: str = field(metadata=STATIC)
    bought: Int[Tensor, "markets agents"]
    sold: Int[Tensor, "markets agents"]
    reason: Int[Tensor, "markets agents"]
    gain: Gain
    alpha: PerPair
    bids: Float64[Tensor, "markets buyers sellers"]
    asks: Float64[Tensor, "markets buyers sellers"]
    trades: Bool[Tensor, "markets buyers sellers"]
    prices: Float64[Tensor, "markets buyers sellers"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Gains, bids, asks and prices of every buyer, and why it bought nothing."""
        lines, traders = [], [f"{self.role}_{k}" for k in range(self.trades.shape[1])]
        for buyer, name in enumerate(traders):
            lines.append(f"{name}: {REASONS[int(self.reason[0, agents.index(name)])]}.")
            lines += [
                self._line(buyer, k, seller) for k, seller in enumerate(traders) if k != buyer
            ]
        return lines

    def _line(self, buyer: int, seller: int, name: str) -> str:
        gain, bid, ask, price, alpha = (
            float(pairs[0, buyer, seller])
            for pairs in (self.gain.worth, self.bids, self.asks, self.prices, self.alpha)
        )
        sold = f", bought for {price:.4f}" if self.trades[0, buyer, seller] else ""
        return (
            f"  from {name}: gain {gain:+.4f} at weight {alpha:.2f}, bid {bid:.4f}, ask"
            f" {ask:.4f}{sold}"
        )
