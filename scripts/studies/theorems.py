"""The theorems of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS 2023) against numbers: 4.1
and 5.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from agents.stress.claims.theorems import (
    LENGTHS,
    Products,
    best_weights,
    checks,
    descend,
    enough,
    example,
    kept,
    laws,
    reached,
)
from marketenv.render import figure
from marketenv.render.pictures import COLOURS
from marketenv.valuation import theorem_4_1
from scripts.studies.linear import (
    AGENTS,
    OTHER,
    Curves,
    Fig3,
    band,
    jsonable,
    market_of,
    middle,
    play_figure_3,
    row,
    settings,
    share,
    smaller,
)
from scripts.studies.study import Common, Row, Study, run
from scripts.units import Unit

CITED = "derived: {}"
# (outside, violated) of uniform weights, %, derived before this library existed; lengths were not
# named
PAGE = {
    2: ("36 %", "3.8 %"),
    3: ("-", "1.6 %"),
    10: ("-", "0.03 %"),
}


# --- theorem 4.1 ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Thm41(Fig3):
    """Arguments of figure 3, whose markets are looked at, and of the random errors.

    Args:
        cases: random pairs of errors a seed and law
        dimensions: numbers of parameters of these errors
    """

    cases: int = 10_000
    dimensions: tuple[int, ...] = (2, 3, 10, 1000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cases < 1 or not self.dimensions or min(self.dimensions) < 2:
            raise ValueError(
                f"cases is {self.cases} and dimensions {self.dimensions}, wanted >= 1 and numbers"
                " >= 2."
            )


def count(
    folder: Path, seed: int, dimensions: Sequence[int], cases: int
) -> dict[str, dict[str, float]]:
    """How often each bound fails, %, and how wide it is in the median, by law."""
    found = {}
    for name, (errors, alpha, beta) in laws(seed, dimensions, cases).items():
        seen = checks(errors, alpha, beta)
        shares = {
            what: 100 * float(values.double().mean())
            for what, values in seen.items()
            if values.dtype == torch.bool
        }
        shares["of obtuse cases: above the paper's upper bound"] = _among(
            seen["above the paper's upper bound"], errors.ab < 0
        )
        widths = {
            "width of the paper's bounds": seen["high"] - seen["low"],
            "width of the sharp bounds": seen["most"] - seen["least"],
        }
        found[name] = shares | {what: float(width.nanmedian()) for what, width in widths.items()}
    return found


def _among(happens: Tensor, among: Tensor) -> float:
    return 100 * float((happens & among).sum() / among.sum().clamp(min=1))


def thm41(config: Thm41) -> None:
    """Theorem 4.1: how often the bounds on the buyer's gain fail, for random errors and in the
    markets of figure 3.
    """
    units = [
        Unit(count, {"seed": s, "dimensions": config.dimensions, "cases": config.cases})
        for s in range(config.seeds)
    ]
    done = run(units, config, "Theorem 4.1")
    played = play_figure_3(config, "Theorem 4.1, markets of figure 3")["in"]
    found = {
        law: {what: np.array([seed[law][what] for seed in done]) for what in done[0][law]}
        for law in done[0]
    }
    Study(
        name="thm41",
        title="Theorem 4.1: bounds on the buyer's gain",
        scaled=smaller(config),
        about=settings(config),
        rows=(*_example(), *_never(found), *_rates(found), *_in_markets(played)),
        fig=_draw_thm41(config, found, played),
        notes=(
            (
                "Outside the safe condition: neither 1 - beta > sqrt(Delta_a) (1 - alpha - beta + 2"
                " alpha beta), nor a weight of 1, nor <e_a, e_b> >= 0. There the square of the"
                " paper's upper bound hides a negative denominator."
            ),
            (
                "Lengths: errors are standard Gaussian, with 'exponential' each times a factor of"
                " its own from Exp(1). The derived rates were noted without the law of the lengths:"
                " 'exponential' comes near those of uniform weights. The 13.1 and 26.4 % noted for"
                " uniform angles stand beside d = 3, where directions are uniform in space, as"
                " well."
            ),
        ),
        curves={
            law: {what: float(points.mean()) for what, points in facts.items()}
            for law, facts in found.items()
        },
    ).write(config.out)


def _example() -> list[Row]:
    """e_a = (1, 0), e_b = (-.9, .3) at the best weights."""
    seen = example()
    told = {
        "gain": ("true Delta_b", "37.0"),
        "low": ("paper's lower bound", ".325"),
        "high": ("paper's upper bound", "2.345"),
    }
    told |= {"least": ("sharp lower bound", "-"), "most": ("sharp upper bound", "-")}
    return [
        row(
            f"e_a = (1, 0), e_b = (-.9, .3): {what}",
            "Delta",
            seen[name].numpy(),
            "" if cited == "-" else CITED.format(cited),
        )
        for name, (what, cited) in told.items()
    ]


def _never(found: Mapping[str, Mapping[str, np.ndarray]]) -> list[Row]:
    """What must not happen under any law."""
    names = (
        "below the paper's lower bound",
        "the same inside the safe condition",
        "outside the sharp bounds",
    )
    said = (
        "below the paper's lower bound",
        "above its upper bound inside the safe condition",
        "outside the sharp bounds",
    )
    means = [np.mean([facts[name] for facts in found.values()], axis=0) for name in names]
    return [
        row(f"all laws: {what}", "% of cases", mean, CITED.format("0 %"))
        for what, mean in zip(said, means, strict=True)
    ]


def _rates(found: Mapping[str, Mapping[str, np.ndarray]]) -> list[Row]:
    rows = []
    for law, facts in found.items():
        out, above = "outside the safe condition", "above the paper's upper bound"
        cited = {
            f"d = {d}, exponential lengths, uniform weights": rates for d, rates in PAGE.items()
        }.get(law, ("-", "-"))
        if law.startswith("uniform angle"):
            cited = ("-", "13.1 %")
        if law.startswith("uniform angle") or law == "d = 3, equal lengths, best weights":
            obtuse = "of obtuse cases: above the paper's upper bound"
            rows += [
                row(
                    f"{law}: {above}, obtuse angles",
                    "% of cases",
                    facts[obtuse],
                    CITED.format("26.4 %"),
                )
            ]
        for what, number in zip((out, above), cited, strict=True):
            rows += [
                row(
                    f"{law}: {what}",
                    "% of cases",
                    facts[what],
                    "" if number == "-" else CITED.format(number),
                )
            ]
        rows += [
            row(f"{law}: {what}, median", "Delta", facts[what])
            for what in facts
            if what.startswith("width")
        ]
    return rows


def market_bounds(played: Curves) -> dict[str, np.ndarray]:
    """What sellers could infer in a market: arrays [seeds, rounds, buyers] in Delta, of each buyer
    by the other.

    gain: the buyer's own, true;   told_low, told_high: what the market discloses;
        low, high: the paper's bounds
    """
    gain, alpha = (torch.from_numpy(played[name]) for name in ("gain", "alpha"))
    low, high = (
        x[..., OTHER].numpy() for x in theorem_4_1(gain, alpha, alpha[..., OTHER], "paper")
    )
    return {
        "gain": played["gain"],
        "told_low": played["low"] + 1,
        "told_high": played["high"] + 1,
        "low": low,
        "high": high,
    }


def _in_markets(played: Curves) -> list[Row]:
    """In how many rounds the bounds hold the gain of a buyer that gains."""
    seen, slack, rows = market_bounds(played), 1 + 1e-5, []  # gains of a market are float32 numbers
    gains = seen["gain"] > 1
    tests = {
        "the disclosed interval holds the buyer's gain": (
            (seen["told_low"] <= seen["gain"] * slack) & (seen["gain"] <= seen["told_high"] * slack)
        ),
        "the paper's lower bound holds": seen["low"] <= seen["gain"] * slack,
        "the paper's upper bound holds": seen["gain"] <= seen["high"] * slack,
    }
    for k, agent in enumerate(AGENTS):
        for what, holds in tests.items():
            rows += [
                row(
                    f"markets of figure 3, {agent} buys: {what}",
                    "% of offers",
                    share(holds[..., k], gains[..., k]),
                )
            ]
    width = np.where(gains, seen["told_high"] - seen["told_low"], np.nan)
    return [
        *rows,
        middle(
            "markets of figure 3: width of the disclosed interval, median", width, take=np.median
        ),
    ]


def _draw_thm41(
    config: Thm41, found: Mapping[str, Mapping[str, np.ndarray]], played: Curves
) -> Figure:
    fig, (angle, rates, market) = figure(3, 5.0, 3.8)
    _draw_angles(angle)
    for k, lengths in enumerate(LENGTHS):
        for style, weights in (("-", "uniform"), ("--", "best")):
            names = [f"d = {d}, {lengths} lengths, {weights} weights" for d in config.dimensions]
            values = np.array([found[name]["above the paper's upper bound"] for name in names])
            band(
                rates, config.dimensions, values, f"{lengths} lengths, {weights} weights", k, style
            )
    rates.set(
        xscale="log",
        title="the paper's upper bound fails",
        xlabel="dimension of the errors",
        ylabel="% of cases",
    )
    rates.legend(fontsize=7, frameon=False, handlelength=4)
    seen = {name: values[0, :, 1] for name, values in market_bounds(played).items()}
    x = np.arange(1, len(seen["gain"]) + 1)
    market.fill_between(
        x,
        seen["told_low"],
        seen["told_high"],
        color=COLOURS[2],
        alpha=0.3,
        lw=0,
        label="disclosed (sharp) bounds",
    )
    market.plot(x, seen["low"], color=COLOURS[0], lw=1, label="the paper's lower bound")
    market.plot(x, seen["high"], color=COLOURS[1], lw=1, label="the paper's upper bound")
    market.plot(x, seen["gain"], color="black", lw=1, label="B's gain")
    market.set(
        yscale="log",
        ylim=(0.05, 1e6),
        title="A sells to B in the market, seed 0",
        xlabel="round",
        ylabel="Delta",
    )
    market.legend(fontsize=7, frameon=False)
    return fig


def _draw_angles(axes: Any) -> None:
    """Errors of equal length at the best weights: gain and bounds over the angle between them."""
    degrees = np.linspace(1, 177, 400)
    cosine = torch.from_numpy(np.cos(np.radians(degrees)))
    errors = Products(torch.ones_like(cosine), torch.ones_like(cosine), cosine)
    seen = checks(errors, *best_weights(errors))
    axes.fill_between(
        degrees,
        seen["least"],
        seen["most"],
        color=COLOURS[2],
        alpha=0.3,
        lw=0,
        label="sharp bounds",
    )
    axes.plot(degrees, seen["low"], color=COLOURS[0], label="the paper's lower bound")
    axes.plot(degrees, seen["high"], color=COLOURS[1], label="the paper's upper bound")
    axes.plot(degrees, seen["gain"], color="black", label="B's gain")
    axes.set(
        yscale="log",
        ylim=(0.05, 1e4),
        title="errors of equal length, best weights",
        xlabel="angle, degrees",
        ylabel="Delta",
    )
    axes.legend(fontsize=7, frameon=False)


# --- theorem 5.1 ----------------------------------------------------------------------------------

# label noise, examples a parameter of (A, B) and of the broker
SETTINGS: dict[str, dict[str, Any]] = {
    "figure 3's kind": {"noise": (0.0, math.sqrt(0.5)), "examples": (0.5, 0.8), "validation": 10.0},
    "same distribution": {"noise": (0.0, 0.0), "examples": (4.0, 4.0), "validation": 40.0},
    "plenty of examples": {"noise": (0.0, 0.0), "examples": (100.0, 100.0), "validation": 100.0},
}


@dataclass(frozen=True, kw_only=True)
class Thm51(Common):
    """Arguments of the study of theorem 5.1.

    Args:
        seeds: episodes of each kind of market; below 20 no interval is shown
        rounds: rounds of an episode
        rate: size of a gradient step; the theorem wants it below 1 / L
        dimensions: parameters of the three kinds: figure 3's, the same distribution for all, plenty
            of examples
        epsilons: gradient norms to reach, in units of the first gradient's
    """

    seeds: int = 20
    rounds: int = 200
    rate: float = 0.1
    dimensions: tuple[int, int, int] = (1000, 100, 50)
    epsilons: tuple[float, ...] = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seeds", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted at least 1.")
        if not 0 < self.rate < math.inf or min(self.dimensions) < 2:
            raise ValueError(
                f"rate is {self.rate} and dimensions {self.dimensions}, wanted a rate > 0 and 2 or"
                " more parameters."
            )
        if not self.epsilons or not all(0 < e < math.inf for e in self.epsilons):
            raise ValueError(f"epsilons is {self.epsilons}, wanted one or more numbers > 0.")

    def arguments(self, kind: str) -> dict[str, Any]:
        """What a unit of a kind of market is told, its seed aside."""
        size = self.dimensions[list(SETTINGS).index(kind)]
        examples = tuple(round(size * part) for part in SETTINGS[kind]["examples"])
        counts = {
            "dimension": size,
            "examples": examples,
            "validation": round(size * SETTINGS[kind]["validation"]),
            "test": 1,
        }
        return {"noise": SETTINGS[kind]["noise"], "rounds": self.rounds, "rate": self.rate} | counts


def descent(folder: Path, seed: int, **arguments: Any) -> dict[str, Any]:
    """One seed of a kind of market, as ``descend`` notes it."""
    return descend(market_of(arguments, "loss_difference"), [seed])[0]


@dataclass(frozen=True)
class Descent:
    """A kind of market: curves [seeds, rounds], and rounds that are measured and promised
    [seeds, epsilons].
    """

    curves: Mapping[str, Mapping[str, np.ndarray]]
    measured: Mapping[str, np.ndarray]
    promised: Mapping[str, np.ndarray]
    smoothness: np.ndarray
    gap: np.ndarray


def assess(done: Sequence[Mapping[str, Any]], config: Thm51) -> Descent:
    """Measured rounds beside promised ones, seed by seed."""
    curves = {
        name: {what: np.array([d[name][what] for d in done]) for what in done[0][name]}
        for name in ("always", "never")
    }
    smoothness, gap, first = (
        np.array([d[name] for d in done]) for name in ("smoothness", "gap", "first")
    )
    goals = first[:, None] * np.square(config.epsilons)
    gains = {"always": curves["always"]["gain"], "never": np.zeros_like(curves["always"]["gain"])}
    measured = {name: reached(curves[name]["slope"], goals) for name in curves}
    promised = {name: enough(gap, config.rate, goals, gains[name]) for name in curves}
    return Descent(curves, measured, promised, smoothness, gap)


def thm51(config: Thm51) -> None:
    """Theorem 5.1: rounds until B's gradient is small, always and never buying, beside what the
    theorem promises.
    """
    found = {}
    for kind in SETTINGS:
        units = [
            Unit(descent, {"seed": seed, **config.arguments(kind)}) for seed in range(config.seeds)
        ]
        found[kind] = assess(run(units, config, f"Theorem 5.1, {kind}"), config)
    Study(
        name="thm51",
        title="Theorem 5.1: rounds until B's gradient is small",
        scaled="",
        about=settings(config) | {"markets": SETTINGS},
        rows=tuple(r for kind, seen in found.items() for r in _rows_thm51(kind, seen, config)),
        fig=_draw_thm51(found, config),
        notes=(
            (
                "The gradient is that of B's own training loss, Delta_b the fall of the broker's"
                " loss, L0 - L* the expected loss at the start less that of the true parameters, as"
                " in the theorem. It also assumes that the broker's loss is nowhere above the"
                " agents', and that a fall of the broker's loss is a fall of the loss that B"
                " descends."
            ),
            (
                "delta_b is the least gain of the rounds up to T. Where T is more than was played,"
                " the least gain played is taken, and the promise is, if anything, too early."
            ),
        ),
        curves={kind: _curves_thm51(seen, config) for kind, seen in found.items()},
    ).write(config.out)


def _rows_thm51(kind: str, seen: Descent, config: Thm51) -> list[Row]:
    say = lambda what, unit, points: row(f"{kind}: {what}", unit, points)  # noqa: E731
    always, never = seen.curves["always"], seen.curves["never"]
    gain, delta, n_rounds = always["gain"], always["gain"].min(1), always["gain"].shape[1]
    barren = gain <= 0
    rows = [
        say(
            "step size times smoothness L, wanted below 1", "number", config.rate * seen.smoothness
        ),
        say("delta_b, the least gain in all rounds", "loss", delta),
        say("rounds without a gain for B", "%", 100 * barren.mean(1)),
        say(
            "first round without a gain, or one more than all",
            "round",
            np.where(barren.any(1), barren.argmax(1) + 1, n_rounds + 1),
        ),
        say(
            "T delta_b(T) / (L0 - L*), greatest over T, at most 1 by the theorem",
            "number",
            _used_up(gain, seen.gap),
        ),
        say(
            "rounds in which the purchase raises B's training loss",
            "%",
            100 * (always["rise"] > 0).mean(1),
        ),
        say(
            "rounds with the broker's loss of B's model at most B's own",
            "%",
            100 * (always["broker"] <= always["own"]).mean(1),
        ),
        say(
            "fall of the broker's loss against never buying, last round",
            "%",
            100 * (1 - always["broker"] / never["broker"])[:, -1],
        ),
    ]
    for name in ("always", "never"):
        holds = kept(seen.measured[name], seen.promised[name], n_rounds)
        rows += [
            say(
                f"{name} buying: promises kept, of those that can be told",
                "%",
                share(holds == 1, np.isfinite(holds)),
            )
        ]
    for k in reversed(range(len(config.epsilons))[::-3]):  # all of them are among the curves
        epsilon = config.epsilons[k]
        both = {
            f"{name} buying, {what}": rounds_[name][:, k]
            for name in seen.measured
            for what, rounds_ in _named(seen)
        }
        if all(np.isfinite(points).all() for points in both.values()):
            rows += [
                say(f"rounds to {epsilon:g} of the first gradient, {what}", "rounds", points)
                for what, points in both.items()
            ]
    return rows


def _named(seen: Descent) -> tuple[tuple[str, Mapping[str, np.ndarray]], ...]:
    return (("measured", seen.measured), ("promised", seen.promised))


def _used_up(gain: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """max over T of T delta(T) / gap: a gain of delta in every round cannot go on for more than
    gap / delta rounds.
    """
    return (np.arange(1, gain.shape[1] + 1) * np.minimum.accumulate(gain, 1)).max(1) / gap


def _curves_thm51(seen: Descent, config: Thm51) -> dict[str, Any]:
    told = {
        f"{name} buying, {what}": rounds_[name]
        for name in seen.measured
        for what, rounds_ in _named(seen)
    }
    whole = {what: jsonable(values.mean(0)) for what, values in told.items()}
    return {
        "epsilons": config.epsilons,
        "mean rounds, null if some seed does not get there": whole,
    } | {
        f"{name} buying, mean {what}": values.mean(0).tolist()
        for name, kept in seen.curves.items()
        for what, values in kept.items()
    }


def _draw_thm51(found: Mapping[str, Descent], config: Thm51) -> Figure:
    fig, panels = figure(len(found), 4.6, 3.8)
    for axes, (kind, seen) in zip(panels, found.items(), strict=True):
        for colour, name in ((0, "always"), (1, "never")):
            for style, what, rounds_ in (
                ("-", "measured", seen.measured),
                ("--", "promised", seen.promised),
            ):
                mean = rounds_[name].mean(0)
                keep = np.isfinite(mean)
                x = np.array(config.epsilons)[keep]
                width = 4 - 2.5 * colour  # both curves show where they coincide
                axes.plot(
                    x,
                    mean[keep],
                    style,
                    lw=width,
                    color=COLOURS[colour],
                    label=f"{name} buying, {what}",
                )
        axes.set(
            xscale="log",
            yscale="log",
            title=kind,
            xlabel="|gradient| / |first gradient|",
            ylabel="rounds, mean over seeds",
        )
        axes.invert_xaxis()
        axes.legend(fontsize=7, frameon=False, handlelength=4)
    return fig
