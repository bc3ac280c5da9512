"""The marketplace: numbers, statements and books of its parts, made by the entries of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from marketenv.core.floor import Floor
from marketenv.core.inside import Inside
from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.data_market import Selected
from marketenv.markets.model_sharing import Shared
from marketenv.markets.parameter_trading import Scored, Traded
from marketenv.markets.resource_market import Committed, Computed, Contributed

from ..scripted import marketplace
from . import data_market, model_sharing, parameter_trading, resource_market
from .entry import Books, Entry, Facts, Statement

# by part: the entry of its market, and an outcome that only a whole part gives
PARTS: dict[str, tuple[Entry, type[Any]]] = {
    "resource_market": (resource_market.ENTRY, Committed),
    "data_market": (data_market.ENTRY, Selected),
    "parameter_trading": (parameter_trading.ENTRY, Traded),
    "model_sharing": (model_sharing.ENTRY, Shared),
}
SMALL = {"n_developers": 2, "n_owners": 3, "n_centres": 2, "max_cycles": 2}
MONEY = frozenset(("paid", "received"))  # of all parts together, so once


# --- parts ----------------------------------------------------------------------------------------


def insides(report: Report) -> dict[str, Inside]:
    """Who plays whom in each part of a round, by the part's name."""
    return {outcome.inside.name: outcome.inside for outcome in report.outcomes.values()}


def has(report: Report, kind: type[Any]) -> bool:
    """Whether a round has an outcome of a kind."""
    return any(outcome.of(kind) is not None for outcome in report.outcomes.values())


def whole(report: Report) -> Iterator[tuple[Inside, Entry]]:
    """The parts that are whole, and the entries of their markets."""
    for name, inside in insides(report).items():
        entry, kind = PARTS[name]
        if has(report, kind):
            yield inside, entry


def inner(inside: Inside, at: Situation, report: Report) -> tuple[Situation, Report]:
    """A situation and the report of the round, of all copies of a part."""
    floor = inside.inner(at.floor.but(outcomes=report.outcomes))
    nothing = torch.zeros_like(floor.present, dtype=torch.float64)
    copies = Report(nothing, floor.ended, floor.ledger, floor.outcomes, {}, {}, floor.rows, {}, {})
    return replace(at, floor=floor), copies


def everyone(inside: Inside, report: Report, values: Tensor) -> Tensor:
    """Numbers of the agents of all copies, added up for those of the markets."""
    total = torch.zeros_like(report.rewards)
    for role in inside.roles:
        part = values[:, inside.people.rows[role]].double()
        total[:, report.rows[inside.names[role]]] = inside.leave(role, part, total=True)
    return total


# --- facts ----------------------------------------------------------------------------------------


def facts(before: Situation, report: Report) -> Facts:
    """The facts of all parts, but for values that do not count here; then losses and money."""
    numbers, one = Facts(), torch.ones_like(report.rewards)
    for inside, entry in whole(report):
        silent = inside.without | inside.untold | MONEY
        for name, parts in entry.facts(*inner(inside, before, report)).items():
            if name not in silent:
                total, weight = (everyone(inside, report, part) for part in parts)
                numbers[inside.renamed.get(name, name)] = (total, weight)
    if has(report, Scored):
        numbers["loss"] = (report.infos()["loss"].double(), one)
    if has(report, Computed) and "work" not in numbers:
        work = insides(report)["resource_market"]
        numbers["work"] = (everyone(work, report, report.of(Computed).offered), one)
    return numbers | {"paid": (report.paid, one), "received": (report.received, one)}


def statements(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Statement]:
    """The statements of all parts; one that an agent makes to all developers stands once."""
    for inside, entry in whole(report):
        names = [f"{role}_{k}" for role, n in inside.people.roles.items() for k in range(n)]
        lines = entry.statements(inside.market, *inner(inside, before, report), names)
        for agent, words, name, truth, reported in lines:
            for role, own in inside.names.items():
                agent, words = (text.replace(f"{role}_", f"{own}_") for text in (agent, words))
            yield agent, words, name, truth, reported


# --- books ----------------------------------------------------------------------------------------


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """The sum of what each part brings that is not money."""
    total = torch.zeros_like(report.rewards)
    for name, inside in insides(report).items():
        views = (*inner(inside, before, report), inner(inside, after, report)[0])
        total += everyone(inside, report, GOODS[name](market, inside, *views))
    return total


def goods_of_work(
    market: Market, inside: Inside, before: Situation, report: Report, after: Situation
) -> Tensor:
    """Worth of contributions to developers, and costs of work."""
    if not market.config.sells_work:
        return goods_at_home(market, inside, before, report)
    goods = resource_market.goods(inside.market, before, report, after)
    return valued(inside, goods)


def goods_at_home(market: Market, inside: Inside, before: Situation, report: Report) -> Tensor:
    """The same where owners do the work themselves."""
    config, rows = inside.market.config, before.floor.rows
    goods = torch.zeros_like(report.rewards)
    goods[:, rows["owner"]] = -config.lam * config.rho * report.of(Contributed).x
    goods[:, rows["leader"]] = resource_market.gain(inside.market, before, report)[:, None]
    return torch.where(trade(market, report)[:, None], valued(inside, goods), 0.0)


def valued(inside: Inside, goods: Tensor) -> Tensor:
    """The goods; those of a leader are nothing where its loss counts."""
    if "gain" in inside.without:
        goods[:, inside.people.rows["leader"]] = 0.0
    return goods


def trade(market: Market, report: Report) -> Tensor:
    """Whether a contest has any trade."""
    if market.config.sells_work:
        return resource_market.trade(report)
    x = report.of(Contributed).x
    return (x.sum(1) > 0) & (x.shape[1] > 1)


def goods_of_data(
    market: Market, inside: Inside, before: Situation, report: Report, after: Situation
) -> Tensor:
    """Costs of rows and audits; accuracy is worth nothing where the loss counts."""
    types = {role: dict(named) for role, named in before.floor.types.items()}
    buyer = types["buyer"]
    buyer["money_per_accuracy"] = torch.zeros_like(buyer["money_per_accuracy"])
    without = replace(before, floor=before.floor.but(types=types))
    return data_market.goods(inside.market, without, report, after)


def goods_of_models(
    market: Market, inside: Inside, before: Situation, report: Report, after: Situation
) -> Tensor:
    """What the fall of a loss is worth, less the cost of effort and of sales of parameters."""
    if has(report, Traded):
        return parameter_trading.goods(inside.market, before, report, after)
    if not market.config.shares:
        return parameter_trading.worth(before, after)
    # effort is a cost of the part in which models are shared, and they are trained after the score
    fall = before.floor.models["trader"].before.double() - report.of(Scored).loss.double()
    return before.floor.types["trader"]["money_per_loss"] * fall


def goods_of_sharing(
    market: Market, inside: Inside, before: Situation, report: Report, after: Situation
) -> Tensor:
    """What shared models are worth, less the cost of sales and of effort."""
    return model_sharing.goods(inside.market, before, report, after)


GOODS = {
    "resource_market": goods_of_work,
    "data_market": goods_of_data,
    "parameter_trading": goods_of_models,
    "model_sharing": goods_of_sharing,
}


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """What payers owe in all parts."""
    size = report.ledger.cash.shape
    total = report.rewards.new_zeros(*size, size[1])
    for name, inside in insides(report).items():
        if name == "resource_market":
            owed = owed_for_work(market, inside, *inner(inside, before, report))
        elif has(report, PARTS[name][1]):
            at = replace(before, floor=with_flows(before.floor, report))
            owed = PARTS[name][0].books.agreed(inside.market, *inner(inside, at, report))
        else:
            continue
        add(total, inside, report, owed)
    return total


def add(total: Tensor, inside: Inside, report: Report, owed: Tensor) -> None:
    """Add what payers owe in the copies to what they owe in the markets."""
    rows = {n: where for n, where in inside.people.rows.items() if where.stop <= owed.shape[1]}
    known = [name for name in rows if name in inside.names]
    for payer in known:
        for payee in known:
            there = (report.rows[inside.names[name]] for name in (payer, payee))
            total[:, *there] += inside.money(payer, payee, owed[:, rows[payer], rows[payee]])


def with_flows(floor: Floor, report: Report) -> Floor:
    """The floor where parameters are traded: with all payments but those for them."""
    for name, flow in report.flows.items():
        if name != "purchases":
            floor = floor.pay(name, flow.payer, flow.payee, flow.money)
    return floor


def owed_for_work(market: Market, inside: Inside, before: Situation, report: Report) -> Tensor:
    """What developers owe for contributions, and what owners owe for work."""
    rows, size = before.floor.rows, before.floor.ledger.cash.shape
    owed = report.rewards.new_zeros(*size, size[1])
    if has(report, Committed):
        rewards = resource_market.rewards(inside.market, report)
        owed[:, rows["leader"], rows["owner"]] = rewards[:, None]
    if market.config.sells_work:
        owed[:, rows["owner"], rows["centre"]] = resource_market.fees(inside.market, report)
    return torch.where(trade(market, report)[:, None, None], owed, 0.0)


ENTRY = Entry(
    strategies=marketplace.STRATEGIES,
    plays={},
    facts=facts,
    statements=statements,
    books=Books(goods, agreed),
    learning={
        # a round is as costly as those of all its parts: few steps, from the truth
        "ppo": {
            **{"steps": 19_200, "n_steps": 10, "batch_size": 160, "updates": 5, "gae_lambda": 0.8},
            **{"start": "truthful", "evaluations": 5},
        },
        "sac": {"steps": 9_600, "updates": 24, "start": "truthful", "evaluations": 5},
    },
    episodes=(
        {**SMALL, "own_data": True},
        {**SMALL, "rule": "procurement", "trade": "ipfl", "data_market": {"distance": "exact"}},
        {**SMALL, "learner": None, "compute": "posted", "trade": "ipfl"},
    ),
)
