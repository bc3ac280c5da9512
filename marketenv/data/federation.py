"""What a market is given to learn from, and what gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.shards import Shards


@dataclass(frozen=True)
class Federation:
    """The data of a batch of markets.

    train:      each agent's own examples                             owners [markets, agents]
    validation: the broker's examples, by which it judges models      owners [markets], or [1] where all markets share them
    test:       held-out examples that no one trains or trades by     owners [markets] or [1]
    optimum:    each agent's true parameters, where they are known    float32 [markets, agents, params], or None
    """

    train: Shards
    validation: Shards
    test: Shards
    optimum: Float[Tensor, "markets agents params"] | None = None


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
        """Give one market's data a seed; a market alone gets what it gets in a batch."""
        ...

    def to(self, device: torch.device | str) -> Any:
        """Return the same source with its data on another device."""
        ...


BROKER_DATA = ("validation", "test")  # on which examples the broker judges models
