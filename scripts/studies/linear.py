"""The linear experiments of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023): figures 3, 4
and 5.

Two linear regressions, A with few clean and B with more noisy examples, trade parameters through a
broker.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from agents.markets import STRATEGIES
from agents.stress.claims.linear_experiments import (
    OTHER,
    carry,
    early,
    late,
    negotiated,
    note,
    turns,
)
from agents.stress.claims.tables import AGENTS, own_weights
from agents.stress.claims.theorems import episodes as watched
from agents.stress.claims.theorems import squares
from marketenv.core import rounds
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.policy import Policy
from marketenv.data.linear import SyntheticLinear
from marketenv.learners import Training
from marketenv.markets.parameter_trading import (
    ROLE,
    ParameterTradingConfig,
    Traded,
    parameter_trading,
)
from marketenv.markets.parameter_trading.reports import Quotes
from marketenv.render import draw_lines, figure
from marketenv.render.pictures import COLOURS
from marketenv.valuation import disclosed_gain
from scripts.studies.study import Common, Row, Study, number, run
from scripts.units import Unit

# section 6.1.3: fall of the test loss against out of the market, %
PAPER = {"A": 42.84, "B": 23.88}
# replayed before this library existed, 4 seeds
DERIVED = {"A": "40.9 ± 2.5 %", "B": "24.7 ± 1.4 %"}
# the same for figure 4, A's fall in %
DERIVED_BY_DISTANCE = {0.0: 42, 0.25: 39, 0.5: 32, 1.0: 19, 2.0: 8}


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
        arguments = self.arguments()
        source_of(arguments)
        Training(learning_rate=arguments["rate"])

    def arguments(self) -> dict[str, Any]:
        """What a unit of work is told, its seed aside."""
        names = ("rounds", "dimension", "examples", "validation", "test", "rate")
        return {name: getattr(self, name) for name in names} | {
            "noise": tuple(math.sqrt(v) for v in self.variance)
        }


def settings(config: Common) -> dict[str, Any]:
    """The arguments that results depend on."""
    where = {field.name for field in dataclasses.fields(Common)}
    return {name: value for name, value in vars(config).items() if name not in where}


# --- one market -----------------------------------------------------------------------------------


def source_of(arguments: Mapping[str, Any]) -> SyntheticLinear:
    """The data of a unit; ValueError for sizes that make none."""
    names = {field.name for field in dataclasses.fields(SyntheticLinear)}
    return SyntheticLinear(
        n_agents=2, **{name: value for name, value in arguments.items() if name in names}
    )


@functools.cache
def _market(
    source: SyntheticLinear, n_rounds: int, rate: float, valuation: str, alpha: Any
) -> Market:
    """A market without money worries: one unit of money per unit of gain, effort for nothing,
    no end of cash.
    """
    training = Training(optimizer="sgd", learning_rate=rate, batch_size=None, steps=1)
    free: dict[str, Any] = {
        "money_per_loss": (1.0, 1.0),
        "effort_cost": (0.0, 0.0),
        "cash": math.inf,
    }
    parts: dict[str, Any] = {"data": source, "learner": "linear", "training": training}
    broker = {"valuation": valuation, "alpha": alpha}
    return parameter_trading(
        ParameterTradingConfig(n_agents=2, max_cycles=n_rounds, **parts, **broker, **free)
    )


def market_of(
    arguments: Mapping[str, Any], valuation: str = "error_ratio", alpha: Any = "auto"
) -> Market:
    """The market of a unit, with the broker it asks for."""
    return _market(source_of(arguments), arguments["rounds"], arguments["rate"], valuation, alpha)


def everybody(market: Market, strategy: str) -> dict[str, Policy]:
    """Every agent plays one scripted strategy."""
    return dict.fromkeys(agent_names(market), STRATEGIES[strategy].build(market))


# the strategy of everybody in the market and out of it
PLAYED = {"in": "truthful", "out": "never_trade"}


def episodes(
    folder: Path, seed: int, where: Sequence[str], **arguments: Any
) -> dict[str, dict[str, list[list[float]]]]:
    """One seed in the market, out of it, or both: curves [rounds][agents] by name."""
    market = market_of(arguments)
    start, watch = rounds.begin(market, torch.tensor([seed])), functools.partial(note, market)
    return {
        place: _plain(watched(market, everybody(market, PLAYED[place]), start, watch))
        for place in where
    }


def _plain(curves: Mapping[str, Tensor]) -> dict[str, list[list[float]]]:
    return {name: values[:, 0].tolist() for name, values in curves.items()}  # of the one market


Curves = dict[str, np.ndarray]  # by name: [seeds, rounds, agents]


def together(results: Sequence[Mapping[str, Any]]) -> Curves:
    """Curves of many seeds by name: [seeds, rounds, agents]."""
    return {name: np.array([result[name] for result in results]) for name in results[0]}


def play_figure_3(
    config: Fig3, label: str, where: Sequence[str] = ("in", "out"), **changes: Any
) -> dict[str, Curves]:
    """Curves of every seed in and out of the market; equal arguments are played once for all
    studies of a folder.
    """
    arguments = config.arguments() | changes | {"where": tuple(where)}
    done = run(
        [Unit(episodes, {"seed": seed, **arguments}) for seed in range(config.seeds)], config, label
    )
    return {place: together([result[place] for result in done]) for place in where}


def row(
    what: str, unit: str, points: np.ndarray, source: str = "", paper: float | None = None
) -> Row:
    """One number a seed beside the paper's."""
    return Row(
        what=what, unit=unit, paper=paper, points=tuple(float(p) for p in points), source=source
    )


def smaller(config: Fig3) -> str:
    """What is not as in the paper, in words; "" where nothing differs."""
    names = ("rounds", "dimension", "examples", "variance", "validation", "rate")
    ours, theirs = settings(config), settings(Fig3())
    return "; ".join(
        f"{name} {ours[name]}, the paper's {theirs[name]}"
        for name in names
        if ours[name] != theirs[name]
    )


# --- figure 3 -------------------------------------------------------------------------------------


def fall(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """By how much less is lost inside, %."""
    return 100 * (1 - inside / outside)


def fig3(config: Fig3) -> None:
    """Figure 3: two linear agents gain from trade: who bought when, whose parameters are
    better, learning curves.
    """
    inside, outside = play_figure_3(config, "Figure 3").values()
    leaked = play_figure_3(
        config, "Figure 3, broker on test data", ("in",), broker_data="test", validation=1
    )["in"]
    ratio = inside["trained"][..., 0] / inside["trained"][..., 1]
    rows, falls = [], fall(inside["test"], outside["test"])[:, -1]
    leaks = fall(leaked["test"], outside["test"])[:, -1]
    for k, agent in enumerate(AGENTS):
        cited = f"section 6.1.3; derived: {DERIVED[agent]} (4 seeds)"
        rows += [
            row(
                f"{agent}: fall of the test loss against out of the market",
                "%",
                falls[:, k],
                cited,
                PAPER[agent],
            )
        ]
        rows += [
            row(
                f"{agent}: the same, broker on the test data", "%", leaks[:, k], cited, PAPER[agent]
            )
        ]
        rows += [
            row(
                f"{agent}: what the test data add, paired by seed",
                "percentage points",
                leaks[:, k] - falls[:, k],
            )
        ]
        rows += [
            row(f"{agent}: rounds with a purchase", "%", 100 * inside["bought"][..., k].mean(1))
        ]
    crossing = "figure 3 shows it in one run; derived: in 0 of 6 seeds"
    rows += [row("A leads in the first half, then B", "share of seeds", turns(ratio), crossing)]
    outer = outside["error"][..., 0] / outside["error"][..., 1]
    rows += [
        row("out of the market: A leads in the first half, then B", "share of seeds", turns(outer))
    ]
    rows += [row("error of A / error of B, mean of the first half", "ratio", early(ratio).mean(1))]
    rows += [row("error of A / error of B, last round", "ratio", ratio[:, -1])]
    rows += [row("out of the market: error of A / error of B, last round", "ratio", outer[:, -1])]
    losses = {
        f"{where}: test loss of {a}": c["test"][..., k]
        for where, c in _where(inside, outside)
        for k, a in enumerate(AGENTS)
    }
    means = {
        name: values.mean(0).tolist()
        for name, values in ({"ratio in": ratio, "ratio out": outer} | losses).items()
    }
    Study(
        name="fig3",
        title="Figure 3: two linear agents in and out of the market",
        scaled=smaller(config),
        about=settings(config),
        rows=tuple(rows),
        fig=_draw_fig3(inside, outside, ratio),
        notes=(
            (
                "The paper's 100 runs are read as 100 rounds of one episode, each point here is one"
                " episode. The ratio is that of the squared parameter errors after training and"
                " before trade; above 1, B leads."
            ),
            (
                "Where both buy, both end the round with the same parameters: the ratio stays near"
                " 1, whoever leads by a little."
            ),
        ),
        curves={
            "mean over seeds": means,
            "bought [seeds, rounds, agents]": inside["bought"].astype(int).tolist(),
        },
    ).write(config.out)


def _where(inside: Curves, outside: Curves) -> tuple[tuple[str, Curves], ...]:
    return (("in the market", inside), ("out of the market", outside))


def _draw_fig3(inside: Curves, outside: Curves, ratio: np.ndarray) -> Figure:
    fig, (log, lead, *curves) = figure(4)
    bought = np.concatenate([inside["bought"][..., 0], inside["bought"][..., 1]])
    log.imshow(
        bought,
        aspect="auto",
        interpolation="nearest",
        cmap=ListedColormap(["#c0392b", "#2e8b57"]),
        vmin=0,
        vmax=1,
        extent=_box(bought),
    )
    seeds = len(ratio)
    log.axhline(seeds + 0.5, color="white", lw=3)
    log.set(title="purchases: green yes, red no", xlabel="round", ylabel="one line a seed")
    log.set_yticks([seeds / 2 + 0.5, 1.5 * seeds + 0.5], ["A buys", "B buys"])
    draw_lines(
        lead, {"in the market": ratio}, "error of A / error of B", "round", "above 1, B leads"
    )
    lead.axhline(1, color="red", ls="--", lw=1)
    for k, axes in enumerate(curves):
        lines = {where: played["test"][..., k] for where, played in _where(inside, outside)}
        draw_lines(axes, lines, f"agent {AGENTS[k]}", "round", "test loss")
    return fig


def _box(log: np.ndarray) -> tuple[float, float, float, float]:
    return (0.5, log.shape[1] + 0.5, len(log) + 0.5, 0.5)


# --- figure 4 -------------------------------------------------------------------------------------

LOSSES = ("loss on its own task", "mean loss over both tasks")
OUT: tuple[str, dict[str, Any]] = ("out", {})
BROKERS: dict[str, dict[str, Any]] = {  # how the broker finds weights, and what it discloses
    "own-task broker": {"alpha": own_weights, "valuation": "error_ratio"},
    "two-task broker, error ratio": {"alpha": "auto", "valuation": "error_ratio"},
    "two-task broker, loss": {"alpha": "auto", "valuation": "loss_difference"},
}


@dataclass(frozen=True, kw_only=True)
class Fig4(Fig3):
    """Arguments of figure 3, and how far the tasks are apart.

    Args:
        test: examples of a test set that nothing is measured on: losses are known exactly here
        distances: distances of the two true parameters, in lengths of A's
    """

    test: int = 1
    distances: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.distances or any(
            a >= b for a, b in zip(self.distances, self.distances[1:], strict=False)
        ):
            raise ValueError(
                f"distances is {self.distances}, wanted one or more, each larger than the one"
                " before."
            )
        for distance in self.distances:
            source_of(self.arguments() | {"distance": distance})


def related(folder: Path, seed: int, **arguments: Any) -> dict[str, list[list[float]]]:
    """What both agents end with, by broker and out of the market: loss on the own task, mean over
    both tasks, purchases.

    Features are standard Gaussian and test labels noiseless, so half the mean squared error is
    |theta - theta*|^2 / 2.
    """
    # brokers change nothing before they quote
    found, opened = {}, rounds.opened(market_of(arguments), torch.tensor([seed]))
    optimum = opened.floor.world.optimum
    for name, broker in (OUT, *BROKERS.items()):
        market = market_of(arguments, **broker)
        policies, start = (
            everybody(market, "never_trade" if name == "out" else "truthful"),
            rounds.begun(market, opened),
        )
        played = watched(market, policies, start, _ends)
        own, other = (
            squares(played["p"][-1] - optimum[0]) / 2,
            squares(played["p"][-1] - optimum[0].flip(0)) / 2,
        )
        found[name] = [
            own.tolist(),
            ((own + other) / 2).tolist(),
            played["bought"].double().mean(0).tolist(),
        ]
    return found


def _ends(quotes: Quotes, end: rounds.Situation, report: Report) -> dict[str, Tensor]:
    return {"p": end.floor.models[ROLE].params[0], "bought": report.of(Traded).bought[0]}


def fig4(config: Fig4) -> None:
    """Figure 4: A gains from parameters of a related task, the less the farther that task is
    from its own.
    """
    arguments = config.arguments()
    units = [
        Unit(related, {"seed": s, "distance": d, **arguments})
        for d in config.distances
        for s in range(config.seeds)
    ]
    done = run(units, config, "Figure 4")
    shape = (len(config.distances), config.seeds, 3, 2)
    ends = {
        name: np.array([result[name] for result in done]).reshape(shape)
        for name in ("out", *BROKERS)
    }
    # [distances, seeds, (own, both)]
    falls = {name: fall(ends[name][:, :, :2, 0], ends["out"][:, :, :2, 0]) for name in BROKERS}
    rows = []
    for name in BROKERS:
        for which, loss in enumerate(LOSSES):
            for k, distance in enumerate(config.distances):
                cited = (
                    DERIVED_BY_DISTANCE.get(distance)
                    if (name, which) == ("own-task broker", 0)
                    else None
                )
                source = "figure 4 gives no numbers" + (f"; derived: {cited} %" if cited else "")
                rows += [
                    row(
                        f"{name}: fall of A's {loss}, distance {distance:g}",
                        "%",
                        falls[name][k, :, which],
                        source,
                    )
                ]
        for k, distance in enumerate(config.distances):
            rows += [
                row(
                    f"{name}: rounds in which A buys, distance {distance:g}",
                    "%",
                    100 * ends[name][k, :, 2, 0],
                )
            ]
    rows += _claims(falls)
    Study(
        name="fig4",
        title="Figure 4: A's gain from trade with a related task",
        scaled=smaller(config),
        about=settings(config),
        rows=tuple(rows),
        fig=_draw_fig4(config.distances, falls),
        notes=(
            (
                "The paper's broker holds examples of both tasks, and so does the market's own: its"
                " weights serve the average of both tasks. The own-task broker labels its features"
                " by each buyer's task in turn; the derived numbers are about that. The gate is"
                " Delta > 1 of the buyer's own parameter error, or with 'loss' a fall of the"
                " broker's loss."
            ),
            (
                "We read the paper's 'empirical testing loss' as A's loss on its own task. Negative"
                " falls are harm done by trade."
            ),
        ),
        curves={
            "distances": config.distances,
            "mean fall, %": {name: f.mean(1).T.tolist() for name, f in falls.items()},
        },
    ).write(config.out)


def _claims(falls: Mapping[str, np.ndarray]) -> list[Row]:
    """Whether A's gain is positive throughout and falls with the distance, seed by seed."""
    rows = []
    for name, values in falls.items():
        for which, loss in enumerate(LOSSES):
            gain = values[..., which]
            falling = (
                (np.diff(gain, axis=0) < 0).all(0) if len(gain) > 1 else np.ones(gain.shape[1])
            )
            rows += [
                row(
                    f"{name}: A's {loss} falls at every distance",
                    "share of seeds",
                    (gain > 0).all(0),
                )
            ]
            rows += [row(f"{name}: the less the farther, A's {loss}", "share of seeds", falling)]
    return rows


def band(
    axes: Axes, x: Sequence[float], values: np.ndarray, label: str, colour: int, style: str = "-"
) -> None:
    """Draw the mean of [points, seeds] over x, with the middle half of the seeds shaded."""
    axes.plot(x, values.mean(1), style, marker="o", ms=3, label=label, color=COLOURS[colour])
    axes.fill_between(
        x, *np.quantile(values, (0.25, 0.75), axis=1), color=COLOURS[colour], alpha=0.15, lw=0
    )


def _draw_fig4(distances: Sequence[float], falls: Mapping[str, np.ndarray]) -> Figure:
    fig, panels = figure(2, 5.2, 3.8)
    for which, (axes, loss) in enumerate(zip(panels, LOSSES, strict=True)):
        for k, (name, values) in enumerate(falls.items()):
            band(axes, distances, values[..., which], name, k)
        axes.axhline(0, color="black", lw=0.6)
        axes.set(
            title=f"fall of A's {loss}", xlabel="distance of the tasks / length of A's", ylabel="%"
        )
        axes.legend(fontsize=7, frameon=False)
    axes = panels[0]
    axes.set_ylim(bottom=max(axes.get_ylim()[0], -30))
    return fig


# --- figure 5 -------------------------------------------------------------------------------------


def fig5(config: Fig3) -> None:
    """Figure 5: the negotiated price of each model over rounds, beside the price if sellers
    knew the buyers' values.
    """
    played = play_figure_3(config, "Figure 5")["in"]
    bought = played["bought"][..., OTHER] > 0  # who sold: [seeds, rounds, sellers]
    value, rows = played["gain"][..., OTHER], []
    best = carry(value, bought)
    prices = {"ask = bid": best}
    for form in ("paper", "sharp"):
        prices[f"ask = {form} bound"], agreed = negotiated(played, form)
        gap = best - prices[f"ask = {form} bound"]
        rows += [
            middle(
                f"{AGENTS[k]}'s model: price at ask = bid less price at ask = {form} bound",
                gap[..., k],
            )
            for k in (0, 1)
        ]
        rows += [
            row(
                f"{form} bound: offers that fail though the buyer gains",
                "%",
                share(~agreed, bought),
            )
        ]
    rows += [*_early_and_late(prices["ask = paper bound"]), *_revealed(played)]
    Study(
        name="fig5",
        title="Figure 5: negotiated prices in Delta, ask = lower bound against ask = bid",
        scaled=smaller(config),
        about=settings(config),
        rows=tuple(rows),
        fig=_draw_fig5(prices),
        notes=(
            (
                "Prices are in Delta as in the paper; the market itself prices Delta - 1. A bound"
                " never exceeds the buyer's value, so the trades are those of figure 3."
            ),
            (
                "At an interior optimum of the Euclidean error the weights reveal the buyer's value"
                " exactly: Delta_b = 1 + ((1 - alpha) / alpha)^2 (Delta_a - 1). This broker's"
                " weights minimise its loss on finitely many examples, so that the formula misses"
                " by what is shown."
            ),
        ),
        curves={
            f"{a}'s model, {name}": jsonable(mean(p[..., k]))
            for name, p in prices.items()
            for k, a in enumerate(AGENTS)
        },
    ).write(config.out)


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over seeds of what is known: [seeds, ...] to [...]; NaN where nothing is."""
    count = np.isfinite(values).sum(0)
    return np.where(
        count > 0, np.where(np.isfinite(values), values, 0).sum(0) / count.clip(1), np.nan
    )


def jsonable(values: np.ndarray) -> list[float | None]:
    """One curve, None where nothing is known."""
    return [number(value) for value in values]


def middle(
    what: str, values: np.ndarray, source: str = "", take: Callable[[np.ndarray], Any] = np.mean
) -> Row:
    """The mean (or median) of each seed over what is known, in Delta; NaN for seeds that know
    nothing.
    """
    seeds = [seed[np.isfinite(seed)] for seed in values.reshape(len(values), -1)]
    return row(
        what, "Delta", np.array([take(known) if len(known) else np.nan for known in seeds]), source
    )


def share(of: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How many of ``among`` [seeds, ...] are ``of``, % of each seed; NaN where there are none."""
    count = among.reshape(len(among), -1).sum(1)
    return np.where(
        count > 0, 100 * (of & among).reshape(len(among), -1).sum(1) / count.clip(1), np.nan
    )


def _early_and_late(price: np.ndarray) -> list[Row]:
    """Whether A's model is the dearer one in the first half and B's in the last tenth, as
    figure 5 shows.
    """
    less = price[..., 0] - price[..., 1]
    cited = "figure 5: {} 0, without a number"
    return [
        middle(
            "paper bound: price of A's model less that of B's, first half",
            early(less),
            cited.format("above"),
        ),
        middle(
            "paper bound: price of A's model less that of B's, last tenth",
            late(less),
            cited.format("below"),
        ),
    ]


def _revealed(played: Curves) -> list[Row]:
    """How near the weight and the gain of its own come to telling a seller the buyer's gain."""
    alpha, gain = played["alpha"], played["gain"]
    inner = (np.minimum(alpha, 1 - alpha) > 1e-3).all(2)
    told = disclosed_gain(torch.from_numpy(alpha), torch.from_numpy(gain)).numpy()
    miss = np.where(inner[..., None], np.abs(told - gain[..., OTHER]), np.nan)
    return [
        row("rounds with both weights inside (0, 1)", "%", 100 * inner.mean(1)),
        middle(
            "|buyer's gain as own gain and weight reveal it - true one|, median",
            miss,
            take=np.median,
        ),
        middle("|buyer's gain - 1|, median", np.abs(gain - 1), take=np.median),
    ]


def _draw_fig5(prices: Mapping[str, np.ndarray]) -> Figure:
    fig, panels = figure(2, 5.2, 3.6)
    for k, axes in enumerate(panels):
        for name, colour, style in (
            ("ask = paper bound", 0, "-"),
            ("ask = bid", 1, "-"),
            ("ask = sharp bound", 2, "--"),
        ):
            values = prices[name][..., k]
            axes.plot(
                range(1, values.shape[1] + 1),
                mean(values),
                style,
                color=COLOURS[colour],
                label=name,
            )
        axes.set(
            title=f"price of {AGENTS[k]}'s model, mean over seeds", xlabel="round", ylabel="Delta"
        )
        axes.legend(fontsize=7, frameon=False)
    return fig
