"""Alignment: put models on each other by reordering hidden units, weigh the offers, and merge."""

from marketenv.alignment.alpha import (
    PAPER_GRID,
    BestWeights,
    alpha_closed_form,
    alpha_grid,
    offered,
)
from marketenv.alignment.alpha_by_layers import ByLayers, alpha_grid_by_layers
from marketenv.alignment.merge import ALIGNMENTS, Aligned, Alignment, layer_mask, merge, no_orders
from marketenv.alignment.spec import check_function, check_spec, invert, permute, random_orders
from marketenv.alignment.weight_matching import match, match_among, objective

__all__ = [
    "ALIGNMENTS",
    "PAPER_GRID",
    "Aligned",
    "Alignment",
    "BestWeights",
    "ByLayers",
    "alpha_closed_form",
    "alpha_grid",
    "alpha_grid_by_layers",
    "check_function",
    "check_spec",
    "invert",
    "layer_mask",
    "match",
    "match_among",
    "merge",
    "no_orders",
    "objective",
    "offered",
    "permute",
    "random_orders",
]
