"""Strategies of the data market: dishonest sellers, and buyers who choose by other means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.market import Market, Move
from marketenv.core.policy import Policy

from .strategy import Strategy

NAME = "data_market_v0"


@dataclass(frozen=True)
class DataTrader:
    """Truthful, except for some fields of a seller's offer or of a buyer's selection.

    truthful:  the market's own policy
    offer:     a seller's meanings by field; fields that the market lacks are left out
    selection: a buyer's meanings by field, likewise
    mixture:   from the buyer's observation and keys to relative weights of the sellers; None takes
               the platform's mixture
    budget:    of the buyer, as a multiple of the truth
    """

    truthful: Policy
    offer: Mapping[str, float | str] = field(default_factory=dict)
    selection: Mapping[str, float | str] = field(default_factory=dict)
    mixture: Callable[[Mapping[str, Tensor], Tensor], Tensor] | None = None
    budget: float = 1.0

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions float32 [markets, actions]."""
        meanings = move.read(observation, self.truthful(observation, move, keys))
        buys = move.name == "buyer"
        changes: dict[str, Tensor | float | str] = dict(self.selection if buys else self.offer)
        if buys:
            meanings["budget"] = (self.budget * meanings["budget"]).clamp(max=1.0)
        if buys and self.mixture is not None:
            changes["mixture"] = self.mixture(move.observation.unpack(observation), keys)
        fitting = {name: value for name, value in changes.items() if name in meanings}
        return move.write(observation, **meanings | fitting)


def seller(market: Market, **offer: float | str) -> Policy:
    """A seller that is truthful where nothing else is said; as a buyer it is truthful."""
    return DataTrader(market.policies["truthful"], offer=offer)


def buyer(
    market: Market,
    mixture: Callable[[Mapping[str, Tensor], Tensor], Tensor] | None = None,
    **selection: float,
) -> Policy:
    """A buyer that is truthful where nothing else is said; as a seller it is truthful."""
    return DataTrader(market.policies["truthful"], selection=selection, mixture=mixture)


def random_mixture(view: Mapping[str, Tensor], keys: Tensor) -> Tensor:
    """Weights drawn evenly from all mixtures."""
    parts = -draws.uniform(draws.fold(keys, "mixture"), view["distance"].shape[-1]).log()
    return parts / parts.sum(-1, keepdim=True)


def nearest_seller(view: Mapping[str, Tensor], keys: Tensor) -> Tensor:
    """All weight on the seller with the nearest pilot: the mixture of least AggWad."""
    return torch.nn.functional.one_hot(
        view["distance"].argmin(-1), view["distance"].shape[-1]
    ).double()


def equal_mixture(view: Mapping[str, Tensor], keys: Tensor) -> Tensor:
    """The same weight for everybody."""
    return torch.ones_like(view["distance"])


def shade(factor: float, market: Market) -> Policy:
    """A buyer that spends ``factor`` times its predicted gain's worth; a seller is truthful."""
    return DataTrader(market.policies["truthful"], budget=factor)


price_shader = partial(seller, ask=1.5)
duplicator = partial(seller, declared=5.0)
padder = partial(seller, distinct=0.2)
label_flipper = partial(seller, flip=1.0)
label_permuter = partial(seller, permute="delivered")
imitator = partial(seller, shift=0.5)
spoofer = partial(seller, spoof=1.0, bait=1.0)
bait_and_switch = partial(seller, bait=1.0)
random_buyer = partial(buyer, mixture=random_mixture)
agg_wad_buyer = partial(buyer, mixture=nearest_seller)
equal_buyer = partial(buyer, mixture=equal_mixture)
auditor = partial(buyer, verify=1.0)
holder_back = partial(buyer, hold_back=1.0)
never_trade = partial(buyer, budget=0.0)


def _strategy(builder: Callable[..., Policy], summary: str, claim: str) -> Strategy:
    role = "buyer" if summary.startswith("As a buyer,") else "seller"
    return Strategy(builders={NAME: builder}, summary=summary, claim=claim, role=role)


STRATEGIES: dict[str, Strategy] = {
    "price_shader": _strategy(
        price_shader,
        "As a seller, asks 1.5 times its cost.",
        "Under procurement it never earns more than by asking its cost.",
    ),
    "duplicator": _strategy(
        duplicator,
        ("As a seller, offers each of its rows five times, as if it had five times as many."),
        ("It can sell up to five times its rows, and pays the cost of its different rows only."),
    ),
    "padder": _strategy(
        padder,
        "As a seller, offers a fifth of its rows, each five times.",
        "At most a fifth of the rows that it sells are different.",
    ),
    "label_flipper": _strategy(
        label_flipper,
        "As a seller, replaces every label by a wrong one.",
        (
            "Where the sellers' data are alike, its distance rises, and so does the"
            " distance of every mixture that holds its rows."
        ),
    ),
    "label_permuter": _strategy(
        label_permuter,
        "As a seller, delivers rows whose classes are renamed in a circle.",
        "An audit of every delivery catches it only with a vocabulary of labels.",
    ),
    "imitator": _strategy(
        imitator,
        "As a seller, moves its features half the way to public examples.",
        "Its distance from the buyer's examples falls.",
    ),
    "spoofer": _strategy(
        spoofer,
        "As a seller, shows the buyer's own examples and delivers noise.",
        (
            "Its distance falls below half of an honest seller's, and an audit of every"
            " delivery catches it."
        ),
    ),
    "bait_and_switch": _strategy(
        bait_and_switch,
        "As a seller, shows honest rows and delivers noise.",
        (
            "Its pilot is honest, its rows cost it nothing, and an audit of every delivery"
            " catches it."
        ),
    ),
    "random_buyer": _strategy(
        random_buyer,
        "As a buyer, takes a mixture drawn at random.",
        "The mean of its mixtures has equal shares.",
    ),
    "agg_wad_buyer": _strategy(
        agg_wad_buyer,
        "As a buyer, takes all points of the seller with the nearest pilot.",
        "It buys from one seller only.",
    ),
    "equal_buyer": _strategy(
        equal_buyer,
        "As a buyer, takes equal numbers of points from all sellers.",
        "The numbers of points that it buys from two sellers differ by at most one.",
    ),
    "auditor": _strategy(
        auditor,
        "As a buyer, has every delivery audited.",
        "A seller that plays bait_and_switch is paid nothing.",
    ),
    "holder_back": _strategy(
        holder_back,
        "As a buyer, holds all money back until the accuracy is known.",
        "Where the model gains no accuracy, it pays nothing.",
    ),
}

PLAYS: dict[str, Callable[..., Policy]] = {"shade": shade, "never_trade": never_trade}
