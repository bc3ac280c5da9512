"""What traders are shown, their messages, and the outcome of a trade."""

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
from marketenv.markets.parameter_trading.partners import Partners
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
    9: "bids only for sellers that it does not try: its bids are void",
}


@dataclass(frozen=True)
class Quotes:
    """Results of the broker's trials; of pairs [markets, buyers, sellers].

    trained:  everybody's model before the trade   [markets, agents, params]
    diverged: whose training diverged, so that it has nothing to sell   [markets, agents]
    partners: the sellers that each buyer tries, a place for each
    offers:   their models as each buyer would get them   [markets, buyers, places, params]
    orders:   how the units of each pair of agents are reordered   [markets, pairs, units]; with few
              partners a row for each of them   [markets, buyers x places, units]
    alpha, gain: best weight of each purchase, and its gain; 0 and that of a useless good where the
              seller is not tried
    low, high: bounds of the buyer's value that the seller is shown, money
    """

    trained: Parameters
    diverged: Bool[Tensor, "markets agents"]
    partners: Partners
    offers: Float[Tensor, "markets buyers places params"]
    orders: Int[Tensor, "markets pairs units"]
    alpha: PerPair
    gain: Gain
    low: PerPair
    high: PerPair

    def offer(self, seller: Int[Tensor, "markets buyers one"]) -> Parameters:
        """What each buyer would get of one of its partners."""
        place, places = self.partners.place(seller).flatten(), self.offers.shape[2]
        rows = torch.arange(len(place), device=place.device) * places + place
        # whole rows: a gather of single numbers takes twenty times as long
        return self.offers.flatten(0, 2).index_select(0, rows).view(self.trained.shape)


@dataclass(frozen=True)
class Messages:
    """What the agents say by their actions; money of pairs [markets, buyers, sellers].

    bids, cost, asks: asks = cost + markup;   markup: of each seller   [markets, sellers]
    effort: of the next training   [markets, agents]
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
) -> Messages:
    """Read messages from actions; a coalition asks for the largest of its members' markups.

    worth: what bids are multiples of, money; None where they are money;   cost: of each sale, money
    """
    means = move.action.read(actions)
    bids = pairs_of(means["bid"])
    bids = (bids if worth is None else bids * worth).clamp(0, bid_max)
    markup = means["ask"][..., 0]
    largest = markup.masked_fill(~coalition, 0.0).amax(1, keepdim=True)
    markup = torch.where(coalition, largest, markup)
    return Messages(bids, markup, cost + markup[:, None], cost, means["effort"][..., 0].float())


@dataclass(frozen=True)
class Traded(Outcome):
    """Outcome of a trade; pairs are [markets, buyers, sellers].

    bought, sold: numbers of purchases and sales   [markets, agents]
    reason: why a buyer ends as it does, a number of ``REASONS``   [markets, agents]
    gain, alpha: as quoted;   bids, asks: as in the agents' messages
    tried:  whether a buyer tries a seller; where not, its bid is void
    trades: who buys whose model;   prices: money, 0 where nothing is sold
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
    tried: Bool[Tensor, "markets buyers sellers"]
    trades: Bool[Tensor, "markets buyers sellers"]
    prices: Float64[Tensor, "markets buyers sellers"]

    def story(self, agents: Sequence[str]) -> list[str]:
        """Gains, bids, asks and prices of every buyer, and why it bought nothing."""
        lines, traders = [], [f"{self.role}_{k}" for k in range(self.trades.shape[1])]
        for buyer, name in enumerate(traders):
            lines.append(f"{name}: {REASONS[int(self.reason[0, agents.index(name)])]}.")
            lines += [
                self._line(buyer, k, seller)
                for k, seller in enumerate(traders)
                if k != buyer and bool(self.tried[0, buyer, k] | (self.bids[0, buyer, k] > 0))
            ]
        return lines

    def _line(self, buyer: int, seller: int, name: str) -> str:
        gain, bid, ask, price, alpha = (
            float(pairs[0, buyer, seller])
            for pairs in (self.gain.worth, self.bids, self.asks, self.prices, self.alpha)
        )
        if not self.tried[0, buyer, seller]:
            return f"  from {name}: not tried, so that the bid {bid:.4f} is void"
        sold = f", bought for {price:.4f}" if self.trades[0, buyer, seller] else ""
        return (
            f"  from {name}: gain {gain:+.4f} at weight {alpha:.2f}, bid {bid:.4f}, ask"
            f" {ask:.4f}{sold}"
        )
