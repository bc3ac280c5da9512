"""Coordinate ascent of weight matching: many pairs at once, in phases, and nothing solved twice."""

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
# of the numbers of one product: they then stay in the cache, and no new memory is touched
PIECE_BYTES = 2**20
Stale = Bool[Tensor, "pairs permutations"]


@dataclass(frozen=True)
class Problem:
    """One chunk of pairs: the two models of each, and everything that is fixed during the ascent.

    constant:  scores of the still terms                              float64 [pairs, n, n]
    unfolded:  each permutation's moving terms of all models, one below the other
                                                                      float64 [models, lines, n]
    spans:     the lines of each term
    unmoved:   objective of the models as they are, in the tensors that some permutation reorders
    near:      the plan's neighbours, one row per permutation
    other:     everything but the permutation itself
    tolerance: least gain that counts; inf where a model is not finite, so that nothing changes
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
    """Unfold every model once, and score the still terms once.

    A model that is not finite counts as zeros, with which every solver ends.
    """
    length = norms(models)
    if not bool(length.isfinite().all()):
        models = models.where(length.isfinite()[:, None], torch.zeros_like(models))
    views = layout.views(models)
    unfolded, constant = {}, {}
    for name, n in plan.sizes.items():
        if plan.moving[name]:
            unfolded[name] = _unfold(views, plan.moving[name], n)
        constant[name] = _constant(views, plan.still[name], target, source, n)
    # 0 * inf is no number
    tolerance = (PROGRESS * length[target] * length[source]).nan_to_num(torch.inf, torch.inf)
    terms = [term for some in (*plan.still.values(), *plan.moving.values()) for term in some]
    touched = layout.mask({term.place[0] for term in terms}).to(models)
    near = [[other in plan.neighbours[name] for other in plan.sizes] for name in plan.sizes]
    return Problem(
        plan=plan,
        target=target,
        source=source,
        constant=constant,
        unfolded=unfolded,
        spans=_spans(plan),
        unmoved=_products((models * touched)[:, None], target, source)[:, 0, 0],
        near=torch.tensor(near, dtype=torch.bool, device=models.device).view(len(near), len(near)),
        other=~torch.eye(len(near), dtype=torch.bool, device=models.device),
        tolerance=tolerance,
    )


def _unfold(
    views: dict[str, Tensor], terms: tuple[Term, ...], n: int, units_first: bool = False
) -> Float64[Tensor, "models lines n"]:
    """Tensors one below the other: a column per unit, a line for each place on the other axes.

    units_first: the memory has the units first
    """
    first = next(iter(views.values()))
    lines = [views[term.place[0]][0].numel() // n for term in terms]
    shape = (len(first), n, sum(lines)) if units_first else (len(first), sum(lines), n)
    joined = first.new_empty(shape, dtype=torch.float64)
    joined = joined.mT if units_first else joined
    # one copy turns them and makes them float64
    for part, term in zip(joined.split(lines, 1), terms, strict=True):
        view = views[term.place[0]].permute(0, *(axis + 1 for axis in term.axes))[:, None]
        part.unflatten(1, view.shape[1:-1]).copy_(view)
    return joined


def _spans(plan: Plan) -> dict[Place, slice]:
    """The lines of each moving term among those of its permutation."""
    spans = {}
    for terms in plan.moving.values():
        first = 0
        for term in terms:
            lines = math.prod(plan.sizes[other] for other in term.others) * term.rest
            spans[term.place] = slice(first, first + lines)
            first += lines
    return spans


def _constant(
    views: dict[str, Tensor],
    terms: tuple[Term, ...],
    target: Int[Tensor, "pairs"],
    source: Int[Tensor, "pairs"],
    n: int,
) -> Float64[Tensor, "pairs n n"]:
    """Score one permutation by the tensors that no other permutation reorders, in one product."""
    return _products(_unfold(views, terms, n, units_first=True).mT, target, source)


def _products(
    models: Float[Tensor, "models n lines"],
    target: Int[Tensor, "pairs"],
    source: Int[Tensor, "pairs"],
) -> Float64[Tensor, "pairs n n"]:
    """Inner products, in float64, of every unit of the target with every unit of the source."""
    count, n = models.shape[:2]
    # nearly every model is paired with every other: all at once wastes little
    if count**2 <= 3 * len(target):
        flat = models.double().flatten(0, 1)
        return (flat @ flat.mT).view(count, n, count, n).transpose(1, 2)[target, source]
    scores = models.new_empty(len(target), n, n, dtype=torch.float64)
    some = max(1, PIECE_BYTES // (8 * models[0].numel() + 1))
    for to, of, out in zip(target.split(some), source.split(some), scores.split(some), strict=True):
        torch.bmm(models[to].double(), models[of].double().mT, out=out)
    return scores


def grounded(problem: Problem, rows: Int[Tensor, "some"], orders: Orders, stale: Stale) -> None:
    """Fix the permutations of some pairs one after another, each by its fixed neighbours alone.

    The best known permutation is fixed first: the inputs and outputs of a model are never
    reordered, so knowledge grows inwards from them. For a permuted copy of a model every step finds
    the right order: with right neighbours <a, P a> is largest where P a = a. Changes orders and
    stale.
    """
    for name, terms in problem.plan.first:
        orders[name][rows] = assign(_scores(problem, name, terms, rows, orders))
        # with all its neighbours fixed it is solved
        stale[rows, problem.plan.number[name]] = terms != problem.plan.moving[name]


def ascend(problem: Problem, orders: Orders, stale: Stale, max_sweeps: int) -> None:
    """Solve stale permutations, step by step, until none is stale or for ``max_sweeps`` passes.

    Changes orders and stale.
    """
    for _ in range(max_sweeps):
        for names in problem.plan.steps:
            _solve(problem, names, orders, stale)
        if not bool(stale.any()):
            break


def _solve(problem: Problem, names: tuple[str, ...], orders: Orders, stale: Stale) -> None:
    """Solve permutations of one length that share no tensor, for their stale pairs, in one call."""
    plan = problem.plan
    rows = {name: stale[:, plan.number[name]].nonzero()[:, 0] for name in names}
    rows = {name: some for name, some in rows.items() if len(some)}
    if not rows:
        return
    scores = [_scores(problem, name, plan.moving[name], rows[name], orders) for name in rows]
    solutions = assign(torch.cat(scores)).split([len(some) for some in rows.values()])
    for name, score, new in zip(rows, scores, solutions, strict=True):
        _settle(problem, name, rows[name], score, new, orders, stale)


def _settle(
    problem: Problem,
    name: str,
    rows: Int[Tensor, "some"],
    scores: Float64[Tensor, "some n n"],
    new: Int[Tensor, "some n"],
    orders: Orders,
    stale: Stale,
) -> None:
    """Keep a solution where it is better; its neighbours are then stale."""
    old, near = orders[name].index_select(0, rows), problem.plan.neighbours[name]
    both = scores.gather(-1, torch.stack([old, new], -1)).sum(1)
    gain = both[:, 1] - both[:, 0]
    if name in near:  # not linear in this order: compare the objective itself
        trial = orders | {name: orders[name].index_copy(0, rows, new)}
        gain = value(problem, (name,), rows, trial) - value(problem, (name,), rows, orders)
    better = (gain > problem.tolerance.index_select(0, rows))[:, None]
    number = problem.plan.number[name]
    others = stale.index_select(0, rows).logical_and_(problem.other[number])
    orders[name].index_copy_(0, rows, torch.where(better, new, old))
    stale.index_copy_(0, rows, others.logical_or_(better & problem.near[number]))


def _scores(
    problem: Problem, name: str, terms: tuple[Term, ...], rows: Int[Tensor, "some"], orders: Orders
) -> Float64[Tensor, "some n n"]:
    """The score of the source's unit j in place i of the target, with the other orders fixed."""
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
    """The source's tensors of some terms of a permutation, in the other permutations' orders."""
    unfolded = problem.unfolded[name]
    parts = [_lines(problem, term, rows, orders) for term in terms]
    lines = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
    lines = torch.add(lines, problem.source.index_select(0, rows)[:, None], alpha=unfolded.shape[1])
    return unfolded.flatten(0, 1).index_select(0, lines.flatten()).view(*lines.shape, -1)


def _lines(
    problem: Problem, term: Term, rows: Int[Tensor, "some"], orders: Orders
) -> Int[Tensor, "some lines"]:
    """The numbers of a term's lines in the source, counted within one model."""
    lines = orders[term.others[0]].index_select(0, rows)
    for other in term.others[1:]:
        inner, n = orders[other].index_select(0, rows)[:, None], problem.plan.sizes[other]
        lines = (lines[..., None] * n + inner).flatten(1)
    if term.rest > 1:
        inner = torch.arange(term.rest, device=rows.device)
        lines = (lines[..., None] * term.rest + inner).flatten(1)
    first = problem.spans[term.place].start
    return lines + first if first else lines


def value(
    problem: Problem, names: tuple[str, ...], rows: Int[Tensor, "some"], orders: Orders
) -> Float64[Tensor, "some"]:
    """The part of the objective in the tensors that these permutations reorder, at these orders."""
    total = problem.tolerance.new_zeros(len(rows))
    for name in names:
        scores, order = problem.constant[name][rows], orders[name][rows][..., None]
        total += scores.gather(-1, order).sum((-2, -1))
    # each tensor once
    tensors = {term.place[0]: (name, term) for name in names for term in problem.plan.moving[name]}
    for name, term in tensors.values():
        moved = reorder(_moved(problem, name, (term,), rows, orders), 1, orders[name][rows])
        lines = problem.unfolded[name][:, problem.spans[term.place]]
        to = lines.index_select(0, problem.target[rows])
        total += torch.linalg.vecdot(to.flatten(1), moved.flatten(1))
    return total
