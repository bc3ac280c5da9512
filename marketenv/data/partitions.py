"""Partitions of the training examples among agents: one function each, for all markets at once.

Every partition is called as ``partition(labels, rows, n_agents, keys, **options)``:

labels:   class of every row of the pool                  int64 [rows]
rows:     the row numbers that may be dealt out           int64 [available]
n_agents: how many agents share them
keys:     one random key for each market                  int64 [markets]
groups:   group of every row of the pool, for partitions that have a parameter of this name
                                                          int64 [rows]

It returns padded row numbers and how many of them count, as in ``Shards``: index int64 [markets,
agents, width] and size int64 [markets, agents]. The width depends on the labels and options alone,
never on the keys, so that all markets fit into one batch; entries beyond ``size`` repeat a row of
the same agent, so no careless reader sees another agent's examples. Each agent's rows come in
random order, so any prefix is a fair sample.

All partitions raise ValueError for a bad option, and where an agent would get no example.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import flag, number, whole
from marketenv.data.class_blocks import class_blocks
from marketenv.data.gathering import (
    Index,
    Keys,
    Labels,
    Rows,
    Size,
    by_class,
    ceil,
    counts_by_class,
    drawn_apart,
    gathered,
)


def balanced(labels: Labels, rows: Rows, n_agents: int, keys: Keys) -> tuple[Index, Size]:
    """Deal the rows out at random in equal shares; the first agents get a remaining row each.

    >>> index, size = balanced(torch.zeros(5).long(), torch.arange(5), 2, torch.tensor([1]))
    >>> size.tolist(), sorted(index[0, 0].tolist() + index[0, 1, :2].tolist())
    ([[3, 2]], [0, 1, 2, 3, 4])
    """
    pool = rows[draws.permutation(draws.fold(keys, "balanced"), len(rows))]
    owner = torch.arange(len(rows), device=rows.device) % n_agents
    return gathered(pool, owner[None], n_agents, -(-len(rows) // n_agents), keys)


def class_imbalance(
    labels: Labels,
    rows: Rows,
    n_agents: int,
    keys: Keys,
    *,
    keep: float = 0.1,
    overlap: bool = False,
) -> tuple[Index, Size]:
    """Give every agent only few examples of one half of the classes.

    An agent that could have n_c rows of class c gets floor(keep * n_c + 1/2) of them if c is in
    its thin half (c < C // 2 for even agents, the others for odd ones), and all n_c otherwise.

    keep:    share of the rows of thin classes that an agent gets, in [0, 1]
    overlap: False: every class is first dealt equally among the agents, so no two share a row (n_c
             is an agent's share); True: every agent draws from all rows on its own, as the paper's
             two agents do

    Source: Huang, Vishwakarma, Sala, NeurIPS 2023, section 6 (two agents, keep 0.1, shared rows).
    We differ: any number of agents; disjoint by default.

    >>> labels = torch.arange(40) % 2  # 20 rows of each class
    >>> _, size = class_imbalance(labels, torch.arange(40), 2, torch.tensor([1]), overlap=True)
    >>> size.tolist()  # 2 + 20, 20 + 2
    [[22, 22]]
    """
    keep, overlap = number(keep, "keep", 0.0, 1.0), flag(overlap, "overlap")
    counts = counts_by_class(labels, rows)
    agents = torch.arange(n_agents, device=rows.device)
    # [agents, classes]
    reach = counts.expand(n_agents, -1) if overlap else ceil(counts - agents[:, None], n_agents)
    half = torch.arange(len(counts), device=rows.device) < len(counts) // 2
    thin = torch.where((agents % 2 == 0)[:, None], half, ~half)
    quota = torch.where(thin, (keep * reach.double() + 0.5).floor().long(), reach)
    width = int(quota.sum(-1).max())
    if overlap:
        return drawn_apart(labels, rows, quota[None], width, keys)
    pool, label, rank = by_class(labels, rows, draws.fold(keys, "class_imbalance"))
    agent = rank % n_agents
    owner = torch.where(rank // n_agents < quota[agent, label], agent, n_agents)
    return gathered(pool, owner[None], n_agents, width, keys)


def dirichlet(
    labels: Labels,
    rows: Rows,
    n_agents: int,
    keys: Keys,
    *,
    alpha: float = 0.5,
    min_size: int = 1,
    max_size: int | None = None,
) -> tuple[Index, Size]:
    """Split each class among the agents in proportions of a symmetric Dirichlet distribution.

    p_c ~ Dirichlet(alpha, ..., alpha);
    agent a holds the rows of class c of rank round(n_c P_{a-1}) to round(n_c P_a) in random order,
    P_a = p_c1 + ... + p_ca. So each agent's expected share of each class is 1/n.

    alpha:    concentration > 0; small means uneven
    min_size: rows that every agent gets at random before the rest is split
    max_size: rows that an agent may hold at most; a random surplus goes to nobody. None: no limit,
              and the index is then as wide as the worst case, available - (n_agents - 1) * min_size

    Source: Hsu, Qi, Brown, arXiv:1909.06335, as Yurochkin et al., ICML 2019, split by class. We
    differ: a minimum is dealt first, where others draw again and again until all agents have it.

    >>> dirichlet(torch.arange(40) % 2, torch.arange(40), 3, torch.tensor([1]))[1].sum().item()
    40
    """
    alpha = number(alpha, "alpha", 1e-3, 1e6)
    counts_by_class(labels, rows)
    fix = f": {len(rows)} rows for {n_agents} agents"
    min_size = whole(min_size, "min_size", 1, len(rows) // n_agents, fix)
    reserve = n_agents * min_size
    if max_size is not None:
        max_size = whole(max_size, "max_size", min_size, fix=", which is min_size")
    mixed = rows[draws.permutation(draws.fold(keys, "dirichlet"), len(rows))]
    rest = mixed[:, reserve:]
    # by class, at random within each
    rest = rest.gather(1, labels[rest].argsort(dim=-1, stable=True))
    first = (torch.arange(reserve, device=rows.device) % n_agents).expand(len(keys), -1)
    owner = torch.cat([first, _dirichlet_owner(labels, rest, n_agents, alpha, keys)], 1)
    width = len(rows) - (n_agents - 1) * min_size
    index, size = gathered(torch.cat([mixed[:, :reserve], rest], 1), owner, n_agents, width, keys)
    return _limited(index, size, max_size)


def _limited(index: Tensor, size: Tensor, max_size: int | None) -> tuple[Tensor, Tensor]:
    """The first ``max_size`` rows of every agent; None: all."""
    if max_size is None:
        return index, size
    return index[..., :max_size], size.clamp(max=max_size)


def _dirichlet_owner(
    labels: Tensor, rest: Tensor, n_agents: int, alpha: float, keys: Tensor
) -> Tensor:
    """Agent of every row of ``rest`` [markets, left], which is sorted by class: [markets, left].

    Classes lie one after another, so all their borders form one rising line, and one search does.
    """
    n_classes = int(labels.max()) + 1
    counts = torch.zeros(len(keys), n_classes, dtype=torch.int64, device=rest.device)
    counts.scatter_add_(1, labels[rest], torch.ones_like(rest))
    shares = _dirichlet_shares(draws.fold(keys, "dirichlet shares"), n_classes, n_agents, alpha)
    borders = (shares.cumsum(-1) * counts[..., None]).round().long()  # [markets, classes, agents]
    borders[..., -1] = counts  # the shares sum to 1 only up to rounding
    borders += (counts.cumsum(-1) - counts)[..., None]
    place = torch.arange(rest.shape[1], device=rest.device).repeat(len(keys), 1)
    return torch.searchsorted(borders.flatten(1), place, right=True) % n_agents


def _dirichlet_shares(
    keys: Tensor, n_classes: int, n_agents: int, alpha: float
) -> Float[Tensor, "markets classes agents"]:
    """Draw Dirichlet shares as normalised gamma numbers, in logarithms.

    G(alpha) = U^(1/alpha) G(alpha + 1). The logarithm keeps tiny alphas from underflowing to 0/0
    (Marsaglia, Tsang, ACM TOMS 26(3), 2000, section 6).
    """
    from scipy.special import gammaincinv  # half a second, for those alone who use it

    u = draws.uniform(draws.fold(keys, "gamma"), n_classes, n_agents)
    gamma = torch.as_tensor(np.asarray(gammaincinv(alpha + 1.0, u.cpu().numpy())), device=u.device)
    boost = draws.uniform(draws.fold(keys, "boost"), n_classes, n_agents).log() / alpha
    return torch.softmax(gamma.log() + boost, -1)


def label_skew(
    labels: Labels, rows: Rows, n_agents: int, keys: Keys, *, classes_per_agent: int = 2
) -> tuple[Index, Size]:
    """Give each agent rows of only a few classes; a class is dealt equally among its holders.

    Agents in random order take the next ``classes_per_agent`` of the classes in random order, round
    and round, so every class has floor or ceil(n_agents * classes_per_agent / C) holders; a class
    without holders goes to nobody.

    classes_per_agent: 1..C

    Source: Li, Diao, Chen, He, ICDE 2022, "quantity-based label imbalance". We differ: our holders
    are spread evenly over the classes, while the source draws each agent's classes apart.

    >>> index, size = label_skew(torch.arange(40) % 4, torch.arange(40), 2, torch.tensor([1]))
    >>> size.tolist(), len((index[0, 0] % 4).unique())
    ([[20, 20]], 2)
    """
    counts = counts_by_class(labels, rows)
    n_classes, fix = len(counts), ", the number of classes"
    per_agent = whole(classes_per_agent, "classes_per_agent", 1, n_classes, fix)
    pool, label, rank = by_class(labels, rows, draws.fold(keys, "label_skew"))
    # the turn in which a class is taken
    turn = draws.permutation(draws.fold(keys, "class order"), n_classes)[:, label]
    slots = n_agents * per_agent
    holders = ceil(slots - turn, n_classes)
    slot = turn + n_classes * (rank % holders.clamp(min=1))
    seats = draws.permutation(draws.fold(keys, "agent order"), n_agents)
    holder = seats.gather(1, (slot // per_agent).clamp(max=n_agents - 1))
    owner = torch.where(holders > 0, holder, n_agents)
    most = ceil(counts, max(1, slots // n_classes)).sort(descending=True).values[:per_agent]
    return gathered(pool, owner, n_agents, int(most.sum()), keys)


def by_group(
    labels: Labels,
    rows: Rows,
    n_agents: int,
    keys: Keys,
    *,
    groups: Labels,
    max_size: int | None = None,
) -> tuple[Index, Size]:
    """Give each agent the rows of one group, such as a speaker or a hospital.

    Agent 0 gets the largest group, and so on. Groups are ranked by their available rows, ties by
    number; rows of further groups go to nobody. All markets deal in the same way, but for the order
    of an agent's rows.

    groups:   group of each row of the pool, negative for none; a source passes those of its data
              set   int64 [rows]
    max_size: rows that an agent may hold at most, drawn at random; None: no limit

    Raises ValueError for fewer groups than agents.

    >>> labels, rows, groups = torch.zeros(6).long(), torch.arange(6), [7, 3, 3, 3, 7, 5]
    >>> index, size = by_group(labels, rows, 2, torch.tensor([1]), groups=torch.tensor(groups))
    >>> size.tolist(), sorted(index[0, 0].tolist())
    ([[3, 2]], [1, 2, 3])
    """
    if max_size is not None:
        max_size = whole(max_size, "max_size", 1, fix=", or None for no limit")
    rows = rows[groups[rows] >= 0]
    names, place, counts = groups[rows].unique(return_inverse=True, return_counts=True)
    if len(names) < n_agents:
        raise ValueError(
            f"the training rows are of {len(names)} groups, wanted at least {n_agents}, one an"
            " agent; take fewer agents."
        )
    rank = counts.argsort(descending=True, stable=True).argsort()
    owner = rank[place].clamp(max=n_agents)[None]
    pool, width = rows.expand(len(keys), -1), int(counts.max())
    return _limited(*gathered(pool, owner, n_agents, width, keys), max_size)


Partition = Callable[..., tuple[Tensor, Tensor]]

PARTITIONS: dict[str, Partition] = {
    "balanced": balanced,
    "class_imbalance": class_imbalance,
    "dirichlet": dirichlet,
    "label_skew": label_skew,
    "by_group": by_group,
    "class_blocks": class_blocks,
}
