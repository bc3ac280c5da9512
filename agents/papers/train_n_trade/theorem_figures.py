"""Pictures of theorems 4.1 and 5.1, from numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from marketenv.render import figure
from marketenv.render.pictures import COLOURS

from .descent import ALWAYS, NEVER, Descent
from .episodes import Curves
from .linear_figures import band
from .theorem_41 import ABOVE, LENGTHS, Products, best_weights, checks

Line = Sequence[float] | np.ndarray
LINES = (
    ("low", COLOURS[0], "the paper's lower bound"),
    ("high", COLOURS[1], "the paper's upper bound"),
    ("gain", "black", "B's gain"),
)


def theorem_41(
    dimensions: Sequence[int], by_law: Mapping[str, Mapping[str, np.ndarray]], bounds: Curves
) -> Figure:
    """Bounds over the angle of two errors, how often the printed one fails, and a market's bounds.

    by_law: by law and what was counted, a number a seed
    bounds: what sellers could infer, of which the first seed's buyer B is drawn
    """
    fig, (angles, rates, market) = figure(3, 5.0, 3.8)
    _angles(angles)
    for k, lengths in enumerate(LENGTHS):
        for style, weights in (("-", "uniform"), ("--", "best")):
            name = f"{lengths} lengths, {weights} weights"
            values = np.array([by_law[f"d = {d}, {name}"][ABOVE] for d in dimensions])
            band(rates, dimensions, values, name, k, style)
    title = "the paper's upper bound fails"
    rates.set(xscale="log", title=title, xlabel="dimension of the errors", ylabel="% of cases")
    rates.legend(fontsize=7, frameon=False, handlelength=4)
    one = {name: values[0, :, 1] for name, values in bounds.items()}
    lines = {"low": one["low"], "high": one["high"], "gain": one["gain"]}
    interval = one["told_low"], one["told_high"]
    x = np.arange(1, len(one["gain"]) + 1)
    _bounds(market, x, lines, interval, "disclosed (sharp) bounds", width=1.0)
    title = "A sells to B in the market, seed 0"
    market.set(yscale="log", ylim=(0.05, 1e6), title=title, xlabel="round", ylabel="Delta")
    return fig


def _angles(axes: Axes) -> None:
    """Errors of equal length at the best weights: gain and bounds over the angle between them."""
    degrees = np.linspace(1, 177, 400)
    cosine = torch.from_numpy(np.cos(np.radians(degrees)))
    errors = Products(torch.ones_like(cosine), torch.ones_like(cosine), cosine)
    facts = {name: x.numpy() for name, x in checks(errors, *best_weights(errors)).items()}
    _bounds(axes, degrees, facts, (facts["least"], facts["most"]), "sharp bounds", width=1.5)
    title = "errors of equal length, best weights"
    axes.set(yscale="log", ylim=(0.05, 1e4), title=title, xlabel="angle, degrees", ylabel="Delta")


def _bounds(
    axes: Axes,
    x: Line,
    lines: Mapping[str, np.ndarray],
    interval: tuple[np.ndarray, np.ndarray],
    label: str,
    width: float,
) -> None:
    """B's gain and the paper's bounds as lines, and another interval shaded."""
    axes.fill_between(x, *interval, color=COLOURS[2], alpha=0.3, lw=0, label=label)
    for name, colour, words in LINES:
        axes.plot(x, lines[name], color=colour, lw=width, label=words)
    axes.legend(fontsize=7, frameon=False)


def theorem_51(epsilons: Sequence[float], descents: Mapping[str, Descent]) -> Figure:
    """Rounds to a gradient, measured and promised, by who buys; a panel a kind of market."""
    fig, panels = figure(len(descents), 4.6, 3.8)
    for axes, (kind, descent) in zip(panels, descents.items(), strict=True):
        for colour, name in zip(COLOURS, (ALWAYS, NEVER), strict=False):
            lw = 4 if name == ALWAYS else 1.5  # both curves show where they coincide
            counts = {"measured": ("-", descent.measured), "promised": ("--", descent.promised)}
            for what, (style, by_name) in counts.items():
                mean = by_name[name].mean(0)
                keep = np.isfinite(mean)
                x, label = np.array(epsilons)[keep], f"{name} buying, {what}"
                axes.plot(x, mean[keep], style, lw=lw, color=colour, label=label)
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
