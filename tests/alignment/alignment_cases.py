"""Small models shared by the tests of this room: MLPs in the learner's words, their forward
pass, and planted copies.
"""

from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from marketenv.alignment import invert, permute, random_orders
from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.learners import LEARNERS


def mlp(*widths):
    """Layout, layers and permutations of an MLP: layer k has a weight [out, in] and a bias
    [out].
    """
    pairs = list(pairwise(widths))
    shapes = tuple(
        item
        for k, (i, o) in enumerate(pairs)
        for item in ((f"weight_{k}", (o, i)), (f"bias_{k}", (o,)))
    )
    layers = tuple((f"weight_{k}", f"bias_{k}") for k in range(len(pairs)))
    hidden = {
        f"hidden_{k}": ((f"weight_{k}", 0), (f"bias_{k}", 0), (f"weight_{k + 1}", 1))
        for k in range(len(pairs) - 1)
    }
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


def learner_of(kind):
    """A small learner whose models can be aligned: MLP, CNN, or the shallowest ResNet."""
    shape, options = {
        "mlp": ((6,), {"hidden": (8, 7, 8)}),
        "cnn": ((1, 6, 6), {"width": 4}),
        "resnet": ((2, 4, 4), {"depth": 10}),
    }[kind]
    return LEARNERS[kind](shape, 3, "classification", **options), shape


def plain_phases(spec):
    """Each permutation joins the first phase in which none shares a tensor with it; for one
    spec, step by step.
    """
    found = []
    for name, places in spec.items():
        tensors = {tensor for tensor, _ in places}
        for phase in found:
            if not any(tensors & {tensor for tensor, _ in spec[other]} for other in phase):
                phase.append(name)
                break
        else:
            found.append([name])
    return found


def plain_ascent(layout, spec, target, source, start, turns):
    """Coordinate ascent for one pair, as plainly as it can be written: numpy, SciPy, nothing
    cached, nothing skipped.

    start: name -> order [n];
        turns: sweep number -> names in the order in which that sweep visits them
    """
    a, b = (
        {n: v.double().numpy() for n, v in layout.views(model).items()}
        for model in (target, source)
    )
    orders = {name: np.array(order) for name, order in start.items()}

    def moved(tensor, skip=None, trial=None):
        value = b[tensor]
        for name, places in spec.items():
            for of, at in places:
                value = (
                    value.take((trial or orders)[name], at)
                    if of == tensor and at != skip
                    else value
                )
        return value

    def total(trial):
        return sum((a[tensor] * moved(tensor, trial=trial)).sum() for tensor in a)

    for sweep in range(100):
        progress = False
        for name in turns(sweep):
            score = 0.0
            for tensor, axis in spec[name]:
                to, of = (
                    np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)
                    for w in (a[tensor], moved(tensor, axis))
                )
                score = score + to @ of.T
            trial = orders | {name: linear_sum_assignment(score, maximize=True)[1]}
            if total(trial) > total(orders) + 1e-9:
                orders, progress = trial, True
        if not progress:
            break
    return {name: torch.from_numpy(np.asarray(order))[None] for name, order in orders.items()}


def identities(layout, spec, n_pairs):
    """Orders that change nothing: name -> [n_pairs, n]."""
    shapes = dict(layout.shapes)
    return {
        name: torch.arange(shapes[places[0][0]][places[0][1]]).repeat(n_pairs, 1)
        for name, places in spec.items()
    }
