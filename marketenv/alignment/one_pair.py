"""Coordinate ascent of weight matching for one pair of models, on a CPU, with little work.

The steps are those of ``ascent``, which takes many pairs at once. Small models spend most of their
time in calls: here calls are cheap (NumPy). Wide models spend it in products: here a product is
computed again only where an order changed, and large products are float32, in half the time.

A solution of float32 scores counts if it is better in float64. So no step makes the objective
worse; but of two assignments whose sums differ by less than the rounding of float32, the first pass
may choose either.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from marketenv.alignment.assignment import assign_one
from marketenv.alignment.plan import Place, Plan, Term
from marketenv.core.bank import Layout

# by how many multiplications a product has:
FEW = 2**18  # up to these NumPy computes it, with one thread; beyond them torch does
SOME = 2**20  # from these on lines that changed are added to the latest product
MANY = 2**26  # from these on it is float32
# lengths of models whose products neither overflow nor vanish in float32
SAFE_LENGTHS = (1e-15, 1e15)

Order = Int[ndarray, "_"]
Orders = dict[str, Order]
Views = dict[str, Float[ndarray, "..."]]
Scores = Float[ndarray, "_ _"]


@dataclass(frozen=True)
class Pair:
    """Two models, and all that is known of them during the ascent.

    target, source: the tensors of the models
    rough:     the permutations whose scores hold the rounding of float32
    tolerance: least gain that counts
    constant:  scores of the still terms
    products:  the latest scores of each moving term, with the orders of its other axes; filled
               during the ascent
    """

    plan: Plan
    target: Views
    source: Views
    rough: frozenset[str]
    tolerance: float
    constant: dict[str, Scores]
    products: dict[Place, tuple[tuple[Order, ...], Scores]] = field(default_factory=dict)


def large(layout: Layout, plan: Plan, lengths: list[float]) -> frozenset[str]:
    """The tensors that stay in float32 where they came so, since their products are large."""
    (least, most), longest = SAFE_LENGTHS, max(plan.sizes.values())
    safe = all(least < length < most for length in lengths if math.isfinite(length))
    if not safe or longest * layout.size < MANY:
        return frozenset()
    counts = {name: math.prod(shape) for name, shape in layout.shapes}
    widths = {of: max(plan.sizes[name] for name, _ in users) for of, users in plan.users.items()}
    return frozenset(of for of, n in widths.items() if n * counts[of] >= MANY)


def views_of(
    layout: Layout, plan: Plan, model: Float[ndarray, "params"], rough: frozenset[str]
) -> Views:
    """The tensors that some permutation reorders, in float64; those of ``rough`` as they are."""
    flat, shapes = model if rough else model.astype(np.float64), dict(layout.shapes)
    views = {name: flat[layout.slices[name]].reshape(shapes[name]) for name in plan.users}
    if rough:
        views |= {name: views[name].astype(np.float64) for name in views.keys() - rough}
    return views


def pair_of(plan: Plan, target: Views, source: Views, tolerance: float) -> Pair:
    """Score the still terms once."""
    constant = {}
    for name, n in plan.sizes.items():
        products = [_scores(target, source, term, ()) for term in plan.still[name]]
        constant[name] = sum(products[1:], products[0]) if products else np.zeros((n, n))
    users = [plan.users[tensor] for tensor, view in target.items() if view.dtype != np.float64]
    rough = {name for some in users for name, _ in some}
    return Pair(plan, target, source, frozenset(rough), tolerance, constant)


def identity(plan: Plan) -> Orders:
    """The orders that change nothing."""
    return {name: np.arange(n) for name, n in plan.sizes.items()}


def best_of(pair: Pair, starts: Iterable[Orders | None], max_sweeps: int) -> Orders:
    """Climb from every start, and keep the highest end above the identity.

    A start of None begins by the first pass.
    """
    best = identity(pair.plan)
    highest = value(pair, {})
    for start in starts:
        orders = dict(start or {})
        stale = grounded(pair, orders) if start is None else set(pair.plan.sizes)
        ascend(pair, orders, stale, max_sweeps)
        end = value(pair, orders)
        if end > highest + pair.tolerance:
            best, highest = orders, end
    return best


def grounded(pair: Pair, orders: Orders) -> set[str]:
    """The first pass, as in ``ascent.grounded``: fills orders, and returns what is stale."""
    stale = set()
    for name, terms in pair.plan.first:
        orders[name] = assign_one(_sum(pair, name, terms, orders))
        if terms != pair.plan.moving[name]:
            stale.add(name)
    return stale


def ascend(pair: Pair, orders: Orders, stale: set[str], max_sweeps: int) -> None:
    """Solve stale permutations until none is stale or for ``max_sweeps`` passes.

    Changes orders and stale.
    """
    steps = [name for names in pair.plan.steps for name in names]
    for _ in range(max_sweeps):
        for name in steps:
            if name in stale:
                stale.discard(name)
                if _improve(pair, name, orders):
                    stale.update(pair.plan.neighbours[name])
        if not stale:
            break


def _improve(pair: Pair, name: str, orders: Orders) -> bool:
    """Solve one permutation with the others fixed; True where that is better. Changes orders."""
    plan, old = pair.plan, orders[name]
    scores = _sum(pair, name, plan.moving[name], orders)
    new = assign_one(scores)
    if (new == old).all():
        return False
    if name in plan.neighbours[name]:  # not linear in this order
        gain = value(pair, orders | {name: new}) - value(pair, orders)
    elif name in pair.rough:
        gain = _gain(pair, name, orders, new)
    else:
        rows = np.arange(len(new))
        gain = (scores[rows, new] - scores[rows, old]).sum()
    if gain > pair.tolerance:
        orders[name] = new
    return orders[name] is new


def _gain(pair: Pair, name: str, orders: Orders, new: Order) -> float:
    """How much better a new order of one permutation is, in float64."""
    old, total = orders[name], 0.0
    changed = np.flatnonzero(new != old)
    for term in pair.plan.still[name] + pair.plan.moving[name]:
        of = _moved(pair.source[term.place[0]], term, tuple(orders[other] for other in term.others))
        lines = _lines(of, term)
        to, after = _lines(pair.target[term.place[0]], term)[changed], lines[new[changed]]
        total += _inner(to, after) - _inner(to, lines[old[changed]])
    return total


def _sum(pair: Pair, name: str, terms: tuple[Term, ...], orders: Orders) -> Scores:
    """The score of the source's unit j in place i of the target, with the other orders fixed."""
    total = pair.constant[name]
    for term in terms:
        total = total + _product(pair, term, orders)
    return total


def _product(pair: Pair, term: Term, orders: Orders) -> Scores:
    """Scores of a moving term: the latest where no order changed, or with the changes, or anew."""
    now = tuple(orders[other] for other in term.others)
    before, scores = pair.products.get(term.place, ((), None))
    if scores is not None and all(map(operator.is_, before, now)):
        return scores
    new = None if scores is None else _update(pair, term, before, scores, now)
    if new is None:
        new = _scores(pair.target, pair.source, term, now)
    pair.products[term.place] = now, new
    return new


def _update(
    pair: Pair, term: Term, before: tuple[Order, ...], scores: Scores, now: tuple[Order, ...]
) -> Scores | None:
    """Add to the latest scores the lines whose order changed; None where that takes longer."""
    (tensor, _), axis = term.place, term.axes[0]
    target, source = pair.target[tensor], pair.source[tensor]
    if len(now) > 1 or len(scores) * target.size < SOME:
        return None
    changed = np.flatnonzero(before[0] != now[0])
    if 2 * len(changed) > len(now[0]):
        return None
    step = source.take(now[0][changed], axis) - source.take(before[0][changed], axis)
    return scores + _multiply(_lines(target.take(changed, axis), term), _lines(step, term))


def _scores(target: Views, source: Views, term: Term, orders: tuple[Order, ...]) -> Scores:
    """Inner products of every unit of the target with every unit of the source, in one term."""
    to, of = target[term.place[0]], _moved(source[term.place[0]], term, orders)
    return _multiply(_lines(to, term), _lines(of, term))


def _moved(
    view: Float[ndarray, "..."], term: Term, orders: tuple[Order, ...]
) -> Float[ndarray, "..."]:
    """A tensor in other orders of the term's other axes."""
    for axis, order in zip(term.axes, orders, strict=False):  # the other axes are the first
        view = view.take(order, axis)
    return view


def _lines(view: Float[ndarray, "..."], term: Term) -> Float[ndarray, "n lines"]:
    """A tensor as a matrix: a row per unit of the term, a column per place on the other axes."""
    axis = term.place[1]
    if view.ndim == 2:
        return view.T if axis else view
    return view.transpose(axis, *term.axes[:-1]).reshape(view.shape[axis], -1)


def _multiply(to: Float[ndarray, "n lines"], of: Float[ndarray, "n lines"]) -> Scores:
    """Inner products of the rows of one matrix with the rows of another."""
    if len(to) * of.size <= FEW:
        return to @ of.T
    return torch.mm(torch.from_numpy(to), torch.from_numpy(of).mT).numpy()


def value(pair: Pair, orders: Orders) -> float:
    """The part of the objective in the tensors that some permutation reorders, at these orders.

    A permutation without an order stays as it is.
    """
    total = 0.0
    for tensor, users in pair.plan.users.items():
        source = pair.source[tensor]
        for name, axis in users:
            source = source.take(orders[name], axis) if name in orders else source
        total += _inner(pair.target[tensor], source)
    return total


def _inner(to: Float[ndarray, "..."], of: Float[ndarray, "..."]) -> float:
    """The inner product of two tensors, in float64."""
    if to.dtype == np.float64:
        return float(np.vdot(to, of))
    return float(np.einsum("i,i->", to.ravel(), of.ravel(), dtype=np.float64))
