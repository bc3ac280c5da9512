"""Pictures of networks that trade, and of barriers between them; each is given plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marketenv.render import draw_lines, figure
from marketenv.render.pictures import COLOURS, Axes, Figure

from .settings import AGENTS

SMALL: dict[str, Any] = {"fontsize": 7, "frameon": False}
DIAMOND: dict[str, Any] = {"marker": "D", "s": 30, "facecolors": "none", "edgecolors": "black"}


@dataclass(frozen=True)
class Dots:
    """Accuracies of one agent by one method.

    points: one a seed;   paper: the paper's number;   earlier: means of other epochs, by name
    """

    points: np.ndarray
    paper: float
    earlier: Mapping[str, float] = field(default_factory=dict)


def accuracies(panels: Mapping[str, Mapping[str, Sequence[Dots]]], title: str) -> Figure:
    """One panel a broker, one row a method: every seed's accuracy as a dot, the mean as a line, the
    paper's number as a diamond.
    """
    fig, axes = figure(2, 5.6, 1.6 + 0.55 * max(map(len, panels.values())))
    for panel, (held, methods) in zip(axes, panels.items(), strict=True):
        for row, agents in enumerate(methods.values()):
            for k, dots in enumerate(agents):
                _draw_dots(panel, row + 0.3 * k - 0.15, k, dots, not row)
        panel.set(title=held, xlabel="test accuracy, %", yticks=range(len(methods)))
        panel.set_yticklabels(list(methods))
        panel.invert_yaxis()
        panel.grid(axis="x", alpha=0.3)
    axes[0].legend(fontsize=7, loc="best")
    fig.suptitle(title, fontsize=10)
    return fig


def _draw_dots(axes: Axes, y: float, k: int, dots: Dots, in_legend: bool) -> None:
    """One agent's line; the first lines of a panel are named in its legend."""
    colour, agent = COLOURS[k], AGENTS[k]
    each, mean = f"agent {agent}, one dot a seed", f"mean of agent {agent}"
    first = in_legend and not k

    def label(text: str, shown: bool) -> str | None:
        return text if shown else None

    level = np.full(len(dots.points), y)
    axes.scatter(dots.points, level, s=16, color=colour, alpha=0.8, label=label(each, in_legend))
    axes.scatter(
        [dots.points.mean()], [y], marker="|", s=160, color=colour, label=label(mean, in_legend)
    )
    axes.scatter([dots.paper], [y], **DIAMOND, label=label("paper", first))
    for name, value in dots.earlier.items():
        axes.scatter([value], [y], marker="x", s=24, color=colour, label=label(name, first))


def losses(panels: Mapping[str, Mapping[str, np.ndarray]], join: int) -> Figure:
    """One panel a broker: every method's mean over seeds, the middle half of the seeds shaded."""
    fig, axes = figure(2, 5.6, 4.0)
    for panel, (held, curves) in zip(axes, panels.items(), strict=True):
        draw_lines(panel, curves, held, "epoch", "test loss, nats, mean of both agents")
        panel.axvline(join + 1, color="grey", lw=0.8, ls=":", label="agents enter the market")
        panel.legend(**SMALL)
    return fig


@dataclass(frozen=True)
class Paths:
    """Scores along the paths between the pairs of a network.

    label: of the axis;   ways: [pairs, points of the path] by name
    reported: what the literature has at the midpoint, aligned; None where it has nothing
    """

    label: str
    ways: Mapping[str, np.ndarray]
    reported: float | None


def barriers(networks: Mapping[str, Sequence[Paths]]) -> Figure:
    """Two panels a network, test loss and test accuracy: one thin line a pair and their mean."""
    fig, axes = figure(2 * len(networks), 3.7, 3.6)
    panels = iter(axes)
    for title, scores in networks.items():
        for paths in scores:
            _draw_paths(next(panels), paths, title)
    return fig


def _draw_paths(axes: Axes, paths: Paths, title: str) -> None:
    for colour, (way, path) in zip(COLOURS, paths.ways.items(), strict=False):
        weights = np.linspace(0, 1, path.shape[1])
        axes.plot(weights, path.T, color=colour, lw=0.6, alpha=0.5)
        mean = f"{way}, mean of {len(path)} pairs"
        axes.plot(weights, path.mean(0), color=colour, label=mean)
    if paths.reported is not None:
        axes.scatter([0.5], [paths.reported], **DIAMOND, label="literature, aligned")
    axes.set(title=title, xlabel="weight of the second model", ylabel=paths.label)
    axes.title.set_fontsize(8)
    axes.legend(**SMALL)
