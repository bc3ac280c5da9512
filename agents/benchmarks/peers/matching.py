"""Git Re-Basin's weight matching: our batch of pairs against a loop in NumPy and one in torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from agents.benchmarks import alignment, loops
from agents.benchmarks.peers.side_by_side import Comparison, ready
from marketenv.alignment.spec import Orders
from marketenv.learners import LEARNERS, Learner

TOLERANCE = 0.15  # each way ends in a local optimum of its own


def one_by_one(learner: Learner, models: Tensor) -> Orders:
    """Our orders of all pairs, where each pair is a call of its own."""
    pairs = torch.stack(alignment.gaps(models), 1)
    orders = [alignment.ours(learner, models[pair]) for pair in pairs]
    return {name: torch.cat([order[name] for order in orders]) for name in orders[0]}


def compared(
    name: str, way: Callable[..., Orders], models: int, hidden: tuple[int, ...], features: int = 784
) -> Comparison:
    """All pairs of some trained networks, ours by one of our ways; compared by mean objective."""
    training = alignment.TRAINING
    learner = LEARNERS["mlp"]((features,), 10, "classification", training, hidden=hidden)
    params = alignment.training_history(learner, models, (features,), 1)[-1]
    spec = learner.permutations or {}
    theirs = {
        "NumPy and SciPy": partial(loops.plain, learner.layout, spec, params),
        "loop in torch": partial(loops.naive, learner.layout, spec, params),
    }
    sides = {title: ready(call) for title, call in theirs.items()}
    ours, score = ready(partial(way, learner, params)), partial(alignment.quality, learner, params)
    title = f"weight matching, {name}-{'-'.join(map(str, hidden))}-10"
    return Comparison(title, ours, sides, score, "objective", TOLERANCE)


def comparisons(quick: bool) -> list[Callable[[], Comparison]]:
    """Pairs one by one, many at once, and wide pairs; tiny ones where they shall be quick."""
    paper, wide = alignment.PAPER, (512,) * 3
    if quick:  # one hidden layer is one assignment, whose optimum all ways reach
        return [
            partial(compared, "a tiny pair of 12", alignment.ours, 2, (4,), 12),
            partial(compared, "tiny pairs one by one, 12", one_by_one, 3, (4,), 12),
        ]
    return [
        partial(compared, "10 pairs one by one, 784", one_by_one, 5, paper),
        partial(compared, "45 pairs at once, 784", alignment.ours, 10, paper),
        partial(compared, "3 wide pairs at once, 784", alignment.ours, 3, wide),
    ]
