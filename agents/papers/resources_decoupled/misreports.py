"""What an owner gains by a false quality report or a second name: ``rdfl_misreport``.

Owners are paid by the quality that they report; what they deliver keeps its own. The leader solves
the game for the reports, or holds the payment that it had made for the true qualities.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.mechanisms import contest_utilities, contributions, leader_optimum, leader_utility

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.samples import greatest
from ..core.words import AS_STATED
from .settings import ALPHA, LOWEST, SEED, K, paper_games, size_of

HELD = "the payment is held"
CONDITIONS = {AS_STATED: False, HELD: True}
REPORTS = 21  # tried, from the lowest quality of the scale to the highest
PerOwner = Float64[Tensor, "games owners"]


class ReportOutcome(NamedTuple):
    """The payment and the leader's utility [games], and the owners' utilities [games, owners]."""

    eta: Float64[Tensor, "games"]
    leader: Float64[Tensor, "games"]
    owners: PerOwner


def played(
    truth: PerOwner, reports: PerOwner, eta: Float64[Tensor, "games"] | None = None
) -> ReportOutcome:
    """What reports come to. eta: the payment, where the leader does not make it anew."""
    paid = leader_optimum(reports, ALPHA, K, 1.0) if eta is None else eta
    x = contributions(paid, reports, 1.0)
    owners = contest_utilities(paid, 1 / reports, reports * x)
    return ReportOutcome(paid, leader_utility(paid, (truth * x).sum(-1), ALPHA, K), owners)


def by_report(
    truth: PerOwner, reports: Float64[Tensor, "tries"], fixed: bool = False
) -> ReportOutcome:
    """Outcomes of each report of the first owner, all others truthful: [tries, games, ...]."""
    eta = leader_optimum(truth, ALPHA, K, 1.0) if fixed else None
    tries = []
    for report in reports.tolist():
        reported = truth.clone()
        reported[:, 0] = report
        tries.append(played(truth, reported, eta))
    return ReportOutcome(
        *(torch.stack([getattr(one, part) for one in tries]) for part in ReportOutcome._fields)
    )


def split_up(
    truth: PerOwner, fixed: bool = False
) -> tuple[Float64[Tensor, "games"], Float64[Tensor, "games"]]:
    """Utility of the first owner, and of it as two owners of its quality: [games] both."""
    one = played(truth, truth)
    more = torch.cat([truth[:, :1], truth], -1)
    two = played(more, more, one.eta if fixed else None)
    return one.owners[:, 0], two.owners[:, :2].sum(-1)


def elasticity(n: int, step: float = 1e-5) -> float:
    """d ln U_n / d ln f of one report at f = 1, payment fixed, by a symmetric difference."""
    truth = torch.ones(1, n, dtype=torch.float64)
    utilities = (
        by_report(truth, torch.tensor([1 - step, 1 + step], dtype=torch.float64), fixed=True)
        .owners[:, 0, 0]
        .log()
    )
    return float((utilities[1] - utilities[0]) / (2 * step))


# --- evidence -------------------------------------------------------------------------------------


def truthful(condition: str, effort: Effort) -> Evidence:
    """What the best report gains the first owner; it may report anything on the paper's scale."""
    truth = paper_games(min(size_of(effort).games, 2000)).quality
    reports = torch.linspace(LOWEST, 1, REPORTS, dtype=torch.float64)
    fixed = CONDITIONS[condition]
    outcomes = by_report(truth, reports, fixed)
    best, own = outcomes.owners[:, :, 0], played(truth, truth).owners[:, 0]
    gain = best.amax(0) - own
    worst = int(gain.argmax())
    return Evidence(
        samples={"gain of a report": greatest(gain)},
        seeds=f"{len(truth)} random games, key {SEED}",
        counterexample=(
            f"an owner of quality {float(truth[worst, 0]):.4g} reports"
            f" {float(reports[best[:, worst].argmax()]):.4g} and earns"
            f" {float(best[:, worst].max()):.4g} in place of {float(own[worst]):.4g}"
        ),
        notes=(
            (
                "The best report is the highest in"
                f" {float((best.argmax(0) == REPORTS - 1).double().mean()):.0%} of the games."
            ),
        ),
    )


def one_name(condition: str, effort: Effort) -> Evidence:
    """What the first owner gains by coming as two."""
    truth = paper_games(size_of(effort).games).quality
    one, two = split_up(truth, CONDITIONS[condition])
    gain = two - one
    worst = int(gain.argmax())
    return Evidence(
        samples={"gain by a second identity": greatest(gain)},
        seeds=f"{len(truth)} random games, key {SEED}",
        counterexample=(
            f"an owner of quality {float(truth[worst, 0]):.4g} earns {float(two[worst]):.4g} in"
            f" place of {float(one[worst]):.4g}"
        ),
    )
