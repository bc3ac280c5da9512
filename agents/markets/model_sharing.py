"""The model-sharing market: reports beside types; what bought models are worth, the cost of
sales, effort, and the payment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.model_sharing import Left, Share, Shared
from marketenv.markets.model_sharing.config import TYPES
from marketenv.markets.model_sharing.rules import client_types
from marketenv.markets.training import Trained
from marketenv.mechanisms import SHARING_PAYMENTS, SharingTerms, gains

from ..scripted import model_sharing
from .entry import Books, Entry, Facts, Said

CLIENT = "client"


def facts(before: Situation, report: Report) -> Facts:
    """Reports as a part of types, effort, trades, money and losses, of those who are there."""
    done, here, told = report.of(Shared), report.of(Shared).present.double(), Facts()
    for name, types in (
        ("cost / type", "costs"),
        ("size / type", "sizes"),
        ("need / type", "needs"),
    ):
        truth, said = before.floor.types[CLIENT][types], getattr(done.reported, types)
        told[name] = (said * here * (truth > 0), truth * here)
    named = {"effort": report.of(Trained).effort, "purchases": done.bought, "sales": done.sold}
    named |= {"paid": report.paid, "earned": report.received, "loss": report.of(Left).loss}
    return told | {name: (values * here, here) for name, values in named.items()}


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """What bought models are worth, less the cost of sales and of effort."""
    types, trades = client_types(before.floor), report.of(Shared).trades
    worth = gains(types, market.phase(Share).rules.gain, trades)
    effort = torch.where(before.floor.present, before.floor.models[CLIENT].effort, 0.0)
    return worth - types.costs * trades.sum(1) - before.floor.types[CLIENT]["effort_cost"] * effort


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """What the payment asks of buyers for these reports."""
    done = report.of(Shared)
    terms = SharingTerms(
        done.reported, done.discounts, market.phase(Share).rules.gain, done.present
    )
    return SHARING_PAYMENTS[market.config.payment](terms, done.trades, market.config.graph)


def said(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Said]:
    """True types beside reported ones."""
    types, reported = before.floor.types["client"], report.of(Shared).reported
    for k, agent in enumerate(agents):
        for name in TYPES:
            truth, told = types[name], getattr(reported, name)
            yield agent, f"{name[:-1]} and report", name[:-1], float(truth[0, k]), float(told[0, k])


ENTRY = Entry(
    strategies=model_sharing.STRATEGIES,
    plays=model_sharing.PLAYS,
    facts=facts,
    said=said,
    books=Books(goods, agreed),
    learning={
        # a report of the first round stands for the episode: whole episodes are a rollout, and
        # nothing is trusted to the critic; with learner=None a round costs a millisecond, so many
        # markets play at once
        "ppo": {
            **{"num_envs": 128, "steps": 102_400, "n_steps": 20, "batch_size": 640, "updates": 5},
            **{"start": "truthful", "evaluations": 5},
        },
        "sac": {"steps": 38_400, "updates": 8, "start": "truthful", "evaluations": 5},
    },
    episodes=(
        {"n_agents": 4, "max_cycles": 3, "strength": 0.1},
        {
            "n_agents": 4,
            "max_cycles": 3,
            "learner": None,
            "reports": "each_round",
            "exits": "ir_strict",
        },
    ),
)
