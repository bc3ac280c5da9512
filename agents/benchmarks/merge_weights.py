"""Speed of the search for merge weights: by whole models, with mirrored pairs, and by layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from agents.benchmarks.alignment import cpu_seconds
from agents.benchmarks.case import Case, case
from marketenv import make_market
from marketenv.alignment import BestWeights, alpha_grid
from marketenv.core import rounds
from marketenv.markets.parameter_trading.reports import Quotes
from marketenv.markets.parameter_trading.worlds import TradingWorlds

WHOLE = "whole models"


def searches(models: int = 64, repeats: int = 5) -> list[Case]:
    """All offers of a round of digits markets of 2 and of 4 agents, by three searches.

    models: number of markets
    """
    return [row for agents in (2, 4) for row in _of_agents(agents, models, repeats)]


def _of_agents(agents: int, n_markets: int, repeats: int) -> list[Case]:
    market = make_market("parameter_trading_v0", n_agents=agents)
    now = rounds.begin(market, torch.arange(n_markets))
    sides = _sides(now.floor.world, now.quotes)
    times = cpu_seconds(sides, repeats)
    name = f"merge weights of {n_markets} digits markets x {agents}"
    rows = [case(f"{name}: {side}", times[side] * 1e3, "CPU ms") for side in sides]
    wanted = sides[WHOLE]()
    finite = wanted.loss.isfinite()
    for side in list(sides)[1:]:
        best = sides[side]()
        gap = ((best.loss - wanted.loss).abs() / wanted.loss)[finite].max()
        same = (best.alpha == wanted.alpha).double().mean()
        rows.append(case(f"{name}: {side} is faster", times[WHOLE] / times[side], "times"))
        rows.append(case(f"{name}: {side}, largest gap of a loss", float(gap), "ratio"))
        rows.append(case(f"{name}: {side}, equal weights", float(same), "rate"))
    return rows


def _sides(world: TradingWorlds, quotes: Quotes) -> dict[str, Callable[[], BestWeights]]:
    """The searches over one round's offers, each with arguments as the market has them."""
    merges = (quotes.trained, quotes.offers, torch.ones(quotes.trained.shape[-1]))
    whole = partial(alpha_grid, world.loss, *merges)

    def by_layers() -> BestWeights:
        return BestWeights(*world.grid_by_layers(*merges, quotes.orders))

    return {WHOLE: whole, "mirrored pairs": partial(whole, mirrored=True), "by layers": by_layers}
