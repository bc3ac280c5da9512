"""Alignment: put models on each other by reordering hidden units, weigh the offers, and merge."""

from marketenv.alignment.alpha import PAPER_GRID, Best, alpha_closed_form, alpha_grid
from marketenv.alignment.merge import ALIGNMENTS, layer_mask, merge
from marketenv.alignment.spec import check_spec, invert, permute, random_orders
from marketenv.alignment.weight_matching import match, objective

__all__ = [
    "ALIGNMENTS",
    "PAPER_GRID",
    "Best",
    "alpha_closed_form",
    "alpha_grid",
    "check_spec",
    "invert",
    "layer_mask",
    "match",
    "merge",
    "objective",
    "permute",
    "random_orders",
]
