"""Strategies of the resource market's centres: collusion, its breach, and best replies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.market import Market, Phase
from marketenv.core.policy import Policy
from marketenv.markets.resource_market import Compute, Post
from marketenv.mechanisms import collusive_price, contest_response, price_response

from .resource_players import HALF, Player, View, broken, first, part

LITTLE = 1e-3  # of the equilibrium's work, to which centres who collude keep
UNDERCUT = 0.01  # part of a rival's price by which a centre undercuts it


def centre(kind: type[Phase], name: str, rule: Callable[..., Tensor], market: Market) -> Policy:
    """A centre that changes one field in markets that have this phase, and is truthful otherwise.

    rule: (the phase, what it sees, what truth means, keys) -> what the field means   [markets, 1]
    """
    phase = next((phase for phase in market.phases if isinstance(phase, kind)), None)
    return Player(
        market.policies["truthful"],
        "centre",
        does={} if phase is None else {name: partial(rule, phase)},
    )


def _colluding_spend(phase: Compute, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    breach = broken(view["last_work"], phase.solved(view)[:, 1:], LITTLE)
    return torch.where(breach, truth, LITTLE * truth)


def _defecting_spend(phase: Compute, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    reply = best_spend(view, LITTLE * phase.solved(view)[:, 1:])
    return torch.where(first(view["last_work"]), reply, truth)


def _replying_spend(phase: Compute, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    reply = best_spend(view, view["last_work"])
    return torch.where(first(view["last_work"]), HALF * truth, reply)


def best_spend(view: View, work: Float64[Tensor, "markets rest"]) -> Float64[Tensor, "markets 1"]:
    """The exact best part of the fees that a centre can spend on work if the others offer this.

    view: what the centre sees
    work: of the others; empty where there are none
    """
    works = torch.cat([torch.zeros_like(view["own_cost"]), work], 1)
    best = contest_response(view["fees"][:, 0], _costs(view), works)[:, :1]
    return part(view["own_cost"] * best, view["fees"])


def _colluding_price(phase: Post, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    together = _price(phase, view, collusive_price)[:, None]
    others = view["last_price"]
    undercut = ((others > 0) & (others < (1 - UNDERCUT / 10) * together)).any(1, keepdim=True)
    return torch.where(undercut, truth, together.maximum(view["own_cost"]))


def _undercutting_price(phase: Post, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    posted = torch.where(view["last_price"] > 0, view["last_price"], torch.inf)
    prices = torch.cat([torch.full_like(view["own_cost"], torch.inf), posted], 1)
    return _price(phase, view, partial(price_response, prices, step=UNDERCUT))[:, :1]


def _price(phase: Post, view: View, pricing: Callable[..., Tensor]) -> Tensor:
    return phase.play.price(_costs(view), view["quality"], view["identities"], pricing)


def _costs(view: View) -> Tensor:
    """Costs of all centres, the observing one first.

    A lone centre observes a rival of cost 0, which stands for no rival.
    """
    own, rivals = view["own_cost"].clamp(min=1e-300), view["cost"]
    return torch.cat([own, torch.where(rivals > 0, rivals, torch.inf)], 1)


centre_colluder = partial(centre, Compute, "spend", _colluding_spend)
centre_defector = partial(centre, Compute, "spend", _defecting_spend)
best_replying_centre = partial(centre, Compute, "spend", _replying_spend)
price_colluder = partial(centre, Post, "price", _colluding_price)
price_undercutter = partial(centre, Post, "price", _undercutting_price)
