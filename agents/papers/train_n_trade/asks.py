"""Which ask earns a seller most: equation 2, and the lower bound of section 6.2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from marketenv.core import draws
from marketenv.mechanisms import PRIORS, AskRule

from ..core.effort import Effort
from ..core.evidence import Evidence

PAYS_ASK, NARROW = "the buyer pays the ask", "a uniform prior with hi + 2 cost <= 3 lo"
# of the buyer's value, those that the closed forms are known of
INTERVALS = ((0.0, 1.0), (1.0, 4.0), (1.0, 2.0))
COSTS = (0.0, 0.25)
DRAWN = 100  # random intervals and costs of each prior; of one alone six times as many
NO_ZERO = ("log_uniform", "bounded_pareto")  # without a density at 0
ALONE = 6
HEAD = (
    "prior",
    "lo",
    "hi",
    "cost",
    "ask of the rule",
    "it earns",
    "best ask",
    "that earns",
    "lost share",
)


def asks_best(rule: AskRule, takes_it: bool, condition: str, effort: Effort) -> Evidence:
    """What the best ask earns more than a rule's, relative, over all asks of a fine grid.

    For every prior of the library, random intervals and costs. The few intervals whose closed forms
    are known are among the cases. Paid is the middle of a truthful bid and the ask, or the ask
    (``takes_it``: as stated).
    """
    takes_it = takes_it or condition == PAYS_ASK
    rows: list[list[Any]] = []
    for k, (name, prior) in enumerate(PRIORS.items()):
        if condition == NARROW and name != "uniform":
            continue
        for cases in intervals(name, k, condition).split(DRAWN):
            lo, hi, cost = cases.T[..., None]
            revenues = earned(prior(lo, hi), rule, cost, takes_it).tolist()
            pairs = zip(cases.tolist(), revenues, strict=True)
            rows += [[name, *case, *revenue] for case, revenue in pairs]
    worst = max(rows, key=lambda row: float(row[-1]))
    known = [row for row in rows if (row[1], row[2]) in INTERVALS]
    title = "revenue, known intervals and the worst case"
    return Evidence(
        samples={"lost share of the best revenue": [row[-1] for row in rows]},
        seeds=(
            f"keys 0..{len(PRIORS) - 1}: {len(rows)} priors, intervals and costs; revenues are"
            " integrals over values"
        ),
        tables=({"title": title, "head": [*HEAD], "rows": [*known, worst]},),
        counterexample=_words(worst),
    )


def _words(row: list[Any]) -> str:
    """One case in words."""
    name, lo, hi, cost, ask, earns, best, most, _ = row
    return (
        f"{name} on [{lo:.4g}, {hi:.4g}] at cost {cost:.4g}: the rule asks {ask:.4g} and earns"
        f" {earns:.4g}, ask {best:.4g} earns {most:.4g}"
    )


def intervals(name: str, key: int, condition: str) -> Tensor:
    """Known and random (lo, hi, cost) of a prior: [cases, 3].

    lo <= 2, hi - lo <= 4 and cost < hi / 2; or, where intervals are narrow, hi + 2 cost <= 3 lo.
    """
    known = torch.tensor(
        [(lo, hi, c) for lo, hi in INTERVALS for c in COSTS if lo > 0 or name not in NO_ZERO]
    ).double()
    count = DRAWN * (ALONE if condition == NARROW else 1)
    u, v, w = draws.uniform(draws.fold(torch.tensor(key), "asks"), 3, count)
    lo = 0.05 + 2 * u
    if condition == NARROW:
        known = known[known[:, 1] + 2 * known[:, 2] <= 3 * known[:, 0]]
        cost = lo * w
        hi = lo + v * 2 * (lo - cost)
    else:
        hi = lo + 0.05 + 4 * v
        cost = hi / 2 * w
    return torch.cat([known, torch.stack([lo, hi, cost], 1)])


def earned(prior: Any, rule: AskRule, cost: Tensor, takes_it: bool) -> Tensor:
    """The rule's ask and revenue, the best ask and revenue, and the share that is lost: [cases, 5].

    R(s) = (s - c)(1 - F(s)) where the ask is paid;   + int_s^hi (1 - F) / 2 where the middle is
    """
    asks = prior.lo + (prior.hi - prior.lo) * torch.linspace(0, 1, 4_001, dtype=torch.float64)
    chosen, left = rule(prior, cost), 1 - prior.cdf(asks)
    area = ((left[:, 1:] + left[:, :-1]) / 2 * asks.diff()).flip(1).cumsum(1).flip(1)
    between = torch.cat([area, torch.zeros_like(cost)], 1)
    revenue = (asks - cost) * left + (0.0 if takes_it else 0.5) * between
    place = ((chosen - asks[:, :1]) / asks.diff()[:, :1]).clamp(0, asks.shape[1] - 1.0)
    below, above = (revenue.gather(1, part.long()) for part in (place.floor(), place.ceil()))
    mine = torch.lerp(below, above, place.frac())
    best = revenue.argmax(1, keepdim=True)
    most = revenue.gather(1, best)
    return torch.cat([chosen, mine, asks.gather(1, best), most, (1 - mine / most).clamp(min=0)], 1)
