"""Synthetic linear regressions with known solutions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.lookup import unknown
from marketenv.core.shards import Shards
from marketenv.data.federation import BROKER_DATA, Federation

CHUNK = 2**22  # normal numbers drawn at once; bounds the memory that drawing takes, changes no number


@dataclass(frozen=True, kw_only=True)
class SyntheticLinear:
    """Every agent has a linear task of its own; every market draws all of it anew, by its seed.

    y = <x, theta_a> + noise_a * e,   x ~ N(0, I_d), e ~ N(0, 1), theta_0 ~ N(0, I_d)
    theta_a = theta_0 + distance * |theta_0| * u_a for a > 0, u_a uniform on the unit sphere

    n_agents:  agents of a market
    dimension: d
    examples:  training examples, one number or one an agent
    noise:     standard deviation of the label noise, one number or one an agent; training labels only
    distance:  |theta_a - theta_0| / |theta_0| of all other agents
    validation, test: noiseless examples, row j of agent (j mod n)'s task; fresh draws for each of the two
    broker_data: "test" makes validation the test examples

    Raises ValueError for sizes below 1, negative noise or distance, and tuples of another length than n_agents.

    Source: Huang, Vishwakarma, Sala, NeurIPS 2023, section 6: Figure 3 is ``n_agents=2, dimension=1000,
    examples=(500, 800), noise=(0, .5 ** .5), validation=10_000``; Figure 4 sweeps ``distance``.

    >>> data = SyntheticLinear(n_agents=2, dimension=3, examples=(4, 5)).federation(torch.tensor([1, 2]))
    >>> data.train.size.tolist(), data.optimum.shape
    ([[4, 5], [4, 5]], torch.Size([2, 2, 3]))
    """

    n_agents: int
    dimension: int = 100
    examples: int | tuple[int, ...] = 50
    noise: float | tuple[float, ...] = 0.0
    validation: int = 1000
    test: int = 1000
    distance: float = 0.0
    broker_data: str = "validation"
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        for name in ("n_agents", "dimension", "validation", "test"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted at least 1.")
        for name in ("examples", "noise"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.n_agents:
                raise ValueError(f"{name} has {len(value)} entries, wanted {self.n_agents}: one an agent, or one number.")
        if min(self.sizes) < 1:
            raise ValueError(f"examples is {self.examples}, wanted at least 1 for every agent.")
        for name, worst in (("noise", min(self.deviations)), ("distance", self.distance)):
            if not 0 <= worst < float("inf"):
                raise ValueError(f"{name} is {worst}, wanted a finite number >= 0.")
        if self.broker_data not in BROKER_DATA:
            raise unknown("broker_data", self.broker_data, BROKER_DATA)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Training examples of each agent."""
        return self.examples if isinstance(self.examples, tuple) else (self.examples,) * self.n_agents

    @property
    def deviations(self) -> tuple[float, ...]:
        """Standard deviation of each agent's label noise."""
        return self.noise if isinstance(self.noise, tuple) else (float(self.noise),) * self.n_agents

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features: (dimension,)."""
        return (self.dimension,)

    @property
    def n_outputs(self) -> int:
        """One number."""
        return 1

    @property
    def task(self) -> str:
        """Always ``"regression"``."""
        return "regression"

    def to(self, device: torch.device | str) -> SyntheticLinear:
        """Return the same source, drawing on another device."""
        return dataclasses.replace(self, device=torch.device(device))

    def federation(self, seeds: Int[Tensor, "markets"]) -> Federation:
        """Draw every market's tasks and examples; all owners lead with the market axis.

        One pool holds the markets one after another; in each the agents' rows, then validation, then test.
        """
        keys = draws.fold(seeds.to(self.device), "linear")
        theta = self._solutions(keys)
        agent, place = self._rows()
        x, y = _examples(draws.fold(keys[:, None], agent, place), theta, agent.clamp(min=0) % self.n_agents)
        return self._assemble(keys, x, y, theta)
