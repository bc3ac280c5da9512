"""Synthetic linear regressions with known solutions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float32, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import check_fields, choice, number, one_or_each, whole
from marketenv.core.shards import Shards
from marketenv.data.federation import BROKER_DATA, Federation

CPU = torch.device("cpu")
# normal numbers that are drawn at once; bounds the memory, changes no number
CHUNK = 2**22


@dataclass(frozen=True, kw_only=True)
class SyntheticLinear:
    """Every agent has a linear task of its own; every market draws its tasks by its seed.

    y = <x, theta_a> + noise_a * e,   x ~ N(0, I_d), e ~ N(0, 1), theta_0 ~ N(0, I_d)
    theta_a = theta_0 + distance * |theta_0| * u_a for a > 0, u_a uniform on the unit sphere

    n_agents:  agents of a market
    dimension: d
    examples:  training examples, one number or one for each agent
    noise:     standard deviation of the noise of training labels, one number or one for each agent
    distance:  |theta_a - theta_0| / |theta_0| of all other agents
    validation, test: numbers of noiseless examples, which share no draw; row j is of agent (j mod
               n)'s task
    broker_data: "test" makes validation the test examples

    Raises ValueError for sizes below 1, negative noise or distance, and tuples of another length
    than n_agents.

    Source: Huang, Vishwakarma, Sala, NeurIPS 2023, section 6: Figure 3 is ``n_agents=2,
    dimension=1000, examples=(500, 800), noise=(0, 0.5**0.5), validation=10_000``; Figure 4 sweeps
    ``distance``.

    >>> source = SyntheticLinear(n_agents=2, dimension=3, examples=(4, 5))
    >>> data = source.federation(torch.tensor([1, 2]))
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
    device: torch.device = CPU

    def __post_init__(self) -> None:
        count, spread = partial(whole, least=1), partial(number, least=0.0)
        check_fields(self, dict.fromkeys(("n_agents", "dimension", "validation", "test"), count))
        each = partial(one_or_each, n=self.n_agents)
        check_fields(
            self,
            {
                "examples": partial(each, check=count, wanted="numbers >= 1"),
                "noise": partial(each, check=spread, wanted="numbers >= 0"),
                "distance": spread,
                "broker_data": partial(choice, known=BROKER_DATA),
            },
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Training examples of each agent."""
        many = self.examples
        return many if isinstance(many, tuple) else (many,) * self.n_agents

    @property
    def deviations(self) -> tuple[float, ...]:
        """Standard deviation of each agent's label noise."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise,) * self.n_agents

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

        One pool holds the markets one after another; in each come the agents' rows, then
        validation, then test.
        """
        keys = draws.fold(seeds.to(self.device), "linear")
        counts = torch.tensor([*self.sizes, self.validation, self.test], device=self.device)
        starts = counts.cumsum(0) - counts
        part = torch.arange(len(counts), device=self.device).repeat_interleave(counts)
        place = torch.arange(len(part), device=self.device) - starts[part]
        task = torch.where(part < self.n_agents, part, place % self.n_agents)
        spreads = [*self.deviations, 0.0, 0.0]
        noise = torch.tensor(spreads, dtype=torch.float64, device=self.device)[part]
        theta = self._solutions(keys)
        x, y = _examples(draws.fold(keys[:, None], "row", part, place), theta, task, noise)
        pool = Shards(x.flatten(0, 1), y.flatten(), *_owners(len(keys), len(part), starts, counts))
        train, test = _only(pool, slice(0, self.n_agents)), _only(pool, self.n_agents + 1)
        validation = test if self.broker_data == "test" else _only(pool, self.n_agents)
        return Federation(train, validation, test, theta)

    def _solutions(
        self, keys: Int[Tensor, "markets"]
    ) -> Float32[Tensor, "markets agents dimension"]:
        """Draw every agent's true parameters."""
        first = draws.normal(draws.fold(keys, "solution"), self.dimension)[:, None]
        away = draws.normal(draws.agent_keys(keys, self.n_agents, "direction"), self.dimension)
        away = away / away.norm(dim=-1, keepdim=True) * first.norm(dim=-1, keepdim=True)
        away[:, 0] = 0.0
        return (first + self.distance * away).float()


def _examples(
    keys: Int[Tensor, "markets rows"],
    theta: Float32[Tensor, "markets agents dimension"],
    task: Int[Tensor, "rows"],
    noise: Float64[Tensor, "rows"],
) -> tuple[Float32[Tensor, "markets rows dimension"], Float32[Tensor, "markets rows"]]:
    """Draw features and labels of every row, a block of rows at a time.

    Each row has a key of its own, so neither the block nor the number of other rows changes it.
    """
    x = torch.empty(*keys.shape, theta.shape[-1], dtype=torch.float32, device=keys.device)
    y = torch.empty(keys.shape, dtype=torch.float32, device=keys.device)
    step = max(1, CHUNK // (len(keys) * theta.shape[-1]))
    for start in range(0, keys.shape[1], step):
        rows = slice(start, start + step)
        x[:, rows] = draws.normal(keys[:, rows], theta.shape[-1]).float()
        every = torch.einsum("mrd,mad->mra", x[:, rows].double(), theta.double())
        clean = every.gather(2, task[rows].expand(len(keys), -1)[..., None])[..., 0]
        error = noise[rows] * draws.normal(draws.fold(keys[:, rows], "noise"))
        y[:, rows] = (clean + error).float()
    return x, y


def _owners(n_markets: int, n_rows: int, starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Row numbers and sizes of a pool that holds the markets one after another.

    [markets, parts, width] and [markets, parts]
    """
    places = torch.arange(int(counts.max()), device=counts.device)
    within = places.minimum(counts[:, None] - 1) + starts[:, None]
    market = torch.arange(n_markets, device=counts.device)[:, None, None] * n_rows
    return market + within, counts.repeat(n_markets, 1)


def _only(pool: Shards, parts: slice | int) -> Shards:
    """Some of a pool's parts, no wider than they need."""
    size = pool.size[:, parts]
    return Shards(pool.x, pool.y, pool.index[:, parts][..., : int(size.max())], size)
