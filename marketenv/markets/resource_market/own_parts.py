"""How the resource market calls parts of a user's own: see ``marketenv.markets.own_parts``."""

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
    """The payment and the contributions that a solver returns.

    Raises ValueError for numbers that are not finite, and for a payment below 0.
    """
    own, one = solver not in STACKELBERG_SOLVERS.values(), game.quality.sum(1)
    solution = made(tree.apart(solver, own)(game), Stackelberg, "solver")
    eta = taken(solution.eta, "solver returned eta", one, "markets", torch.float64)
    x = taken(solution.x, "solver returned x", game.quality, "markets, owners", torch.float64)
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
    returned = tree.apart(preferences, preferences not in PREFERENCES.values())(x, work, sigma)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError(
            f"preferences returned a {type(returned).__name__}, wanted (ranks that owners give"
            " centres, ranks that centres give owners): return a tuple of two tensors."
        )
    pairs, what = x[:, :, None].expand(-1, -1, work.shape[1]), "preferences returned ranks"
    by_owners = taken(returned[0], f"{what} of centres", pairs, "markets, owners, centres")
    by_centres = taken(returned[1], f"{what} of owners", pairs.mT, "markets, centres, owners")
    if bool(by_owners.isnan().any() | by_centres.isnan().any()):
        raise ValueError(
            "preferences returned NaN, wanted ranks: 0 is the best, inf is unacceptable."
        )
    return by_owners, by_centres


def divided(
    fees: Callable[[Tensor, Tensor, Tensor], Tensor],
    charge: PerOwner,
    work: PerCentre,
    centre: Int[Tensor, "markets owners"],
) -> Float64[Tensor, "markets owners centres"]:
    """What every owner pays every centre.

    Raises ValueError for more than an owner owes, and for negative or infinite amounts.
    """
    own = fees not in COMPUTE_FEES.values()
    pairs = charge[:, :, None].expand(-1, -1, work.shape[1])
    returned = tree.apart(fees, own)(charge, work, centre)
    paid = taken(returned, "fees returned money", pairs, "markets, owners, centres")
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
    # sums of at most the charges, to the bit, as those of the table
    within = settled(paid.flatten(0, 1) > 0, paid.flatten(0, 1), charge.flatten()).prices
    return within.view_as(paid)


def scaled(scale: Callable[[PerOwner], PerOwner], scores: PerOwner) -> PerOwner:
    """The quality of scores; ValueError for anything but numbers from 0 to 1."""
    returned = tree.apart(scale, scale not in QUALITY_SCALES.values())(scores)
    what, axes = "scale returned quality", "markets, owners"
    quality = taken(returned, what, scores, axes, torch.float64)
    if not bool(((quality >= 0) & (quality <= 1)).all()):
        raise ValueError("scale returned quality outside 0..1, wanted shares of the best.")
    return quality
