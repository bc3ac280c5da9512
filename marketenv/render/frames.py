"""The last round as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from marketenv.core.report import Report
from marketenv.render.kinds import Payments, figure_of_kinds, sells_several
from marketenv.render.pictures import draw_bars, draw_network, figure


def draw_frame(report: Report | None, agents: Sequence[str]) -> np.ndarray:
    """Draw the first market's last round as a picture: payments, and every agent's utility.

    The edges of the round's outcome are drawn as a graph where it has some; an account of several
    rows is drawn as one. Where several kinds of things are sold, as in ``marketplace_v0``, arrows
    have the colour of their kind, and accounts pass money on.

    Returns uint8 [height, width, 3].
    """
    if report is not None and sells_several(report):
        utilities = dict(zip(agents, report.rewards[0].tolist(), strict=True))
        return pixels(figure_of_kinds(Payments.of([report]), utilities, "in the last round"))
    n = len(agents)
    paid, names = (torch.zeros(1, n, n), list(agents)) if report is None else report.between_names()
    money = paid[0].cpu().numpy()
    room = 0.34 * len(names)  # inches, so that circles do not touch
    fig, (left, right) = (
        figure(2) if len(names) <= 5 else figure(2, max(6.0, room), max(5.6, room - 0.4))
    )
    graphs = {
        outcome.EDGES: edges
        for outcome in (report.outcomes.values() if report else ())
        if (edges := outcome.edges()) is not None
    }
    edges = np.zeros(money.shape, dtype=bool)
    for graph in graphs.values():
        edges[:n, :n] |= graph[0].cpu().numpy()
    title = "money paid in the last round"
    if graphs:
        title = f"{', '.join(graphs)} and money paid last round"
    if not (edges.any() or money.any()):
        title = "no money was paid in the last round"
    title = "no round yet" if report is None else title
    draw_network(left, money, names, title, edges, len(names) - n)
    utility = np.zeros(n) if report is None else report.rewards[0].cpu().numpy()
    bars = dict(zip(agents, utility.tolist(), strict=True))
    draw_bars(right, bars, "utility of the round", "money")
    return pixels(fig)


def pixels(fig: Figure) -> np.ndarray:
    """The figure as uint8 [height, width, 3]."""
    canvas = fig.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
