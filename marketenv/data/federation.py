"""The data of markets, and the sources of these data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core.shards import Shards


@dataclass(frozen=True)
class Federation:
    """The data of a batch of markets.

    train:      each agent's own examples                            owners [markets, agents]
    validation: the broker's examples, by which it judges models     owners [markets], or [1] where
                all markets share them
    test:       held-out examples that no one trains or trades by    owners [markets] or [1]
    optimum:    each agent's true parameters, None for unknown       float32 [markets, agents,
                params]
    labelled:   the own examples of which an agent knows the label, in the order of
                ``train.index``; ``train.y`` holds all true labels   bool [markets, agents, width],
                None: all of them
    """

    train: Shards
    validation: Shards
    test: Shards
    optimum: Float[Tensor, "markets agents params"] | None = None
    labelled: Bool[Tensor, "markets agents width"] | None = None

    @property
    def supervised(self) -> Shards:
        """The examples of which agents know the labels; ``train`` itself where they know all.

        Raises ValueError where an agent knows none.
        """
        if self.labelled is None:
            return self.train
        known = self.labelled & self.train.mask
        size = known.sum(-1)
        if bool((size < 1).any()):
            market, agent = (size < 1).nonzero()[0].tolist()
            raise ValueError(
                f"agent {agent} of market {market} knows no label at all, wanted one or more to"
                " learn from: give 'unlabeled' a rate below 1."
            )
        order = known.long().argsort(dim=-1, descending=True, stable=True)
        index = self.train.index.gather(-1, order)
        padded = torch.where(known.gather(-1, order), index, index[..., :1])
        return Shards(self.train.x, self.train.y, padded, size)


@runtime_checkable
class Source(Protocol):
    """Anything that gives each market its data; ``federation`` is a pure function of the seeds."""

    @property
    def n_agents(self) -> int:
        """How many agents share the training data of a market."""
        ...

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features."""
        ...

    @property
    def n_outputs(self) -> int:
        """Outputs that a model needs: classes, or 1 for a regression."""
        ...

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``."""
        ...

    def federation(self, seeds: Int[Tensor, "markets"]) -> Federation:
        """The data of one market for each seed; they are the same alone and in a batch."""
        ...

    def to(self, device: torch.device | str) -> Any:
        """Return the same source with its data on another device."""
        ...


BROKER_DATA = ("validation", "test")  # the examples by which the broker may judge models
