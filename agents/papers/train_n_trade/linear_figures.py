"""Pictures of figures 3, 4 and 5, from numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from marketenv.render import draw_lines, figure
from marketenv.render.pictures import COLOURS

from .episodes import Curves
from .per_seed import mean
from .settings import AGENTS

RED, GREEN = "#c0392b", "#2e8b57"


def figure_3(played: Mapping[str, Curves], ratio: np.ndarray) -> Figure:
    """Who bought when, whose parameters are better, and test losses by place.

    ratio: error of A / error of B in the market, which is the first place   [seeds, rounds]
    """
    fig, (log, lead, *losses) = figure(4)
    _purchases(log, next(iter(played.values()))["bought"])
    draw_lines(
        lead, {"in the market": ratio}, "error of A / error of B", "round", "above 1, B leads"
    )
    lead.axhline(1, color="red", ls="--", lw=1)
    for k, axes in enumerate(losses):
        lines = {where: one["test"][..., k] for where, one in played.items()}
        draw_lines(axes, lines, f"agent {AGENTS[k]}", "round", "test loss")
    return fig


def _purchases(axes: Axes, bought: np.ndarray) -> None:
    """One line a seed, A's above B's, and one cell a round."""
    seeds, n_rounds, _ = bought.shape
    axes.imshow(
        np.concatenate([bought[..., 0], bought[..., 1]]),
        aspect="auto",
        interpolation="nearest",
        cmap=ListedColormap([RED, GREEN]),
        vmin=0,
        vmax=1,
        extent=(0.5, n_rounds + 0.5, 2 * seeds + 0.5, 0.5),
    )
    axes.axhline(seeds + 0.5, color="white", lw=3)
    axes.set(title="purchases: green yes, red no", xlabel="round", ylabel="one line a seed")
    axes.set_yticks([seeds / 2 + 0.5, 1.5 * seeds + 0.5], ["A buys", "B buys"])


def figure_4(
    distances: Sequence[float | int], falls: Mapping[str, np.ndarray], losses: Sequence[str]
) -> Figure:
    """Falls of A's losses by distance and broker, a panel a loss."""
    fig, panels = figure(2, 5.2, 3.8)
    for which, (axes, loss) in enumerate(zip(panels, losses, strict=True)):
        for k, (name, values) in enumerate(falls.items()):
            band(axes, distances, values[..., which], name, k)
        axes.axhline(0, color="black", lw=0.6)
        x = "distance of the tasks / length of A's"
        axes.set(title=f"fall of A's {loss}", xlabel=x, ylabel="%")
        axes.legend(fontsize=7, frameon=False)
    axes = panels[0]
    axes.set_ylim(bottom=max(axes.get_ylim()[0], -30))
    return fig


def band(
    axes: Axes,
    x: Sequence[float | int],
    values: np.ndarray,
    label: str,
    colour: int,
    style: str = "-",
) -> None:
    """Draw the mean of [points, seeds] over x, with the middle half of the seeds shaded."""
    colour_name = COLOURS[colour]
    low, high = np.quantile(values, (0.25, 0.75), axis=1)
    axes.plot(x, values.mean(1), style, marker="o", ms=3, label=label, color=colour_name)
    axes.fill_between(x, low, high, color=colour_name, alpha=0.15, lw=0)


STYLES = {"ask = paper bound": "-", "ask = bid": "-", "ask = sharp bound": "--"}


def figure_5(prices: Mapping[str, np.ndarray]) -> Figure:
    """Prices of A's and B's model over rounds, as means over seeds, by what sellers ask."""
    fig, panels = figure(2, 5.2, 3.6)
    for k, axes in enumerate(panels):
        for colour, (name, style) in zip(COLOURS, STYLES.items(), strict=False):
            values = mean(prices[name][..., k])
            axes.plot(range(1, len(values) + 1), values, style, color=colour, label=name)
        title = f"price of {AGENTS[k]}'s model, mean over seeds"
        axes.set(title=title, xlabel="round", ylabel="Delta")
        axes.legend(fontsize=7, frameon=False)
    return fig
