"""The last round as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from marketenv.core.market import Market
from marketenv.core.report import Report
from marketenv.core.within import Within
from marketenv.render.kinds import (
    ACCOUNT,
    BARS,
    Payments,
    draw_kinds,
    figure_of_kinds,
    sells_several,
    size_of_kinds,
)
from marketenv.render.pictures import draw_bars, draw_network, figure

DPI = 100  # of all figures
Size = tuple[float, float]  # width and height, inches


def frame_size(market: Market) -> Size:
    """The size of every frame of a market, before the first round too: a film wants one size."""
    counts, people = [role.count for role in market.roles], market.people
    if any(isinstance(phase, Within) for phase in market.phases):
        return _even(size_of_kinds(counts, len(set(people.accounts) - set(people.empty))))
    return _even(_size_of_names(sum(counts) + len(people.accounts)))


def _even(size: Size) -> Size:
    """The size with even numbers of pixels, which the codecs of films want."""
    width, height = (
        inches if int(inches * DPI) % 2 == 0 else (int(inches * DPI) + 1.5) / DPI for inches in size
    )
    return width, height


def _size_of_names(count: int) -> Size:
    """Two panels for so many agents and accounts, so that their circles do not touch."""
    if count <= 5:
        return 9.0, 3.4
    room = 0.34 * count
    return 2 * max(6.0, room), max(5.6, room - 0.4)


def draw_frame(
    report: Report | None, agents: Sequence[str], size: Size | None = None
) -> np.ndarray:
    """Draw the first market's last round as a picture: payments, and every agent's utility.

    The edges of the round's outcome are drawn as a graph where it has some; an account of several
    rows is drawn as one. Where several kinds of things are sold, as in ``marketplace_v0``, arrows
    have the colour of their kind, and accounts pass money on.

    size: see ``frame_size``; None: as much as this round needs

    Returns uint8 [height, width, 3].
    """
    if report is not None and sells_several(report):
        utilities = dict(zip(agents, report.rewards[0].tolist(), strict=True))
        return pixels(figure_of_kinds(Payments.of([report]), utilities, "in the last round", size))
    count = len(agents) if report is None else len(report.between_names()[1])
    width, height = size or _size_of_names(count)
    fig, (left, right) = figure(2, width / 2, height)
    draw_payments(left, report, agents)
    utility = [0.0] * len(agents) if report is None else report.rewards[0].tolist()
    bars = dict(zip(agents, utility, strict=True))
    draw_bars(right, bars, "utility of the round", "money")
    return pixels(fig)


def draw_payments(
    axes: Axes, report: Report | None, agents: Sequence[str], last: bool = True
) -> None:
    """Draw who paid whom in the first market's round, and the edges of its outcome.

    last: whether the title says that it is the last round
    """
    n = len(agents)
    paid, names = (torch.zeros(1, n, n), list(agents)) if report is None else report.between_names()
    money = paid[0].cpu().numpy()
    graphs = {
        outcome.EDGES: edges
        for outcome in (report.outcomes.values() if report else ())
        if (edges := outcome.edges()) is not None
    }
    edges = np.zeros(money.shape, dtype=bool)
    for graph in graphs.values():
        edges[:n, :n] |= graph[0].cpu().numpy()
    when, shortly = (" in the last round", " last round") if last else ("", "")
    title = f"money paid{when}"
    if graphs:
        title = f"{', '.join(graphs)} and money paid{shortly}"
    if not (edges.any() or money.any()):
        title = f"no money was paid{when}"
    title = "no round yet" if report is None else title
    draw_network(axes, money, names, title, edges, len(names) - n)


def payments_figure(report: Report, agents: Sequence[str]) -> Figure:
    """The network of a round's payments alone: the left half of its frame."""
    if sells_several(report):
        payments = Payments.of([report])
        members = [len(names) for role, names in payments.roles.items() if role != ACCOUNT]
        width, height = size_of_kinds(members, len(payments.roles.get(ACCOUNT, ())))
        fig, (axes,) = figure(1, width - BARS, height)
        paid = any(money.any() for money in payments.kinds.values())
        draw_kinds(axes, payments, f"{'' if paid else 'no '}money paid")
        return fig
    width, height = _size_of_names(len(report.between_names()[1]))
    fig, (axes,) = figure(1, width / 2, height)
    draw_payments(axes, report, agents, last=False)
    return fig


def pixels(fig: Figure) -> np.ndarray:
    """The figure as uint8 [height, width, 3]."""
    canvas = fig.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
