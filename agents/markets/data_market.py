"""The data market's entry: asks beside costs, values of accuracy, costs of rows, and debts."""

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
    Piloted,
    Select,
    Selected,
    TrainedOnPurchase,
)
from marketenv.mechanisms import hold_back

from ..scripted import data_market
from .entry import Books, Entry, Facts, Statement

BUYER, SELLER = "buyer", "seller"


def facts(before: Situation, report: Report) -> Facts:
    """Asks as a part of costs, points, prices, conduct, accuracy and money."""
    offered, selected = report.of(Offered), report.of(Selected)
    one, rows = torch.ones_like(report.rewards), before.floor.rows[SELLER]

    def spread(values: Tensor) -> Tensor:
        """Numbers of sellers over all agents."""
        total = torch.zeros_like(one)
        total[:, rows] = values.double()
        return total

    sellers = spread(torch.ones_like(offered.ask))
    buyers, accuracy = 1 - sellers, report.of(TrainedOnPurchase).realised
    conduct = ("declared", "distinct", "flip", "permute", "shift", "spoof", "bait")
    return {
        "ask / cost": (spread(offered.ask), spread(before.floor.types[SELLER]["cost"])),
        **{name: (spread(getattr(offered.conduct, name)), sellers) for name in conduct},
        "points": (selected.bought, sellers),
        "price": (selected.price, sellers),
        "accuracy": (accuracy[:, None] * buyers, buyers),
        "paid": (report.paid, one),
        "received": (report.received, one),
    }


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """What the realised accuracy is worth to the buyer, less the cost of rows and audits."""
    types, config, floor = before.floor.types, market.config, before.floor
    selected, conduct, world = report.of(Selected), report.of(Offered).conduct, floor.world
    outside_option = report.of(Piloted).forecast.outside_option
    gain = report.of(TrainedOnPurchase).realised - outside_option
    audits = config.audit_cost * selected.audited.double().sum(1)
    labels = world.labelled_share * (1 - conduct.wrong)
    honest_rows = conduct.different(world.size, selected.points) * (1 - conduct.bait)
    rows = honest_rows * (1 - config.labelling * (1 - labels))
    worth = torch.zeros_like(report.rewards)
    worth[:, floor.rows[BUYER]] = types[BUYER]["money_per_accuracy"] * gain[:, None]
    worth[:, floor.rows[BUYER]] -= audits[:, None]
    worth[:, floor.rows[SELLER]] = -types[SELLER]["cost"] * rows
    return worth


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """What the buyer owes sellers by rule, hold-back and audits, and the platform's fee."""
    selected, select, deliver = report.of(Selected), market.phase(Select), market.phase(Deliver)
    outcome = select.rule.pay(selected.asks, selected.values, selected.budget)
    sales = outcome.allocation & (selected.points > 0)[:, None]
    accuracies = (selected.predicted, report.of(TrainedOnPurchase).realised)
    outside_option = report.of(Piloted).forecast.outside_option
    promised, realised = ((a - outside_option)[:, None] for a in accuracies)
    prices = outcome.prices * sales
    parts = hold_back(prices, selected.hold_back, promised, realised, release=deliver.release)
    due = torch.where(report.of(Delivered).caught[:, None], 0.0, parts.at_once + parts.released)
    rows, count = before.floor.rows, before.floor.ledger.cash.shape[1]
    debts = due.new_zeros(len(due), count, count)
    debts[:, rows[BUYER], rows[SELLER]] = due
    debts[:, rows[BUYER], rows["platform"]] = market.config.fee * due.sum(2, keepdim=True)
    return debts


def statements(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Statement]:
    """A seller's cost per point beside its ask, and its rows beside the points that it declares."""
    offered, floor = report.of(Offered), before.floor
    cost, ask = floor.types[SELLER]["cost"][0].tolist(), offered.ask[0].tolist()
    size, declared = floor.world.size[0].tolist(), offered.conduct.declared[0].tolist()
    for k, agent in enumerate(a for a in agents if a.startswith(SELLER)):
        yield agent, "cost per point and ask", "ask", cost[k], ask[k]
        yield agent, "rows and declared points", "declared", float(size[k]), float(declared[k])


ENTRY = Entry(
    strategies=data_market.STRATEGIES,
    plays=data_market.PLAYS,
    facts=facts,
    statements=statements,
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
