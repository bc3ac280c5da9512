"""Strategies of the resource market's leaders: other payments, and a broken commitment."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from marketenv.core import draws
from marketenv.core.market import Market
from marketenv.core.policy import Policy

from .resource_players import HALF, Player, Rule, View

LEADER = "leader"


def leader(market: Market, **does: float | Rule) -> Policy:
    """A leader that is truthful where nothing else is said."""
    return Player(market.policies["truthful"], LEADER, does=does)


def constant_payment(eta: float, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    """The same payment whatever is known, as far as there is money."""
    return view["money"].clamp(max=eta)


def random_payment(view: View, truth: Tensor, keys: Tensor) -> Tensor:
    """A part from half to all of the best payment, each equally likely."""
    share = draws.uniform(draws.fold(keys, "payment"), 1)
    return torch.lerp(truth / 2, truth, share.to(truth))


def shaded_payment(factor: float, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    """So many times the best payment, as far as there is money."""
    return (factor * truth).minimum(view["money"])


def shade(factor: float, market: Market) -> Policy:
    """A leader that commits to ``factor`` times the best payment."""
    return leader(market, eta=partial(shaded_payment, factor))


def never_trade(market: Market) -> Policy:
    """A leader that commits to nothing, for which owners contribute nothing."""
    return leader(market, eta=0.0)


def anticipating_leader(market: Market) -> Policy:
    """A leader that expects half the contributions, as if data cost owners twice as much."""
    return Player(market.policies["truthful"], LEADER, {"unit_cost": partial(torch.mul, 1 / HALF)})


fixed_leader = partial(leader, eta=partial(constant_payment, 1.0))
random_leader = partial(leader, eta=random_payment)
reneging_leader = partial(leader, pay=0.0)
