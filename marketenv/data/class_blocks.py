"""The partition in which each agent holds mostly one block of neighbouring classes."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import flag, number, one_or_each, whole
from marketenv.data.gathering import (
    Index,
    Keys,
    Labels,
    Rows,
    Size,
    by_class,
    counts_by_class,
    drawn_apart,
    gathered,
)


def class_blocks(
    labels: Labels,
    rows: Rows,
    n_agents: int,
    keys: Keys,
    *,
    own: Any = 0.97,
    blocks: int | None = None,
    size: int | None = None,
    overlap: bool = False,
) -> tuple[Index, Size]:
    """Give each agent mostly rows of one block of neighbouring classes, and a few of all others.

    The classes are cut into contiguous blocks, the first ones larger by one where they do not
    divide; agent a holds block a mod ``blocks``. It wants size rows: a share ``own`` of them of the
    classes of its block, equally many of each, and the rest equally of all other classes. A number
    that is not whole is rounded down or up at random, so that it is right on average.

    own:     share of the rows of its own block, in [0, 1]: one number, or one for each agent
    blocks:  how many blocks, from 2 to the number of classes; None: one for each agent, or for each
             class where these are fewer
    size:    rows of an agent; None: the most that all agents can have
    overlap: False: no two agents share a row, and sizes differ by the rounding; True: each draws
             size rows from all rows on its own, so that 1,000 agents can hold 20 rows each of 1,000
             rows in all

    Raises ValueError for a size that the classes cannot fill, with the largest that they can.

    Source: Li, Yang, Jia, Pan, arXiv:2509.18104, label skew of three sellers: ``own=(0.97, 0.96,
    0.99)`` gives classes 0-3 at 24.25 % each, 4-6 at 32 % and 7-9 at 33 %. How the paper spreads
    the other 3, 4 and 1 % is not known.

    >>> labels = torch.arange(40) % 4  # 10 rows of each class
    >>> index, size = class_blocks(labels, torch.arange(40), 2, torch.tensor([1]), own=0.8)
    >>> size.tolist()  # (0.4 + 0.1) of each class, so that both want 20 rows
    [[20, 20]]
    >>> labels[index[0, 0]].bincount().tolist()
    [8, 8, 2, 2]
    """
    counts, overlap = counts_by_class(labels, rows), flag(overlap, "overlap")
    share = partial(number, least=0.0, most=1.0)
    own = one_or_each(own, "own", share, n_agents, "numbers from 0 to 1")
    if blocks is None:
        blocks = max(2, min(n_agents, len(counts)))
    blocks = whole(blocks, "blocks", 2, len(counts), ", the number of classes")
    own = torch.tensor(own, dtype=torch.float64, device=rows.device)
    mix = _mix(own, n_agents, blocks, len(counts))
    size = _size(size, mix, counts, overlap)
    if overlap:
        return _drawn(labels, rows, size * mix, size, keys)
    return _dealt(labels, rows, size * mix, keys)


def _mix(
    own: Float[Tensor, "..."], n_agents: int, n_blocks: int, n_classes: int
) -> Float[Tensor, "agents classes"]:
    """The share of each class in an agent's rows; own: one number, or one for each agent."""
    block = torch.arange(n_blocks, device=own.device)
    sizes = n_classes // n_blocks + (block < n_classes % n_blocks).long()
    block_of = block[torch.arange(n_agents, device=own.device) % n_blocks]
    inside = block_of[:, None] == block.repeat_interleave(sizes)
    own, mine = own.expand(n_agents)[:, None], sizes[block_of][:, None]
    return torch.where(inside, own / mine, (1 - own) / (n_classes - mine))


def _size(
    size: Any, mix: Float[Tensor, "agents classes"], counts: Int[Tensor, "classes"], overlap: bool
) -> int:
    """Rows that each agent wants: ``size``, or the most that every class can fill for all."""
    # the rows of a class that one agent draws, or that all of them do
    load = mix.max(0).values if overlap else mix.sum(0)
    most = int((counts / load)[load > 0].min() + 1e-9)
    advice = "" if overlap else "; with overlap=True owners draw from all rows, each on its own"
    if most < 1:
        raise ValueError(
            f"{int(counts.sum())} training rows give each of {len(mix)} owners (a market's n_agents"
            f" or n_sellers) less than one; wanted fewer owners{advice}."
        )
    if size is None:
        return most
    return whole(size, "size", 1, most, f", the most that every class can fill{advice}")


def _drawn(
    labels: Tensor, rows: Tensor, wanted: Float[Tensor, "agents classes"], size: int, keys: Tensor
) -> tuple[Index, Size]:
    """Let every agent draw from all rows: its numbers of the classes, rounded, sum to size."""
    chance = draws.uniform(draws.agent_keys(keys, len(wanted), "class_blocks"), 1)
    borders = (wanted.cumsum(-1) + chance).floor().long().clamp(max=size)
    borders[..., -1] = size  # the shares sum to 1 only up to rounding
    quota = borders.diff(dim=-1, prepend=torch.zeros_like(borders[..., :1]))
    return drawn_apart(labels, rows, quota, size, keys)


def _dealt(
    labels: Tensor, rows: Tensor, wanted: Float[Tensor, "agents classes"], keys: Tensor
) -> tuple[Index, Size]:
    """Deal each class out: its rows in random order to one agent after the other, the rest to none.

    Classes lie one after another, so all their borders form one rising line, and one search does.
    """
    n_agents, n_classes = wanted.shape
    if int((wanted + 1e-9).floor().sum(-1).min()) < 1:
        size = float(wanted.sum(-1).min())
        raise ValueError(
            f"{n_agents} owners (a market's n_agents or n_sellers) of {size:.0f} rows each may be"
            " left with none, as the rows of each class are rounded; take fewer owners or a larger"
            " size, or overlap=True, with which they draw from all rows."
        )
    keys = draws.fold(keys, "class_blocks")
    pool, label, _ = by_class(labels, rows, keys)
    counts = torch.bincount(label, minlength=n_classes)
    chance = draws.uniform(draws.fold(keys, "rounding"), n_classes, 1)
    # [markets, classes, agents]
    ends = (wanted.T.cumsum(-1) + chance).floor().long().minimum(counts[:, None])
    ends = torch.cat([ends, counts.expand(len(keys), -1)[..., None]], -1)
    borders = ends + (counts.cumsum(0) - counts)[:, None]
    place = torch.arange(len(label), device=rows.device).repeat(len(keys), 1)
    owner = torch.searchsorted(borders.flatten(1), place, right=True) % (n_agents + 1)
    width = int((wanted - 1e-9).ceil().sum(-1).max())
    return gathered(pool, owner, n_agents, width, keys)
