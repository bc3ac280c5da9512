"""Whether the solved point is an equilibrium, the only one, and by which definition."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import cast

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.mechanisms import (
    Stackelberg,
    TripartiteGame,
    contest_response,
    contest_utilities,
    contributions,
    leader_utility,
    stackelberg,
)

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.samples import greatest
from ..core.words import AS_STATED
from .dynamics import LEAST, starts
from .settings import SEED, any_games, paper_games, size_of

OTHER, CAPPED = "other qualities and terms", "caps that bind"
GAMES: dict[str, Callable[[int], TripartiteGame]] = {
    AS_STATED: paper_games,
    OTHER: partial(any_games, capped=False),
    CAPPED: partial(any_games, capped=True),
}
SEARCHED = 1000  # games whose equilibrium is looked for in other ways
TRIES, NEAR = 101, 1e-3
AT_ONCE = 200_000  # contests solved in one call; bounds the memory
ROUNDS = 600


@lru_cache(maxsize=8)
def solved(condition: str, games: int) -> tuple[TripartiteGame, Stackelberg]:
    """The games of a condition, and what the library takes for their equilibrium."""
    game = GAMES[condition](games)
    return game, _solve(game)


def _solve(game: TripartiteGame) -> Stackelberg:
    return stackelberg(
        game.quality, game.sigma, game.alpha, game.k, game.lam, game.rho, game.eps, game.caps
    )


def effort_gains(
    prize: Float64[Tensor, "games"],
    costs: Float64[Tensor, "games n"],
    efforts: Float64[Tensor, "games n"],
    caps: Float64[Tensor, "games n"] | None = None,
) -> Float64[Tensor, "games n"]:
    """What each would gain by its exact best answer to the others, as a part of the prize."""
    response = contest_response(prize, costs, efforts, caps)
    apart = ~torch.eye(costs.shape[-1], dtype=torch.bool)
    others = torch.where(apart, efforts[:, None], 0.0).sum(-1)
    share = torch.where(response > 0, response / (response + others), 0.0)
    best = prize[:, None] * share - torch.where(response > 0, costs * response, 0.0)
    return (best - contest_utilities(prize, costs, efforts)) / prize[:, None]


def curve(
    game: TripartiteGame, etas: Float64[Tensor, "games tries"]
) -> Float64[Tensor, "games tries"]:
    """The leader's utility at many payments, owners answering each by their equilibrium."""
    parts = []
    for some in torch.arange(len(etas)).split(max(1, AT_ONCE // etas.shape[1])):
        tries, paid = etas.shape[1], etas[some].flatten()
        quality, alpha = (
            x[some].repeat_interleave(tries, 0) for x in (game.quality, cast(Tensor, game.alpha))
        )
        caps = None if game.caps is None else game.caps[some].repeat_interleave(tries, 0)
        x = contributions(paid, quality, 1.0, caps)
        parts.append(
            leader_utility(paid, (quality * x).sum(-1), alpha, float(cast(Tensor, game.k)[0])).view(
                -1, tries
            )
        )
    return torch.cat(parts)


def worth(game: TripartiteGame) -> Float64[Tensor, "games"]:
    """alpha k, which no payment is above."""
    return cast(Tensor, game.alpha) * cast(Tensor, game.k)


# --- no unilateral gain ---------------------------------------------------------------------------


def owners_gain(condition: str, effort: Effort) -> Evidence:
    """What the best other contribution would gain an owner, as a part of eta."""
    game, solution = solved(condition, size_of(effort).games)
    traded = solution.eta > 0
    limits = None if game.caps is None else (game.quality * game.caps)[traded]
    gains = effort_gains(
        solution.eta[traded], game.owner_costs[traded], (game.quality * solution.x)[traded], limits
    )
    return _gained(gains.amax(-1), "gain of an owner", traded)


def centres_gain(condition: str, effort: Effort) -> Evidence:
    """What the best other work would gain a centre, as a part of all fees."""
    game, solution = solved(condition, size_of(effort).games)
    fees = game.unit_cost * solution.x.sum(-1)
    traded = fees > 0
    return _gained(
        effort_gains(fees[traded], game.centre_costs[traded], solution.d[traded]).amax(-1),
        "gain of a centre",
        traded,
    )


def leader_gain(condition: str, effort: Effort) -> Evidence:
    """What the best other payment gains the leader, as a part of alpha k; owners answer it anew."""
    game, solution = solved(condition, size_of(effort).games)
    grid = worth(game)[:, None] * torch.linspace(0, 1, TRIES, dtype=torch.float64)
    near = solution.eta[:, None] * (1 + NEAR * torch.linspace(-1, 1, 20, dtype=torch.float64))
    gains = (curve(game, torch.cat([grid, near], -1)).amax(-1) - solution.leader) / worth(game)
    return _gained(
        gains, "gain of the leader", torch.ones_like(gains, dtype=torch.bool), exact=False
    )


def _gained(
    gains: Float64[Tensor, "games"], name: str, traded: Tensor, exact: bool = True
) -> Evidence:
    worst = int(gains.argmax())
    return Evidence(
        samples={name: greatest(gains)},
        seeds=f"{len(traded)} random games, key {SEED}, of which {int(traded.sum())} are judged",
        exact=exact,
        counterexample=f"game {worst} of those judged: {float(gains[worst]):.4g}",
    )


def followers_held(condition: str, effort: Effort) -> Evidence:
    """The leader's gain by eta = 0 where contributions stay, as printed; else by any payment."""
    if condition != AS_STATED:
        return leader_gain(AS_STATED, effort)
    game, solution = solved(AS_STATED, size_of(effort).games)
    nothing, total = torch.zeros_like(solution.eta), (game.quality * solution.x).sum(-1)
    gain = (
        leader_utility(nothing, total, game.alpha, float(cast(Tensor, game.k)[0])) - solution.leader
    ) / worth(game)
    return Evidence(
        samples={"gain by eta = 0": greatest(gain)},
        seeds=f"{len(gain)} random games, key {SEED}",
        exact=True,
        counterexample=(
            f"eta = 0 for the same data gains {float(gain.mean()):.4g} of alpha k in the mean,"
            f" which is eta* = {float(solution.eta.mean()):.4g}"
        ),
    )


# --- one equilibrium ------------------------------------------------------------------------------


def unique(condition: str, effort: Effort) -> Evidence:
    """How far other ways end from the solved point, as a part of total effort, and of alpha k.

    Owners and centres answer each other slowly, from three starts; the payment is searched. Games
    without trade are left out of the owners' and the centres' part.
    """
    games = min(size_of(effort).games, SEARCHED)
    game, solution = solved(condition, games)
    traded, fees = solution.eta > 0, game.unit_cost * solution.x.sum(-1)
    limits = None if game.caps is None else (game.quality * game.caps)[traded]
    samples = {
        "owners": _apart(
            solution.eta[traded],
            game.owner_costs[traded],
            (game.quality * solution.x)[traded],
            limits,
        ),
        "centres": _apart(fees[traded], game.centre_costs[traded], solution.d[traded], None),
        "payment": (searched(game) - solution.eta).abs() / worth(game),
    }
    return Evidence(
        samples={name: apart.tolist() for name, apart in samples.items()},
        seeds=f"{games} random games, key {SEED}, {int(traded.sum())} of them with trade",
    )


def _apart(
    prize: Tensor, costs: Tensor, efforts: Tensor, caps: Tensor | None
) -> Float64[Tensor, "games"]:
    """Greatest relative distance from given efforts after slow dynamics from three starts."""
    n, scale = costs.shape[-1], efforts.sum(-1, keepdim=True)
    even = scale.expand_as(costs) / n
    apart = []
    for start in (1e-3 * even, 2 * even, starts(efforts + 0.1 * even, "unique")):
        now = start if caps is None else start.minimum(caps)
        for _ in range(ROUNDS):
            now = now + (contest_response(prize, costs, now, caps, least=LEAST) - now) / n
        apart.append(((now - efforts).abs() / scale).amax(-1))
    return torch.stack(apart).amax(0)


def searched(game: TripartiteGame) -> Float64[Tensor, "games"]:
    """The leader's payment by a grid that is narrowed around its best point again and again."""
    high = worth(game)
    centre, width, tries = high / 2, high / 2, 10 * TRIES
    for _ in range(8):
        grid = centre[:, None] + width[:, None] * torch.linspace(-1, 1, tries, dtype=torch.float64)
        grid = grid.clamp(min=0).minimum(high[:, None])
        centre = grid.gather(-1, curve(game, grid).argmax(-1, keepdim=True))[:, 0]
        width, tries = 4 * width / tries, TRIES
    return centre
