"""How two agents get on: out of the market, by averaging, or by trade; and how they end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import Market, Move, Report
from marketenv.core.policy import Policy
from marketenv.markets.parameter_trading.exchanges import Inputs, Settlement, fedavg
from marketenv.markets.parameter_trading.reports import Messages, Quotes

from ...scripted.parameter_trading import never_trade
from ..core.played import steps
from .settings import AGENTS, join_of

CASH = 1e6  # so much that no purchase ever fails for money


@dataclass(frozen=True)
class Method:
    """What agents do: how the broker aligns, which layers are traded, and whether they trade or
    average.

    label: its name in rows and pictures;   layers: None trades all
    """

    label: str
    alignment: str = "none"
    layers: tuple[int, ...] | None = None
    trades: bool = True
    averages: bool = False


METHODS = {
    "out_of_market": Method("out of the market", trades=False),
    "fedavg": Method("FedAvg", trades=False, averages=True),
    "no_alignment": Method("no alignment"),
    "aligned": Method("aligned", "auto"),
    "layers_34": Method("layers {3, 4}", "auto", (3, 4)),
    "layers_234": Method("layers {2, 3, 4}", "auto", (2, 3, 4)),
    "layers_012": Method("layers {0, 1, 2}", "auto", (0, 1, 2)),
    "layers_01": Method("layers {0, 1}", "auto", (0, 1)),
}
# in the order of the paper's tables
TABLE_1 = ("out_of_market", "fedavg", "no_alignment", "aligned")
TABLE_2 = ("out_of_market", "layers_34", "layers_234", "layers_012", "layers_01", "aligned")


@dataclass(frozen=True)
class LateTrader:
    """A policy that is ``outside`` until a share ``when`` of the rounds is over, and then
    ``inside``.
    """

    outside: Policy
    inside: Policy
    when: float

    def __call__(self, observation: Tensor, move: Move, keys: Tensor) -> Tensor:
        """Actions of the one or the other."""
        early, late = (policy(observation, move, keys) for policy in (self.outside, self.inside))
        return torch.where(move.observation.unpack(observation)["round"] < self.when, early, late)


def averaging_from(join: int, quotes: Quotes, messages: Messages, inputs: Inputs) -> Settlement:
    """FedAvg once ``join`` rounds are over; before, every agent keeps its own model."""
    averaged = fedavg(quotes, messages, inputs)
    early = (inputs.round < join)[:, None, None]
    return dataclasses.replace(averaged, params=torch.where(early, quotes.trained, averaged.params))


def market_of(method: Method, join: int, options: dict[str, Any]) -> Market:
    """The market in which two agents use a method after ``join`` rounds; options are the others."""
    return make_market(
        "parameter_trading_v0",
        n_agents=len(AGENTS),
        cash=CASH,
        alignment=method.alignment,
        layers=method.layers,
        exchange=partial(averaging_from, join) if method.averages else "trade",
        **options,
    )


def policy_of(method: Method, join: int, market: Market) -> Policy:
    """What both agents do in that market: they trade after ``join`` rounds, or never."""
    outside = never_trade(market)
    if not method.trades:
        return outside
    return LateTrader(outside, market.policies["truthful"], (join - 0.5) / market.horizon)


# --- how episodes end -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Ending:
    """Test losses and accuracies at the end of episodes, and the reports of all rounds."""

    loss: Float64[Tensor, "seeds agents"]
    accuracy: Float64[Tensor, "seeds agents"]
    reports: list[Report]


def played(options: dict[str, Any], method: str, seeds: Tensor) -> Ending:
    """Play episodes in which both agents use a method, all seeds as one batch.

    options: of the market;   method: a name in ``METHODS``; agents join it as ``join_of`` says
    """
    join = join_of(options["max_cycles"])
    market = market_of(METHODS[method], join, options)
    policy, reports = policy_of(METHODS[method], join, market), list[Report]()
    for _, report, now in steps(market, policy, seeds):
        reports.append(report)
        end = now
    scores = rounds.test_scores(market, end)
    return Ending(scores.loss.double(), scores.accuracy.double(), reports)
