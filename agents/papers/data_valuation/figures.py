"""Pictures of the experiments, from plain data: they can be drawn again without measuring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marketenv.render import draw_points, figure
from marketenv.render.pictures import COLOURS, Axes, Figure

Points = Mapping[str, Sequence[float]]
Grid = Mapping[str, Mapping[str, float]]  # row -> column -> number


def correlations(wad: Points, accuracy: Sequence[float], points: Points) -> Figure:
    """One seed's mixtures by distance and accuracy, and correlations of all seeds."""
    fig, axes = figure(len(wad) + 1, 4.2, 3.4)
    for k, (name, values) in enumerate(wad.items()):
        axes[k].scatter(values, accuracy, s=9, color=COLOURS[k])
        axes[k].set(
            title=f"{name}, mixtures of one seed", xlabel=name, ylabel="accuracy on the test rows"
        )
    _dots(axes[-1], points, "correlation with accuracy, all seeds", "Pearson's r")
    return fig


def scaling(predicted: Points, realised: Points, errors: Points) -> Figure:
    """Predicted against realised accuracy by setting, and errors of all seeds."""
    fig, axes = figure(2, 5.0, 3.6)
    for k, (name, values) in enumerate(predicted.items()):
        axes[0].scatter(values, realised[name], s=8, color=COLOURS[k % len(COLOURS)], label=name)
    axes[0].axline((0.5, 0.5), slope=1, color="black", lw=0.6)
    axes[0].set(
        title="one seed, a dot a mixture",
        xlabel="accuracy extrapolated from two pilots",
        ylabel="realised accuracy",
    )
    axes[0].legend(fontsize=6, frameon=False)
    _dots(axes[1], errors, "mean error over mixtures, all seeds", "points of accuracy, %")
    return fig


def private(
    history: Points, sigmas: Sequence[float], errors: Points, reidentified: Points
) -> Figure:
    """FedWaD by iteration; TriangleWad by sigma: error, and rows that an onlooker recovers."""
    fig, axes = figure(3, 4.2, 3.4)
    for k, (name, values) in enumerate(history.items()):
        axes[0].plot(
            range(1, len(values) + 1), values, marker="o", ms=3, color=COLOURS[k], label=name
        )
    axes[0].set(
        title="FedWaD: error by iteration", xlabel="iteration", ylabel="% of W2", ylim=(0, None)
    )
    for panel, lines, title, y in (
        (axes[1], errors, "TriangleWad: error", "% of W2"),
        (axes[2], reidentified, "rows found again", "%"),
    ):
        for k, (name, values) in enumerate(lines.items()):
            panel.plot(sigmas, values, marker="o", ms=3, color=COLOURS[k], label=name)
        panel.set(title=title, xlabel="sigma, deviations of a feature", ylabel=y, ylim=(0, None))
        _logarithmic(panel, sigmas)
    for panel in axes:
        panel.legend(fontsize=7, frameon=False)
    return fig


def regrets(points: Mapping[str, Points]) -> Figure:
    """Regret of every rule of selection, a panel a scenario."""
    fig, axes = figure(len(points), 4.6, 3.4)
    for panel, (scenario, values) in zip(axes, points.items(), strict=True):
        _dots(panel, values, f"{scenario}: regret of the choice", "points of accuracy, %")
    return fig


def exploits(predicted: Mapping[str, float], true: Mapping[str, float], money: Grid) -> Figure:
    """Accuracy under each attack, and its pay under each defence, % of an honest seller's money."""
    fig, (accuracies, right) = figure(2, 5.4, 3.8)
    names, rows = list(predicted), np.arange(len(predicted))
    accuracies.plot(
        [predicted[n] for n in names], rows, "D", color=COLOURS[0], label="predicted, no defence"
    )
    accuracies.plot([true[n] for n in names], rows, "o", color=COLOURS[1], label="realised")
    accuracies.set_yticks(rows, names)
    accuracies.invert_yaxis()
    accuracies.set(title="accuracy of the model that is bought", xlabel="accuracy on the test rows")
    accuracies.grid(axis="y", lw=0.3)
    accuracies.legend(fontsize=7, frameon=False)
    _table(right, money, "paid, % of an honest seller")
    return fig


def many_sellers(n: Sequence[int], seconds: Sequence[float], correlation: Points) -> Figure:
    """Seconds of the distance by number of sellers, and correlations with accuracy."""
    fig, (times, right) = figure(2, 4.8, 3.4)
    times.plot(n, seconds, marker="o", ms=4, color=COLOURS[0])
    times.set(
        title="additive sliced distance, all mixtures",
        xlabel="sellers",
        ylabel="seconds a market",
        ylim=(0, None),
    )
    for k, (name, values) in enumerate(correlation.items()):
        right.plot(n, values, marker="o", ms=4, color=COLOURS[k], label=name)
    right.axhline(0, color="black", lw=0.6)
    right.set(title="mean over seeds", xlabel="sellers", ylabel="Pearson's r")
    for panel in (times, right):
        _logarithmic(panel, n)
    right.legend(fontsize=7, frameon=False, loc=(0.3, 0.65))
    return fig


def _logarithmic(axes: Axes, at: Sequence[float | int]) -> None:
    """A logarithmic x with plain numbers where points are."""
    axes.set_xscale("log")
    axes.set_xticks(at, [f"{x:g}" for x in at], fontsize=7)
    axes.set_xticks([], minor=True)


def _dots(axes: Axes, points: Points, title: str, unit: str) -> None:
    draw_points(axes, points, dict.fromkeys(points), title, unit)
    axes.tick_params(axis="y", labelsize=6)


def _table(axes: Axes, numbers: Grid, title: str) -> None:
    """A coloured table of numbers, red where as much or more than 100."""
    rows, columns = list(numbers), list(next(iter(numbers.values())))
    values = np.array([[numbers[row][column] for column in columns] for row in rows])
    axes.imshow(values, cmap="RdYlGn_r", vmin=0, vmax=130, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=25, ha="right")
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    for k, row in enumerate(values):
        for j, value in enumerate(row):
            axes.text(j, k, f"{value:.0f}", ha="center", va="center", fontsize=7)
    axes.set_title(title)
