"""Git Re-Basin weight matching for many pairs of models at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.alignment.assignment import assign
from marketenv.alignment.spec import Orders, Permutations, check_spec, identity_orders, permute, random_orders, reorder
from marketenv.core import draws
from marketenv.core.bank import Layout

MAX_SWEEPS = 100
LIMIT_BYTES = 256 * 2**20
PROGRESS = 1e-12  # least gain that counts, relative to |target| |source|, the most the objective can be


@dataclass(frozen=True)
class _Term:
    """One tensor's part in one permutation: the axis that it reorders, and the (axis, name) of what else reorders it."""

    tensor: str
    axis: int
    others: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class _Problem:
    """One chunk of pairs: views [pairs, *shape], the terms of each permutation, and scores that never change."""

    target: dict[str, Tensor]
    source: dict[str, Tensor]
    moving: dict[str, tuple[_Term, ...]]
    constant: dict[str, Float64[Tensor, "pairs n n"]]
    tolerance: Float64[Tensor, "pairs"]


def objective(target: Float[Tensor, "pairs params"], source: Float[Tensor, "pairs params"]) -> Float64[Tensor, "pairs"]:
    """How well two models lie on each other: the inner product of their parameters, in float64.

    sum_k <target_k, source_k>; it grows as |target - source|^2 falls, and a reordered source keeps its norm

    target: the model that stays   [pairs, params]; source: the other one, already reordered   [pairs, params]

    Source: Ainsworth, Hayase, Srinivasa, "Git Re-Basin" (2022), eq. 1. We differ: parameters that no permutation
    touches count too (a constant for the pair).

    >>> objective(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]]))
    tensor([5.], dtype=torch.float64)
    """
    return (target.double() * source.double()).sum(-1)


def match(
    layout: Layout,
    permutations: Permutations,
    target: Float[Tensor, "pairs params"],
    source: Float[Tensor, "pairs params"],
    keys: Int[Tensor, "pairs"],
    max_sweeps: int = MAX_SWEEPS,
    restarts: int = 1,
    limit_bytes: int = LIMIT_BYTES,
) -> Orders:
    """Find for each pair the reordering of the source's hidden units that brings it nearest to the target.

    maximise sum_k <target_k, permuted source_k> by coordinate ascent: one permutation at a time, in random order,
    is the solution of a linear assignment with the others held; until a whole sweep brings a pair no progress

    target, source: parameters   [pairs, params];   keys: of the random draws   int64 [pairs]
    max_sweeps: most passes over all permutations;  restarts: starts, of which the best is kept
    limit_bytes: the pairs are done in chunks whose copies and scores stay under it (at least one pair)
    Returns orders, name -> int64 [pairs, n], for ``permute``: the identity where nothing better was found, so never
    worse than no alignment, and where a model or its norm is not finite.

    Raises ValueError for a spec that does not fit the layout, and for max_sweeps or restarts below 1.

    Source: Git Re-Basin (2022), Algorithm 1. We differ: the first start is not the identity but a pass that fixes
    the permutations one after another, the one with most known inputs and outputs first, each seen only beside those
    already fixed (a permuted copy is then always recovered; further starts are random); a step counts if it brings
    1e-12 of |target| |source|; a tensor that one permutation reorders on two axes is linearised at the current order.
    Local optima exist where a tensor lies between two permutations; with none such the first assignment is exact.

    >>> layout, spec = Layout((("w", (3, 1)), ("v", (1, 3)))), {"h": (("w", 0), ("v", 1))}
    >>> source = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    >>> match(layout, spec, torch.tensor([[3.0, 1.0, 2.0, 6.0, 4.0, 5.0]]), source, torch.tensor([0]))["h"]
    tensor([[2, 0, 1]])
    """
    sizes = check_spec(layout, permutations)
    if max_sweeps < 1 or restarts < 1:
        raise ValueError(f"max_sweeps is {max_sweeps} and restarts is {restarts}, wanted both >= 1.")
    per_pair = 8 * (5 * layout.size + 3 * sum(n * n for n in sizes.values()))
    chunks = [part.split(max(1, limit_bytes // per_pair)) for part in (target, source, keys)]
    found = [_match_chunk(layout, permutations, to, of, key, max_sweeps, restarts) for to, of, key in zip(*chunks, strict=True)]
    return {name: torch.cat([orders[name] for orders in found]) for name in sizes}


def _match_chunk(
    layout: Layout,
    permutations: Permutations,
    target: Float[Tensor, "pairs params"],
    source: Float[Tensor, "pairs params"],
    keys: Int[Tensor, "pairs"],
    max_sweeps: int,
    restarts: int,
) -> Orders:
    problem = _problem(layout, permutations, target, source)
    best = identity_orders(layout, permutations, keys)
    if not any(problem.moving.values()):
        return _ascend(problem, best, keys, 1)  # every assignment stands alone: solved once, it is solved
    held = objective(target, source)
    for start in range(restarts):
        again = draws.fold(keys, "start", start)
        orders = random_orders(layout, permutations, again) if start else _grounded(problem, permutations)
        orders = _ascend(problem, orders, again, max_sweeps)
        reached = objective(target, permute(layout, permutations, source, orders))
        better = reached > held + problem.tolerance
        held = torch.where(better, reached, held)
        best = {name: torch.where(better[:, None], orders[name], best[name]) for name in best}
    return best


def _problem(
    layout: Layout,
    permutations: Permutations,
    target: Float[Tensor, "pairs params"],
    source: Float[Tensor, "pairs params"],
) -> _Problem:
    """Sort the terms into those that stay and those that move with other permutations, and score the former at once.

    A pair that is not finite gets zeros, which a solver can end on, and a tolerance that no gain exceeds.
    """
    norms = [torch.linalg.vector_norm(model, dim=-1).double() for model in (target, source)]
    tolerance = PROGRESS * norms[0] * norms[1]
    finite = tolerance.isfinite()
    if not bool(finite.all()):
        target, source = (model.where(finite[:, None], torch.zeros_like(model)) for model in (target, source))
    views = [layout.views(model) for model in (target, source)]
    moving, constant = {}, {}
    for name, places in permutations.items():
        terms = [_Term(tensor, axis, _others(permutations, tensor, axis)) for tensor, axis in places]
        moving[name] = tuple(term for term in terms if term.others)
        constant[name] = _constant(views[0], views[1], terms)
    return _Problem(views[0], views[1], moving, constant, tolerance)


def _others(permutations: Permutations, tensor: str, axis: int) -> tuple[tuple[int, str], ...]:
    places = [(at, name, of) for name, listed in permutations.items() for of, at in listed]
    return tuple((at, name) for at, name, of in places if of == tensor and at != axis)


def _constant(target: dict[str, Tensor], source: dict[str, Tensor], terms: list[_Term]) -> Float64[Tensor, "pairs n n"]:
    """What the tensors that no other permutation reorders say about one permutation, as one stacked product."""
    still = [term for term in terms if not term.others]
    if not still:
        view = target[terms[0].tensor]
        n = view.shape[terms[0].axis + 1]
        return view.new_zeros(len(view), n, n, dtype=torch.float64)
    to, of = (torch.cat([_unfold(views[term.tensor], term.axis) for term in still], -1) for views in (target, source))
    return to.double() @ of.double().mT


def _unfold(view: Tensor, axis: int) -> Tensor:
    """One row per unit: [pairs, *shape] -> [pairs, n, everything else]."""
    return view.movedim(axis + 1, 1).flatten(2) if view.dim() > 2 else view[..., None]


def _grounded(problem: _Problem, permutations: Permutations) -> Orders:
    """Fix the permutations one after another, the best known first, each seen only beside those already fixed.

    The inputs and outputs of a model are never reordered, so knowledge grows inwards from them. Of equal models every
    step finds the planted order: with sorted-out neighbours <a, P a> is largest where P a = a.
    """
    orders: Orders = {}
    rows = torch.arange(len(problem.tolerance), device=problem.tolerance.device)
    while len(orders) < len(permutations):
        known = {name: _known(problem, permutations, name, orders) for name in permutations if name not in orders}
        name = max(known, key=lambda n: known[n])
        terms = tuple(term for term in problem.moving[name] if all(other in orders for _, other in term.others))
        orders[name] = assign(_scores(problem, name, terms, rows, orders))
    return orders


def _known(problem: _Problem, permutations: Permutations, name: str, orders: Orders) -> int:
    """How many parameters of each unit lie beside inputs, outputs, or units whose order is fixed."""
    sure = [t for t, axis in permutations[name] if all(other in orders for _, other in _others(permutations, t, axis))]
    return sum(problem.source[tensor].shape[1:].numel() for tensor in sure) // problem.constant[name].shape[-1]


def _ascend(problem: _Problem, orders: Orders, keys: Int[Tensor, "pairs"], max_sweeps: int) -> Orders:
    """Sweep over the permutations, each pair in an order of its own, until no pair makes progress; changes ``orders``."""
    active, names = torch.arange(len(keys), device=keys.device), list(orders)
    for sweep in range(max_sweeps):
        turns = draws.permutation(draws.fold(keys[active], "sweep", sweep), len(names))
        moved = torch.zeros_like(active, dtype=torch.bool)
        for turn in turns.T:
            for number, name in enumerate(names):  # the pairs whose turn it is for this permutation, together
                now = (turn == number).nonzero()[:, 0]
                if len(now):
                    moved[now] |= _improve(problem, name, active[now], orders)
        active = active[moved]
        if not len(active):
            break
    return orders


def _improve(problem: _Problem, name: str, rows: Int[Tensor, "some"], orders: Orders) -> Bool[Tensor, "some"]:
    """Solve one permutation for some pairs with the others held; keep the solution where it is better, and say where."""
    terms = problem.moving[name]
    scores = _scores(problem, name, terms, rows, orders)
    old, new = orders[name][rows], assign(scores)
    gain = (scores.gather(-1, new[..., None]) - scores.gather(-1, old[..., None])).sum((-2, -1))
    if any(name == other for term in terms for _, other in term.others):  # not linear in this order: compare the thing itself
        trial = orders | {name: orders[name].index_copy(0, rows, new)}
        gain = _value(problem, name, rows, trial) - _value(problem, name, rows, orders)
    better = gain > problem.tolerance[rows]
    orders[name][rows] = torch.where(better[:, None], new, old)
    return better


def _scores(
    problem: _Problem, name: str, terms: tuple[_Term, ...], rows: Int[Tensor, "some"], orders: Orders
) -> Float64[Tensor, "some n n"]:
    """What it brings to put the source's unit j in place i of the target, with the other permutations held."""
    scores = problem.constant[name][rows]
    for term in terms:
        moved = problem.source[term.tensor][rows]
        for axis, other in term.others:
            moved = reorder(moved, axis, orders[other][rows])
        scores += _unfold(problem.target[term.tensor][rows], term.axis).double() @ _unfold(moved, term.axis).double().mT
    return scores


def _value(problem: _Problem, name: str, rows: Int[Tensor, "some"], orders: Orders) -> Float64[Tensor, "some"]:
    """The part of the objective that one permutation has a hand in, at the given orders."""
    value = problem.constant[name][rows].gather(-1, orders[name][rows][..., None]).sum((-2, -1))
    for term in {term.tensor: term for term in problem.moving[name]}.values():
        moved = problem.source[term.tensor][rows]
        for axis, other in ((term.axis, name), *term.others):
            moved = reorder(moved, axis, orders[other][rows])
        value += (problem.target[term.tensor][rows].double() * moved).flatten(1).sum(-1)
    return value
