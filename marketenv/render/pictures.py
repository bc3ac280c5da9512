"""Pictures: who paid whom, bars and curves. Figures are drawn without pyplot, so no global state is touched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from marketenv.core.market import Report

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")  # Okabe and Ito


def figure(columns: int = 1, width: float = 4.5, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels in one row: (figure, its axes)."""
    fig = Figure(figsize=(width * columns, height), dpi=100, layout="constrained")
    FigureCanvasAgg(fig)
    return fig, list(np.atleast_1d(fig.subplots(1, columns)))


def draw_network(
    axes: Axes, money: np.ndarray, names: Sequence[str], title: str = "money paid", edges: np.ndarray | None = None
) -> None:
    """Draw who paid whom as arrows from payer to payee on a circle; width grows with the amount.

    money: amounts [payers, payees], >= 0;   edges: bool [payers, payees], arrows that are drawn thin even without money
    """
    n = len(names)
    places = [(math.sin(2 * math.pi * k / n), math.cos(2 * math.pi * k / n)) for k in range(n)]
    most = max(float(money.max(initial=0.0)), 1e-12)
    drawn = money > 1e-9 if edges is None else edges | (money > 1e-9)
    for payer, payee in zip(*np.nonzero(drawn), strict=True):
        amount = float(money[payer, payee])
        style = {"arrowstyle": "-|>", "lw": 0.6 + 5 * amount / most, "color": COLOURS[payer % len(COLOURS)], "alpha": 0.75}
        axes.annotate(
            "",
            xy=places[payee],
            xytext=places[payer],
            arrowprops={**style, "shrinkA": 20, "shrinkB": 20, "mutation_scale": 14, "connectionstyle": "arc3,rad=.15"},
        )
        x, y = (0.32 * a + 0.68 * b for a, b in zip(places[payee], places[payer], strict=True))
        axes.text(
            x,
            y,
            f"{amount:.3g}" if amount else "",
            fontsize=7,
            ha="center",
            va="center",
            bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.5},
        )
    colours = [COLOURS[k % len(COLOURS)] for k in range(n)]
    axes.scatter([x for x, _ in places], [y for _, y in places], s=900, color=colours, alpha=0.25, zorder=2)
    for name, place in zip(names, places, strict=True):
        axes.text(*place, name, ha="center", va="center", fontsize=8, zorder=3)
    axes.set(xlim=(-1.45, 1.45), ylim=(-1.35, 1.35), aspect="equal", title=title)
    axes.axis("off")


def draw_bars(axes: Axes, values: Mapping[str, float], title: str, unit: str = "") -> None:
    """Draw one horizontal bar per name, first name on top."""
    names = list(values)
    axes.barh(names, list(values.values()), color=[COLOURS[k % len(COLOURS)] for k in range(len(names))], alpha=0.8)
    axes.axvline(0, color="black", lw=0.6)
    axes.invert_yaxis()
    axes.set(title=title, xlabel=unit)


def draw_lines(axes: Axes, curves: Mapping[str, np.ndarray], title: str, x: str, y: str) -> None:
    """Draw one curve per name over rounds 1..n: the mean of [rounds], or of [runs, rounds] with its middle 50 % shaded."""
    for k, (name, values) in enumerate(curves.items()):
        runs = np.atleast_2d(values)
        rounds, colour = np.arange(1, runs.shape[1] + 1), COLOURS[k % len(COLOURS)]
        axes.plot(rounds, runs.mean(0), label=name, color=colour)
        if len(runs) > 1:
            axes.fill_between(rounds, *np.quantile(runs, (0.25, 0.75), axis=0), color=colour, alpha=0.15, lw=0)
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
    """Draw a curve with a band around it, in the next colour; further calls add curves to the same axes.

    x, mean, low, high: [points]; None where no interval is known, and there no band is drawn
    labels: of x and y;   name: of the curve in the legend, "" for none
    Raises ValueError for lists of unequal lengths.
    """
    rows = (x, mean, low, high)
    if len(set(map(len, rows))) > 1:
        raise ValueError(f"x, mean, low and high have {', '.join(str(len(row)) for row in rows)} points; wanted equal lengths.")
    at, middle, bottom, top = (np.array([math.nan if v is None else v for v in row], dtype=float) for row in rows)
    colour = COLOURS[sum(line.get_gid() == "mean" for line in axes.lines) % len(COLOURS)]
    axes.axhline(0, color="black", lw=0.6)
    axes.fill_between(at, bottom, top, color=colour, alpha=0.2, lw=0)
    axes.plot(at, middle, color=colour, label=name or None, marker="o" if len(at) < 30 else "", ms=3, gid="mean")
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
    if name:
        axes.legend(fontsize=7, frameon=False)


def draw_frame(report: Report | None, agents: Sequence[str]) -> np.ndarray:
    """Draw the first market's last round as a picture: who paid whom, and every agent's utility. uint8 [height, width, 3].

    A report that has ``trades`` [markets, buyers, sellers] is drawn as the graph of them, from buyer to seller.
    """
    fig, (left, right) = figure(2)
    n = len(agents)
    money = np.zeros((n, n)) if report is None else report.transfers[0].cpu().numpy()
    names = [*agents, *(f"operator_{k}" for k in range(len(money) - n))]
    trades = getattr(report, "trades", None)
    edges = np.zeros(money.shape, dtype=bool)
    if trades is not None:
        edges[:n, :n] = trades[0].cpu().numpy()
    told = "money paid in the last round" if trades is None else "models bought and money paid last round"
    draw_network(left, money, names, "no round yet" if report is None else told, edges)
    utility = np.zeros(n) if report is None else report.rewards[0].cpu().numpy()
    draw_bars(right, dict(zip(agents, utility.tolist(), strict=True)), "utility of the round", "money")
    canvas = fig.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
