"""Figure 4: what A gains by trade with an agent whose task is related to its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import rounds
from marketenv.core.market import Report
from marketenv.markets.parameter_trading import ROLE, Traded
from marketenv.markets.parameter_trading.reports import Quotes

from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .episodes import everybody, squares, watched
from .linear_experiments import fall
from .linear_market import FULL, OWN_TASK, in_words, market_of, own_weights, sizes

DISTANCES = (0.0, 0.5, 1.0, 2.0)  # of the true parameters, in lengths of A's; figure 4 names none
OWN_BROKER, LOSS_BROKER = "own-task broker", "two-task broker, loss"
RATIO_BROKER = "two-task broker, error ratio"
BROKERS: dict[str, dict[str, Any]] = {  # how the broker finds weights, and what it discloses
    OWN_BROKER: {"alpha": own_weights, "valuation": "error_ratio"},
    RATIO_BROKER: {"alpha": "auto", "valuation": "error_ratio"},
    LOSS_BROKER: {"alpha": "auto", "valuation": "loss_difference"},
}
OUT = "out"  # of the market, with any broker


@dataclass(frozen=True)
class Related:
    """Losses of the last models on the agents' own task and on the other's, and shares of rounds
    with a purchase.
    """

    own: Float64[Tensor, "seeds agents"]
    other: Float64[Tensor, "seeds agents"]
    bought: Float64[Tensor, "seeds agents"]


def related(
    arguments: Mapping[str, Any], seeds: Tensor, brokers: tuple[str, ...] = tuple(BROKERS)
) -> dict[str, Related]:
    """How agents with related tasks end out of the market and with each broker, on the same data.

    Losses are exact: features are standard Gaussian and test labels noiseless, so half the mean
    squared error is |theta - theta*|^2 / 2.
    """
    # brokers change nothing before they quote
    opened, ends = rounds.opened(market_of(arguments), seeds), {}
    for place in (OUT, *brokers):
        market = market_of(arguments, **BROKERS.get(place, {}))
        policies = everybody(market, "never_trade" if place == OUT else "truthful")
        notes = watched(market, policies, rounds.begun(market, opened), _losses)
        own, other, bought = (notes[name] for name in ("own", "other", "bought"))
        ends[place] = Related(own[-1], other[-1], bought.double().mean(0))
    return ends


def _losses(quotes: Quotes, end: rounds.Situation, report: Report) -> dict[str, Tensor]:
    params, optimum = end.floor.models[ROLE].params, end.floor.world.optimum
    own, other = (squares(params - task) / 2 for task in (optimum, optimum.flip(1)))
    return {"own": own, "other": other, "bought": report.of(Traded).bought}


def figure_4(falling: bool, condition: str, effort: Effort) -> Evidence:
    """How much less A loses on its own task in the market, at each distance of the tasks, %.

    falling: how much more than at the next distance instead
    """
    if condition == AS_STATED and not effort.data:
        return Evidence(untested=FULL)
    arguments, seeds = sizes(condition, effort), seeds_of(JUDGE, effort.linear[0])
    broker = OWN_BROKER if condition == OWN_TASK else RATIO_BROKER
    saved = torch.stack([own_fall(arguments, apart, broker, seeds) for apart in DISTANCES])
    samples = {f"distance {apart:g}": x for apart, x in zip(DISTANCES, saved.tolist(), strict=True)}
    if falling:
        pairs = zip(DISTANCES, DISTANCES[1:], (-saved.diff(dim=0)).tolist(), strict=False)
        samples = {f"distance {near:g} less {far:g}": less for near, far, less in pairs}
    rows = list(zip(DISTANCES, saved.mean(1).tolist(), strict=True))
    return Evidence(
        samples=samples,
        seeds=in_words(len(seeds), arguments["rounds"]),
        tables=({"title": "A's fall", "head": ["distance", "%"], "rows": rows},),
    )


def own_fall(arguments: Mapping[str, Any], distance: float, broker: str, seeds: Tensor) -> Tensor:
    """By how much A's loss on its own task is less in the market than out of it, % [seeds]."""
    # nothing is measured on test examples
    ends = related({**arguments, "distance": distance, "test": 1}, seeds, (broker,))
    saved: Tensor = fall(ends[broker].own[:, 0], ends[OUT].own[:, 0])
    return saved
