"""Two linear agents of Train 'n Trade, round by round: who leads (figure 3), and whose model is
the dearer one (figure 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marketenv.alignment import merge
from marketenv.core import rounds
from marketenv.core.market import Market, Report, agent_names
from marketenv.markets.parameter_trading import (
    ROLE,
    ParameterTradingConfig,
    Trade,
    Traded,
    parameter_trading,
)
from marketenv.markets.parameter_trading.reports import Quotes
from marketenv.mechanisms import nash_bargaining
from marketenv.valuation import theorem_4_1

from ..attack import JUDGE, seeds_of
from .claim import AS_STATED, Effort, Evidence
from .tables import AGENTS, linear
from .theorems import episodes, squares

OTHER = [1, 0]  # of two agents, the other one
SMALL = "it wants the effort standard or full"


def note(
    market: Market, quotes: Quotes, end: rounds.Situation, report: Report
) -> dict[str, Tensor]:
    """What a round came to, one number a market and an agent.

    trained, error: squared parameter error before and after trade;
        other: after trade, from the other's true parameters
    test: test loss;   bought: 1 for a purchase;
        gain, alpha: Delta and weight of the purchase that the agent could make
    (in float64: a small weight divides the rounding of Delta in theorem 4.1)
    low, high: what the other is told of it, money (Delta - 1)
    """
    optimum, trained, params = (
        end.floor.world.optimum,
        quotes.trained.double(),
        end.floor.models[ROLE].params,
    )
    errors = {
        "trained": trained - optimum,
        "error": params - optimum,
        "other": params - optimum.flip(1),
    }
    merged = merge(
        trained, quotes.offers.double(), quotes.alpha.double(), market.phase(Trade).mask.double()
    )
    gain = squares(errors["trained"])[..., None] / squares(merged - optimum[:, :, None])
    pairs = {"gain": gain, "alpha": quotes.alpha, "low": quotes.low, "high": quotes.high}
    return (
        {name: squares(values) for name, values in errors.items()}
        | {name: values[:, [0, 1], OTHER].double() for name, values in pairs.items()}
        | {
            "test": rounds.test_scores(market, end).loss.double(),
            "bought": report.of(Traded).bought.double(),
        }
    )


def early(values: np.ndarray) -> np.ndarray:
    """The first half of the rounds: [seeds, rounds, ...]."""
    return values[:, : max(1, values.shape[1] // 2)]


def late(values: np.ndarray) -> np.ndarray:
    """The last tenth of the rounds: [seeds, rounds, ...]."""
    return values[:, -max(1, values.shape[1] // 10) :]


def turns(ratio: np.ndarray) -> np.ndarray:
    """1 for the runs [seeds, rounds] in which A leads in the mean of the first half and B in
    that of the last tenth.
    """
    return ((early(ratio).mean(1) < 1) & (late(ratio).mean(1) > 1)).astype(float)


def negotiated(played: Mapping[str, np.ndarray], form: str) -> tuple[np.ndarray, np.ndarray]:
    """Prices of A's and B's model in Delta, and which negotiations came to a trade.

    The buyer bids its Delta, the seller asks the lower bound of Theorem 4.1, the price is the
    midpoint. Where there is no trade the price stays what it was, NaN before the first one.
    each [seeds, rounds, sellers]
    """
    # [rounds of all, agents]
    gain, alpha = (torch.from_numpy(played[name]).flatten(0, 1) for name in ("gain", "alpha"))
    # a seller knows its own gain and both weights
    ask, _ = theorem_4_1(gain, alpha, alpha[:, OTHER], form)
    wants = torch.from_numpy(played["bought"]).flatten(0, 1)
    bids = torch.zeros(len(gain), 2, 2, dtype=torch.float64)
    bids[:, [0, 1], OTHER] = gain * wants
    done = nash_bargaining(bids, ask)
    shape = played["gain"].shape
    prices, agreed = (
        x[:, OTHER, [0, 1]].reshape(shape).numpy() for x in (done.prices, done.allocation)
    )
    return carry(prices, agreed), agreed


def carry(prices: np.ndarray, agreed: np.ndarray) -> np.ndarray:
    """Keep the last price where nothing was agreed: [seeds, rounds, sellers]."""
    n_rounds = np.arange(prices.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(agreed, n_rounds, -1), axis=1)
    return np.where(last >= 0, np.take_along_axis(prices, last.clip(0), 1), np.nan)


# --- experiments ----------------------------------------------------------------------------------


def figure_3_lead(condition: str, effort: Effort) -> Evidence:
    """Whether A leads in the first half of a run's rounds, and B in the last tenth, by squared
    parameter errors before trade.
    """
    played, told = _played(condition, effort)
    if not played:
        return Evidence(untested=told)
    # above 1 B leads, as in the figure
    ratio = played["trained"][..., 0] / played["trained"][..., 1]
    lines = {
        "kind": "lines",
        "title": "error of A / error of B",
        "x": "round",
        "y": "above 1, B leads",
    }
    note = (
        f"error of A / error of B: {early(ratio).mean():.4f} in the first half,"
        f" {late(ratio).mean():.4f} at the end (means)"
    )
    return _evidence(
        turns(ratio), told, lines | {"curves": {"in the market": ratio[:20].tolist()}}, note
    )


def figure_5(condition: str, effort: Effort) -> Evidence:
    """Whether A's model is the dearer one in the first half of a run's rounds, and B's in the
    last tenth, in Delta.
    """
    played, told = _played(condition, effort)
    if not played:
        return Evidence(untested=told)
    prices, _ = negotiated(played, "paper")
    # runs in whose first half both models have a price
    prices = prices[~np.isnan(early(prices)).any(2).all(1)]
    if not len(prices):
        return Evidence(untested="in no run both models were sold in the first half of the rounds")
    more = prices[..., 0] - prices[..., 1]
    first, last = np.nanmean(early(more), 1), late(more).mean(1)
    curves = {f"{agent}'s model": prices[:20, :, k].tolist() for k, agent in enumerate(AGENTS)}
    lines = {
        "kind": "lines",
        "title": "negotiated prices",
        "x": "round",
        "y": "Delta",
        "curves": curves,
    }
    note = (
        f"A's price less B's: {first.mean():.4f} in the first half, {last.mean():.4f} at the end"
        " (means, Delta)"
    )
    return _evidence((first > 0) & (last < 0), told, lines, note)


def _played(condition: str, effort: Effort) -> tuple[dict[str, np.ndarray], str]:
    """What every round came to where all are truthful, [seeds, rounds, agents] by name; and the
    seeds, or why there are none.
    """
    count = effort.paper if condition == AS_STATED else effort.linear[0]
    if not count:
        return {}, SMALL
    options = linear(condition, effort)
    market = parameter_trading(
        ParameterTradingConfig(n_agents=len(AGENTS), cash=float("inf"), **options)
    )
    policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
    # a thousand parameters are large in memory
    pieces = seeds_of(JUDGE, count).split(1 if condition == AS_STATED else count)
    done = [
        episodes(market, policies, rounds.begin(market, seeds), partial(note, market))
        for seeds in pieces
    ]
    curves = {
        name: torch.cat([one[name] for one in done], 1).transpose(0, 1).numpy() for name in done[0]
    }
    return (
        curves,
        (
            f"JUDGE + 0..{count - 1}, {options['max_cycles']} rounds,"
            f" {options['data_options']['dimension']} parameters"
        ),
    )


def _evidence(shown: np.ndarray, seeds: str, lines: Mapping[str, Any], note: str) -> Evidence:
    samples = {"runs that show it": shown.astype(float).tolist()}
    notes = (f"seen in {int(shown.sum())} of {len(shown)} runs", note)
    return Evidence(samples=samples, seeds=seeds, series=(lines,), notes=notes)
