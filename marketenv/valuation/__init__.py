"""Valuations: what a possible purchase would bring its buyer, and what a seller can infer of it.

A valuation is ``Trial -> Gain``. To add one, write such a function, name it in ``VALUATIONS`` and add a worked row to its
test. ``DISTANCES`` says how far apart models are.
"""

from marketenv.valuation.bounds import disclosed_gain, paper_bound_is_safe, theorem_4_1
from marketenv.valuation.gain import VALUATIONS, Gain, Trial, Valuation, error_ratio, loss_difference, relative_loss
from marketenv.valuation.model_distance import DISTANCES, ModelDistance, prox_centres

__all__ = [
    "DISTANCES",
    "VALUATIONS",
    "Gain",
    "ModelDistance",
    "Trial",
    "Valuation",
    "disclosed_gain",
    "error_ratio",
    "loss_difference",
    "paper_bound_is_safe",
    "prox_centres",
    "relative_loss",
    "theorem_4_1",
]
