"""Check what a partition of one's own deals out: no row that is not for training, none twice,
none that does not exist.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from marketenv.data.splitting import Split


def checked(
    dealt: Any, split: Split, n_markets: int, n_agents: int, name: str
) -> tuple[Tensor, Tensor]:
    """Return a partition's row numbers [markets, agents, width] and sizes [markets, agents], or
    refuse them.

    Agents may share rows, as in "class_imbalance" with overlap. Entries beyond an agent's size are
    not used, but they are row numbers of the pool too.

    name: of the partition, for the error

    Raises ValueError for what is no such pair, sizes outside 1..width, row numbers outside the
    pool, rows that are not for training, and a row twice for one agent.
    """
    index, size = _pair(dealt, (n_markets, n_agents), split.labels.device, name)
    width, pool = index.shape[-1], len(split.labels)
    counts = torch.arange(width, device=index.device) < size[..., None]
    trained = torch.zeros(pool, dtype=torch.bool, device=index.device)
    trained[split.train] = True
    strange = (index < 0) | (index >= pool)
    foreign = counts & ~strange & ~trained[index.clamp(0, pool - 1)]
    wrong = strange | foreign | _repeated(index, counts) | ((size < 1) | (size > width))[..., None]
    if bool(wrong.any()):
        market, agent, place = wrong.nonzero()[0].tolist()
        fault = _fault(split, int(size[market, agent]), width, int(index[market, agent, place]))
        raise ValueError(f"partition {name!r} gave agent {agent} of market {market} {fault}")
    return index, size


def _pair(
    dealt: Any, axes: tuple[int, int], device: torch.device, name: str
) -> tuple[Tensor, Tensor]:
    """The two tensors of a partition's answer, of the right types and shapes, where the pool
    lies.
    """
    parts = tuple(dealt) if isinstance(dealt, tuple | list) else (dealt,)
    fits = len(parts) == 2 and all(
        isinstance(p, Tensor) and (p.dtype, p.device) == (torch.int64, device) for p in parts
    )
    shapes = [tuple(p.shape) for p in parts] if fits else []
    if (
        not fits
        or len(shapes[0]) != 3
        or shapes[0][:2] != axes
        or shapes[0][2] < 1
        or shapes[1] != axes
    ):
        got = [
            (
                f"{p.dtype} {list(p.shape)} on {p.device}"
                if isinstance(p, Tensor)
                else type(p).__name__
            )
            for p in parts
        ]
        raise ValueError(
            f"partition {name!r} returned {', '.join(got)}, wanted torch.int64 row numbers"
            f" [{axes[0]}, {axes[1]}, width], width >= 1, and sizes {[*axes]}, for {axes[0]}"
            f" markets and {axes[1]} agents, on {device}."
        )
    return parts[0], parts[1]


def _repeated(
    index: Int[Tensor, "markets agents width"], counts: Tensor
) -> Bool[Tensor, "markets agents width"]:
    """True where a row that counts was dealt to the agent before."""
    place = torch.arange(index.shape[-1], device=index.device)
    own = torch.where(counts, index, -1 - place)  # no two of those that do not count are equal
    ordered, order = own.sort(dim=-1, stable=True)
    again = torch.nn.functional.pad(ordered[..., 1:] == ordered[..., :-1], (1, 0))
    return again.gather(-1, order.argsort(-1)) & counts


def _fault(split: Split, size: int, width: int, row: int) -> str:
    """What is wrong with one agent's rows, and what to do."""
    if not 1 <= size <= width:
        return (
            f"{size} rows, wanted 1..{width}, the width of its row numbers: use more rows or fewer"
            " agents."
        )
    if not 0 <= row < len(split.labels):
        return (
            f"row {row} of a pool of {len(split.labels)}: deal out entries of ``rows``; pad with"
            " one of the agent's own."
        )
    for part in ("validation", "test"):
        if bool((getattr(split, part) == row).any()):
            return (
                f"row {row}, which is a {part} row, wanted training rows: deal out entries of"
                " ``rows`` alone."
            )
    if not bool((split.train == row).any()):
        return f"row {row}, which was left out by max_examples: deal out entries of ``rows`` alone."
    return (
        f"row {row} twice, wanted every row once for an agent, as its size says how many examples"
        " it has."
    )
