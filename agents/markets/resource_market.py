"""The resource market's entry: qualities beside reports, values, costs of work, and debts."""

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
from .entry import Books, Entry, Facts, Statement

LEADER, OWNER, CENTRE = "leader", "owner", "centre"


def facts(before: Situation, report: Report) -> Facts:
    """Payment, shares, reports as parts of qualities, conduct, work, prices, accuracy, money."""
    contributed, paid, rows = report.of(Contributed), report.of(Paid), before.floor.rows
    one = torch.ones_like(report.rewards)

    def spread(role: str, values: Tensor) -> Tensor:
        """Numbers of a role over all agents."""
        total = torch.zeros_like(one)
        total[:, rows[role]] = values.double()
        return total

    leader, owner, centre = (spread(role, one[:, rows[role]]) for role in (LEADER, OWNER, CENTRE))
    quality = before.floor.types[OWNER]["quality"]
    numbers: Facts = {
        "payment": (report.of(Committed).committed, leader),
        "kept": (spread(LEADER, paid.kept[:, None]), leader),
        "gain": (paid.gain, leader),
        "share": (contributed.share, owner),
        "report / quality": (spread(OWNER, contributed.reported), spread(OWNER, quality)),
        "dishonest": (spread(OWNER, contributed.conduct > 0), owner),
        "names": (spread(OWNER, contributed.identities), owner),
        "work": (report.of(Computed).offered, centre),
    }
    if _has(report, Posted):
        numbers["price"] = (report.of(Posted).posted, centre)
    if _has(report, TrainedMatched):
        accuracy = report.of(TrainedMatched).realised
        numbers["accuracy"] = (spread(LEADER, accuracy[:, None]), leader)
    return numbers | {"paid": (report.paid, one), "received": (report.received, one)}


def _has(report: Report, kind: type) -> bool:
    return any(isinstance(outcome, kind) for outcome in report.outcomes.values())


def trade(report: Report) -> Bool[Tensor, "markets"]:
    """Where there is any: two owners, two centres, some data and some work."""
    x, work = report.of(Contributed).x, report.of(Computed).work
    return (x.sum(1) > 0) & (work.sum(1) > 0) & (x.shape[1] > 1) & (work.shape[1] > 1)


def goods(
    market: Market, before: Situation, report: Report, after: Situation
) -> Float64[Tensor, "markets agents"]:
    """Worth of contributions or a better model to the leader, and the centres' costs of work."""
    return torch.where(trade(report)[:, None], worth(market, before, report), 0.0)


def worth(market: Market, before: Situation, report: Report) -> Float64[Tensor, "markets agents"]:
    """The same as if there were trade everywhere."""
    worth, rows = torch.zeros_like(report.rewards), before.floor.rows
    sigma = before.floor.types[CENTRE]["sigma"]
    worth[:, rows[LEADER]] = gain(market, before, report)[:, None]
    worth[:, rows[CENTRE]] = -market.config.eps * sigma * report.of(Computed).work
    return worth


def gain(market: Market, before: Situation, report: Report) -> Float64[Tensor, "markets"]:
    """What the leader gains by true contributions, or by a better model."""
    config, contributed = market.config, report.of(Contributed)
    if config.gain == "accuracy":
        trained = report.of(TrainedMatched)
        return config.alpha * (trained.realised - trained.before)
    sound = soundness(contributed.conduct, market.phase(Contribute).conduct)
    true = before.floor.types[OWNER]["quality"] * sound
    return config.alpha * config.k * (true * contributed.x * served(report)).sum(1).log1p()


def served(report: Report) -> Bool[Tensor, "markets owners"]:
    """Owners for whose data a centre works."""
    return report.of(Matched).centre >= 0


def agreed(
    market: Market, before: Situation, report: Report
) -> Float64[Tensor, "markets payers payees"]:
    """What the leader owes owners, as far as it keeps its word, and owners owe for work."""
    rows, size = before.floor.rows, before.floor.ledger.cash.shape
    owed = report.rewards.new_zeros(*size, size[1])
    owed[:, rows[LEADER], rows[OWNER]] = rewards(market, report)[:, None]
    owed[:, rows[OWNER], rows[CENTRE]] = fees(market, report)
    return torch.where(trade(report)[:, None, None], owed, 0.0)


def rewards(market: Market, report: Report) -> Float64[Tensor, "markets owners"]:
    """What the leader owes each owner where there is trade."""
    eta = report.of(Paid).kept * report.of(Committed).eta
    counted = report.of(Contributed).x * _quality(market, report) * served(report)
    return eta[:, None] * proportional_shares(counted)


def fees(market: Market, report: Report) -> Float64[Tensor, "markets owners centres"]:
    """What owners owe centres where there is trade."""
    price: Tensor | float = market.config.lam * market.config.rho
    if market.config.pricing == "posted":
        price = report.of(Posted).price.amin(1, keepdim=True)
    charge = price * report.of(Contributed).x * served(report)
    return market.phase(Pay).fees(charge, report.of(Computed).work, report.of(Matched).centre)


def _quality(market: Market, report: Report) -> Float64[Tensor, "markets owners"]:
    """The quality by which owners are paid: audited, or as they report it."""
    if market.config.audit is not None and market.config.basis != "reported":
        return report.of(Audited).quality
    return report.of(Contributed).reported


def statements(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Statement]:
    """The quality of what an owner contributes beside what it reports."""
    contributed = report.of(Contributed)
    true, reported = contributed.true[0].tolist(), contributed.reported[0].tolist()
    for k, agent in enumerate(a for a in agents if a.startswith(OWNER)):
        yield agent, "quality and report", "report", true[k], reported[k]


ENTRY = Entry(
    strategies=resource_market.STRATEGIES,
    plays=resource_market.PLAYS,
    facts=facts,
    statements=statements,
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
