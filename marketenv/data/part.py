"""The data of some agents of a source, as a source of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int

from marketenv.core.shards import Shards
from marketenv.data.federation import Federation, Source


@dataclass(frozen=True, eq=False)
class PartOfSource:
    """The training data of some agents of a source, by their numbers; a number may come twice.

    Parts that name different agents share no row where the source deals every row to one agent.

    >>> from marketenv.data import make_source
    >>> whole = make_source("digits", "balanced", 3)
    >>> part = PartOfSource(whole, (1, 2))
    >>> part.federation(torch.tensor([7])).train.size.shape
    torch.Size([1, 2])
    """

    source: Source
    agents: tuple[int, ...]

    @property
    def n_agents(self) -> int:
        """How many agents the part has."""
        return len(self.agents)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features."""
        return self.source.feature_shape

    @property
    def n_outputs(self) -> int:
        """Outputs that a model needs."""
        return self.source.n_outputs

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``."""
        return self.source.task

    def federation(self, seeds: Int[torch.Tensor, "markets"]) -> Federation:
        """The data of these agents in every market; all are judged by the same examples."""
        whole = self.source.federation(seeds)
        train, mine = whole.train, torch.tensor(self.agents, device=seeds.device)
        return replace(
            whole,
            train=Shards(train.x, train.y, train.index[:, mine], train.size[:, mine]).trimmed(),
            optimum=None if whole.optimum is None else whole.optimum[:, mine],
            labelled=None if whole.labelled is None else whole.labelled[:, mine],
        )

    def to(self, device: torch.device | str) -> PartOfSource:
        """The same part with its data on another device."""
        return replace(self, source=self.source.to(device))
