"""Permutation specs: axes of tensors that can be reordered together without a change of outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.bank import Layout

Places = tuple[tuple[str, int], ...]  # tensors, each with one of its axes
Permutations = dict[str, Places]
Orders = dict[str, Int[Tensor, "pairs _"]]
# float32 sums in another order differ by less than 1e-6 of a loss, a wrong place by 0.002 and more
ROUNDING = 1e-5


def check_spec(layout: Layout, permutations: Permutations) -> dict[str, int]:
    """Check a spec against the parameters, and return the length of every permutation.

    permutations: name -> (tensor, axis) pairs that it reorders together; one tensor may lie under
                  several names

    Raises ValueError, naming the culprit, for a permutation of nothing, an unknown tensor, an axis
    out of range, unequal lengths, and a (tensor, axis) that stands twice.

    >>> mlp = Layout((("weight_0", (4, 3)), ("bias_0", (4,)), ("weight_1", (2, 4))))
    >>> check_spec(mlp, {"hidden_0": (("weight_0", 0), ("bias_0", 0), ("weight_1", 1))})
    {'hidden_0': 4}
    """
    sizes: dict[str, int] = {}
    users: dict[tuple[str, int], str] = {}
    for name, places in permutations.items():
        if not places:
            raise ValueError(
                f"permutation {name!r} lists no (tensor, axis), wanted at least one; leave the name"
                " out."
            )
        for tensor, axis in places:
            where = f"permutation {name!r}: ({tensor!r}, {axis})"
            length = _length(layout, tensor, axis, where)
            if sizes.setdefault(name, length) != length:
                raise ValueError(
                    f"{where} has length {length}, but {places[0]} has {sizes[name]}; wanted equal"
                    " lengths."
                )
            if (tensor, axis) in users:
                raise ValueError(
                    f"{where} is used twice, first by {users[tensor, axis]!r}; list every (tensor,"
                    " axis) once."
                )
            users[tensor, axis] = name
    return sizes


def _length(layout: Layout, tensor: str, axis: int, where: str) -> int:
    """The length of a tensor's axis; ValueError for an unknown tensor, and an axis out of range."""
    shapes = dict(layout.shapes)
    if tensor not in shapes:
        raise ValueError(f"{where} names an unknown tensor. The layout holds: {', '.join(shapes)}.")
    if not 0 <= axis < len(shapes[tensor]):
        raise ValueError(
            f"{where} is out of range: {tensor!r} has shape {shapes[tensor]}; count axes from 0."
        )
    return shapes[tensor][axis]


def reorder(tensor: Tensor, axis: int, order: Int[Tensor, "pairs n"]) -> Tensor:
    """Reorder one axis of [pairs, *shape] by each pair's own order: new[i] = old[order[i]].

    axis: counted without the pairs
    """
    count, n = order.shape
    # single numbers; take_along_dim is twice as slow: it wraps indices
    if axis + 2 == tensor.dim():
        return tensor.gather(-1, order.view(count, *[1] * axis, n).expand_as(tensor))
    before, behind = tensor.shape[1 : axis + 1].numel(), tensor.shape[axis + 2 :].numel()
    starts = torch.arange(count * before, device=order.device).view(count, before, 1) * n
    lines = (starts + order[:, None]).flatten()
    flat = tensor.reshape(count * before * n, behind)
    return flat.index_select(0, lines).view(tensor.shape)


def check_orders(sizes: dict[str, int], orders: Orders, n_pairs: int) -> None:
    """Refuse orders whose names, lengths or numbers are not those of the permutations and pairs."""
    got = {name: list(order.shape) for name, order in orders.items()}
    if got != {name: [n_pairs, n] for name, n in sizes.items()}:
        raise ValueError(
            f"orders are {got}, wanted [{n_pairs}, n] with these n: {sizes}; give one order per"
            " permutation."
        )


def permute(
    layout: Layout, permutations: Permutations, flat: Float[Tensor, "pairs params"], orders: Orders
) -> Float[Tensor, "pairs params"]:
    """Reorder the hidden units of every model; its outputs do not change.

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
    """The orders that change nothing, for the pairs of ``like``: name -> int64 [pairs, n]."""
    sizes, pairs = check_spec(layout, permutations), len(like)
    return {name: torch.arange(n, device=like.device).repeat(pairs, 1) for name, n in sizes.items()}


def random_orders(layout: Layout, permutations: Permutations, keys: Int[Tensor, "pairs"]) -> Orders:
    """Draw a random order of every permutation for each key: name -> int64 [pairs, n].

    >>> layout, spec = Layout((("w", (3, 1)),)), {"h": (("w", 0),)}
    >>> random_orders(layout, spec, torch.arange(5))["h"].sort(-1).values[4]
    tensor([0, 1, 2])
    """
    sizes = check_spec(layout, permutations).items()
    return {name: draws.permutation(draws.fold(keys, "order", name), n) for name, n in sizes}


def join(orders: Orders, like: Int[Tensor, "pairs"]) -> Int[Tensor, "pairs units"]:
    """Put the orders of all permutations side by side, in the spec's order.

    like: a tensor with as many pairs
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
    """Return where orders are known: True for permutations, False where all numbers are -1.

    Raises ValueError for a pair of which neither holds, and for orders of other names or lengths.

    >>> layout, spec = Layout((("w", (3, 1)),)), {"h": (("w", 0),)}
    >>> known_orders(layout, spec, {"h": torch.tensor([[2, 0, 1], [-1, -1, -1]])}, 2)
    tensor([ True, False])
    """
    sizes = check_spec(layout, permutations)
    check_orders(sizes, orders, n_pairs)
    blank = torch.stack([(order == -1).all(-1) for order in orders.values()]).all(0)
    for name, order in orders.items():
        units = torch.arange(sizes[name], device=order.device)
        wrong = (order.sort(-1).values != units).any(-1) & ~blank
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
    """Check that no permutation of a spec changes the outputs of models.

    |scores(reordered) - scores(models)| <= 1e-5 max |scores(models)|, for each model

    Every permutation is tried by itself, on every model.

    scores: losses or outputs of the models     [models, params] -> [models, *outputs]
    models: random parameters, all different: a wrong order of equal numbers, such as the biases and
            norms at the start of a training, cannot be noticed   [models, params]

    Raises ValueError that names a permutation that changes more than that, and the place whose
    addition or omission mends it, where there is such a single place; and for scores that are not
    finite, or all 0. It does not notice a place that could be reordered but is listed nowhere.

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

    def difference(name: str, places: Places) -> float:
        """Largest change by one permutation, relative to the model's outputs; NaN counts as inf."""
        if not places:
            return 0.0
        orders = {name: _cycles(len(models), sizes[name], models.device)}
        after = scores(permute(layout, {name: places}, models, orders))
        change = (after - before).abs() / size.view(-1, *[1] * (before.dim() - 1))
        return float(change.nan_to_num(torch.inf).max())

    for name, places in permutations.items():
        change = difference(name, places)
        if change > ROUNDING:
            remedy = _remedy(layout, permutations, name, functools.partial(difference, name))
            raise ValueError(
                f"permutation {name!r} changes what the model computes (outputs differ by"
                f" {change:.2g}): {remedy}"
            )


def _cycles(count: int, n: int, device: torch.device) -> Int[Tensor, "models n"]:
    """Orders that move every unit: each is one cycle through all units in a random order."""
    ways = draws.permutation(draws.fold(torch.arange(count, device=device), "cycles"), n)
    return torch.empty_like(ways).scatter_(1, ways, ways.roll(1, 1))


def _remedy(
    layout: Layout,
    permutations: Permutations,
    name: str,
    difference: Callable[[Places], float],
) -> str:
    """The fix of a permutation that changes outputs: a place to add or to take out, if any."""
    places = permutations[name]
    tensor, axis = places[0]
    n = dict(layout.shapes)[tensor][axis]
    axes = [(of, at, length) for of, shape in layout.shapes for at, length in enumerate(shape)]
    for place in [(of, at) for of, at, length in axes if length == n and (of, at) not in places]:
        if difference((*places, place)) <= ROUNDING:
            owner = next((other for other, some in permutations.items() if place in some), None)
            rest = f", and take it from {owner!r}." if owner else "."
            return f"it misses {place}; list it too{rest}"
    for place in places:
        if difference(tuple(other for other in places if other != place)) <= ROUNDING:
            return f"it lists {place}, which does not belong to it; take it out."
    return (
        "neither adding nor taking out a single (tensor, axis) mends it; check all that it lists."
    )
