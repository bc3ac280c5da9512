"""The parameter market: bids beside worths; the fall of one's loss, effort, what sales cost,
and what the rule asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.parameter_trading import Scored, Trade, Traded
from marketenv.markets.parameter_trading.exchanges import EXCHANGES, requests, settle
from marketenv.markets.parameter_trading.reports import Reports
from marketenv.markets.training import Trained

from ..scripted import parameter_trading
from .entry import Books, Entry, Facts, Said

TRADER = "trader"


def facts(before: Situation, report: Report) -> Facts:
    """Bids as a part of worths, asks of the others, effort, trades, money and losses."""
    done, one = report.of(Traded), torch.ones_like(report.rewards)
    worth = before.floor.types[TRADER]["money_per_loss"][
        ..., None
    ] * done.gain.worth.double().clamp(min=0)
    # of the others; nobody asks itself
    asks = done.asks.sum(1) - done.asks.diagonal(dim1=1, dim2=2)
    told = {
        "bid / worth": ((done.bids * (worth > 0)).sum(2), worth.sum(2)),
        "ask": (asks, (one.shape[1] - 1) * one),
    }
    named = {"effort": report.of(Trained).effort, "purchases": done.bought, "sales": done.sold}
    named |= {"paid": report.paid, "earned": report.received, "loss": report.of(Scored).loss}
    return told | {name: (values.double(), one) for name, values in named.items()}


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """What the fall of one's loss is worth, less the cost of effort and of one's sales."""
    types, old, new = (
        before.floor.types[TRADER],
        before.floor.models[TRADER],
        after.floor.models[TRADER],
    )
    value = types["money_per_loss"] * (old.loss.double() - new.loss.double())
    harm = (_cost(market, report) * report.of(Traded).trades).sum(1)
    return value - types["effort_cost"] * old.effort - harm


def _cost(market: Market, report: Report) -> Tensor:
    return market.config.externality * report.of(Traded).gain.worth.double().clamp(min=0)


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """Prices by the market's rule; it is asked about all requests, since a price may depend on
    those that were not met.
    """
    rule, done, cost = market.phase(Trade), report.of(Traded), _cost(market, report)
    if rule.exchange not in EXCHANGES.values():
        raise ValueError(
            "what an exchange of one's own asks payers for is not known. Pass books=Books(goods,"
            " agreed)."
        )
    markup = (done.asks - cost).amin(1).clamp(min=0)  # the same for all buyers, to rounding
    reports = Reports(done.bids, markup, done.asks, cost, report.of(Trained).effort)
    order = requests(
        done.gain.worth, reports, before.floor.purse(TRADER), market.config.max_purchases
    )
    return settle(rule.mechanism, reports, torch.stack(order).any(0))[1] * done.trades


def said(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Said]:
    """What a purchase is worth beside the bid, and what a sale costs its seller beside the ask."""
    done, money = report.of(Traded), before.floor.types["trader"]["money_per_loss"][0, :, None]
    gain = done.gain.worth[0].double().clamp(min=0)
    worth, cost = money * gain, market.config.externality * gain
    for i, agent in enumerate(agents):
        for j in (j for j in range(len(agents)) if j != i):
            yield (
                agent,
                f"worth of {agents[j]}'s model and bid",
                "bid",
                float(worth[i, j]),
                float(done.bids[0, i, j]),
            )
        for j in (j for j in range(len(agents)) if j != i):
            yield (
                agent,
                f"cost of selling to {agents[j]} and ask",
                "ask",
                float(cost[j, i]),
                float(done.asks[0, j, i]),
            )


ENTRY = Entry(
    strategies=parameter_trading.STRATEGIES,
    plays=parameter_trading.PLAYS,
    facts=facts,
    said=said,
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
