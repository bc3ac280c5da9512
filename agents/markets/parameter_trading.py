"""The parameter market's entry: bids beside worths, falls of losses, costs and prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.parameter_trading import Scored, Trade, Traded
from marketenv.markets.parameter_trading.exchanges import EXCHANGES, requests, settle
from marketenv.markets.parameter_trading.reports import Messages
from marketenv.markets.training import Trained

from ..scripted import parameter_trading
from .entry import Books, Entry, Facts, Statement

TRADER = "trader"


def facts(before: Situation, report: Report) -> Facts:
    """Bids as a part of worths, asks of the others, effort, trades, money and losses."""
    trading, one = report.of(Traded), torch.ones_like(report.rewards)
    money = before.floor.types[TRADER]["money_per_loss"][..., None]
    worth = money * trading.gain.worth.double().clamp(min=0)
    # of the others; nobody asks itself
    asks = trading.asks.sum(1) - trading.asks.diagonal(dim1=1, dim2=2)
    ratios = {
        "bid / worth": ((trading.bids * (worth > 0)).sum(2), worth.sum(2)),
        "ask": (asks, (one.shape[1] - 1) * one),
    }
    numbers = {
        "effort": report.of(Trained).effort,
        "purchases": trading.bought,
        "sales": trading.sold,
        "paid": report.paid,
        "received": report.received,
        "loss": report.of(Scored).loss,
    }
    return ratios | {name: (values.double(), one) for name, values in numbers.items()}


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """What the fall of one's loss is worth, less the cost of effort and of one's sales."""
    harm = (_cost(market, report) * report.of(Traded).trades).sum(1)
    return worth(before, after) - harm


def worth(before: Situation, after: Situation) -> Tensor:
    """What the fall of one's loss is worth, less the cost of effort."""
    types, old = before.floor.types[TRADER], before.floor.models[TRADER]
    fall = old.loss.double() - after.floor.models[TRADER].loss.double()
    return types["money_per_loss"] * fall - types["effort_cost"] * old.effort


def _cost(market: Market, report: Report) -> Tensor:
    return market.config.externality * report.of(Traded).gain.worth.double().clamp(min=0)


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """Prices by the market's rule.

    The rule sees all requests, since a price may depend on requests that were not met.
    """
    rule, trading, cost = market.phase(Trade), report.of(Traded), _cost(market, report)
    if rule.exchange not in EXCHANGES.values():
        raise ValueError(
            "what an exchange of one's own asks payers for is not known. Pass books=Books(goods,"
            " agreed)."
        )
    markup = (trading.asks - cost).amin(1).clamp(min=0)  # the same for all buyers, to rounding
    messages = Messages(trading.bids, markup, trading.asks, cost, report.of(Trained).effort)
    order = requests(
        trading.gain.worth, messages, before.floor.purse(TRADER), market.config.max_purchases
    )
    return settle(rule.mechanism, messages, torch.stack(order).any(0))[1] * trading.trades


def statements(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Statement]:
    """What a purchase is worth beside the bid, and what a sale costs its seller beside the ask."""
    trading, money = report.of(Traded), before.floor.types[TRADER]["money_per_loss"][0, :, None]
    gain = trading.gain.worth[0].double().clamp(min=0)
    worth, cost = (money * gain).tolist(), (market.config.externality * gain).tolist()
    bids, asks = trading.bids[0].tolist(), trading.asks[0].tolist()
    for i, agent in enumerate(agents):
        others = [(j, other) for j, other in enumerate(agents) if j != i]
        for j, other in others:
            yield agent, f"worth of {other}'s model and bid", "bid", worth[i][j], bids[i][j]
        for j, other in others:
            yield agent, f"cost of selling to {other} and ask", "ask", cost[j][i], asks[j][i]


ENTRY = Entry(
    strategies=parameter_trading.STRATEGIES,
    plays=parameter_trading.PLAYS,
    facts=facts,
    statements=statements,
    books=Books(goods, agreed),
    learning={
        # rounds are costly and a bid pays at once: many small rollouts, advantages that trust the
        # critic of what comes later
        "ppo": {
            **{"steps": 38_400, "n_steps": 10, "batch_size": 160, "updates": 5, "gae_lambda": 0.8},
            **{"start": "truthful", "evaluations": 5},
        },
        "sac": {"steps": 19_200, "updates": 24, "start": "truthful", "evaluations": 5},
    },
    episodes=({"n_agents": 3, "max_cycles": 3},),
)
