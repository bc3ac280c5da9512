"""Small models shared by the tests of this room: MLPs in the learner's words, their forward pass, and planted copies."""

from itertools import pairwise

import torch

from marketenv.alignment import invert, permute, random_orders
from marketenv.core import draws
from marketenv.core.bank import Layout


def mlp(*widths):
    """Layout, layers and permutations of an MLP: layer k has a weight [out, in] and a bias [out]."""
    pairs = list(pairwise(widths))
    shapes = tuple(item for k, (i, o) in enumerate(pairs) for item in ((f"weight_{k}", (o, i)), (f"bias_{k}", (o,))))
    layers = tuple((f"weight_{k}", f"bias_{k}") for k in range(len(pairs)))
    hidden = {f"hidden_{k}": ((f"weight_{k}", 0), (f"bias_{k}", 0), (f"weight_{k + 1}", 1)) for k in range(len(pairs) - 1)}
    return Layout(shapes), layers, hidden


def forward(layout, flat, x):
    """Logits of ReLU MLPs: parameters [*batch, params], x [rows, in] -> [*batch, rows, out]."""
    views, depth = layout.views(flat), len(layout.shapes) // 2
    for k in range(depth):
        x = x @ views[f"weight_{k}"].mT + views[f"bias_{k}"][..., None, :]
        x = x.relu() if k < depth - 1 else x
    return x


def random_models(layout, keys, *shape):
    """Independent standard normal parameters, float32 [*keys, *shape, params]."""
    return draws.normal(draws.fold(keys, "model"), *shape, layout.size).float()


def planted(layout, permutations, n_pairs, noise, seed=0):
    """Targets, reordered noisy copies, and the orders that undo the reordering."""
    keys = draws.fold(torch.arange(n_pairs), seed)
    target = random_models(layout, keys)
    orders = random_orders(layout, permutations, draws.fold(keys, "hide"))
    noisy = target + noise * draws.normal(draws.fold(keys, "noise"), layout.size).float()
    return target, permute(layout, permutations, noisy, orders), invert(orders)
