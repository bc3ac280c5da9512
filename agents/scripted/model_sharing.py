"""Strategies of the model-sharing market of iPFL (arXiv 2505.02462): reports that lie, models that are not what they seem.

Attackers replace their upload, as the paper's do; what a client reports, trains and uploads are three separate choices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.market import Role
from marketenv.core.policy import Policy
from marketenv.markets.model_sharing import ModelSharingMarket
from marketenv.markets.uploads import upload_action


@dataclass(frozen=True)
class Client:
    """Reports multiples of its types, trains at one effort, and uploads one kind of model.

    report = factor * truth, factors in [1/10, 10]; a type of 0 is reported as 0
    cost, size, need: the factors;   effort: in [0, 1];   upload: a name of ``UPLOADS``;   stay: False leaves at once

    Raises ValueError for an unknown upload, and for factors and efforts out of their range.
    """

    cost: float = 1.0
    size: float = 1.0
    need: float = 1.0
    effort: float = 1.0
    upload: str = "honest"
    stay: bool = True

    def __post_init__(self) -> None:
        upload_action(self.upload)
        for name in ("cost", "size", "need"):
            if not 0.1 <= getattr(self, name) <= 10:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted a factor in [0.1, 10] of the true one.")
        if not 0 <= self.effort <= 1:
            raise ValueError(f"effort is {self.effort}, wanted a number in [0, 1].")

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, 6]: cost, size, need, effort, upload, stay."""
        seen = role.observation.unpack(observation)
        said = [torch.where(seen[n] > 0, math.log10(getattr(self, n)), -1.0) for n in ("cost", "size", "need")]
        does = (2 * self.effort - 1, upload_action(self.upload), 1.0 if self.stay else -1.0)
        return torch.cat([*said, *(torch.full_like(said[0], value) for value in does)], 1).float()


def builtin(name: str, market: ModelSharingMarket) -> Policy:
    """A policy that the market itself ships."""
    return market.policies[name]


def client(
    market: ModelSharingMarket,
    *,
    cost: float = 1.0,
    size: float = 1.0,
    need: float = 1.0,
    effort: float = 1.0,
    upload: str = "honest",
    stay: bool = True,
) -> Policy:
    """A client that is truthful and honest where nothing else is said; see ``Client``."""
    return Client(cost, size, need, effort, upload, stay)


cost_liar = partial(client, cost=2.0)
undercutter = partial(client, cost=0.4)
size_liar = partial(client, size=3.0)
eagerness_shader = partial(client, need=0.5)
buyers_only = partial(client, cost=10.0)
sellers_only = partial(client, need=0.1)
never_trade = partial(client, stay=False)
relay_rider = partial(client, effort=0.0, upload="relay")
copy = partial(client, effort=0.0, upload="copy")
shuffle, noise, gauss, ones, sign_flip = (
    partial(client, upload=name) for name in ("shuffled", "noise", "gauss", "ones", "sign_flip")
)
