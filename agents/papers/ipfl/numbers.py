"""What the paper's summary and earlier simulations report, each number once, with its place."""

from __future__ import annotations

from ..core.reported import Reported

PAPER = "Incentivizing Inclusive Contributions in Model Sharing Markets (iPFL, arXiv 2505.02462)"
SUMMARY = "summary of arXiv 2505.02462"
FINANCE = f"{SUMMARY}, of its finance task, which is another one"
GAINS = {  # of iPFL over the best other scheme, test accuracy in % and summed utility in money
    "accuracy": Reported(5.55, FINANCE),
    "utility": Reported(58.3, FINANCE),
}

# --- simulations made before this library ---------------------------------------------------------
# They are no numbers of the paper, and a part of their settings is not recorded, so they stand in
# words beside ours.

EARLIER = "simulated before this library"
# Buyers of client 0, of nine, a round on digits, by upload and lambda. What a sale cost client 0 is
# not recorded.
EARLIER_BUYERS = {
    "shuffled": {2.0: "0.12", 1.0: "5.3"},
    "gauss": {2.0: "0.12", 1.0: "5.1"},
    "ones": {2.0: "0.6", 1.0: "5.8"},
    "sign_flip": {2.0: "2.6", 1.0: "6.0"},
    "copy": {2.0: "9", 1.0: "9"},
    "relay": {2.0: "7.5 to 9", 1.0: "7.5 to 9"},
}
# Clients that gain by a lie, %, and their gain, % of truthful utility; marginal payments. The grid
# of the lies is not recorded.
EARLIER_LIES = {
    "c up": (0, 0),
    "c down": (47, 54),
    "N up": (98, 410),
    "N down": (17, 5),
    "K down": (93, 52),
    "K up": (47, 29),
}
