"""Strategies of the resource market's computing centres: those who collude, those who break it,
and those who answer.
"""

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

from .resource_players import Player, Seen, broken, first, part

LITTLE = 1e-3  # of the equilibrium's work, to which centres who collude keep
UNDERCUT = 0.01  # part of a rival's price by which a centre undercuts it
HALF = 0.5  # of the equilibrium's work, with which those who answer the last round begin


def centre(kind: type[Phase], name: str, rule: Callable[..., Tensor], market: Market) -> Policy:
    """A centre that changes what it says in one field, in a market that has this phase, and is
    truthful in another.

    rule: (the phase, what it sees, what truth means, keys) -> what the field means   [markets, 1]
    """
    phase = next((phase for phase in market.phases if isinstance(phase, kind)), None)
    return Player(
        market.policies["truthful"],
        "centre",
        does={} if phase is None else {name: partial(rule, phase)},
    )


def _colluding_spend(phase: Compute, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    return torch.where(
        broken(seen["last_work"], phase.solved(seen)[:, 1:], LITTLE), truth, LITTLE * truth
    )


def _defecting_spend(phase: Compute, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    return torch.where(
        first(seen["last_work"]), best_spend(seen, LITTLE * phase.solved(seen)[:, 1:]), truth
    )


def _replying_spend(phase: Compute, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    return torch.where(first(seen["last_work"]), HALF * truth, best_spend(seen, seen["last_work"]))


def best_spend(seen: Seen, work: Float64[Tensor, "markets rest"]) -> Float64[Tensor, "markets 1"]:
    """The exact best part of the fees that a centre can spend on work if the others offer this.

    seen: what the centre sees;   work: of the others; nothing where there is none
    """
    done = torch.cat([torch.zeros_like(seen["own_cost"]), work], 1)
    return part(
        seen["own_cost"] * contest_response(seen["fees"][:, 0], _costs(seen), done)[:, :1],
        seen["fees"],
    )


def _colluding_price(phase: Post, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    together = _price(phase, seen, collusive_price)[:, None]
    others = seen["last_price"]
    undercut = ((others > 0) & (others < (1 - UNDERCUT / 10) * together)).any(1, keepdim=True)
    return torch.where(undercut, truth, together.maximum(seen["own_cost"]))


def _undercutting_price(phase: Post, seen: Seen, truth: Tensor, keys: Tensor) -> Tensor:
    posted = torch.where(seen["last_price"] > 0, seen["last_price"], torch.inf)
    prices = torch.cat([torch.full_like(seen["own_cost"], torch.inf), posted], 1)
    return _price(phase, seen, partial(price_response, prices, step=UNDERCUT))[:, :1]


def _price(phase: Post, seen: Seen, pricing: Callable[..., Tensor]) -> Tensor:
    return phase.play.price(_costs(seen), seen["quality"], seen["identities"], pricing)


def _costs(seen: Seen) -> Tensor:
    """Costs of all centres, the one that looks first; a lone centre sees a rival without cost,
    which is nobody.
    """
    return torch.cat(
        [
            seen["own_cost"].clamp(min=1e-300),
            torch.where(seen["cost"] > 0, seen["cost"], torch.inf),
        ],
        1,
    )


centre_colluder = partial(centre, Compute, "spend", _colluding_spend)
centre_defector = partial(centre, Compute, "spend", _defecting_spend)
best_replying_centre = partial(centre, Compute, "spend", _replying_spend)
price_colluder = partial(centre, Post, "price", _colluding_price)
price_undercutter = partial(centre, Post, "price", _undercutting_price)
