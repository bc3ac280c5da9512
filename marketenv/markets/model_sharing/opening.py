"""The floor of a model-sharing market at first: data, types, the common first model, presence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.floor import Floor
from marketenv.data import Source
from marketenv.learners import Learner
from marketenv.markets import own_parts
from marketenv.markets.model_sharing.config import ModelSharingConfig
from marketenv.markets.model_sharing.rules import CLIENT, SECOND
from marketenv.markets.model_sharing.share import AS_TRAINED
from marketenv.markets.model_sharing.worlds import SharingContent, SharingWorlds, open_content
from marketenv.markets.models import Models
from marketenv.markets.worlds import shared_exams
from marketenv.mechanisms import GAINS, GainFamily

NO_DATA = (5000.0, 0.6)  # median and log deviation of sizes where nobody has data


@dataclass(frozen=True)
class Furnish:
    """Draws data, types and the common first model at the start of an episode; a callable.

    source, learner: None where nobody trains
    joins:  the round in which each client joins   [clients]
    second: whether every client also trains a model for the others
    """

    config: ModelSharingConfig
    source: Source | None
    learner: Learner | None
    gain: GainFamily
    joins: Int[Tensor, "clients"]
    second: bool

    def __call__(self, floor: Floor) -> Floor:
        """The floor with a world, types, models, and the clients that are present at first."""
        world = self.world(floor.seeds)
        types, models = self.types(floor.seeds, world), self.models(floor)
        present = (floor.round[:, None] >= self.joins).expand(floor.present.shape)
        return replace(floor, world=world, types={CLIENT: types}, models=models, present=present)

    @cached_property
    def _open(self) -> Callable[[Tensor], SharingContent] | None:
        """From distinct seeds to what they fix for good."""
        if self.source is None or self.learner is None:
            return None
        shared = shared_exams(self.source, self.joins.device)
        return partial(
            open_content, self.source, self.learner, float(self.config.data_drift), shared
        )

    def world(self, seeds: Int[Tensor, "markets"]) -> SharingWorlds | None:
        """Everybody's data, laid out for the learner; None where nobody trains."""
        return None if self._open is None else SharingWorlds.of(self._open, seeds)

    def models(self, floor: Floor) -> dict[str, Models]:
        """The common first model, without a pull; of width 0 where nobody trains."""
        start = torch.zeros(len(floor.seeds), 0, dtype=torch.float32, device=self.joins.device)
        if self.learner is not None:
            start = own_parts.first_models(self.learner, draws.fold(floor.seeds, "first model"))
        params = start[:, None].expand(-1, len(self.joins), -1)
        nothing = params.new_zeros(params.shape[:2])
        first = Models.first(params, params[..., :0], nothing, nothing)
        models = {CLIENT: first.held(params, nothing), AS_TRAINED: first}
        return models | {SECOND: first} if self.second else models

    def types(
        self, seeds: Int[Tensor, "markets"], world: SharingWorlds | None
    ) -> dict[str, Float64[Tensor, "markets clients"]]:
        """True sizes, costs, needs and costs of a full effort: from the config, or drawn."""
        c, like = self.config, torch.zeros((), dtype=torch.float64, device=self.joins.device)
        fixed = {
            name: like.new_tensor(values).expand(len(seeds), -1) for name, values in c.types.items()
        }
        sizes = fixed["sizes"] if "sizes" in fixed else self._sizes(seeds, world)
        paper = isinstance(self.gain, GAINS["inverse_sqrt"])
        needs = self._drawn(seeds, "needs", c.needs or ((50.0, 100.0) if paper else (7.0, 10.0)))
        types = {
            "sizes": sizes,
            "costs": self._drawn(seeds, "costs", c.costs),
            "needs": needs * sizes.mean(1, keepdim=True) if paper else needs,
            "effort_cost": self._drawn(seeds, "effort cost", c.effort_cost),
        }
        return types | fixed

    def _sizes(
        self, seeds: Int[Tensor, "markets"], world: SharingWorlds | None
    ) -> Float64[Tensor, "markets clients"]:
        if self.config.sizes is not None:
            return self._drawn(seeds, "sizes", self.config.sizes)
        if world is not None:
            return world.content.train.size[world.at].double()
        median, deviation = NO_DATA
        normal = draws.normal(draws.agent_keys(seeds, len(self.joins), "sizes"))
        return median * (deviation * normal).exp()

    def _drawn(
        self, seeds: Int[Tensor, "markets"], purpose: str, interval: tuple[float, float]
    ) -> Float64[Tensor, "markets clients"]:
        """Uniform on an interval."""
        low, high = interval
        return low + (high - low) * draws.uniform(draws.agent_keys(seeds, len(self.joins), purpose))
