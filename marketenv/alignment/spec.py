"""Permutation specs: which axes of which tensors may be reordered together without changing
what a model computes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.bank import Layout

Permutations = dict[str, tuple[tuple[str, int], ...]]
Orders = dict[str, Int[Tensor, "pairs _"]]
# float32 sums in another order differ by less than 1e-6 of a loss, a wrong place by .002 and more
ROUNDING = 1e-5


def check_spec(layout: Layout, permutations: Permutations) -> dict[str, int]:
    """Check a spec against the parameters it speaks of, and return the length of every permutation.

    permutations: name -> (tensor, axis) pairs that it reorders together; one tensor may lie under
        several names.

    Raises ValueError, naming the culprit, for a permutation of nothing, an unknown tensor, an axis
    out of range, unequal lengths, and a (tensor, axis) used twice.

    >>> mlp = Layout(
    ...     (("weight_0", (4, 3)), ("bias_0", (4,)), ("weight_1", (2, 4)), ("bias_1", (2,)))
    ... )
    >>> check_spec(mlp, {"hidden_0": (("weight_0", 0), ("bias_0", 0), ("weight_1", 1))})
    {'hidden_0': 4}
    """
    shapes = dict(layout.shapes)
    sizes: dict[str, int] = {}
    taken: dict[tuple[str, int], str] = {}
    for name, places in permutations.items():
        if not places:
            raise ValueError(
                f"permutation {name!r} lists no (tensor, axis), wanted at least one; leave the name"
                " out."
            )
        for tensor, axis in places:
            where = f"permutation {name!r}: ({tensor!r}, {axis})"
            if tensor not in shapes:
                raise ValueError(
                    f"{where} names an unknown tensor. The layout holds: {', '.join(shapes)}."
                )
            if not 0 <= axis < len(shapes[tensor]):
                raise ValueError(
                    f"{where} is out of range: {tensor!r} has shape {shapes[tensor]}; count axes"
                    " from 0."
                )
            length = shapes[tensor][axis]
            if sizes.setdefault(name, length) != length:
                raise ValueError(
                    f"{where} has length {length}, but {places[0]} has {sizes[name]}; wanted equal"
                    " lengths."
                )
            if (tensor, axis) in taken:
                raise ValueError(
                    f"{where} is used twice, first by {taken[tensor, axis]!r}; list every (tensor,"
                    " axis) once."
                )
            taken[tensor, axis] = name
    return sizes


def reorder(tensor: Tensor, axis: int, order: Int[Tensor, "pairs n"]) -> Tensor:
    """Reorder one axis of [pairs, *shape], counted without the pairs, by each pair's own order:
    new[i] = old[order[i]].
    """
    # single numbers; take_along_dim is twice as slow: it wraps indices
    if axis + 2 == tensor.dim():
        return tensor.gather(
            -1, order.view(len(order), *[1] * axis, order.shape[1]).expand_as(tensor)
        )
    before, n, behind = (
        tensor.shape[1 : axis + 1].numel(),
        order.shape[1],
        tensor.shape[axis + 2 :].numel(),
    )
    lines = (
        torch.arange(len(order) * before, device=order.device).view(len(order), before, 1) * n
        + order[:, None]
    )
    flat = tensor.reshape(len(order) * before * n, behind)
    return flat.index_select(0, lines.flatten()).view(tensor.shape)


def check_orders(sizes: dict[str, int], orders: Orders, n_pairs: int) -> None:
    """Raise ValueError for names, lengths or numbers of orders that are not those of the
    permutations and pairs.
    """
    got = {name: list(order.shape) for name, order in orders.items()}
    if got != {name: [n_pairs, n] for name, n in sizes.items()}:
        raise ValueError(
            f"orders are {got}, wanted [{n_pairs}, n] with these n: {sizes}; give one order per"
            " permutation."
        )


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
    check_orders(sizes, orders, len(flat))
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


def identity_orders(
    layout: Layout, permutations: Permutations, like: Int[Tensor, "pairs"]
) -> Orders:
    """The orders that change nothing, for as many pairs and on the device of ``like``: name ->
    int64 [pairs, n].
    """
    sizes = check_spec(layout, permutations)
    return {
        name: torch.arange(n, device=like.device).repeat(len(like), 1) for name, n in sizes.items()
    }


def random_orders(layout: Layout, permutations: Permutations, keys: Int[Tensor, "pairs"]) -> Orders:
    """Draw a random order of every permutation for each key: name -> int64 [pairs, n]; equal keys,
    equal orders.

    >>> layout, spec = Layout((("w", (3, 1)),)), {"h": (("w", 0),)}
    >>> random_orders(layout, spec, torch.arange(5))["h"].sort(-1).values[4]
    tensor([0, 1, 2])
    """
    sizes = check_spec(layout, permutations)
    return {
        name: draws.permutation(draws.fold(keys, "order", name), n) for name, n in sizes.items()
    }


def join(orders: Orders, like: Int[Tensor, "pairs"]) -> Int[Tensor, "pairs units"]:
    """Put the orders of all permutations side by side, in the spec's order, for as many pairs
    as ``like``.
    """
    return torch.cat([like.new_zeros(len(like), 0), *orders.values()], 1)


def split(layout: Layout, permutations: Permutations, joined: Int[Tensor, "pairs units"]) -> Orders:
    """Undo ``join``: int64 [pairs, units] -> name -> [pairs, n].

    Raises ValueError for another number of units than that of the permutations' lengths together.
    """
    sizes = check_spec(layout, permutations)
    if joined.shape[1] != sum(sizes.values()):
        raise ValueError(
            f"orders have {joined.shape[1]} units, wanted {sum(sizes.values())}, the sum of"
            f" {sizes}."
        )
    return dict(zip(sizes, joined.split(list(sizes.values()), 1), strict=True))


def known_orders(
    layout: Layout, permutations: Permutations, orders: Orders, n_pairs: int
) -> Bool[Tensor, "pairs"]:
    """Tell where orders are known: True where all are permutations, False where all are -1
    throughout.

    Raises ValueError for a pair of which neither holds, and for orders of other names or lengths.

    >>> layout, spec = Layout((("w", (3, 1)),)), {"h": (("w", 0),)}
    >>> known_orders(layout, spec, {"h": torch.tensor([[2, 0, 1], [-1, -1, -1]])}, 2)
    tensor([ True, False])
    """
    sizes = check_spec(layout, permutations)
    check_orders(sizes, orders, n_pairs)
    blank = torch.stack([(order == -1).all(-1) for order in orders.values()]).all(0)
    for name, order in orders.items():
        wrong = (order.sort(-1).values != torch.arange(sizes[name], device=order.device)).any(
            -1
        ) & ~blank
        if bool(wrong.any()):
            pair = int(wrong.nonzero()[0, 0])
            raise ValueError(
                f"orders of pair {pair}, permutation {name!r}: got {order[pair].tolist()}, wanted"
                f" each of 0 to {sizes[name] - 1} once, or -1 throughout all of the pair's"
                " permutations where there is nothing to start from."
            )
    return ~blank


def check_function(
    scores: Callable[[Float[Tensor, "models params"]], Float[Tensor, "models *outputs"]],
    layout: Layout,
    permutations: Permutations,
    models: Float[Tensor, "models params"],
) -> None:
    """Check that no permutation of a spec changes what models compute: each is tried by itself, on
    every model.

    |scores(reordered) - scores(models)| <= 1e-5 max |scores(models)|, for each model

    scores: losses or outputs of the models     [models, params] -> [models, *outputs]
    models: random parameters, all different: what is alike cannot be seen to be reordered wrongly,
            such as the biases and norms that training starts from   [models, params]

    Raises ValueError that names a permutation that changes more than that, and the place whose
    addition or omission mends it, where a single one does; and for scores that are not finite, or
    all 0. A place that could be reordered but is not listed anywhere is not looked for.

    >>> layout = Layout((("w", (3, 2)), ("v", (1, 3))))
    >>> def outputs(flat):
    ...     views = layout.views(flat)
    ...     return (views["v"] @ views["w"].relu()).flatten(1)
    >>> models = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 0.0]])
    >>> check_function(outputs, layout, {"h": (("w", 0), ("v", 1))}, models)
    >>> check_function(outputs, layout, {"h": (("w", 0),)}, models)
    Traceback (most recent call last):
    ...
    ValueError: permutation 'h' changes what the model computes (outputs differ by 0.64): it misses
    ('v', 1); list it too.
    """
    sizes = check_spec(layout, permutations)
    before = scores(models)
    size = before.flatten(1).abs().amax(1) if before.dim() > 1 else before.abs()
    if not bool((size.isfinite() & (size > 0)).all()):
        raise ValueError(
            f"scores of the models are at most {size.tolist()}, wanted finite numbers, not all 0;"
            " pass others."
        )

    def difference(name: str, places: tuple[tuple[str, int], ...]) -> float:
        """Largest change by one permutation, relative to the size of the model's outputs; NaN
        counts as inf.
        """
        if not places:
            return 0.0
        moved = permute(
            layout, {name: places}, models, {name: _cycles(len(models), sizes[name], models.device)}
        )
        change = (scores(moved) - before).abs() / size.view(-1, *[1] * (before.dim() - 1))
        return float(change.nan_to_num(torch.inf).max())

    for name, places in permutations.items():
        found = difference(name, places)
        if found > ROUNDING:
            fitting = [
                (of, at)
                for of, shape in layout.shapes
                for at, n in enumerate(shape)
                if n == sizes[name]
            ]
            missing = (
                place
                for place in fitting
                if place not in places and difference(name, (*places, place)) <= ROUNDING
            )
            surplus = (
                p
                for p in places
                if difference(name, tuple(q for q in places if q != p)) <= ROUNDING
            )
            raise ValueError(
                f"permutation {name!r} changes what the model computes (outputs differ by"
                f" {found:.2g}): " + _remedy(permutations, next(missing, None), next(surplus, None))
            )


def _cycles(count: int, n: int, device: torch.device) -> Int[Tensor, "models n"]:
    """Orders that move every unit: each is one cycle through all units in a random order."""
    ways = draws.permutation(draws.fold(torch.arange(count, device=device), "cycles"), n)
    return torch.empty_like(ways).scatter_(1, ways, ways.roll(1, 1))


def _remedy(
    permutations: Permutations, missing: tuple[str, int] | None, surplus: tuple[str, int] | None
) -> str:
    if missing:
        owner = next((name for name, places in permutations.items() if missing in places), None)
        return f"it misses {missing}; list it too" + (
            f", and take it from {owner!r}." if owner else "."
        )
    if surplus:
        return f"it lists {surplus}, which does not belong to it; take it out."
    return (
        "neither adding nor taking out a single (tensor, axis) mends it; check all that it lists."
    )
