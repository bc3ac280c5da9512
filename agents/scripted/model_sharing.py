"""Strategies of the model-sharing market of iPFL (arXiv 2505.02462): reports that lie, models that
are not what they seem.

Attackers replace their upload, as the paper's do; what a client reports, trains and uploads are
three separate choices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core.fields import Choice
from marketenv.core.market import Market, Move
from marketenv.core.policy import Policy
from marketenv.markets.model_sharing.moves import ACTION, REPORTED

from .strategy import Strategy

NAME = "model_sharing_v0"


@dataclass(frozen=True)
class Client:
    """Reports multiples of its types, trains at one effort, and uploads one kind of model.

    report = factor * truth, factors in [1/10, 10]; a type of 0 is reported as 0
    cost, size, need: the factors;   effort: in [0, 1];   upload: a name of ``UPLOADS``;
        stay: ``stay``, or ``leave`` at once

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
                raise ValueError(
                    f"{field.name} is {value}, wanted a number in [{least:g}, {most:g}]"
                    f" {field.unit}."
                )

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, 6]: cost, size, need, effort, upload, stay."""
        seen = move.observation.unpack(observation)
        types = {name: getattr(self, name) * (seen[name] > 0).double() for name in REPORTED}
        return move.write(
            observation, **types, effort=self.effort, upload=self.upload, stay=self.stay
        )


def client(
    market: Market,
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


def _strategy(builder: Callable[..., Policy], summary: str, claim: str) -> Strategy:
    """A strategy of this market alone."""
    return Strategy(builders={NAME: builder}, summary=summary, claim=claim)


STRATEGIES: dict[str, Strategy] = {
    "cost_liar": _strategy(
        cost_liar,
        "Reports twice its cost per sale.",
        "In one round it never earns more than truth would, under any of the three payments.",
    ),
    "undercutter": _strategy(
        undercutter,
        "Reports four tenths of its cost per sale.",
        "Where marginal values are paid it can earn more than truth; where critical values are paid"
        " it never does.",
    ),
    "size_liar": _strategy(
        size_liar,
        "Reports three times its samples.",
        "Who buys a model of one sample as one of three pays 5 for it and is left with -2.0711.",
    ),
    "eagerness_shader": _strategy(
        eagerness_shader,
        "Reports half of what it needs data for.",
        "It pays 2.0711 for what truth would pay 2.9289 for.",
    ),
    "buyers_only": _strategy(
        buyers_only,
        "Reports ten times its cost, the most it can, so that it sells only where even that is"
        " paid.",
        "It never sells to more than truth would, and in the mean to less than a third as many.",
    ),
    "sellers_only": _strategy(
        sellers_only,
        "Reports a tenth of its need, the least it can, so that it hardly buys.",
        "In the mean it buys less than a third of what truth would, and sells as often.",
    ),
    "relay_rider": _strategy(
        relay_rider,
        "Stops training and uploads the prox centre that it was sent last.",
        "After its first round it pays no effort cost, and at cost 0 it earns over half of what an"
        " honest client does.",
    ),
    "copy": _strategy(
        copy,
        "Stops training and uploads the mean of the others' models.",
        "Nearly everybody buys it although it adds nothing: its distance is less than that of"
        " honest models.",
    ),
    "shuffle": _strategy(
        shuffle,
        "Uploads its model's numbers in random order.",
        "At lambda 2 it sells to less than a tenth of the buyers.",
    ),
    "gauss": _strategy(
        gauss,
        "Uploads standard normal numbers.",
        "At lambda 2 it sells to less than a tenth of the buyers.",
    ),
    "ones": _strategy(
        ones,
        "Uploads a model of ones.",
        "At lambda 2 it sells to less than a fifth of the buyers.",
    ),
    "sign_flip": _strategy(
        sign_flip,
        "Uploads its model with all signs turned.",
        "At lambda 2 it sells to fewer than an honest client and still to some.",
    ),
    "noise": _strategy(
        noise,
        "Uploads its model with noise as large as its update.",
        "In the mean it is farther from the others than its honest copy, and sells less.",
    ),
}

# strategies that several markets know
PLAYS: dict[str, Callable[..., Policy]] = {"never_trade": never_trade}
