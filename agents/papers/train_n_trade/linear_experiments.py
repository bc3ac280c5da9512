"""Figures 3 and 5: what two linear agents gain by trade, who leads, and what models cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marketenv.core.market import Report
from marketenv.mechanisms import nash_bargaining
from marketenv.valuation import theorem_4_1

from ...stress.attack import JUDGE, seeds_of
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .episodes import OTHER, Curves, curves, joined
from .linear_market import FULL, in_words, market_of, options_of, sizes
from .methods import Ending, played
from .numbers import FALLS
from .settings import AGENTS, DIGITS, digits

SMALL = "it wants the effort standard or full"


# --- statistics of rounds -------------------------------------------------------------------------


def early(values: np.ndarray) -> np.ndarray:
    """The first half of the rounds: [seeds, rounds, ...]."""
    return values[:, : max(1, values.shape[1] // 2)]


def late(values: np.ndarray) -> np.ndarray:
    """The last tenth of the rounds: [seeds, rounds, ...]."""
    return values[:, -max(1, values.shape[1] // 10) :]


def turns(values: np.ndarray, level: float) -> np.ndarray:
    """1 for the runs [seeds, rounds] with a mean below the level in the first half, above it in the
    last tenth.

    NaN in the first half is left out.
    """
    first, last = np.nanmean(early(values), 1), late(values).mean(1)
    return ((first < level) & (last > level)).astype(float)


def fall(inside: Any, outside: Any) -> Any:
    """By how much less is lost in the market than out of it, %."""
    return 100 * (1 - inside / outside)


def lead(errors: np.ndarray) -> np.ndarray:
    """Error of A / error of B: above 1, B leads."""
    return errors[..., 0] / errors[..., 1]


# --- figure 3: both gain --------------------------------------------------------------------------


def both_gain(condition: str, effort: Effort) -> Evidence:
    """How much less each agent loses in the market, % of its test loss out of it."""
    if condition == AS_STATED and not effort.data:
        return Evidence(untested=FULL)
    inside, saved, seeds = _saved(condition, effort)
    samples = {f"fall of {who}'s test loss": saved[:, k].tolist() for k, who in enumerate(AGENTS)}
    return Evidence(samples=samples, seeds=seeds, series=trades(inside.reports))


def figure_3(condition: str, effort: Effort) -> Evidence:
    """How far the fall of each agent's test loss is from the paper's number, relative.

    Above and below are two samples.
    """
    if condition == AS_STATED and not effort.data:
        return Evidence(untested=FULL)
    _, saved, seeds = _saved(condition, effort)
    samples: dict[str, list[float]] = {}
    for k, (agent, paper) in enumerate(FALLS.items()):
        off = saved[:, k] / paper.value - 1
        samples[f"{agent} above {paper.value} %"] = off.tolist()
        samples[f"{agent} below {paper.value} %"] = (-off).tolist()
    means = ", ".join(f"{who} {float(saved[:, k].mean()):.4g} %" for k, who in enumerate(AGENTS))
    return Evidence(samples=samples, seeds=seeds, notes=(f"mean falls: {means}",))


def _saved(condition: str, effort: Effort) -> tuple[Ending, Tensor, str]:
    """How the market ended, falls of the test loss [seeds, agents] in %, and the seeds in words.

    Agents join the market after a twelfth of the rounds, as on digits.
    """
    of_digits = condition == DIGITS
    options = digits(condition, effort) if of_digits else options_of(sizes(condition, effort))
    seeds = seeds_of(JUDGE, effort.seeds if of_digits else effort.linear[0])
    inside, outside = (played(options, method, seeds) for method in ("aligned", "out_of_market"))
    saved: Tensor = fall(inside.loss, outside.loss)
    return inside, saved, in_words(len(seeds), options["max_cycles"])


def trades(reports: list[Report]) -> tuple[dict[str, Any], ...]:
    """Pictures of what each agent paid round by round, and of who paid whom in an episode."""
    paid = torch.stack([report.paid for report in reports], 1)[:20]  # [seeds, rounds, agents]
    transfers = torch.stack([report.transfers for report in reports]).sum(0).mean(0)
    prices = {f"{name} pays": paid[..., k].tolist() for k, name in enumerate(AGENTS)}
    lines = {"kind": "lines", "title": "prices over rounds", "x": "round", "y": "money"}
    network = {"kind": "network", "title": "who pays whom, money per episode"}
    money = transfers[: len(AGENTS), : len(AGENTS)].tolist()
    return lines | {"curves": prices}, network | {"names": list(AGENTS), "money": money}


# --- figures 3 and 5: round by round --------------------------------------------------------------


def figure_3_lead(condition: str, effort: Effort) -> Evidence:
    """Whether A leads in the first half of a run's rounds, and B in the last tenth.

    The leader is the agent with the smaller squared parameter error before trade.
    """
    inside, seeds = rounds_of(condition, effort)
    if not inside:
        return Evidence(untested=seeds)
    ratio = lead(inside["trained"])
    title, y = "error of A / error of B", "above 1, B leads"
    means = (
        f"{title}: {early(ratio).mean():.4f} in the first half, {late(ratio).mean():.4f} at the"
        " end (means)"
    )
    shown = turns(ratio, 1.0)
    return _evidence(shown, seeds, title, y, {"in the market": ratio[:20].tolist()}, means)


def figure_5(condition: str, effort: Effort) -> Evidence:
    """Whether A's model is dearer in the first half of a run's rounds, and B's in the last tenth.

    Prices are in Delta.
    """
    inside, seeds = rounds_of(condition, effort)
    if not inside:
        return Evidence(untested=seeds)
    prices, _ = negotiated(inside, "paper")
    # runs in whose first half both models have a price
    prices = prices[~np.isnan(early(prices)).any(2).all(1)]
    if not len(prices):
        return Evidence(untested="in no run both models were sold in the first half of the rounds")
    more = prices[..., 0] - prices[..., 1]
    first, last = np.nanmean(early(more), 1).mean(), late(more).mean(1).mean()
    means = f"A's price less B's: {first:.4f} in the first half, {last:.4f} at the end"
    by_model = {f"{who}'s model": prices[:20, :, k].tolist() for k, who in enumerate(AGENTS)}
    shown = turns(-more, 0.0)
    return _evidence(
        shown, seeds, "negotiated prices", "Delta", by_model, f"{means} (means, Delta)"
    )


def rounds_of(condition: str, effort: Effort) -> tuple[Curves, str]:
    """What every round came to where all are truthful, and the seeds in words.

    Without seeds no curves, and the reason why.
    """
    count = effort.paper if condition == AS_STATED else effort.linear[0]
    if not count:
        return {}, SMALL
    arguments = sizes(condition, effort)
    market = market_of(arguments)
    # a thousand parameters are large in memory
    pieces = seeds_of(JUDGE, count).split(1 if condition == AS_STATED else count)
    inside = joined([curves(market, seeds)["in"] for seeds in pieces])
    words = in_words(count, arguments["rounds"])
    return inside, f"{words}, {arguments['dimension']} parameters"


def _evidence(
    shown: np.ndarray, seeds: str, title: str, y: str, lines: Mapping[str, Any], means: str
) -> Evidence:
    series = {"kind": "lines", "title": title, "x": "round", "y": y, "curves": lines}
    return Evidence(
        samples={"runs that show it": shown.tolist()},
        seeds=seeds,
        series=(series,),
        notes=(f"seen in {int(shown.sum())} of {len(shown)} runs", means),
    )


def negotiated(played: Mapping[str, np.ndarray], form: str) -> tuple[np.ndarray, np.ndarray]:
    """Prices of A's and B's model in Delta, and which negotiations came to a trade.

    The buyer bids its Delta, the seller asks the lower bound of Theorem 4.1, the price is the
    midpoint. Where there is no trade the price stays what it was, NaN before the first one.
    each [seeds, rounds, sellers]
    """
    # [rounds of all seeds, agents]
    gain, alpha, wants = (
        torch.from_numpy(played[name]).flatten(0, 1) for name in ("gain", "alpha", "bought")
    )
    # a seller knows its own gain and both weights
    ask, _ = theorem_4_1(gain, alpha, alpha[:, OTHER], form)
    bids = torch.zeros(len(gain), 2, 2, dtype=torch.float64)
    bids[:, [0, 1], OTHER] = gain * wants
    outcome = nash_bargaining(bids, ask)
    prices, agreed = (
        pairs[:, OTHER, [0, 1]].reshape(played["gain"].shape).numpy()
        for pairs in (outcome.prices, outcome.allocation)
    )
    return carry(prices, agreed), agreed


def carry(prices: np.ndarray, agreed: np.ndarray) -> np.ndarray:
    """Keep the last price where nothing was agreed: [seeds, rounds, sellers]."""
    n_rounds = np.arange(prices.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(agreed, n_rounds, -1), axis=1)
    return np.where(last >= 0, np.take_along_axis(prices, last.clip(0), 1), np.nan)
