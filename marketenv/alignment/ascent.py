"""Coordinate ascent on how well models lie on each other: many pairs at once, in phases, and
nothing solved twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.alignment.assignment import assign
from marketenv.alignment.plan import Place, Plan, Term
from marketenv.alignment.spec import Orders, reorder
from marketenv.core.bank import Layout

# least gain that counts, relative to |target| |source|, the most the objective can be
PROGRESS = 1e-12
# of what is gathered for a product: it then stays in the cache, and no new memory is touched
PIECE_BYTES = 2**20
Stale = Bool[Tensor, "pairs permutations"]


@dataclass(frozen=True)
class Problem:
    """One chunk of pairs: which two models each is, and everything that stays as it is during the
    ascent.

    constant:  scores of the still terms   float64 [pairs, n, n]
    unfolded:  each permutation's moving terms of all models, one below
               the other   float64 [models, lines, n]
    spans:     which of the lines are a term's
    unmoved:   objective of the models as they are, as far as permutations have a hand in it
    near:      the plan's neighbours, one row per permutation;
               other: everything but the permutation itself
    tolerance: least gain that counts; inf where a model is not finite, so that nothing is changed
        there
    """

    plan: Plan
    target: Int[Tensor, "pairs"]
    source: Int[Tensor, "pairs"]
    constant: dict[str, Float64[Tensor, "pairs n n"]]
    unfolded: dict[str, Float64[Tensor, "models lines n"]]
    spans: dict[Place, slice]
    unmoved: Float64[Tensor, "pairs"]
    near: Bool[Tensor, "permutations permutations"]
    other: Bool[Tensor, "permutations permutations"]
    tolerance: Float64[Tensor, "pairs"]


def norms(models: Float[Tensor, "models params"]) -> Float64[Tensor, "models"]:
    """Length of each model's parameters; inf where it, or one of them, is not finite."""
    return torch.linalg.vector_norm(models, dim=-1).double().nan_to_num(torch.inf, torch.inf)


def problem_of(
    layout: Layout,
    plan: Plan,
    models: Float[Tensor, "models params"],
    target: Int[Tensor, "pairs"],
    source: Int[Tensor, "pairs"],
) -> Problem:
    """Unfold every model once, and score once what never changes.

    A model that is not finite counts as zeros, which a solver can end on.
    """
    length = norms(models)
    if not bool(length.isfinite().all()):
        models = models.where(length.isfinite()[:, None], torch.zeros_like(models))
    views = layout.views(models)
    unfolded = {
        name: _unfold(views, terms, plan.sizes[name])
        for name, terms in plan.moving.items()
        if terms
    }
    constant = {
        name: _constant(views, terms, target, source, plan.sizes[name])
        for name, terms in plan.still.items()
    }
    # 0 * inf is no number
    tolerance = (PROGRESS * length[target] * length[source]).nan_to_num(torch.inf, torch.inf)
    touched = layout.mask(
        {term.place[0] for terms in (*plan.still.values(), *plan.moving.values()) for term in terms}
    )
    unmoved = _products((models * touched.to(models))[:, None], target, source)[:, 0, 0]
    met = [other in plan.neighbours[name] for name in plan.sizes for other in plan.sizes]
    near = torch.tensor(met, dtype=torch.bool, device=models.device).view(
        len(plan.sizes), len(plan.sizes)
    )
    other = ~torch.eye(len(near), dtype=torch.bool, device=near.device)
    return Problem(
        plan, target, source, constant, unfolded, _spans(plan), unmoved, near, other, tolerance
    )


def _unfold(
    views: dict[str, Tensor], terms: tuple[Term, ...], n: int, units_first: bool = False
) -> Float64[Tensor, "models lines n"]:
    """Tensors one below the other: a line for everything else, a column per unit (or so in the
    memory, units first).
    """
    first, lines = (
        next(iter(views.values())),
        [views[term.place[0]][0].numel() // n for term in terms],
    )
    shape = (len(first), n, sum(lines)) if units_first else (len(first), sum(lines), n)
    joined = first.new_empty(shape, dtype=torch.float64)
    joined = joined.mT if units_first else joined
    # turned and made float64 in one go
    for part, term in zip(joined.split(lines, 1), terms, strict=True):
        view = views[term.place[0]].permute(0, *(axis + 1 for axis in term.axes))[:, None]
        part.unflatten(1, view.shape[1:-1]).copy_(view)
    return joined


def _spans(plan: Plan) -> dict[Place, slice]:
    found = {}
    for terms in plan.moving.values():
        first = 0
        for term in terms:
            lines = math.prod(plan.sizes[other] for other in term.others) * term.rest
            found[term.place] = slice(first, first + lines)
            first += lines
    return found


def _constant(
    views: dict[str, Tensor],
    terms: tuple[Term, ...],
    target: Int[Tensor, "pairs"],
    source: Int[Tensor, "pairs"],
    n: int,
) -> Float64[Tensor, "pairs n n"]:
    """Score one permutation by the tensors that no other one reorders, all in one product."""
    return _products(_unfold(views, terms, n, units_first=True).mT, target, source)


def _products(
    models: Float[Tensor, "models n lines"],
    target: Int[Tensor, "pairs"],
    source: Int[Tensor, "pairs"],
) -> Float64[Tensor, "pairs n n"]:
    """Inner products, in float64, of every unit of the target with every unit of the source."""
    count, n = models.shape[:2]
    # nearly every model meets every other: all at once wastes little
    if count**2 <= 3 * len(target):
        flat = models.double().flatten(0, 1)
        return (flat @ flat.mT).view(count, n, count, n).transpose(1, 2)[target, source]
    scores = models.new_empty(len(target), n, n, dtype=torch.float64)
    some = max(1, PIECE_BYTES // (8 * models[0].numel() + 1))
    for to, of, out in zip(target.split(some), source.split(some), scores.split(some), strict=True):
        torch.bmm(models[to].double(), models[of].double().mT, out=out)
    return scores


def grounded(problem: Problem, rows: Int[Tensor, "some"], orders: Orders, stale: Stale) -> None:
    """Fix the permutations of some pairs one after another, the best known first, each seen only
    beside those fixed.

    The inputs and outputs of a model are never reordered, so knowledge grows inwards from them. Of
    equal models every step finds the planted order: with sorted-out neighbours <a, P a> is largest
    where P a = a. Changes orders and stale.
    """
    for name, terms in problem.plan.first:
        orders[name][rows] = assign(_scores(problem, name, terms, rows, orders))
        # seen beside all its neighbours, it is solved
        stale[rows, problem.plan.number[name]] = terms != problem.plan.moving[name]


def ascend(problem: Problem, orders: Orders, stale: Stale, max_sweeps: int) -> None:
    """Solve what is stale, step by step, until nothing is, or for ``max_sweeps`` passes;
    changes orders and stale.
    """
    for _ in range(max_sweeps):
        for names in problem.plan.steps:
            _solve(problem, names, orders, stale)
        if not bool(stale.any()):
            break


def _solve(problem: Problem, names: tuple[str, ...], orders: Orders, stale: Stale) -> None:
    """Solve permutations of one length that share no tensor, each for the pairs where it is
    stale, in one call.
    """
    rows = {name: stale[:, problem.plan.number[name]].nonzero()[:, 0] for name in names}
    rows = {name: some for name, some in rows.items() if len(some)}
    if not rows:
        return
    scores = [
        _scores(problem, name, problem.plan.moving[name], some, orders)
        for name, some in rows.items()
    ]
    found = assign(torch.cat(scores)).split([len(some) for some in rows.values()])
    for (name, some), score, new in zip(rows.items(), scores, found, strict=True):
        _settle(problem, name, some, score, new, orders, stale)


def _settle(
    problem: Problem,
    name: str,
    rows: Int[Tensor, "some"],
    scores: Float64[Tensor, "some n n"],
    new: Int[Tensor, "some n"],
    orders: Orders,
    stale: Stale,
) -> None:
    """Keep a solution where it is better; its neighbours are then to be solved again."""
    old, near = orders[name].index_select(0, rows), problem.plan.neighbours[name]
    both = scores.gather(-1, torch.stack([old, new], -1)).sum(1)
    gain = both[:, 1] - both[:, 0]
    if name in near:  # not linear in this order: compare the thing itself
        trial = orders | {name: orders[name].index_copy(0, rows, new)}
        gain = value(problem, (name,), rows, trial) - value(problem, (name,), rows, orders)
    better = (gain > problem.tolerance.index_select(0, rows))[:, None]
    number = problem.plan.number[name]
    flags = (
        stale.index_select(0, rows)
        .logical_and_(problem.other[number])
        .logical_or_(better & problem.near[number])
    )
    orders[name].index_copy_(0, rows, torch.where(better, new, old))
    stale.index_copy_(0, rows, flags)


def _scores(
    problem: Problem, name: str, terms: tuple[Term, ...], rows: Int[Tensor, "some"], orders: Orders
) -> Float64[Tensor, "some n n"]:
    """What it brings to put the source's unit j in place i of the target, with the other
    permutations held.
    """
    scores = problem.constant[name].index_select(0, rows)
    if not terms:
        return scores
    unfolded = problem.unfolded[name]
    if terms != problem.plan.moving[name]:
        unfolded = torch.cat([unfolded[:, problem.spans[term.place]] for term in terms], 1)
    to = unfolded.index_select(0, problem.target.index_select(0, rows))
    return scores.baddbmm_(to.mT, _moved(problem, name, terms, rows, orders))


def _moved(
    problem: Problem, name: str, terms: tuple[Term, ...], rows: Int[Tensor, "some"], orders: Orders
) -> Float64[Tensor, "some lines n"]:
    """The source's tensors of some terms of one permutation, their lines in the order of the
    other permutations.
    """
    unfolded = problem.unfolded[name]
    parts = [_lines(problem, term, rows, orders) for term in terms]
    lines = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
    lines = torch.add(lines, problem.source.index_select(0, rows)[:, None], alpha=unfolded.shape[1])
    return unfolded.flatten(0, 1).index_select(0, lines.flatten()).view(*lines.shape, -1)


def _lines(
    problem: Problem, term: Term, rows: Int[Tensor, "some"], orders: Orders
) -> Int[Tensor, "some lines"]:
    """Where the lines of a term come from, counted within one model."""
    lines = orders[term.others[0]].index_select(0, rows)
    for other in term.others[1:]:
        lines = (
            lines[..., None] * problem.plan.sizes[other]
            + orders[other].index_select(0, rows)[:, None]
        ).flatten(1)
    if term.rest > 1:
        lines = (
            lines[..., None] * term.rest + torch.arange(term.rest, device=rows.device)
        ).flatten(1)
    first = problem.spans[term.place].start
    return lines + first if first else lines


def value(
    problem: Problem, names: tuple[str, ...], rows: Int[Tensor, "some"], orders: Orders
) -> Float64[Tensor, "some"]:
    """The part of the objective that these permutations have a hand in, at the given orders."""
    total = problem.tolerance.new_zeros(len(rows))
    for name in names:
        total += (
            problem.constant[name][rows].gather(-1, orders[name][rows][..., None]).sum((-2, -1))
        )
    # each tensor once
    seen = {term.place[0]: (name, term) for name in names for term in problem.plan.moving[name]}
    for name, term in seen.values():
        moved = reorder(_moved(problem, name, (term,), rows, orders), 1, orders[name][rows])
        to = problem.unfolded[name][:, problem.spans[term.place]].index_select(
            0, problem.target[rows]
        )
        total += torch.linalg.vecdot(to.flatten(1), moved.flatten(1))
    return total
