"""The resource market: qualities beside reports, what contributions are worth, what work costs,
and what is due by the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.resource_market import (
    Audited,
    Committed,
    Computed,
    Contribute,
    Contributed,
    Matched,
    Paid,
    Pay,
    Posted,
    TrainedMatched,
)
from marketenv.markets.resource_market.conduct import soundness
from marketenv.mechanisms import proportional_shares

from ..scripted import resource_market
from .entry import Books, Entry, Facts, Said

LEADER, OWNER, CENTRE = "leader", "owner", "centre"


def facts(before: Situation, report: Report) -> Facts:
    """The payment, contributions, reports as a part of qualities, conduct, work, prices,
    accuracy and money.
    """
    contributed, rows, one = (
        report.of(Contributed),
        before.floor.rows,
        torch.ones_like(report.rewards),
    )

    def spread(role: str, values: Tensor) -> Tensor:
        """Numbers of a role over all agents."""
        total = torch.zeros_like(one)
        total[:, rows[role]] = values.double()
        return total

    each = {
        role: spread(role, torch.ones_like(one[:, rows[role]])) for role in (LEADER, OWNER, CENTRE)
    }
    quality = before.floor.types[OWNER]["quality"]
    told: Facts = {"payment": (report.of(Committed).committed, each[LEADER])}
    told |= {
        "kept": (spread(LEADER, report.of(Paid).kept[:, None]), each[LEADER]),
        "gain": (report.of(Paid).gain, each[LEADER]),
    }
    told |= {"share": (contributed.share, each[OWNER])}
    told |= {"report / quality": (spread(OWNER, contributed.reported), spread(OWNER, quality))}
    told |= {"dishonest": (spread(OWNER, contributed.conduct > 0), each[OWNER])}
    told |= {"names": (spread(OWNER, contributed.identities), each[OWNER])}
    told |= {"work": (report.of(Computed).offered, each[CENTRE])}
    if any(isinstance(part, Posted) for part in report.done.values()):
        told |= {"price": (report.of(Posted).posted, each[CENTRE])}
    if any(isinstance(part, TrainedMatched) for part in report.done.values()):
        told |= {
            "accuracy": (spread(LEADER, report.of(TrainedMatched).realised[:, None]), each[LEADER])
        }
    return told | {"paid": (report.paid, one), "received": (report.received, one)}


def trade(report: Report) -> Bool[Tensor, "markets"]:
    """Where there is any: two owners, two centres, some data and some work."""
    x, work = report.of(Contributed).x, report.of(Computed).work
    return (x.sum(1) > 0) & (work.sum(1) > 0) & (x.shape[1] > 1) & (work.shape[1] > 1)


def goods(
    market: Market, before: Situation, report: Report, after: Situation
) -> Float64[Tensor, "markets agents"]:
    """What true contributions or a better model are worth to the leader, less what work costs
    the centres.
    """
    config, types, contributed = market.config, before.floor.types, report.of(Contributed)
    true = types[OWNER]["quality"] * soundness(
        contributed.conduct, market.phase(Contribute).conduct
    )
    served = report.of(Matched).centre >= 0
    gain = config.alpha * config.k * (true * contributed.x * served).sum(1).log1p()
    if config.gain == "accuracy":
        trained = report.of(TrainedMatched)
        gain = config.alpha * (trained.realised - trained.before)
    worth, rows = torch.zeros_like(report.rewards), before.floor.rows
    worth[:, rows[LEADER]] = gain[:, None]
    worth[:, rows[CENTRE]] = -config.eps * types[CENTRE]["sigma"] * report.of(Computed).work
    return torch.where(trade(report)[:, None], worth, 0.0)


def agreed(
    market: Market, before: Situation, report: Report
) -> Float64[Tensor, "markets payers payees"]:
    """What the leader owes for contributions by their quality, as far as it keeps to it, and
    what owners owe for work.
    """
    config, contributed, rows = market.config, report.of(Contributed), before.floor.rows
    quality = (
        report.of(Audited).quality
        if config.audit is not None and config.basis != "reported"
        else contributed.reported
    )
    eta = report.of(Paid).kept * report.of(Committed).eta
    posted = config.pricing == "posted"
    charge = (
        report.of(Posted).price.amin(1, keepdim=True) if posted else config.lam * config.rho
    ) * contributed.x
    served = report.of(Matched).centre >= 0
    charge = charge * served
    count = before.floor.ledger.cash.shape[1]
    owed = charge.new_zeros(len(charge), count, count)
    owed[:, rows[LEADER], rows[OWNER]] = (
        eta[:, None] * proportional_shares(contributed.x * quality * served)
    )[:, None]
    owed[:, rows[OWNER], rows[CENTRE]] = market.phase(Pay).fees(
        charge, report.of(Computed).work, report.of(Matched).centre
    )
    return torch.where(trade(report)[:, None, None], owed, 0.0)


def said(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Said]:
    """The quality of what an owner contributes beside what it reports."""
    contributed = report.of(Contributed)
    for k, agent in enumerate(a for a in agents if a.startswith(OWNER)):
        yield (
            agent,
            "quality and report",
            "report",
            float(contributed.true[0, k]),
            float(contributed.reported[0, k]),
        )


ENTRY = Entry(
    strategies=resource_market.STRATEGIES,
    plays=resource_market.PLAYS,
    facts=facts,
    said=said,
    books=Books(goods, agreed),
    learning={"ppo": {"steps": 40_960}, "sac": {"steps": 20_480}},
    episodes=(
        {"learner": None, "n_owners": 3, "n_centres": 2, "max_cycles": 2},
        {
            "learner": None,
            "n_owners": 3,
            "n_centres": 2,
            "max_cycles": 2,
            "pricing": "posted",
            "escrow": False,
            "identities": 2,
        },
        {"n_owners": 3, "n_centres": 3, "max_cycles": 2, "audit": "loss_drop"},
    ),
)
