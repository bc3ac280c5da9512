"""Pictures of the experiments, from plain data: they can be drawn again without measuring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marketenv.render import draw_points, figure
from marketenv.render.pictures import COLOURS, Axes, Figure

Numbers = Sequence[float | int]
Points = Mapping[str, Numbers]
LEGEND = {"fontsize": 7, "frameon": False}


def utilities(counts: Numbers, leader: Points, owners: Points, gains: Points) -> Figure:
    """Utility of leader and mean owner by number of owners, and gains over the baselines."""
    fig, (first, middle, right) = figure(3, 4.6, 3.6)
    for axes, curves, title in ((first, leader, "leader"), (middle, owners, "mean owner")):
        _lines(axes, counts, curves, f"utility of the {title}", "owners")
    _logarithmic(middle)
    draw_points(right, gains, dict.fromkeys(gains), "gain over the baseline, all seeds", "%")
    right.tick_params(axis="y", labelsize=6)
    return fig


def sweeps(curves: Mapping[str, tuple[Numbers, Points]]) -> Figure:
    """Utilities by role, a panel a sweep; labels name single owners and centres."""
    fig, panels = figure(len(curves), 4.0, 3.4)
    for axes, (what, (points, lines)) in zip(panels, curves.items(), strict=True):
        _lines(axes, points, lines, what, what.partition(":")[0])
        axes.axhline(0, color="black", lw=0.6)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.title.set_fontsize(8)
    return fig


def dynamics(undamped: Points, damped: Points) -> Figure:
    """Distance from equilibrium by round, for several numbers of owners and for several steps."""
    fig, (first, right) = figure(2, 5.0, 3.6)
    for axes, lines, title in (
        (first, undamped, "all answer at once"),
        (right, damped, "ten owners go a part of the way"),
    ):
        longest = max(map(len, lines.values()))
        for k, (name, values) in enumerate(lines.items()):
            axes.plot(
                range(len(values)), values, lw=1.2, color=COLOURS[k % len(COLOURS)], label=name
            )
        _logarithmic(axes)
        axes.set(
            title=title,
            xlabel="round",
            ylabel="distance, of total effort",
            ylim=(1e-17, 100),
            xlim=(0, longest - 1),
        )
        axes.legend(**LEGEND)
    return fig


def misreports(
    reports: Numbers, own: Points, times: Mapping[str, float], patience: Mapping[str, float]
) -> Figure:
    """Utilities by one owner's report, factors of deviations, and the patience of agreements."""
    fig, (first, middle, right) = figure(3, 4.6, 3.6)
    _lines(
        first, reports, own, "all owners have quality 0.95; one reports another", "reported quality"
    )
    for axes, values, title, unit in (
        (middle, times, "utility of who deviates", "times its utility in equilibrium"),
        (right, patience, "patience that agreements want", "least discount factor"),
    ):
        names = list(values)
        axes.barh(names, list(values.values()), color=COLOURS[0], alpha=0.8)
        axes.invert_yaxis()
        axes.set(title=title, xlabel=unit)
        axes.tick_params(axis="y", labelsize=7)
    middle.axvline(1, color="black", lw=0.8)
    right.set_xlim(0, 1)
    return fig


def audits(money: Mapping[str, Mapping[str, float]], points: Points) -> Figure:
    """Earnings by conduct and audit, % of an honest owner's; the deviant's utilities by seed."""
    fig, (first, right) = figure(2, 6.4, 4.0)
    rows, columns = list(money), list(next(iter(money.values())))
    values = np.array([[money[row][column] for column in columns] for row in rows])
    first.imshow(values, cmap="RdYlGn_r", vmin=0, vmax=130, aspect="auto")
    first.set_xticks(range(len(columns)), columns, fontsize=7, rotation=25, ha="right")
    first.set_yticks(range(len(rows)), rows, fontsize=7)
    for (k, j), value in np.ndenumerate(values):
        first.text(j, k, f"{value:.0f}", ha="center", va="center", fontsize=7)
    first.set_title("earned, % of an honest owner")
    draw_points(right, points, dict.fromkeys(points), "utility of the deviant, all seeds", "money")
    right.tick_params(axis="y", labelsize=6)
    return fig


def accuracy(curves: Mapping[str, Points]) -> Figure:
    """Test accuracy by round, a panel a setting."""
    fig, panels = figure(len(curves), 4.6, 3.6)
    for axes, (title, lines) in zip(panels, curves.items(), strict=True):
        for k, (name, values) in enumerate(lines.items()):
            axes.plot(
                range(1, len(values) + 1),
                values,
                marker="o",
                ms=3,
                lw=1.2,
                color=COLOURS[k % len(COLOURS)],
                label=name,
            )
        axes.set(title=title, xlabel="round", ylabel="test accuracy, %")
        axes.legend(**LEGEND)
    return fig


def _logarithmic(axes: Axes) -> None:
    """A logarithmic y with plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")


def _lines(axes: Axes, x: Numbers, curves: Points, title: str, label: str) -> None:
    for k, (name, values) in enumerate(curves.items()):
        axes.plot(x, values, marker="o", ms=3, lw=1.2, color=COLOURS[k % len(COLOURS)], label=name)
    axes.set(title=title, xlabel=label, ylabel="money")
    axes.legend(**LEGEND)
