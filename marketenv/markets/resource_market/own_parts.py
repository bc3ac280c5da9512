"""How the resource market calls parts that a user may have written: see
``marketenv.markets.own_parts``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import tree
from marketenv.core.ledger import RELATIVE, ROUNDING
from marketenv.core.parts import made, taken
from marketenv.mechanisms import (
    COMPUTE_FEES,
    PREFERENCES,
    QUALITY_SCALES,
    STACKELBERG_SOLVERS,
    Solver,
    Stackelberg,
    TripartiteGame,
)
from marketenv.mechanisms.procurement import settled

PerOwner = Float64[Tensor, "markets owners"]
PerCentre = Float64[Tensor, "markets centres"]


def solved(solver: Solver, game: TripartiteGame) -> tuple[Float64[Tensor, "markets"], PerOwner]:
    """The payment and the contributions by which a solver plays; ValueError for a payment that
    nobody can make.
    """
    own = solver not in STACKELBERG_SOLVERS.values()
    found = made(tree.apart(solver, own)(game), Stackelberg, "solver")
    eta = taken(found.eta, "solver returned eta", game.quality.sum(1), "markets", torch.float64)
    x = taken(found.x, "solver returned x", game.quality, "markets, owners", torch.float64)
    if own and not bool(((eta >= 0) & eta.isfinite()).all() and x.isfinite().all()):
        raise ValueError(
            "solver returned eta or x that are not finite, or an eta below 0; wanted money >= 0 and"
            " finite shares."
        )
    return eta, x


def preferred(
    preferences: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
    x: PerOwner,
    work: PerCentre,
    sigma: PerCentre,
) -> tuple[Float64[Tensor, "markets owners centres"], Float64[Tensor, "markets centres owners"]]:
    """Ranks that owners give centres, and centres owners; ValueError for NaN."""
    found = tree.apart(preferences, preferences not in PREFERENCES.values())(x, work, sigma)
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(
            f"preferences returned a {type(found).__name__}, wanted (ranks that owners give"
            " centres, ranks that centres give owners): return a tuple of two tensors."
        )
    pairs = x[:, :, None].expand(-1, -1, work.shape[1])
    wanted = taken(
        found[0], "preferences returned ranks of centres", pairs, "markets, owners, centres"
    )
    liked = taken(
        found[1], "preferences returned ranks of owners", pairs.mT, "markets, centres, owners"
    )
    if bool(wanted.isnan().any() | liked.isnan().any()):
        raise ValueError(
            "preferences returned NaN, wanted ranks: 0 is the best, inf is unacceptable."
        )
    return wanted, liked


def divided(
    fees: Callable[[Tensor, Tensor, Tensor], Tensor],
    charge: PerOwner,
    work: PerCentre,
    centre: Int[Tensor, "markets owners"],
) -> Float64[Tensor, "markets owners centres"]:
    """What every owner pays every centre; ValueError for more than it owes, and for what is no
    money.
    """
    own = fees not in COMPUTE_FEES.values()
    pairs = charge[:, :, None].expand(-1, -1, work.shape[1])
    paid = taken(
        tree.apart(fees, own)(charge, work, centre),
        "fees returned money",
        pairs,
        "markets, owners, centres",
    )
    if not own:
        return paid
    if not bool(((paid >= 0) & paid.isfinite()).all()):
        raise ValueError(
            "fees returned an amount that is negative or not finite, wanted money >= 0. No money"
            " moved."
        )
    if bool((paid.sum(2) > charge * (1 + RELATIVE) + ROUNDING).any()):
        raise ValueError(
            "fees returned more than an owner is charged, wanted sums over centres of at most the"
            " charges [markets, owners]; compute in float64, since float32 may round up. No money"
            " moved."
        )
    # to the bit, as our own are
    within = settled(paid.flatten(0, 1) > 0, paid.flatten(0, 1), charge.flatten()).prices
    return within.view_as(paid)


def scaled(scale: Callable[[PerOwner], PerOwner], scores: PerOwner) -> PerOwner:
    """The quality that scores come to; ValueError for anything but numbers from 0 to 1."""
    own = scale not in QUALITY_SCALES.values()
    quality = taken(
        tree.apart(scale, own)(scores),
        "scale returned quality",
        scores,
        "markets, owners",
        torch.float64,
    )
    if not bool(((quality >= 0) & (quality <= 1)).all()):
        raise ValueError("scale returned quality outside 0..1, wanted shares of the best.")
    return quality
