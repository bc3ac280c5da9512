"""Checks of a user's own partition: it may deal training rows alone, each once to an agent."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from marketenv.data.splitting import Split


def checked(
    answer: Any, split: Split, n_markets: int, n_agents: int, name: str
) -> tuple[Tensor, Tensor]:
    """Return a partition's row numbers [markets, agents, width] and sizes, or refuse them.

    Agents may share rows, as in "class_imbalance" with overlap. Entries beyond an agent's size are
    not used, but they are row numbers of the pool too.

    name: of the partition, for the error

    Raises ValueError for another kind of answer, sizes outside 1..width, row numbers outside the
    pool, rows that are not for training, and a row twice for one agent.
    """
    index, size = _pair(answer, (n_markets, n_agents), split.labels.device, name)
    width, pool = index.shape[-1], len(split.labels)
    counts = torch.arange(width, device=index.device) < size[..., None]
    for_training = torch.zeros(pool, dtype=torch.bool, device=index.device)
    for_training[split.train] = True
    strange = (index < 0) | (index >= pool)
    foreign = counts & ~strange & ~for_training[index.clamp(0, pool - 1)]
    wrong = strange | foreign | _repeated(index, counts) | ((size < 1) | (size > width))[..., None]
    if bool(wrong.any()):
        market, agent, place = wrong.nonzero()[0].tolist()
        fault = _fault(split, int(size[market, agent]), width, int(index[market, agent, place]))
        raise ValueError(f"partition {name!r} gave agent {agent} of market {market} {fault}")
    return index, size


def _pair(
    answer: Any, axes: tuple[int, int], device: torch.device, name: str
) -> tuple[Tensor, Tensor]:
    """The two tensors of a partition's answer, of the right types, shapes and device."""
    parts = tuple(answer) if isinstance(answer, tuple | list) else (answer,)
    if not _fits(parts, axes, device):
        raise ValueError(
            f"partition {name!r} returned {', '.join(map(_described, parts))}, wanted torch.int64"
            f" row numbers [{axes[0]}, {axes[1]}, width], width >= 1, and sizes {[*axes]}, for"
            f" {axes[0]} markets and {axes[1]} agents, on {device}."
        )
    return parts[0], parts[1]


def _fits(parts: tuple[Any, ...], axes: tuple[int, int], device: torch.device) -> bool:
    """Whether the parts are row numbers [*axes, width] and sizes [*axes] on the device."""
    if len(parts) != 2 or not all(isinstance(part, Tensor) for part in parts):
        return False
    index, size = parts
    if any((part.dtype, part.device) != (torch.int64, device) for part in parts):
        return False
    wide = index.dim() == 3 and tuple(index.shape[:2]) == axes and index.shape[2] >= 1
    return wide and tuple(size.shape) == axes


def _described(part: Any) -> str:
    if isinstance(part, Tensor):
        return f"{part.dtype} {list(part.shape)} on {part.device}"
    return type(part).__name__


def _repeated(
    index: Int[Tensor, "markets agents width"], counts: Tensor
) -> Bool[Tensor, "markets agents width"]:
    """True where a row that counts stands a second time among an agent's rows."""
    place = torch.arange(index.shape[-1], device=index.device)
    own = torch.where(counts, index, -1 - place)  # entries that do not count are all unequal
    ordered, order = own.sort(dim=-1, stable=True)
    again = torch.nn.functional.pad(ordered[..., 1:] == ordered[..., :-1], (1, 0))
    return again.gather(-1, order.argsort(-1)) & counts


def _fault(split: Split, size: int, width: int, row: int) -> str:
    """The fault in one agent's rows, and its fix."""
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
