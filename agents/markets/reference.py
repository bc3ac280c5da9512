"""The reference markets' entry: prices beside types, values of purchases and costs of sales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.reference import Auction, Auctioned

from ..scripted import reference
from .entry import Books, Entry, Facts, Statement


def facts(before: Situation, report: Report) -> Facts:
    """Prices as a part of types, prices, and what was traded and paid."""
    auctioned, n = report.of(Auctioned), report.rewards.shape[1]
    one, offers = torch.ones_like(report.rewards), auctioned.offers[:, :n]
    return {
        "price / type": (offers, auctioned.types[:, :n]),
        "price": (offers, one),
        "traded": (auctioned.traded, one),
        "paid": (report.paid, one),
        "received": (report.received, one),
    }


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """The value of what is bought, less the cost of what is sold."""
    auctioned, n_buyers = report.of(Auctioned), market.phase(Auction).n_buyers
    signs = torch.ones_like(auctioned.types)
    signs[:, n_buyers:] = -1
    return (signs * auctioned.types)[:, : auctioned.traded.shape[1]] * auctioned.traded


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """What the rule asks of buyers for these offers."""
    auctioned, auction = report.of(Auctioned), market.phase(Auction)
    outcome = auction.mechanism(auctioned.offers[:, :-1, None], auctioned.offers[:, -1:])
    debts = auctioned.offers.new_zeros(
        len(auctioned.offers), auction.n_buyers + 1, auction.n_buyers + 1
    )
    debts[:, :-1, -1:] = outcome.prices * outcome.allocation
    return debts


def statements(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Statement]:
    """A value beside the bid, a cost beside the ask."""
    auctioned = report.of(Auctioned)
    for k, agent in enumerate(agents):
        what = "value and bid" if agent.startswith("buyer") else "cost and ask"
        yield agent, what, "price", float(auctioned.types[0, k]), float(auctioned.offers[0, k])


ENTRY = Entry(
    strategies=reference.STRATEGIES,
    plays=reference.PLAYS,
    facts=facts,
    statements=statements,
    books=Books(goods, agreed),
    learning={
        "ppo": {"steps": 61_440, "learning_rate": 3e-3, "episodes": 1024},
        "sac": {"episodes": 1024},
    },
    episodes=(
        {"game": "double_auction", "max_cycles": 4},
        {"game": "first_price", "n_buyers": 3, "max_cycles": 2},
        {"game": "second_price", "n_buyers": 3, "reserve": 0.25, "max_cycles": 2},
    ),
)
