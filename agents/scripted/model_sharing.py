"""Strategies of the model-sharing market of iPFL (arXiv 2505.02462): reports that lie, models that are not what they seem.

Attackers replace their upload, as the paper's do; what a client reports, trains and uploads are three separate choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.fields import Choice
from marketenv.core.market import Role
from marketenv.core.policy import Policy
from marketenv.markets.model_sharing import ACTION, REPORTED, ModelSharingMarket


@dataclass(frozen=True)
class Client:
    """Reports multiples of its types, trains at one effort, and uploads one kind of model.

    report = factor * truth, factors in [1/10, 10]; a type of 0 is reported as 0
    cost, size, need: the factors;   effort: in [0, 1];   upload: a name of ``UPLOADS``;   stay: ``stay``, or ``leave`` at once

    Raises ValueError for unknown names, and for factors and efforts out of their range.
    """

    cost: float = 1.0
    size: float = 1.0
    need: float = 1.0
    effort: float = 1.0
    upload: str = "honest"
    stay: str = "stay"

    def __post_init__(self) -> None:
        for field in ACTION.items:
            value, (least, most) = getattr(self, field.name), field.range
            if isinstance(field, Choice):
                field.number(value)
            elif not least <= value <= most:
                raise ValueError(f"{field.name} is {value}, wanted a number in [{least:g}, {most:g}] {field.unit}.")

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, 6]: cost, size, need, effort, upload, stay."""
        seen = role.observation.unpack(observation)
        types = {name: getattr(self, name) * (seen[name] > 0).double() for name in REPORTED}
        return role.write(observation, **types, effort=self.effort, upload=self.upload, stay=self.stay)


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
    stay: str = "stay",
) -> Policy:
    """A client that is truthful and honest where nothing else is said; see ``Client``."""
    return Client(cost, size, need, effort, upload, stay)


cost_liar = partial(client, cost=2.0)
undercutter = partial(client, cost=0.4)
size_liar = partial(client, size=3.0)
eagerness_shader = partial(client, need=0.5)
buyers_only = partial(client, cost=10.0)
sellers_only = partial(client, need=0.1)
never_trade = partial(client, stay="leave")
relay_rider = partial(client, effort=0.0, upload="relay")
copy = partial(client, effort=0.0, upload="copy")
shuffle, noise, gauss, ones, sign_flip = (
    partial(client, upload=name) for name in ("shuffled", "noise", "gauss", "ones", "sign_flip")
)
