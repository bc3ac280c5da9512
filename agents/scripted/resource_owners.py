"""Strategies of the resource market's owners: lies, second names, collusion and best replies."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.market import Market
from marketenv.core.policy import Policy
from marketenv.markets.resource_market import Contribute
from marketenv.mechanisms import contest_response

from .resource_players import HALF, Player, Rule, View, broken, first, part

OWNER = "owner"


def owner(market: Market, **does: float | str | Rule) -> Policy:
    """An owner that is truthful where nothing else is given.

    Raises ValueError for a conduct that the market does not know.
    """
    conducts = market.phase(Contribute).conduct
    if does.get("conduct", conducts[0]) not in conducts:
        wanted = (conducts[0], does["conduct"])
        raise ValueError(
            f"conduct is to be {does['conduct']!r}, this market's are {conducts}; build it with"
            f" conduct={wanted}."
        )
    return Player(market.policies["truthful"], OWNER, does=does)


def over_reporter(market: Market) -> Policy:
    """An owner that reports the best quality, and contributes accordingly."""
    return Player(market.policies["truthful"], OWNER, {"own_quality": torch.ones_like})


def sybil(market: Market) -> Policy:
    """An owner that plays the equilibrium under two names.

    Raises ValueError where the market lets nobody have two.
    """
    phase = market.phase(Contribute)
    if phase.play.identities < 2:
        raise ValueError(
            "sybil wants two names, this market gives one; build it with identities=2."
        )
    return owner(market, share=partial(_two_names, phase), identities="2")


def owner_colluder(market: Market, factor: float = HALF) -> Policy:
    """An owner that contributes ``factor`` times the equilibrium as long as all others do."""
    return owner(market, share=partial(_colluding_share, market.phase(Contribute), factor))


def owner_defector(market: Market, factor: float = HALF) -> Policy:
    """An owner that answers colluders best in the first round, and is truthful afterwards."""
    return owner(market, share=partial(_defecting_share, market.phase(Contribute), factor))


def best_replying_owner(market: Market) -> Policy:
    """An owner that answers what the others contributed in the last round."""
    return owner(market, share=partial(_replying_share, market.phase(Contribute)))


def _two_names(phase: Contribute, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    return part(phase.solved(view, identities=2)[:, :1], view["own_cap"])


def _colluding_share(
    phase: Contribute, factor: float, view: View, truth: Tensor, keys: Tensor
) -> Tensor:
    breach = broken(view["last_share"], phase.solved(view)[:, 1:], factor)
    return torch.where(breach, truth, factor * truth)


def _defecting_share(
    phase: Contribute, factor: float, view: View, truth: Tensor, keys: Tensor
) -> Tensor:
    reply = best_share(phase, view, factor * phase.solved(view)[:, 1:])
    return torch.where(first(view["last_share"]), reply, truth)


def _replying_share(phase: Contribute, view: View, truth: Tensor, keys: Tensor) -> Tensor:
    reply = best_share(phase, view, view["last_share"])
    return torch.where(first(view["last_share"]), HALF * truth, reply)


def best_share(
    phase: Contribute, view: View, x: Float64[Tensor, "markets rest"]
) -> Float64[Tensor, "markets 1"]:
    """The exact best part of its cap that an owner can contribute if the others contribute this.

    phase: says by which quality owners are paid
    view:  what the owner sees
    x:     shares of their data that the others contribute
    """
    own = view["own_standing" if phase.audited else "own_quality"]
    costs = view["unit_cost"].clamp(min=1e-300) / torch.cat([own, view["quality"]], 1)
    q = torch.cat([torch.zeros_like(own), x * view["quality"]], 1)
    best = contest_response(view["eta"][:, 0], costs, q)[:, :1]
    return part(part(best, own), view["own_cap"])
