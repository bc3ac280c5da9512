"""Tools of partitions: rows class by class, and each agent's rows in one padded tensor."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core import draws

Index = Int[Tensor, "markets agents width"]
Size = Int[Tensor, "markets agents"]
Labels = Int[Tensor, "rows"]
Rows = Int[Tensor, "available"]
Keys = Int[Tensor, "markets"]

# row numbers that are drawn at once; bounds memory, suits a cache, changes no row
CHUNK = 2**19
MOST_GROUPS = 2**15  # of which a number and 48 random bits fit into an int64


def ceil(numerator: Int[Tensor, "..."], denominator: int) -> Int[Tensor, "..."]:
    """Divide whole numbers and round up; never below 0."""
    return (-(-numerator // denominator)).clamp(min=0)


def counts_by_class(labels: Labels, rows: Rows) -> Int[Tensor, "classes"]:
    """How many of the rows each class has; ValueError for a single class, as in a regression."""
    n_classes = int(labels.max()) + 1
    if n_classes < 2:
        raise ValueError(
            "this partition works by class, but all labels are 0. Float y make a regression"
            " (n_outputs 1), whose targets count as one class: for a classification give whole"
            " labels, as y.astype(int); for a regression use partition 'balanced'."
        )
    return torch.bincount(labels[rows], minlength=n_classes)


def by_class(
    labels: Labels, rows: Rows, keys: Int[Tensor, "batch"]
) -> tuple[Int[Tensor, "batch available"], Int[Tensor, "available"], Int[Tensor, "available"]]:
    """Rows by class, in random order within each class.

    Returns rows [batch, available], and the class and the rank in it of each [available].
    """
    rows = rows[labels[rows].argsort(stable=True)]
    label = labels[rows]
    counts = torch.bincount(label)
    rank = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[label]
    mixed = _mixed_within(label[None], len(counts), draws.fold(keys, "by class"))
    return rows[mixed], label, rank


def drawn_apart(
    labels: Labels,
    rows: Rows,
    quota: Int[Tensor, "#markets agents classes"],
    width: int,
    keys: Keys,
) -> tuple[Index, Size]:
    """Let every agent draw its quota of each class from all rows; agents may draw the same row.

    quota: rows of each class that an agent draws, one for all markets or one for each; an agent's
           quotas sum to 1 or more
    width: of the row numbers, at least the largest sum
    """
    n_agents = quota.shape[1]
    apart = draws.agent_keys(keys, n_agents, "overlap").flatten()
    quotas = quota.expand(len(keys), -1, -1).flatten(0, 1)
    step = max(1, CHUNK // len(rows))
    parts = []
    for some, limits in zip(apart.split(step), quotas.split(step), strict=True):
        # named for the first partition that drew so
        pool, label, rank = by_class(labels, rows, draws.fold(some, "class_imbalance"))
        owner = torch.where(rank < limits[:, label], 0, 1)  # 1: nobody
        parts.append(gathered(pool, owner, 1, width, some))
    index, size = (torch.cat(part) for part in zip(*parts, strict=True))
    return index.reshape(len(keys), n_agents, width), size.reshape(len(keys), n_agents)


def gathered(
    pool: Int[Tensor, "batch available"],
    owner: Int[Tensor, "#batch available"],
    n_agents: int,
    width: int,
    keys: Int[Tensor, "batch"],
) -> tuple[Int[Tensor, "batch agents {width}"], Int[Tensor, "batch agents"]]:
    """Gather each agent's rows in random order, and their number; owner ``n_agents`` is nobody."""
    owner = owner.expand(len(keys), -1)
    size = torch.zeros(len(keys), n_agents + 1, dtype=torch.int64, device=pool.device)
    size.scatter_add_(1, owner, torch.ones_like(owner))
    start, size = (size.cumsum(-1) - size)[:, :n_agents], size[:, :n_agents]
    if (size < 1).any():
        market, agent = (size < 1).nonzero()[0].tolist()
        raise ValueError(
            f"agent {agent} of market {market} would get no example: {pool.shape[1]} rows for"
            f" {n_agents} agents. Use more rows, fewer agents, or a milder partition."
        )
    within = torch.arange(width, device=pool.device).minimum(size[..., None] - 1)
    place = (start[..., None] + within).flatten(1)
    by_owner = pool.gather(1, _mixed_within(owner, n_agents + 1, draws.fold(keys, "order")))
    return by_owner.gather(1, place).unflatten(1, (n_agents, width)), size


def _mixed_within(
    groups: Int[Tensor, "#batch places"], n_groups: int, keys: Int[Tensor, "batch"]
) -> Int[Tensor, "batch places"]:
    """Order of places that sorts them by group, 0 to n_groups - 1, and at random inside each."""
    noise = (draws.uniform(keys, groups.shape[-1]) * 2.0**48).long()
    if n_groups <= MOST_GROUPS:
        return (groups * 2**48 + noise).argsort(dim=-1, stable=True)
    order = noise.argsort(dim=-1, stable=True)
    return order.gather(1, groups.expand_as(order).gather(1, order).argsort(dim=-1, stable=True))
