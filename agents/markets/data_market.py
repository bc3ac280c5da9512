"""The data market: asks beside costs; what realised accuracy is worth, what rows and audits
cost, and what is due by the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.data_market import (
    Deliver,
    Delivered,
    Offered,
    Select,
    Selected,
    TrainedOnPurchase,
)
from marketenv.mechanisms import hold_back

from ..scripted import data_market
from .entry import Books, Entry, Facts, Said

BUYER, SELLER = "buyer", "seller"


def facts(before: Situation, report: Report) -> Facts:
    """Asks as a part of costs, points, prices, conduct, accuracy and money."""
    offered, selected, one = (
        report.of(Offered),
        report.of(Selected),
        torch.ones_like(report.rewards),
    )
    sellers, rows = torch.zeros_like(one), before.floor.rows[SELLER]
    sellers[:, rows] = 1.0

    def spread(values: Tensor) -> Tensor:
        """Numbers of sellers over all agents."""
        total = torch.zeros_like(one)
        total[:, rows] = values.double()
        return total

    told: Facts = {"ask / cost": (spread(offered.ask), spread(before.floor.types[SELLER]["cost"]))}
    names = ("declared", "distinct", "flip", "permute", "shift", "spoof", "bait")
    told |= {name: (spread(getattr(offered.conduct, name)), sellers) for name in names}
    told |= {"points": (selected.bought, sellers), "price": (selected.price, sellers)}
    buyers = 1 - sellers
    told["accuracy"] = (report.of(TrainedOnPurchase).realised[:, None] * buyers, buyers)
    return told | {"paid": (report.paid, one), "received": (report.received, one)}


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """What the realised accuracy is worth to the buyer, less the cost of rows and audits."""
    types, config = before.floor.types, market.config
    selected, offered, world = report.of(Selected), report.of(Offered), before.floor.world
    worth = torch.zeros_like(report.rewards)
    gain = report.of(TrainedOnPurchase).realised - world.baseline
    audits = config.audit_cost * selected.audited.double().sum(1)
    worth[:, before.floor.rows[BUYER]] = (
        types[BUYER]["money_per_accuracy"] * gain[:, None] - audits[:, None]
    )
    conduct = offered.conduct
    labels = world.labelled_share * (1 - conduct.wrong)
    rows = (
        conduct.different(world.size, selected.points)
        * (1 - conduct.bait)
        * (1 - config.labelling * (1 - labels))
    )
    worth[:, before.floor.rows[SELLER]] = -types[SELLER]["cost"] * rows
    return worth


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """What the buyer owes its sellers by the rule, the hold-back and the audits, and the
    platform its fee.
    """
    selected, select, deliver = report.of(Selected), market.phase(Select), market.phase(Deliver)
    settled = select.rule.pay(selected.asks, selected.values, selected.budget)
    sold = settled.allocation & (selected.points > 0)[:, None]
    gains = (selected.predicted, report.of(TrainedOnPurchase).realised)
    promised, realised = ((accuracy - before.floor.world.baseline)[:, None] for accuracy in gains)
    held = hold_back(
        settled.prices * sold, selected.hold_back, promised, realised, release=deliver.release
    )
    due = torch.where(report.of(Delivered).caught[:, None], 0.0, held.at_once + held.released)
    rows, count = before.floor.rows, before.floor.ledger.cash.shape[1]
    owed = due.new_zeros(len(due), count, count)
    owed[:, rows[BUYER], rows[SELLER]] = due
    owed[:, rows[BUYER], rows["platform"]] = market.config.fee * due.sum(2, keepdim=True)
    return owed


def said(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Said]:
    """A seller's cost per point beside its ask, and the rows that it has beside those that it
    declares.
    """
    offered, cost, size = (
        report.of(Offered),
        before.floor.types[SELLER]["cost"],
        before.floor.world.size,
    )
    for k, agent in enumerate(a for a in agents if a.startswith(SELLER)):
        yield agent, "cost per point and ask", "ask", float(cost[0, k]), float(offered.ask[0, k])
        yield (
            agent,
            "rows and declared points",
            "declared",
            float(size[0, k]),
            float(offered.conduct.declared[0, k]),
        )


ENTRY = Entry(
    strategies=data_market.STRATEGIES,
    plays=data_market.PLAYS,
    facts=facts,
    said=said,
    books=Books(goods, agreed),
    learning={
        "ppo": {
            **{"steps": 19_200, "n_steps": 10, "batch_size": 160, "updates": 5, "gae_lambda": 0.8},
            **{"start": "truthful", "evaluations": 5},
        },
        "sac": {"steps": 9_600, "updates": 24, "start": "truthful", "evaluations": 5},
    },
    # distances to a tolerance would move every price
    episodes=({"max_cycles": 2, "distance": "exact"},),
)
