"""Pictures of evidence: how a series is drawn, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from marketenv.core.lookup import lookup
from marketenv.render import draw_bands, draw_lines, draw_network, figure, picture

Series = Mapping[str, Any]  # as ``Evidence.series`` holds it


def pictures(series: Sequence[Series]) -> str:
    """The series of some evidence as HTML images, "" where there are none."""
    images = []
    for one in series:
        draw, caption = lookup(PICTURES, one["kind"], "kind of picture")
        fig, (axes,) = figure(1, 5.6, 3.4)
        draw(axes, one)
        images.append(picture(fig, f"{one['title']}. {caption}"))
    return f'<div class="pictures">{"".join(images)}</div>' if images else ""


def _regret(axes: Axes, one: Series) -> None:
    band, labels = (one["mean"], one["low"], one["high"]), (one["x"], one["y"])
    draw_bands(axes, one["parameters"], *band, one["title"], labels)
    if one.get("powers"):
        axes.set_xscale("log")
        # the page sets no formulas
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    if one.get("options"):
        names = [one["options"][int(k)] if k >= 0 else "as it was" for k in one["parameters"]]
        axes.set_xticks(one["parameters"], names, rotation=45, ha="right")


def _learning(axes: Axes, one: Series) -> None:
    axis_labels = one.get("x", "steps of the learner"), one.get("y", "utility per episode")
    for name, label in (("utility", "learner"), ("truthful", "truth")):
        nothing = [None] * len(one[name])
        steps, title = one["steps"], one["title"]
        draw_bands(axes, steps, one[name], nothing, nothing, title, axis_labels, label)


def _lines(axes: Axes, one: Series) -> None:
    curves = {name: np.array(runs, dtype=float) for name, runs in one["curves"].items()}
    draw_lines(axes, curves, one["title"], one["x"], one["y"])


def _network(axes: Axes, one: Series) -> None:
    draw_network(axes, np.array(one["money"], dtype=float), one["names"], one["title"])


# how a series is drawn, and what to know about the picture, by the series' kind
PICTURES: dict[str, tuple[Callable[[Axes, Series], None], str]] = {
    "regret": (
        _regret,
        "Mean with its 95 % band where there are enough samples, the same seeds at every point.",
    ),
    "learning": (
        _learning,
        "What the learner earns in evaluations while it trains, beside what truth earns.",
    ),
    "lines": (_lines, "Means over runs; the shade holds their middle half."),
    "network": (_network, "Arrows lead from payer to payee; the width is money."),
}
