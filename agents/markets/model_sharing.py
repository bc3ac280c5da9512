"""The model-sharing market's entry: reports beside types, values of models, costs and payments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.markets.model_sharing import Left, Shared, ShareModels
from marketenv.markets.model_sharing.config import TYPES
from marketenv.markets.model_sharing.rules import client_types
from marketenv.markets.training import Trained
from marketenv.mechanisms import SHARING_PAYMENTS, SharingTerms, gains

from ..scripted import model_sharing
from .entry import Books, Entry, Facts, Statement

CLIENT = "client"


def facts(before: Situation, report: Report) -> Facts:
    """Reports as a part of types, effort, trades, money and losses of the clients who are there."""
    sharing, ratios = report.of(Shared), Facts()
    here, types = sharing.present.double(), before.floor.types[CLIENT]
    for name in TYPES:
        truth, stated = types[name], getattr(sharing.reported, name)
        ratios[f"{name[:-1]} / type"] = (stated * here * (truth > 0), truth * here)
    numbers = {
        "effort": report.of(Trained).effort,
        "purchases": sharing.bought,
        "sales": sharing.sold,
        "paid": report.paid,
        "received": report.received,
        "loss": report.of(Left).loss,
    }
    return ratios | {name: (values * here, here) for name, values in numbers.items()}


def goods(market: Market, before: Situation, report: Report, after: Situation) -> Tensor:
    """What bought models are worth, less the cost of sales and of effort."""
    types, trades = client_types(before.floor), report.of(Shared).trades
    worth = gains(types, market.phase(ShareModels).rules.gain, trades)
    effort = torch.where(before.floor.present, before.floor.models[CLIENT].effort, 0.0)
    return worth - types.costs * trades.sum(1) - before.floor.types[CLIENT]["effort_cost"] * effort


def agreed(market: Market, before: Situation, report: Report) -> Tensor:
    """What the payment asks of buyers for these reports."""
    sharing, rules = report.of(Shared), market.phase(ShareModels).rules
    terms = SharingTerms(sharing.reported, sharing.discounts, rules.gain, sharing.present)
    payment = SHARING_PAYMENTS[market.config.payment]
    return payment(terms, sharing.trades, market.config.graph)


def statements(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Statement]:
    """True types beside reported ones."""
    types, reported = before.floor.types[CLIENT], report.of(Shared).reported
    for k, agent in enumerate(agents):
        for name in TYPES:
            truth, stated = float(types[name][0, k]), float(getattr(reported, name)[0, k])
            yield agent, f"{name[:-1]} and report", name[:-1], truth, stated


ENTRY = Entry(
    strategies=model_sharing.STRATEGIES,
    plays=model_sharing.PLAYS,
    facts=facts,
    statements=statements,
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
