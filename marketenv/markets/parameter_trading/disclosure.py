"""What the broker discloses to a seller of its buyers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.axes import PerPair
from marketenv.markets.parameter_trading.moves import Scales
from marketenv.valuation import Gain, theorem_4_1

# a smaller weight carries too little of the seller: its own gain does not bound the buyer's
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Disclosure:
    """Bounds, as the seller sees them, of each buyer's value for each seller's model, money.

    ``full``:   the buyer's gain, times the prior of m
    ``bounds``: the sharp interval of Theorem 4.1, less 1, times that prior; with other gains than
                error ratios as for ``none``
    ``none``:   [0, ask_max]

    form:  one of these;   ratio: whether gains are error ratios, as in the theorem
    prior: of m, money per unit of loss
    """

    form: str
    ratio: bool
    prior: tuple[float, float]
    scales: Scales

    def bounds(
        self, gain: Gain, alpha: PerPair, sabotage: Float[Tensor, "markets agents"]
    ) -> tuple[PerPair, PerPair]:
        """The lower and the upper bound.

        sabotage: noise of each agent; the theorem does not hold for models with noise
        """
        (m_low, m_high), zero = self.prior, torch.zeros_like(gain.worth)
        bid_max, largest = self.scales.bid_max, self.scales.largest
        if self.form == "full":
            low = high = gain.worth
        elif self.form == "bounds" and self.ratio:
            # the seller s of a sale to b knows its own gain from b (shown[s, b]) and both weights
            low, high = theorem_4_1(gain.shown.mT, alpha.mT, alpha, form="sharp")
            noise = sabotage > 0
            bounded = (alpha.mT > LEAST_WEIGHT) & ~(noise[:, :, None] | noise[:, None])
            low = torch.where(bounded, low - 1, 0.0)
            high = torch.where(bounded, high - 1, largest).clamp(max=largest)
        else:
            return zero, zero + self.scales.ask_max
        return (m_low * low).clamp(0, bid_max).to(zero), (m_high * high).clamp(0, bid_max).to(zero)


def sale_cost(externality: float, worth: PerPair) -> Float64[Tensor, "markets buyers sellers"]:
    """What a sale costs its seller, money: externality times the buyer's gain."""
    return externality * worth.double().clamp(min=0)
