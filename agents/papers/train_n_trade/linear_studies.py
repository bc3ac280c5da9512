"""Studies of two linear agents of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023).

Figures 3, 4 and 5: two linear regressions trade parameters through a broker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from marketenv.learners import Training
from marketenv.valuation import disclosed_gain

from ..core.rows import about
from ..core.study import Common, Row, Study, run
from ..core.units import Unit
from . import linear_figures as figures
from .episodes import OTHER, Curves, curves, joined
from .linear_experiments import carry, early, fall, late, lead, negotiated, turns
from .linear_market import market_of, source_of
from .numbers import EARLIER_FALLS, EARLIER_TURNS, FALLS
from .per_seed import jsonable, mean, middle, row, share
from .settings import AGENTS


@dataclass(frozen=True, kw_only=True)
class Fig3(Common):
    """Arguments of the studies of two linear agents; the defaults are the paper's, where it names
    them.

    Args:
        seeds: episodes, each with tasks and examples of its own; below 20 no interval is shown
        rounds: rounds of training and trade
        dimension: number of parameters d
        examples: training examples of A and of B
        variance: of the label noise of A and of B
        validation: noiseless examples of the broker
        test: noiseless examples that test losses are measured on
        rate: size of a gradient step; only rate * rounds, about 1, can be read from the paper's
            figures
    """

    seeds: int = 20
    rounds: int = 100
    dimension: int = 1000
    examples: tuple[int, int] = (500, 800)
    variance: tuple[float, float] = (0.0, 0.5)
    validation: int = 10_000
    test: int = 10_000
    rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seeds", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted at least 1.")
        if min(self.variance) < 0:
            raise ValueError(f"variance is {self.variance}, wanted numbers >= 0.")
        source_of(self.arguments())
        Training(learning_rate=self.rate)

    def arguments(self) -> dict[str, Any]:
        """The arguments of a unit of work, its seed aside."""
        names = ("rounds", "dimension", "examples", "validation", "test", "rate")
        noise = tuple(math.sqrt(variance) for variance in self.variance)
        return {name: getattr(self, name) for name in names} | {"noise": noise}


def smaller(config: Fig3) -> str:
    """What is not as in the paper, in words; "" where nothing differs."""
    names = ("rounds", "dimension", "examples", "variance", "validation", "rate")
    ours, theirs = about(config), about(Fig3())
    changed = (name for name in names if ours[name] != theirs[name])
    return "; ".join(f"{name} {ours[name]}, the paper's {theirs[name]}" for name in changed)


def play(folder: Path, seed: int, where: Sequence[str], **arguments: Any) -> dict[str, Any]:
    """One seed in the market, out of it, or both: curves [rounds][agents] by place and name."""
    played = curves(market_of(arguments), torch.tensor([seed]), where)
    return {
        place: {name: values[0].tolist() for name, values in one.items()}
        for place, one in played.items()
    }


def play_figure_3(
    config: Fig3, label: str, where: Sequence[str] = ("in", "out"), **changes: Any
) -> dict[str, Curves]:
    """Curves of every seed in and out of the market, by place.

    Equal arguments are played once for all studies of a folder.
    """
    arguments = config.arguments() | changes | {"where": tuple(where)}
    work = [Unit(play, {"seed": seed, **arguments}) for seed in range(config.seeds)]
    results = run(work, config, label)
    return {place: joined([_arrays(one[place]) for one in results]) for place in where}


def _arrays(curves: Mapping[str, Any]) -> Curves:
    return {name: np.array([values]) for name, values in curves.items()}


# --- figure 3 -------------------------------------------------------------------------------------


def fig3(config: Fig3) -> None:
    """Figure 3: two linear agents gain from trade: who bought when, whose parameters are
    better, learning curves.
    """
    inside, outside = play_figure_3(config, "Figure 3").values()
    on_test = {"broker_data": "test", "validation": 1}
    leaked = play_figure_3(config, "Figure 3, broker on test data", ("in",), **on_test)["in"]
    ratio = lead(inside["trained"])
    played = {"in the market": inside, "out of the market": outside}
    lines = {"ratio in": ratio, "ratio out": lead(outside["error"])} | {
        f"{where}: test loss of {agent}": one["test"][..., k]
        for where, one in played.items()
        for k, agent in enumerate(AGENTS)
    }
    Study(
        name="fig3",
        title="Figure 3: two linear agents in and out of the market",
        scaled=smaller(config),
        about=about(config),
        rows=(*_falls(inside, outside, leaked), *_leads(ratio, lead(outside["error"]))),
        fig=figures.figure_3(played, ratio),
        notes=(
            "The paper's 100 runs are read as 100 rounds of one episode, each point here is one"
            " episode. The ratio is that of the squared parameter errors after training and"
            " before trade; above 1, B leads.",
            "Where both buy, both end the round with the same parameters: the ratio stays near"
            " 1, whoever leads by a little.",
        ),
        curves={
            "mean over seeds": {name: x.mean(0).tolist() for name, x in lines.items()},
            "bought [seeds, rounds, agents]": inside["bought"].astype(int).tolist(),
        },
    ).write(config.out)


def _falls(inside: Curves, outside: Curves, leaked: Curves) -> Iterator[Row]:
    """What each agent gains by trade, with a broker that holds data of its own or the test data."""
    falls, leaks = (fall(one["test"], outside["test"])[:, -1] for one in (inside, leaked))
    for k, agent in enumerate(AGENTS):
        known = EARLIER_FALLS[agent], FALLS[agent]
        what = f"{agent}: fall of the test loss against out of the market"
        yield row(what, "%", falls[:, k], *known)
        yield row(f"{agent}: the same, broker on the test data", "%", leaks[:, k], *known)
        added, unit = leaks[:, k] - falls[:, k], "percentage points"
        yield row(f"{agent}: what the test data add, paired by seed", unit, added)
        yield row(f"{agent}: rounds with a purchase", "%", 100 * inside["bought"][..., k].mean(1))


def _leads(ratio: np.ndarray, outer: np.ndarray) -> Iterator[Row]:
    """Who leads in the market and out of it."""
    what, unit = "A leads in the first half, then B", "share of seeds"
    source = f"figure 3 shows it in one run; {EARLIER_TURNS}"
    yield row(what, unit, turns(ratio, 1.0), source)
    yield row(f"out of the market: {what}", unit, turns(outer, 1.0))
    yield row("error of A / error of B, mean of the first half", "ratio", early(ratio).mean(1))
    what = "error of A / error of B, last round"
    yield row(what, "ratio", ratio[:, -1])
    yield row(f"out of the market: {what}", "ratio", outer[:, -1])


# --- figure 5 -------------------------------------------------------------------------------------


def fig5(config: Fig3) -> None:
    """Figure 5: the negotiated price of each model over rounds, beside the price if sellers
    knew the buyers' values.
    """
    inside = play_figure_3(config, "Figure 5")["in"]
    bought = inside["bought"][..., OTHER] > 0  # who sold: [seeds, rounds, sellers]
    best = carry(inside["gain"][..., OTHER], bought)
    prices, rows = {"ask = bid": best}, []
    for form in ("paper", "sharp"):
        price, agreed = negotiated(inside, form)
        for k, agent in enumerate(AGENTS):
            what = f"{agent}'s model: price at ask = bid less price at ask = {form} bound"
            rows.append(middle(what, (best - price)[..., k]))
        what = f"{form} bound: offers that fail though the buyer gains"
        rows.append(row(what, "%", share(~agreed, bought)))
        prices[f"ask = {form} bound"] = price
    Study(
        name="fig5",
        title="Figure 5: negotiated prices in Delta, ask = lower bound against ask = bid",
        scaled=smaller(config),
        about=about(config),
        rows=(*rows, *_early_and_late(prices["ask = paper bound"]), *_revealed(inside)),
        fig=figures.figure_5(prices),
        notes=(
            "Prices are in Delta as in the paper; the market itself prices Delta - 1. A bound"
            " never exceeds the buyer's value, so the trades are those of figure 3.",
            "At an interior optimum of the Euclidean error the weights reveal the buyer's value"
            " exactly: Delta_b = 1 + ((1 - alpha) / alpha)^2 (Delta_a - 1). This broker's"
            " weights minimise its loss on finitely many examples, so that the formula misses"
            " by what is shown.",
        ),
        curves={
            f"{agent}'s model, {name}": jsonable(mean(price[..., k]))
            for name, price in prices.items()
            for k, agent in enumerate(AGENTS)
        },
    ).write(config.out)


def _early_and_late(price: np.ndarray) -> Iterator[Row]:
    """Whether A's model is the dearer one at first and B's at the end, as figure 5 shows."""
    less, what = price[..., 0] - price[..., 1], "paper bound: price of A's model less that of B's"
    source = "figure 5: {} 0, without a number"
    yield middle(f"{what}, first half", early(less), source.format("above"))
    yield middle(f"{what}, last tenth", late(less), source.format("below"))


def _revealed(inside: Curves) -> Iterator[Row]:
    """How near its own gain and weight bring a seller to the buyer's gain."""
    alpha, gain = inside["alpha"], inside["gain"]
    inner = (np.minimum(alpha, 1 - alpha) > 1e-3).all(2)
    guess = disclosed_gain(torch.from_numpy(alpha), torch.from_numpy(gain)).numpy()
    miss = np.where(inner[..., None], np.abs(guess - gain[..., OTHER]), np.nan)
    yield row("rounds with both weights inside (0, 1)", "%", 100 * inner.mean(1))
    what = "|buyer's gain as own gain and weight reveal it - true one|, median"
    yield middle(what, miss, take=np.median)
    yield middle("|buyer's gain - 1|, median", np.abs(gain - 1), take=np.median)
