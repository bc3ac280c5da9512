"""Agreements of owners and of centres, and the gain of a breach: a part of ``rdfl_misreport``.

The agreement ends for ever with the first breach (grim trigger). A round's worth of breaking it at
discount factor delta is (1 - delta) breach + delta punishment, and of keeping it the agreed
utility.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.mechanisms import (
    bertrand_price,
    collusive_price,
    contest,
    contest_response,
    contest_utilities,
    grim_trigger_patience,
    leader_optimum,
    posted_profits,
    price_response,
    stackelberg,
)

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.samples import greatest
from ..core.words import AS_STATED
from .settings import ALPHA, OWNERS, SEED, K, equals, paper_games, size_of

HALF, HARDLY = 0.5, 1e-9  # parts of their usual efforts that owners and centres agree on
STEP = 0.01  # by which a rival's price is undercut


class Agreement(NamedTuple):
    """Utility of a member without agreement, under it, and in the round of its own breach."""

    usual: Float64[Tensor, "games n"]
    agreed: Float64[Tensor, "games n"]
    breach: Float64[Tensor, "games n"]

    @property
    def patience(self) -> Float64[Tensor, "games n"]:
        """The least discount factor at which nobody gains by a breach."""
        return grim_trigger_patience(self.agreed, self.breach, self.usual)

    def gain(self, delta: float) -> Float64[Tensor, "games n"]:
        """A breach's mean gain a round in a game without end; delta = 0 counts one round alone."""
        return (1 - delta) * self.breach + delta * self.usual - self.agreed


def less_effort(
    prize: Float64[Tensor, "games"], costs: Float64[Tensor, "games n"], part: float
) -> Agreement:
    """All contestants agree on a part of their efforts."""
    efforts = contest(prize, costs)
    less = part * efforts
    best = contest_response(prize, costs, less)
    breaches = []
    for i in range(costs.shape[-1]):
        one = less.clone()
        one[:, i] = best[:, i]
        breaches.append(contest_utilities(prize, costs, one)[:, i])
    usual, agreed = (contest_utilities(prize, costs, some) for some in (efforts, less))
    return Agreement(usual, agreed, torch.stack(breaches, -1))


def owners(quality: Float64[Tensor, "games n"], part: float = HALF) -> Agreement:
    """Owners agree on a part of their contributions; the leader's payment stays."""
    return less_effort(leader_optimum(quality, ALPHA, K, 1.0), 1 / quality, part)


def centres(n: int = OWNERS, part: float = HARDLY) -> Agreement:
    """Equal centres agree on hardly any work; the fees are those of ten equal owners."""
    fees = stackelberg(equals(OWNERS), equals(n), ALPHA, K).x.sum(-1)
    return less_effort(fees, equals(n), part)


def prices(n: int = 2, tries: int = 400) -> Agreement:
    """Equal centres of cost 1 that agree on the collusive price; else they post their cost.

    A breach is the best price of a grid.
    """
    costs, quality = equals(n), equals(OWNERS)
    agreed_price = collusive_price(costs, quality, ALPHA, K)[:, None].expand(1, n)
    usual, agreed_profits = (
        posted_profits(posted, costs, quality, ALPHA, K) for posted in (costs, agreed_price)
    )
    best = max_profit(agreed_price, costs, quality, tries)
    return Agreement(usual, agreed_profits, best)


def max_profit(
    posted: Float64[Tensor, "games n"],
    costs: Float64[Tensor, "games n"],
    quality: Float64[Tensor, "games owners"],
    tries: int,
) -> Float64[Tensor, "games n"]:
    """The most that each centre earns by another price of a grid, or just below its rivals."""
    grid, (games, n) = torch.linspace(0.2, 3, tries, dtype=torch.float64), posted.shape
    others, own, owners = (x.repeat_interleave(tries + 1, 0) for x in (posted, costs, quality))
    profits = []
    for i in range(n):
        rival = torch.cat([posted[:, :i], posted[:, i + 1 :]], -1).amin(-1, keepdim=True)
        one = others.clone()
        one[:, i] = torch.cat([costs[:, i : i + 1] * grid, rival * (1 - 1e-9)], -1).flatten()
        profits.append(posted_profits(one, own, owners, ALPHA, K)[:, i].view(games, -1).amax(-1))
    return torch.stack(profits, -1)


def undercutting(costs: Float64[Tensor, "games n"], rounds: int) -> Float64[Tensor, "rounds games"]:
    """The lowest price by round of undercutting that starts at the collusive price."""
    quality = equals(OWNERS).expand(len(costs), -1)
    posted = collusive_price(costs, quality, ALPHA, K)[:, None].maximum(costs)
    lowest = [posted.amin(-1)]
    for _ in range(rounds):
        posted = price_response(posted, costs, quality, ALPHA, K, step=STEP)
        lowest.append(posted.amin(-1))
    return torch.stack(lowest)


# --- evidence -------------------------------------------------------------------------------------

PARTIES = {"owners": lambda: owners(equals(OWNERS)), "centres": centres, "prices": prices}
PATIENT = {AS_STATED: 0.0} | {
    f"for ever, delta = {delta:g}": delta for delta in (0.45, 0.55, 0.62, 0.65, 0.9, 0.92)
}


def patience_of(*deltas: float) -> tuple[str, ...]:
    """Conditions of a claim: one round, and these discount factors."""
    return tuple(name for name, delta in PATIENT.items() if name == AS_STATED or delta in deltas)


def nobody_breaks(condition: str, effort: Effort, party: str) -> Evidence:
    """What a breach gains, as a part of the agreed utility."""
    agreement = PARTIES[party]()
    gain = (agreement.gain(PATIENT[condition]) / agreement.agreed).amax(-1)
    return Evidence(
        samples={"gain of a breach": gain.tolist()},
        seeds="one game of equal parties, in closed form",
        exact=True,
        counterexample=(
            f"a breach earns {float(agreement.breach.max()):.4g}, the agreement"
            f" {float(agreement.agreed.max()):.4g}"
        ),
        notes=(
            (
                "The least discount factor at which nobody gains is"
                f" {float(agreement.patience.max()):.4g}."
            ),
        ),
    )


def cost_is_stable(condition: str, effort: Effort) -> Evidence:
    """Gain of another price where all post their cost, as a part of collusive profit."""
    costs, quality = equals(2), equals(OWNERS)
    gain = (
        max_profit(costs, costs, quality, 2000) - posted_profits(costs, costs, quality, ALPHA, K)
    ) / prices().agreed
    return Evidence(
        samples={"gain of another price": gain.flatten().tolist()},
        seeds="one game of equal centres; 2,001 prices",
        exact=True,
    )


def prices_fall(condition: str, effort: Effort) -> Evidence:
    """Distance of the lowest price from the competitive one after 400 undercutting rounds."""
    games = min(size_of(effort).games, 1000)
    costs = (
        paper_games(games, 3).sigma
        if condition != AS_STATED
        else equals(3).expand(games, -1).contiguous()
    )
    goal = bertrand_price(costs, equals(OWNERS).expand(games, -1), ALPHA, K)
    end = undercutting(costs, 400)[-1]
    return Evidence(
        samples={"distance": greatest((end / goal - 1).abs())},
        seeds=f"{games} games, key {SEED}",
        exact=True,
    )


PRICES_FALL = (AS_STATED, "costs from 0.1 to 1")
