"""Git Re-Basin weight matching for many pairs of models at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.alignment import one_pair
from marketenv.alignment.ascent import (
    PROGRESS,
    Problem,
    ascend,
    grounded,
    norms,
    problem_of,
    value,
)
from marketenv.alignment.plan import Plan, plan_of
from marketenv.alignment.spec import (
    Orders,
    Permutations,
    identity_orders,
    known_orders,
    random_orders,
)
from marketenv.core import draws
from marketenv.core.bank import Layout
from marketenv.core.checks import whole

# orders to begin with, and which pairs have them
Starts = Iterator[tuple[Orders | None, Bool[Tensor, "pairs"]]]
MAX_SWEEPS = 100
# one by one are matched, on a CPU, at most so many pairs, and pairs with so long a permutation
FEW_PAIRS, WIDE = 16, 64
LIMIT_BYTES = 256 * 2**20


class Task(NamedTuple):
    """Pairs to match.

    models:         parameters                        [models, params]
    target, source: the rows of each pair's models    int64 [pairs]
    starts:         orders to begin with
    max_sweeps:     most passes over all permutations
    """

    layout: Layout
    plan: Plan
    models: Float[Tensor, "models params"]
    target: Int[Tensor, "pairs"]
    source: Int[Tensor, "pairs"]
    starts: Starts
    max_sweeps: int


def objective(
    target: Float[Tensor, "pairs params"], source: Float[Tensor, "pairs params"]
) -> Float64[Tensor, "pairs"]:
    """The fit of two models: the inner product of their parameters, in float64.

    sum_k <target_k, source_k>; it grows as |target - source|^2 falls, and a reordered source keeps
    its norm

    target: the model that stays                    [pairs, params]
    source: the other model, already reordered      [pairs, params]

    Source: Ainsworth, Hayase, Srinivasa, "Git Re-Basin" (2022), eq. 1. We differ: parameters that
    no permutation touches count too (a constant for the pair).

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
    start: Orders | None = None,
    max_sweeps: int = MAX_SWEEPS,
    restarts: int = 1,
    limit_bytes: int = LIMIT_BYTES,
) -> Orders:
    """Find for each pair the orders of the source's hidden units that bring it nearest the target.

    maximise sum_k <target_k, permuted source_k> by coordinate ascent: each permutation is the
    solution of a linear assignment with the others fixed; until none has changed since its
    neighbours were solved

    target, source: parameters                 [pairs, params]
    keys:        of the restarts' random draws int64 [pairs]
    start:       orders to begin with, such as those of the models a round ago; all -1 where a pair
                 has none
    max_sweeps:  most passes over all permutations
    restarts:    number of starts, of which the best end counts
    limit_bytes: memory of the copies and scores of one chunk of pairs, which has at least one pair

    Returns orders, name -> int64 [pairs, n], for ``permute``: the identity where nothing is better,
    so never worse than no alignment, and where a model or its norm is not finite.

    Raises ValueError for a spec that does not fit the layout, a start that is neither a permutation
    nor all -1, and for max_sweeps or restarts below 1.

    Source: Git Re-Basin (2022), Algorithm 1. We differ: (1) It visits the permutations in a random
    order. We visit them in phases, always in the same order, all of a phase at once, for they share
    no tensor and do not depend on each other; and only those with a neighbour that changed. In a
    chain of layers most visits of a random order change nothing, and random starts give as much
    variety. (2) The first start is ``start``, or a pass that fixes the permutations one after
    another, the one with most known inputs and outputs first, each by its fixed neighbours alone (a
    permuted copy of an MLP is then always recovered); further starts are random. (3) A step counts
    if it gains 1e-12 of |target| |source|. (4) A tensor that one permutation reorders on two axes
    is linearised at the current order. (5) On a CPU, products of layers as wide as 512 units are
    float32; a step counts by its gain in float64. Local optima exist where a tensor lies between
    two permutations; without such a tensor the first assignment is exact.

    >>> layout, spec = Layout((("w", (3, 1)), ("v", (1, 3)))), {"h": (("w", 0), ("v", 1))}
    >>> source = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    >>> target = torch.tensor([[3.0, 1.0, 2.0, 6.0, 4.0, 5.0]])
    >>> match(layout, spec, target, source, torch.tensor([0]))["h"]
    tensor([[2, 0, 1]])
    """
    wanted = (len(keys), layout.size)
    if target.shape != wanted or source.shape != wanted:
        got = f"target {list(target.shape)}, source {list(source.shape)} and {len(keys)} keys"
        raise ValueError(
            f"match got {got}, wanted two models [{len(keys)}, {layout.size}]: one pair and one key"
            " in each row."
        )
    models, pairs = torch.cat([target, source]), torch.arange(len(keys), device=keys.device)
    limits = {"max_sweeps": max_sweeps, "restarts": restarts, "limit_bytes": limit_bytes}
    return match_among(
        layout, permutations, models, pairs, pairs + len(pairs), keys, start, **limits
    )


def match_among(
    layout: Layout,
    permutations: Permutations,
    models: Float[Tensor, "models params"],
    target: Int[Tensor, "pairs"],
    source: Int[Tensor, "pairs"],
    keys: Int[Tensor, "pairs"],
    start: Orders | None = None,
    max_sweeps: int = MAX_SWEEPS,
    restarts: int = 1,
    limit_bytes: int = LIMIT_BYTES,
) -> Orders:
    """Match pairs that share models, each of which is then unfolded once for all its pairs.

    models:         parameters                        [models, params]
    target, source: the rows of each pair's models    int64 [pairs]
    The other arguments, the result (name -> int64 [pairs, n]) and the errors are those of
    ``match``.

    >>> layout, spec = Layout((("w", (3, 1)), ("v", (1, 3)))), {"h": (("w", 0), ("v", 1))}
    >>> models = torch.tensor([[3.0, 1.0, 2.0, 6.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    >>> zero, one = torch.tensor([0]), torch.tensor([1])
    >>> match_among(layout, spec, models, zero, one, keys=zero)["h"]
    tensor([[2, 0, 1]])
    """
    max_sweeps, restarts = whole(max_sweeps, "max_sweeps", 1), whole(restarts, "restarts", 1)
    plan = plan_of(layout, permutations)
    if not len(keys) or not permutations:
        return identity_orders(layout, permutations, keys)
    known = torch.zeros_like(keys, dtype=torch.bool)
    if start is not None:
        known = known_orders(layout, permutations, start, len(keys))
    # each permutation by itself: the first start ends at the best
    count = restarts if any(plan.moving.values()) else 1
    # two models unfolded along two axes, a pair's own copies of its largest tensors, and scores of
    # each permutation
    per_pair = 8 * (6 * layout.size + 3 * sum(n * n for n in plan.sizes.values()))
    chunk = max(1, limit_bytes // per_pair)
    best = _alone if alone(plan, models, len(keys)) else _together
    parts = []
    for row in range(0, len(keys), chunk):
        rows = slice(row, row + chunk)
        begin = start and {name: order[rows] for name, order in start.items()}
        starts = _starts(layout, permutations, begin, known[rows], keys[rows], count)
        pairs = target[rows], source[rows]
        parts.append(best(Task(layout, plan, models, *pairs, starts, max_sweeps)))
    if len(parts) == 1:
        return parts[0]
    return {name: torch.cat([orders[name] for orders in parts]) for name in plan.sizes}


def _starts(
    layout: Layout,
    permutations: Permutations,
    first: Orders | None,
    known: Bool[Tensor, "pairs"],
    keys: Int[Tensor, "pairs"],
    count: int,
) -> Starts:
    """Orders to begin with, and the pairs that have them: first these, then random orders."""
    yield first, known
    for number in range(1, count):
        orders = random_orders(layout, permutations, draws.fold(keys, "start", number))
        yield orders, torch.ones_like(known)


def alone(plan: Plan, models: Float[Tensor, "models params"], n_pairs: int) -> bool:
    """Whether pairs are matched one by one: on a CPU, where they are few or their layers wide."""
    wide = max(plan.sizes.values()) >= WIDE
    return models.device.type == "cpu" and (n_pairs <= FEW_PAIRS or wide)


def _alone(task: Task) -> Orders:
    """Match one pair after the other."""
    layout, plan, models = task.layout, task.plan, task.models.detach()
    models = models if models.dtype == torch.float32 else models.double()
    lengths, begins, flat = norms(models).tolist(), list(task.starts), models.numpy()
    rough = one_pair.large(layout, plan, lengths)
    view = functools.cache(lambda row: one_pair.views_of(layout, plan, flat[row], rough))
    pairs = zip(task.target.tolist(), task.source.tolist(), strict=True)
    ends = []
    for row, (to, of) in enumerate(pairs):
        end, tolerance = one_pair.identity(plan), PROGRESS * lengths[to] * lengths[of]
        if math.isfinite(tolerance):
            pair = one_pair.pair_of(plan, view(to), view(of), tolerance)
            begin = [_begin(orders, known, row) for orders, known in begins]
            end = one_pair.best_of(pair, begin, task.max_sweeps)
        ends.append(end)
    return {name: torch.from_numpy(np.array([end[name] for end in ends])) for name in plan.sizes}


def _begin(orders: Orders | None, known: Bool[Tensor, "pairs"], row: int) -> one_pair.Orders | None:
    """The orders with which one pair begins; None for the first pass."""
    if orders is None or not known[row]:
        return None
    return {name: order[row].numpy() for name, order in orders.items()}


def _together(task: Task) -> Orders:
    """Match all pairs at once."""
    plan, target = task.plan, task.target
    with torch.inference_mode():  # a tenth less time, in many small steps
        numbers, places = torch.unique(torch.cat([target, task.source]), return_inverse=True)
        models = task.models[numbers]
        problem = problem_of(task.layout, plan, models, *places.view(2, len(target)))
        best = {name: torch.arange(n, device=target.device) for name, n in plan.sizes.items()}
        best = {name: order.repeat(len(target), 1) for name, order in best.items()}
        best = _best_of(problem, best, task.starts, task.max_sweeps)
    return {name: order.clone() for name, order in best.items()}


def _best_of(problem: Problem, best: Orders, starts: Starts, max_sweeps: int) -> Orders:
    """Climb from every start, and keep the highest end above ``best``.

    A pair without a start begins by the first pass.
    """
    names, rows = tuple(best), torch.arange(len(problem.tolerance), device=problem.tolerance.device)
    highest = problem.unmoved
    for start, known in starts:
        orders = {name: order.clone() for name, order in (start or best).items()}
        stale = known.new_ones(len(known), len(names))
        if not bool(known.all()):
            grounded(problem, (~known).nonzero()[:, 0], orders, stale)
        ascend(problem, orders, stale, max_sweeps)
        end = value(problem, names, rows, orders)
        better = end > highest + problem.tolerance
        highest = torch.where(better, end, highest)
        best = {name: torch.where(better[:, None], orders[name], best[name]) for name in names}
    return best
