"""Strategies of iPFL's model-sharing market (arXiv 2505.02462): false reports and false models.

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
    cost, size, need: the factors
    effort: in [0, 1]
    upload: a name of ``UPLOADS``
    stay:   ``stay``, or ``leave`` at once

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
        view = move.observation.unpack(observation)
        types = {name: getattr(self, name) * (view[name] > 0).double() for name in REPORTED}
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
        "In one round it never earns more than truth, under any of the three payments.",
    ),
    "undercutter": _strategy(
        undercutter,
        "Reports 0.4 times its cost per sale.",
        (
            "It can earn more than truth where marginal values are paid, and never where"
            " critical values are paid."
        ),
    ),
    "size_liar": _strategy(
        size_liar,
        "Reports three times its number of samples.",
        (
            "A buyer that takes its model of one sample for one of three pays 5 money and"
            " ends with -2.0711 money."
        ),
    ),
    "eagerness_shader": _strategy(
        eagerness_shader,
        "Reports half of its need for data.",
        "It pays 2.0711 money where truth pays 2.9289 money.",
    ),
    "buyers_only": _strategy(
        buyers_only,
        "Reports ten times its cost, the most it can, so that it hardly sells.",
        ("It never sells more often than truth, and on average less than a third as often."),
    ),
    "sellers_only": _strategy(
        sellers_only,
        "Reports 0.1 times its need, the least it can, so that it hardly buys.",
        "On average it buys less than a third as often as truth, and sells as often.",
    ),
    "relay_rider": _strategy(
        relay_rider,
        "Stops training and uploads the last prox centre that it received.",
        (
            "After its first round it pays no effort cost, and at cost 0 it earns over half"
            " of an honest client's utility."
        ),
    ),
    "copy": _strategy(
        copy,
        "Stops training and uploads the mean of the others' models.",
        (
            "Nearly everybody buys its model, which adds nothing: its distance is less than"
            " that of honest models."
        ),
    ),
    "shuffle": _strategy(
        shuffle,
        "Uploads its model's numbers in random order.",
        "At lambda = 2 it sells to less than a tenth of the buyers.",
    ),
    "gauss": _strategy(
        gauss,
        "Uploads standard normal numbers.",
        "At lambda = 2 it sells to less than a tenth of the buyers.",
    ),
    "ones": _strategy(
        ones,
        "Uploads a model whose numbers are all 1.",
        "At lambda = 2 it sells to less than a fifth of the buyers.",
    ),
    "sign_flip": _strategy(
        sign_flip,
        "Uploads its model with all signs changed.",
        ("At lambda = 2 it sells to fewer clients than an honest client, and still to some."),
    ),
    "noise": _strategy(
        noise,
        "Uploads its model with noise as large as its update.",
        ("On average it lies farther from the others than its honest copy, and sells less often."),
    ),
}

# strategies that several markets know
PLAYS: dict[str, Callable[..., Policy]] = {"never_trade": never_trade}
