"""The reference markets: prices beside types, values of what is bought, and the cost of what is
sold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.reference import Auction, Auctioned

from ..scripted import reference
from .entry import Books, Entry, Facts, Said


def facts(before: Situation, report: Report) -> Facts:
    """Prices as a part of types, prices, and what was traded and paid."""
    done, n, one = report.of(Auctioned), report.rewards.shape[1], torch.ones_like(report.rewards)
    each = {
        "price / type": (done.offers[:, :n], done.types[:, :n]),
        "price": (done.offers[:, :n], one),
    }
    named = {"traded": done.traded, "paid": report.paid, "received": report.received}
    return each | {name: (values, one) for name, values in named.items()}


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """The value of what is bought, less the cost of what is sold."""
    done = report.of(Auctioned)
    buys = (
        torch.arange(done.types.shape[1], device=done.types.device) < market.phase(Auction).n_buyers
    )
    return torch.where(buys, done.types, -done.types)[:, : done.traded.shape[1]] * done.traded


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """What the rule asks of buyers for these offers."""
    done, auction = report.of(Auctioned), market.phase(Auction)
    outcome = auction.mechanism(done.offers[:, :-1, None], done.offers[:, -1:])
    owed = done.offers.new_zeros(len(done.offers), auction.n_buyers + 1, auction.n_buyers + 1)
    owed[:, :-1, -1:] = outcome.prices * outcome.allocation
    return owed


def said(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Said]:
    """A value beside the bid, a cost beside the ask."""
    done = report.of(Auctioned)
    for k, agent in enumerate(agents):
        what = "value and bid" if agent.startswith("buyer") else "cost and ask"
        yield agent, what, "price", float(done.types[0, k]), float(done.offers[0, k])


ENTRY = Entry(
    strategies=reference.STRATEGIES,
    plays=reference.PLAYS,
    facts=facts,
    said=said,
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
