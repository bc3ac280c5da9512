"""What the games of Vickrey (1961) and of Chatterjee and Samuelson (1983) are worth, in money.

All values and costs are uniform on [0, 1]. A number whose place begins with "derived" stands in
neither paper and follows from the closed forms that do.
"""

from __future__ import annotations

from ..core.reported import Reported

VICKREY = "Vickrey, Journal of Finance 16 (1961)"
CHATTERJEE = "Chatterjee and Samuelson, Operations Research 31 (1983)"

# --- first-price auction, two bidders -------------------------------------------------------------

FIRST_PRICE_PAYOFF = Reported(1 / 6, "derived: in equilibrium a bidder of n earns 1 / (n (n + 1))")
FIRST_PRICE_GAIN = Reported(1 / 12, "derived: E[max_b b (v - b)] = E[v^2 / 4] at b = v / 2")

# --- double auction, one buyer and one seller -----------------------------------------------------

TRUTHFUL_PAYOFF = Reported(1 / 12, "derived: half of E[(v - c)+] = 1/6")
DOUBLE_AUCTION_GAIN = Reported(
    1 / 9 - 1 / 12, "derived: best answers 2v/3 and (2c + 1)/3, 1/9 against 1/12"
)
EQUILIBRIUM_PAYOFF = Reported(9 / 128, "example 1")
