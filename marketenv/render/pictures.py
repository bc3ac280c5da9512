"""Pictures: who paid whom, bars and curves; drawn without pyplot and its global state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Ten that also the colour-blind can tell apart, from white and from grey too: the first six are
# Okabe and Ito's, the others lie farthest from them in OKLab.
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7f005f",
    "#60f2a9",
    "#0000cc",
    "#594200",
)
SPAN = 1.25  # half a network's panel, in radii of its circle
INNER = 0.3  # radius of the circle of accounts, in radii of that of agents
BEND = 0.25  # of an arrow, in parts of its length
# where a number may sit, best first
ALONG = np.array([0.5, *(0.5 + sign * 0.03 * k for k in range(1, 10) for sign in (-1, 1))])


def figure(columns: int = 1, width: float = 4.5, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels in one row: (figure, its axes)."""
    fig = Figure(figsize=(width * columns, height), dpi=100, layout="constrained")
    FigureCanvasAgg(fig)
    return fig, list(np.atleast_1d(fig.subplots(1, columns)))


def draw_network(
    axes: Axes,
    money: np.ndarray,
    names: Sequence[str],
    title: str = "money paid",
    edges: np.ndarray | None = None,
    accounts: int = 0,
) -> None:
    """Draw payments as arrows on a circle, in the payer's colour; the width grows with the amount.

    Every amount stands on its own arrow, framed in its colour, and all have the same number of
    decimals.

    money: amounts >= 0   [payers, payees]
    edges: arrows that are drawn thin even without money   bool [payers, payees]
    accounts: number of accounts, the last of the names; they are squares in the middle, agents are
        circles around them
    """
    outer, inner = ring(len(names) - accounts, 1.0), ring(accounts, INNER * (accounts > 1))
    places = np.concatenate([outer, inner])
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(names))]
    axes.set(xlim=(-SPAN, SPAN), ylim=(-SPAN, SPAN), aspect="equal", title=title)
    axes.axis("off")
    links = money > 1e-9 if edges is None else edges | (money > 1e-9)
    arrows = list(map(tuple, np.argwhere(links).tolist()))
    most = max(float(money.max(initial=0.0)), 1e-12)
    for payer, payee in arrows:
        width = 0.6 + 5 * float(money[payer, payee]) / most
        style = {"arrowstyle": "-|>", "lw": width, "color": colours[payer], "alpha": 0.75}
        style |= {"shrinkA": 21, "shrinkB": 21, "mutation_scale": 14}
        style |= {"connectionstyle": f"arc3,rad={BEND}"}
        axes.annotate("", xy=tuple(places[payee]), xytext=tuple(places[payer]), arrowprops=style)
    agents = len(names) - accounts
    for marker, rows in (("o", slice(agents)), ("s", slice(agents, None))):
        x, y = places[rows].T
        axes.scatter(
            x, y, s=1000, c="white", edgecolors=colours[rows], linewidths=3, zorder=2, marker=marker
        )
    for name, (x, y) in zip(names, places.tolist(), strict=True):
        axes.text(x, y, name.replace(" ", "\n"), ha="center", va="center", fontsize=7, zorder=3)
    payments = [pair for pair in arrows if money[pair] > 1e-9]
    payments.sort(key=lambda pair: -money[pair])
    decimals = max(0, 2 - math.floor(math.log10(most)))  # three digits of the largest
    words = [f"{money[pair]:.{decimals}f}" for pair in payments]
    spots = _label_places(axes, places, payments, words)
    for (payer, _), word, (x, y) in zip(payments, words, spots, strict=True):
        frame = {"fc": "white", "ec": colours[payer], "lw": 0.9, "pad": 1.0}
        axes.text(x, y, word, fontsize=7, ha="center", va="center", bbox=frame, zorder=4)


def ring(count: int, radius: float) -> np.ndarray:
    """Places on a circle, the first one on top: [count, 2]."""
    turns = 2 * np.pi * np.arange(count) / max(count, 1)
    return radius * np.stack([np.sin(turns), np.cos(turns)], 1)


def curve(start: np.ndarray, end: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Points of an arrow of ``draw_network``, a quadratic Bezier curve, at ``along`` in [0, 1]."""
    dx, dy = end - start
    middle = (start + end) / 2 + BEND * np.array([dy, -dx])
    t = along[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end


def _label_places(
    axes: Axes, places: np.ndarray, pairs: Sequence[tuple[int, ...]], words: Sequence[str]
) -> list[np.ndarray]:
    """Place of each number on its arrow: near the middle, away from names and other numbers."""
    # inches of one radius of the circle
    size = min(axes.get_window_extent().size) / axes.figure.dpi / (2 * SPAN)
    # centres and half sizes of boxes: rings and names
    taken = [(*place, 0.3 / size, 0.27 / size) for place in places]
    lines = [curve(places[payer], places[payee], ALONG) for payer, payee in pairs]
    chosen = []
    for k, (spots, word) in enumerate(zip(lines, words, strict=True)):
        half = np.array([0.032 * len(word) + 0.03, 0.07]) / size  # of a number of 7 points
        boxes = np.array(taken)
        # to the nearest box, below 0 on it
        free = (np.abs(spots[:, None] - boxes[:, :2]) - half - boxes[:, 2:]).max(2).min(1)
        others = np.concatenate([*lines[:k], *lines[k + 1 :], np.full((1, 2), np.inf)])
        clear = np.linalg.norm(spots[:, None] - others, axis=2).min(1).clip(max=0.15)
        best = int(np.argmax(np.where(free >= 0, clear - 0.2 * np.abs(ALONG - 0.5), free - 9)))
        chosen.append(spots[best])
        taken.append((*spots[best], *half))
    return chosen


def draw_bars(axes: Axes, values: Mapping[str, float], title: str, unit: str = "") -> None:
    """Draw one horizontal bar per name, first name on top."""
    names = list(values)
    axes.barh(
        names,
        list(values.values()),
        color=[COLOURS[k % len(COLOURS)] for k in range(len(names))],
        alpha=0.8,
    )
    axes.axvline(0, color="black", lw=0.6)
    # more would run into each other: -0.150-0.125-0.100
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.invert_yaxis()
    axes.set(title=title, xlabel=unit)


def draw_points(
    axes: Axes,
    points: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float] | None],
    title: str,
    unit: str = "",
) -> None:
    """Draw one row a name: a grey dot a point, the mean in black, and its interval if known.

    points: any number by name;   intervals: (low, high) by name, None for too few points
    """
    for row, (name, values) in enumerate(points.items()):
        axes.plot(values, np.full(len(values), row), "o", color="grey", alpha=0.4, ms=3.5, mew=0)
        mean = float(np.mean(values))
        axes.plot([mean], [row], "D", color="black", ms=4.5, gid="mean")
        if (ends := intervals[name]) is not None:
            axes.plot(ends, [row, row], "-", color="black", lw=2, gid="interval")
    axes.axvline(0, color="black", lw=0.6)
    axes.set_yticks(range(len(points)), list(points))
    axes.invert_yaxis()
    axes.set(title=title, xlabel=unit)
    axes.grid(axis="y", lw=0.3)


def draw_lines(
    axes: Axes,
    curves: Mapping[str, np.ndarray],
    title: str,
    x: str,
    y: str,
    styles: Mapping[str, tuple[str, str]] | None = None,
) -> None:
    """Draw one curve a name over rounds: [rounds], or mean and middle half of [runs, rounds].

    styles: (colour, dashes) of some names, in place of the next colour and a solid line
    """
    for k, (name, values) in enumerate(curves.items()):
        runs = np.atleast_2d(values)
        colour, dashes = (styles or {}).get(name, (COLOURS[k % len(COLOURS)], "-"))
        rounds = np.arange(1, runs.shape[1] + 1)
        axes.plot(rounds, runs.mean(0), dashes, label=name, color=colour)
        if len(runs) > 1:
            axes.fill_between(
                rounds, *np.quantile(runs, (0.25, 0.75), axis=0), color=colour, alpha=0.15, lw=0
            )
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=7, frameon=False)


def draw_bands(
    axes: Axes,
    x: Sequence[float | int],
    mean: Sequence[float | int | None],
    low: Sequence[float | int | None],
    high: Sequence[float | int | None],
    title: str = "",
    labels: tuple[str, str] = ("", ""),
    name: str = "",
) -> None:
    """Draw a curve with a band around it, in the next colour of the axes.

    x, mean, low, high: [points]; None where no interval is known, and there no band is drawn
    labels: of x and y;   name: of the curve in the legend, "" for none
    Raises ValueError for lists of unequal lengths.
    """
    rows = (x, mean, low, high)
    if len(set(map(len, rows))) > 1:
        raise ValueError(
            f"x, mean, low and high have {', '.join(str(len(row)) for row in rows)} points; wanted"
            " equal lengths."
        )
    at, middle, bottom, top = (
        np.array([math.nan if v is None else v for v in row], dtype=float) for row in rows
    )
    colour = COLOURS[sum(line.get_gid() == "mean" for line in axes.lines) % len(COLOURS)]
    axes.axhline(0, color="black", lw=0.6)
    axes.fill_between(at, bottom, top, color=colour, alpha=0.2, lw=0)
    axes.plot(
        at,
        middle,
        color=colour,
        label=name or None,
        marker="o" if len(at) < 30 else "",
        ms=3,
        gid="mean",
    )
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
    if name:
        axes.legend(fontsize=7, frameon=False)
