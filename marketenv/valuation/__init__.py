"""Valuations: what a possible purchase would bring its buyer, and what a seller can infer of it.

A valuation is ``Trial -> Gain``. To add one, write such a function, name it in ``VALUATIONS`` and
add a worked row to its test. ``DISTANCES`` says how far apart models are; ``TRANSPORTS`` and
``COMBINATIONS`` how far data are from data that somebody wants.

Of data: ``fit_estimator`` predicts the score that a mixture of sellers' data reaches,
``select_gradient`` and ``select_enumerated`` choose the mixture, ``leave_one_out``, ``shapley`` and
``shadow_price`` say what each seller adds, where ``averaged`` makes the models of coalitions.
``image_quality``, ``lexical_diversity``, ``loss_drop`` and ``held_out_drop`` score the data of an
owner.
"""

# distances between data sets
from marketenv.valuation.additive import SlicedGrid, additive_wad, sliced_grid, sliced_upload
from marketenv.valuation.bounds import disclosed_gain, paper_bound_is_safe, theorem_4_1
from marketenv.valuation.data_quality import (
    held_out_drop,
    image_quality,
    lexical_diversity,
    loss_drop,
)
from marketenv.valuation.embedding import COVARIANCES, label_aware
from marketenv.valuation.entropic import sinkhorn
from marketenv.valuation.estimator import FORMS, Estimator, Form, fit_estimator
from marketenv.valuation.exact import Potentials, exact_transport
from marketenv.valuation.fast import Combined
from marketenv.valuation.feature_map import FeatureMap, pca, standardised
from marketenv.valuation.gain import (
    VALUATIONS,
    Gain,
    Trial,
    Valuation,
    error_ratio,
    loss_difference,
    relative_loss,
)
from marketenv.valuation.mixture_distance import (
    COMBINATIONS,
    agg_wad,
    combine,
    combine_gradient,
    combine_wad,
)
from marketenv.valuation.mixtures import enumerate_mixtures, project_to_simplex
from marketenv.valuation.model_distance import DISTANCES, ModelDistance, prox_centres
from marketenv.valuation.point_values import calibrated_gradients
from marketenv.valuation.private import (
    fedwad,
    interpolate,
    numbers_sent,
    reference,
    reidentified,
    triangle_wad,
)
from marketenv.valuation.scaling import extrapolate, extrapolate_estimator, scale_weights
from marketenv.valuation.selection import (
    Distance,
    Selection,
    select_enumerated,
    select_gradient,
    shadow_price,
)
from marketenv.valuation.shares import (
    SetFunction,
    Shapley,
    averaged,
    leave_one_out,
    predicted_value,
    shapley,
)
from marketenv.valuation.sliced import random_directions
from marketenv.valuation.wasserstein import TRANSPORTS, wasserstein2

__all__ = [
    "COMBINATIONS",
    "COVARIANCES",
    "DISTANCES",
    "FORMS",
    "TRANSPORTS",
    "VALUATIONS",
    "Combined",
    "Distance",
    "Estimator",
    "FeatureMap",
    "Form",
    "Gain",
    "ModelDistance",
    "Potentials",
    "Selection",
    "SetFunction",
    "Shapley",
    "SlicedGrid",
    "Trial",
    "Valuation",
    "additive_wad",
    "agg_wad",
    "averaged",
    "calibrated_gradients",
    "combine",
    "combine_gradient",
    "combine_wad",
    "disclosed_gain",
    "enumerate_mixtures",
    "error_ratio",
    "exact_transport",
    "extrapolate",
    "extrapolate_estimator",
    "fedwad",
    "fit_estimator",
    "held_out_drop",
    "image_quality",
    "interpolate",
    "label_aware",
    "leave_one_out",
    "lexical_diversity",
    "loss_difference",
    "loss_drop",
    "numbers_sent",
    "paper_bound_is_safe",
    "pca",
    "predicted_value",
    "project_to_simplex",
    "prox_centres",
    "random_directions",
    "reference",
    "reidentified",
    "relative_loss",
    "scale_weights",
    "select_enumerated",
    "select_gradient",
    "shadow_price",
    "shapley",
    "sinkhorn",
    "sliced_grid",
    "sliced_upload",
    "standardised",
    "theorem_4_1",
    "triangle_wad",
    "wasserstein2",
]
