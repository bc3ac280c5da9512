"""What a centre gains by reporting another order of the owners: a part of ``rdfl_misreport``.

Where fees go to the matched centre, a centre wants the owner that contributes most. The public code
reports something else for it: (1 - sigma) x, which at its constant sigma = 1 likes all owners
alike, so that ties by number decide.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.mechanisms import (
    PREFERENCES,
    Stackelberg,
    deferred_acceptance,
    preference_ranks,
    stackelberg,
)

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .market import played
from .settings import ALPHA, OWNERS, SEED, K, paper_games, size_of

GAMES = 600
OFFICIAL, UNLIKE, VOLUME, TASTES = (
    AS_STATED,
    "sigma from 0.1 to 1",
    "orders by volume",
    "tastes of their own",
)
CONDITIONS = (OFFICIAL, UNLIKE, VOLUME, TASTES)
Ranks = Float64[Tensor, "games rows columns"]


def solved(condition: str, games: int) -> tuple[Stackelberg, Float64[Tensor, "games centres"]]:
    """The equilibrium of random games, and centres' costs: 1 as in the code, or 0.1 to 1."""
    game = paper_games(games)
    sigma = torch.ones_like(game.sigma) if condition == OFFICIAL else game.sigma
    return stackelberg(game.quality, sigma, ALPHA, K), sigma


def lists(
    condition: str, games: int
) -> tuple[Ranks, Ranks, Float64[Tensor, "games centres owners"]]:
    """Orders that owners and centres report, and a match's worth to a centre."""
    equilibrium, sigma = solved(condition, games)
    worth = equilibrium.x[:, None].expand(-1, sigma.shape[-1], -1)
    rule = "volume" if condition in (VOLUME, TASTES) else "official"
    owners, centres = PREFERENCES[rule](equilibrium.x, equilibrium.d, sigma)
    if condition == TASTES:
        key = draws.fold(torch.tensor(SEED), "tastes")
        owners = preference_ranks(draws.uniform(draws.fold(key, "owners"), *owners.shape))
        worth = worth * draws.uniform(draws.fold(key, "centres"), *worth.shape)
        centres = preference_ranks(worth)
    return owners, centres, worth


def paid(
    owners: Ranks, centres: Ranks, worth: Float64[Tensor, "games centres owners"]
) -> Float64[Tensor, "games centres"]:
    """What each centre's match is worth to it, 0 without one."""
    matching = deferred_acceptance(owners, centres)
    mine = matching[:, None] == torch.arange(centres.shape[1])[:, None]  # [games, centres, owners]
    return torch.where(mine, worth, 0.0).sum(-1)


def gains(condition: str, games: int) -> Float64[Tensor, "games centres"]:
    """What another order gains each centre, all others as before, as a part of all that is paid.

    A centre tries to move each owner to the top and to the bottom of its own order. Where all
    centres want the same owners there is one stable matching alone, so that no order can gain.
    """
    owners, centres, worth = lists(condition, games)
    before, total = paid(owners, centres, worth), worth.mean(1).sum(-1)
    best = torch.zeros_like(before)
    for centre, owner, place in itertools.product(
        range(centres.shape[1]), range(centres.shape[2]), (-1, centres.shape[2])
    ):
        reported = centres.clone()
        reported[:, centre, owner] = place
        best[:, centre] = best[:, centre].maximum(
            (paid(owners, reported, worth) - before)[:, centre]
        )
    return best / total[:, None]


def gainers(condition: str, games: int = GAMES) -> Float64[Tensor, "games"]:
    """How many of the ten centres gain by another order."""
    gaining: Bool[Tensor, "games centres"] = gains(condition, games) > 1e-12
    return gaining.sum(-1).double()


# --- evidence -------------------------------------------------------------------------------------


def tell_their_order(condition: str, effort: Effort) -> Evidence:
    """The greatest gain of ten centres, paid by their match, by another order, game by game."""
    games = min(size_of(effort).games, GAMES)
    gain = gains(condition, games)
    return Evidence(
        samples={"greatest gain of a centre": gain.amax(-1).tolist()},
        seeds=f"{games} random games, key {SEED}",
        notes=(
            (
                f"Centres that gain, of {OWNERS}:"
                f" {float((gain > 1e-12).sum(-1).double().mean()):.2f} in the mean."
            ),
        ),
    )


def order_moves_no_fee(condition: str, effort: Effort) -> Evidence:
    """How far another order that one centre reports moves what centres earn, by play in the market.

    As stated fees go by the work offered; under the condition each centre is paid by its match.
    """
    seeds = min(size_of(effort).games, GAMES) // OWNERS
    fees = "proportional" if condition == AS_STATED else "matched"
    config = {
        "learner": None,
        "n_centres": OWNERS,
        "max_cycles": 1,
        "sigma": (0.1, 1.0),
        "rank": True,
        "fees": fees,
    }
    lineups = [
        ("leader_0", {}),
        *((f"centre_{k}", {"liking": another_order}) for k in range(OWNERS)),
    ]
    results = played(config, lineups, seeds)
    centres = results.rewards[0][..., -OWNERS:]
    apart = (centres[1:] - centres[:1]).abs().amax(-1)
    return Evidence(
        samples={"earnings that move": apart.flatten().tolist()},
        seeds=f"{seeds} seeds, each centre in turn",
        exact=True,
    )


def another_order(usual: Tensor, keys: Int[Tensor, "markets"]) -> Float64[Tensor, "markets owners"]:
    """Likings of owners drawn at random."""
    return draws.uniform(draws.fold(keys, "another order"), usual.shape[-1])
