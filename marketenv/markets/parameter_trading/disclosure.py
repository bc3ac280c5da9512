"""What a seller is told of its buyers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from marketenv.core.axes import PerPair
from marketenv.markets.parameter_trading.moves import Scales
from marketenv.valuation import Gain, theorem_4_1

# weights below it carry too little of the seller for its own gain to bound the buyer's
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Disclosure:
    """Bounds of what each buyer may value each seller's model at, money, as far as the seller is
    told.

    ``full``: the buyer's gain times the prior of m. ``bounds``: with the error ratio the sharp
        interval of Theorem 4.1
    less 1, times that prior. Otherwise, and for ``none``, the prior's own interval [0, ask_max].

    form:  ``full``, ``bounds`` or ``none``;
           ratio: gains are error ratios, of which the theorem speaks
    prior: of m, money per unit of loss
    """

    form: str
    ratio: bool
    prior: tuple[float, float]
    scales: Scales

    def bounds(
        self, gain: Gain, alpha: PerPair, sabotage: Float[Tensor, "markets agents"]
    ) -> tuple[PerPair, PerPair]:
        """The lower and the upper bound; sabotage: noise of each agent, for the theorem speaks
        of the models themselves.
        """
        (m_low, m_high), zero = self.prior, torch.zeros_like(gain.worth)
        bid_max, largest = self.scales.bid_max, self.scales.largest
        if self.form == "full":
            low = high = gain.worth
        elif self.form == "bounds" and self.ratio:
            # the seller s of a sale to b knows its own gain from b (shown[s, b]) and both weights
            low, high = (
                bound - 1 for bound in theorem_4_1(gain.shown.mT, alpha.mT, alpha, form="sharp")
            )
            noised = sabotage > 0
            told = (alpha.mT > LEAST_WEIGHT) & ~(noised[:, :, None] | noised[:, None])
            low, high = (
                torch.where(told, low, 0.0),
                torch.where(told, high, largest).clamp(max=largest),
            )
        else:
            return zero, zero + self.scales.ask_max
        return (m_low * low).clamp(0, bid_max).to(zero), (m_high * high).clamp(0, bid_max).to(zero)


def sale_cost(externality: float, worth: PerPair) -> Float64[Tensor, "markets buyers sellers"]:
    """What a sale costs its seller, money: externality times the buyer's gain."""
    return externality * worth.double().clamp(min=0)
