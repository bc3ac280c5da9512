"""Pictures of what the studies measured; each is given plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marketenv.render import draw_lines, figure
from marketenv.render.pictures import COLOURS, Axes, Figure

Points = Mapping[str, np.ndarray]  # by name, one a seed
Curves = Mapping[str, np.ndarray]  # by name [seeds, rounds]


def schemes(title: str, by_partition: Mapping[str, tuple[Points, Points]]) -> Figure:
    """Accuracy and utility by scheme, two panels a partition."""
    fig, panels = figure(2 * len(by_partition), 4.4, 3.4)
    for k, (dealt, (accuracy, utility)) in enumerate(by_partition.items()):
        _dots(panels[2 * k], accuracy, f"{dealt}: test accuracy", "%")
        _dots(panels[2 * k + 1], utility, f"{dealt}: summed utility", "money a round")
    fig.suptitle(title, fontsize=10)
    return fig


def lambdas(validation: Curves, utility: Curves, edges: Curves) -> Figure:
    """Accuracy, utility and edges by round."""
    fig, panels = figure(3)
    draw_lines(panels[0], validation, "validation", "round", "% right")
    draw_lines(panels[1], utility, "summed utility", "round", "money")
    draw_lines(panels[2], edges, "models sold", "round", "edges")
    return fig


def attacks(by_strength: Mapping[str, tuple[Points, Points]], others: int) -> Figure:
    """Buyers of client 0 and accuracy of the others by kind of upload, two panels a lambda."""
    fig, panels = figure(2 * len(by_strength), 4.4, 4.2)
    for k, (name, (buyers, accuracy)) in enumerate(by_strength.items()):
        _dots(panels[2 * k], buyers, f"{name}: who buys from client 0", f"of {others} a round")
        _dots(panels[2 * k + 1], accuracy, f"{name}: the others' test accuracy", "%")
    return fig


def lies(gains: Mapping[str, Curves], points: int) -> Figure:
    """The mean gain of every lie by its size, a panel a payment.

    Effort, which is no report, is left out.
    """
    fig, panels = figure(len(gains), 4.6, 3.8)
    x = f"size of the lie: a = k / {points} in 10^(+-a)"
    for axes, (payment, by_lie) in zip(panels, gains.items(), strict=True):
        curves = {lie: gain for lie, gain in by_lie.items() if lie != "effort down"}
        draw_lines(axes, curves, f"{payment} payments", x, "mean gain, money")
        axes.axhline(0, color="black", lw=0.6)
    return fig


def sizes(clients: Sequence[int], means: Mapping[str, Sequence[float]]) -> Figure:
    """Seconds, edges and what is sent by number of clients."""
    fig, panels = figure(3)
    for axes, (label, values) in zip(panels, means.items(), strict=True):
        axes.loglog(clients, values, marker="o")
        axes.set(xlabel="clients", ylabel=label)
        axes.grid(alpha=0.3, which="both")
    return fig


def _dots(axes: Axes, values: Points, title: str, unit: str) -> None:
    """One line a name: every seed as a dot, the mean as a black bar."""
    for k, points in enumerate(values.values()):
        axes.scatter(points, np.full(len(points), k), s=16, color=COLOURS[0], alpha=0.8)
        axes.scatter([np.mean(points)], [k], marker="|", s=160, color="black", zorder=3)
    axes.set(title=title, xlabel=unit)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
