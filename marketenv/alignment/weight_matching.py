"""Git Re-Basin weight matching for many pairs of models at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.alignment.ascent import Problem, ascend, grounded, problem_of, value
from marketenv.alignment.plan import plan_of
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

MAX_SWEEPS = 100
LIMIT_BYTES = 256 * 2**20


def objective(
    target: Float[Tensor, "pairs params"], source: Float[Tensor, "pairs params"]
) -> Float64[Tensor, "pairs"]:
    """How well two models lie on each other: the inner product of their parameters, in float64.

    sum_k <target_k, source_k>; it grows as |target - source|^2 falls, and a reordered source keeps
    its norm

    target: the model that stays   [pairs, params]; source: the other one, already
        reordered   [pairs, params]

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
    """Find for each pair the reordering of the source's hidden units that brings it nearest to the
    target.

    maximise sum_k <target_k, permuted source_k> by coordinate ascent: each permutation is the
    solution of a linear assignment with the others held; until none has changed since its
    neighbours were solved

    target, source: parameters   [pairs, params];   keys: of the restarts' random
        draws   int64 [pairs]
    start: orders to begin with, such as those of the models a round ago; -1 throughout where a pair
        has none
    max_sweeps: most passes over all permutations;  restarts: starts, of which the best is kept
    limit_bytes: the pairs are done in chunks whose copies and scores stay under it (at least one
        pair)
    Returns orders, name -> int64 [pairs, n], for ``permute``: the identity where nothing better was
    found, so never worse than no alignment, and where a model or its norm is not finite.

    Raises ValueError for a spec that does not fit the layout, a start that is neither a permutation
    nor -1 throughout, and for max_sweeps or restarts below 1.

    Source: Git Re-Basin (2022), Algorithm 1. We differ: (1) It visits the permutations in a random
    order. We visit them in phases, always alike, all of a phase at once, for they share no tensor
    and so do not see each other; and only those with a neighbour that changed. In a chain of layers
    a random order visits most for nothing, and it is no source of variety that random starts would
    not be: (2) the first start is the given one, or a pass that fixes the permutations one after
    another, the one with most known inputs and outputs first, each seen only beside those already
    fixed (a permuted copy of an MLP is then always recovered); further starts are random; (3) a
    step counts if it brings 1e-12 of |target| |source|; (4) a tensor that one permutation reorders
    on two axes is linearised at the current order. Local optima exist where a tensor lies between
    two permutations; with none such the first assignment is exact.

    >>> layout, spec = Layout((("w", (3, 1)), ("v", (1, 3)))), {"h": (("w", 0), ("v", 1))}
    >>> source = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    >>> match(
    ...     layout, spec, torch.tensor([[3.0, 1.0, 2.0, 6.0, 4.0, 5.0]]), source, torch.tensor([0])
    ... )["h"]
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
    chosen = {"max_sweeps": max_sweeps, "restarts": restarts, "limit_bytes": limit_bytes}
    return match_among(
        layout, permutations, models, pairs, pairs + len(pairs), keys, start, **chosen
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

    models: parameters   [models, params];   target, source: the rows of each pair's
        two models   int64 [pairs]
    All else, the result (name -> int64 [pairs, n]) and the errors are those of ``match``.

    >>> layout, spec = Layout((("w", (3, 1)), ("v", (1, 3)))), {"h": (("w", 0), ("v", 1))}
    >>> models = torch.tensor([[3.0, 1.0, 2.0, 6.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    >>> match_among(layout, spec, models, torch.tensor([0]), torch.tensor([1]), torch.tensor([0]))[
    ...     "h"
    ... ]
    tensor([[2, 0, 1]])
    """
    max_sweeps, restarts = whole(max_sweeps, "max_sweeps", 1), whole(restarts, "restarts", 1)
    plan, identity = plan_of(layout, permutations), identity_orders(layout, permutations, keys)
    if not len(keys):
        return identity
    given, known = identity, torch.zeros_like(keys, dtype=torch.bool)
    if start is not None and permutations:
        given, known = start, known_orders(layout, permutations, start, len(keys))
    # two models unfolded along two axes, a pair's own copies of its largest tensors, and scores of
    # each permutation
    per_pair = 8 * (6 * layout.size + 3 * sum(n * n for n in plan.sizes.values()))
    found = []
    # each permutation by itself: the first start ends at the best
    alone = not any(plan.moving.values())
    with torch.inference_mode():  # a tenth less time, in many small steps
        for rows in torch.arange(len(keys), device=keys.device).split(
            max(1, limit_bytes // per_pair)
        ):
            used, both = torch.unique(torch.cat([target[rows], source[rows]]), return_inverse=True)
            problem = problem_of(layout, plan, models[used], *both.view(2, len(rows)))
            first, same = (
                {name: order[rows] for name, order in orders.items()}
                for orders in (given, identity)
            )
            starts = _starts(
                layout, permutations, first, known[rows], keys[rows], 1 if alone else restarts
            )
            found.append(_best_of(problem, same, starts, max_sweeps))
    return {name: torch.cat([orders[name] for orders in found]) for name in plan.sizes}


def _starts(
    layout: Layout,
    permutations: Permutations,
    given: Orders,
    known: Bool[Tensor, "pairs"],
    keys: Int[Tensor, "pairs"],
    count: int,
) -> Iterator[tuple[Orders, Bool[Tensor, "pairs"]]]:
    """Orders to begin with, and where they are to be taken: the given ones, then random ones."""
    yield given, known
    for number in range(1, count):
        yield (
            random_orders(layout, permutations, draws.fold(keys, "start", number)),
            torch.ones_like(known),
        )


def _best_of(
    problem: Problem,
    best: Orders,
    starts: Iterator[tuple[Orders, Bool[Tensor, "pairs"]]],
    max_sweeps: int,
) -> Orders:
    """Climb from every start, by the first pass where a pair has none, and keep the highest end
    above ``best``.
    """
    names, rows = tuple(best), torch.arange(len(problem.tolerance), device=problem.tolerance.device)
    held = problem.unmoved
    for start, known in starts:
        orders = {name: order.clone() for name, order in start.items()}
        stale = known.new_ones(len(known), len(names))
        if not bool(known.all()):
            grounded(problem, (~known).nonzero()[:, 0], orders, stale)
        ascend(problem, orders, stale, max_sweeps)
        reached = value(problem, names, rows, orders)
        better = reached > held + problem.tolerance
        held = torch.where(better, reached, held)
        best = {name: torch.where(better[:, None], orders[name], best[name]) for name in names}
    return best
