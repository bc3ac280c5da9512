"""The dictionary of axes: names for the shapes that return everywhere.

Every tensor leads with ``[markets, agents, ...]``; a single environment is a batch of one.

========== ==================================================================
axis       meaning
========== ==================================================================
markets    independent copies of one market that are stepped together
agents     all agents of one market, roles in order
buyers     who may receive a good; rows of every pair matrix
sellers    who may give it; columns of every pair matrix
payers     rows of a transfer matrix; equal to buyers where goods are paid
payees     columns of a transfer matrix
models     markets x agents flattened, where a learner sees only models
params     the flattened parameters of one model
========== ==================================================================
"""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Float, Int
from torch import Tensor

PerPair = Float[Tensor, "markets buyers sellers"]
Keys = Int[Tensor, "*batch"]
Parameters = Float[Tensor, "markets agents params"]


def slices(count: int, width: int) -> Iterator[slice]:
    """Cut 0..count into slices of about one width, at most this one.

    >>> list(slices(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    width = -(-count // -(-count // width)) if count else width
    for start in range(0, count, width):
        yield slice(start, min(start + width, count))
