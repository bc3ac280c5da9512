"""Permutation specs: which axes of which tensors may be reordered together without changing what a model computes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.bank import Layout

Permutations = dict[str, tuple[tuple[str, int], ...]]
Orders = dict[str, Int[Tensor, "pairs _"]]


def check_spec(layout: Layout, permutations: Permutations) -> dict[str, int]:
    """Check a spec against the parameters it speaks of, and return the length of every permutation.

    permutations: name -> (tensor, axis) pairs that it reorders together; one tensor may lie under several names.

    Raises ValueError, naming the culprit, for a permutation of nothing, an unknown tensor, an axis out of range,
    unequal lengths, and a (tensor, axis) used twice.

    >>> mlp = Layout((("weight_0", (4, 3)), ("bias_0", (4,)), ("weight_1", (2, 4)), ("bias_1", (2,))))
    >>> check_spec(mlp, {"hidden_0": (("weight_0", 0), ("bias_0", 0), ("weight_1", 1))})
    {'hidden_0': 4}
    """
    shapes = dict(layout.shapes)
    sizes: dict[str, int] = {}
    taken: dict[tuple[str, int], str] = {}
    for name, places in permutations.items():
        if not places:
            raise ValueError(f"permutation {name!r} lists no (tensor, axis), wanted at least one; leave the name out.")
        for tensor, axis in places:
            where = f"permutation {name!r}: ({tensor!r}, {axis})"
            if tensor not in shapes:
                raise ValueError(f"{where} names an unknown tensor. The layout holds: {', '.join(shapes)}.")
            if not 0 <= axis < len(shapes[tensor]):
                raise ValueError(f"{where} is out of range: {tensor!r} has shape {shapes[tensor]}; count axes from 0.")
            length = shapes[tensor][axis]
            if sizes.setdefault(name, length) != length:
                raise ValueError(f"{where} has length {length}, but {places[0]} has {sizes[name]}; wanted equal lengths.")
            if (tensor, axis) in taken:
                raise ValueError(f"{where} is used twice, first by {taken[tensor, axis]!r}; list every (tensor, axis) once.")
            taken[tensor, axis] = name
    return sizes


def reorder(tensor: Tensor, axis: int, order: Int[Tensor, "pairs n"]) -> Tensor:
    """Reorder one axis of [pairs, *shape], counted without the pairs, by each pair's own order: new[i] = old[order[i]]."""
    shape = [1] * tensor.dim()
    shape[0], shape[axis + 1] = order.shape
    return tensor.gather(axis + 1, order.view(shape).expand_as(tensor))  # take_along_dim is twice as slow: it wraps indices


def permute(
    layout: Layout, permutations: Permutations, flat: Float[Tensor, "pairs params"], orders: Orders
) -> Float[Tensor, "pairs params"]:
    """Reorder the hidden units of every model; what it computes does not change.

    new[p, .., i, ..] = old[p, .., orders[name][p, i], ..] along every (tensor, axis) of the name

    orders: one order of 0..n-1 per permutation and pair   int64 [pairs, n]

    Raises ValueError for names or lengths of orders that are not those of the permutations.

    >>> layout, spec = Layout((("w", (2, 1)), ("v", (1, 2)))), {"h": (("w", 0), ("v", 1))}
    >>> permute(layout, spec, torch.tensor([[1.0, 2.0, 3.0, 4.0]]), {"h": torch.tensor([[1, 0]])})
    tensor([[2., 1., 4., 3.]])
    """
    sizes = check_spec(layout, permutations)
    if {name: order.shape[1] for name, order in orders.items()} != sizes:
        got = {name: list(order.shape) for name, order in orders.items()}
        raise ValueError(f"orders are {got}, wanted [pairs, n] with these n: {sizes}; give one order per permutation.")
    views = layout.views(flat)
    for name, places in permutations.items():
        for tensor, axis in places:
            views[tensor] = reorder(views[tensor], axis, orders[name])
    return layout.flat(views)


def invert(orders: Orders) -> Orders:
    """Turn every order into the one that undoes it: inverse[p, order[p, i]] = i.

    >>> invert({"h": torch.tensor([[2, 0, 1]])})["h"]
    tensor([[1, 2, 0]])
    """
    return {name: order.argsort(-1) for name, order in orders.items()}


def identity_orders(layout: Layout, permutations: Permutations, like: Int[Tensor, "pairs"]) -> Orders:
    """The orders that change nothing, for as many pairs and on the device of ``like``: name -> int64 [pairs, n]."""
    sizes = check_spec(layout, permutations)
    return {name: torch.arange(n, device=like.device).repeat(len(like), 1) for name, n in sizes.items()}


def random_orders(layout: Layout, permutations: Permutations, keys: Int[Tensor, "pairs"]) -> Orders:
    """Draw a random order of every permutation for each key: name -> int64 [pairs, n]; equal keys, equal orders.

    >>> layout, spec = Layout((("w", (3, 1)),)), {"h": (("w", 0),)}
    >>> random_orders(layout, spec, torch.arange(5))["h"].sort(-1).values[4]
    tensor([0, 1, 2])
    """
    sizes = check_spec(layout, permutations)
    return {name: draws.permutation(draws.fold(keys, "order", name), n) for name, n in sizes.items()}
