"""A data set dealt out among agents."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.checks import check_fields, options, whole
from marketenv.core.generators import no_hidden_draws
from marketenv.core.shards import Shards
from marketenv.data.dealing import checked
from marketenv.data.federation import Federation
from marketenv.data.partitions import PARTITIONS, Partition, balanced
from marketenv.data.splitting import Split


@dataclass(frozen=True, kw_only=True, eq=False)
class PartitionedSource:
    """A data set whose training rows every market deals out among its agents, by its seed.

    split:     the pool and its training, validation and test rows; ``split.sizes`` counts them.
               Validation and test are the same for all markets, so their owners are [1]; the three
               parts share no row, unless the split has ``broker_data="test"``
    n_agents:  number of agents that share the training rows
    n_classes: 0 for a regression
    partition: how they are dealt out, see ``partitions``
    options:   keywords of the partition; a parameter ``groups`` gets the groups of the split

    The partition is tried once here. A user's own partition works on copies, and all rows that it
    deals are checked, see ``dealing.checked``.

    Raises ValueError for no agents, and where the partition wants groups that the data set does not
    have, deals wrong rows, or draws from anything but its keys.

    >>> from marketenv.data.embedded import digits
    >>> from marketenv.data.splitting import split
    >>> source = PartitionedSource(split=split(digits()), n_agents=2, n_classes=10)
    >>> source.split.sizes
    {'train': 1079, 'validation': 359, 'test': 359}
    >>> source.federation(torch.tensor([7, 8])).train.size.tolist()
    [[540, 539], [540, 539]]
    """

    split: Split
    n_agents: int
    n_classes: int
    partition: Partition = balanced
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(
            self, {"n_agents": partial(whole, least=1), "n_classes": whole, "options": options}
        )
        if self._wants_groups and self.split.groups is None:
            raise ValueError(
                "the partition deals by groups, but the data set has none; give from_arrays(x, y,"
                " groups=...), an .npz file with an array 'groups', or a data set by speaker such"
                " as 'shakespeare'."
            )
        wanted = "draws from its keys, as marketenv.core.draws makes them"
        with no_hidden_draws(f"partition {self._name!r}", wanted):
            self.federation(torch.zeros(1, dtype=torch.int64, device=self.split.x.device))

    @property
    def _own(self) -> bool:
        return self.partition not in PARTITIONS.values()

    @property
    def _name(self) -> str:
        return getattr(self.partition, "__name__", repr(self.partition))

    @property
    def _wants_groups(self) -> bool:
        return "groups" in inspect.signature(self.partition).parameters

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features."""
        return tuple(self.split.x.shape[1:])

    @property
    def n_outputs(self) -> int:
        """Classes, or 1 for a regression."""
        return self.n_classes or 1

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``."""
        return "classification" if self.n_classes else "regression"

    def federation(self, seeds: Int[Tensor, "markets"]) -> Federation:
        """Deal the training rows out in every market.

        The owners are [markets, agents] of train, and [1] of validation and test. Raises ValueError
        where an agent would get no row, and where a user's own partition deals wrong rows.
        """
        split, n_agents = self.split, self.n_agents
        keys = draws.fold(seeds.to(split.x.device), "partition")
        options = dict(self.options)
        if self._wants_groups:
            options["groups"] = split.groups
        deal = tree.apart(self.partition, self._own)
        shares = deal(split.labels, split.train, n_agents, keys, **options)
        if self._own:
            shares = checked(shares, split, len(keys), n_agents, self._name)
        train = Shards(split.x, split.y, *shares)
        return Federation(train, self._shared(self.split.validation), self._shared(self.split.test))

    def to(self, device: torch.device | str) -> PartitionedSource:
        """Return the same source with its data on another device."""
        if self.split.x.device == torch.device(device):
            return self
        parts: dict[str, Any] = {}
        for field_ in dataclasses.fields(self.split):
            part = getattr(self.split, field_.name)
            parts[field_.name] = None if part is None else part.to(device)
        return dataclasses.replace(self, split=Split(**parts))

    def _shared(self, rows: Tensor) -> Shards:
        """Rows that all markets share: owners [1]."""
        size = torch.tensor([len(rows)], device=rows.device)
        return Shards(self.split.x, self.split.y, rows[None], size)
