"""Pictures of the marketplace; each is given plain data."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from marketenv.render.pictures import COLOURS

Ladder = Mapping[str, Mapping[str, Mapping[str, float]]]  # by panel, step and role: mean utility


def ladder(panels: Ladder) -> Figure:
    """Mean utility of each role by step of the ladder, a panel for each rule, a row for each data
    set; the black dot is everybody's.
    """
    rows = len({title.partition(", ")[2] for title in panels})
    columns = -(-len(panels) // rows)
    fig = Figure(figsize=(3.0 * columns, 3.2 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(fig)
    axes = fig.subplots(rows, columns, squeeze=False).flatten()
    for place, (title, steps) in zip(axes, panels.items(), strict=False):
        names = list(steps)
        for k, role in enumerate(next(iter(steps.values()))):
            spots = [x + 0.25 * (k - 1) for x in range(len(names))]
            heights = [steps[name][role] for name in names]
            place.bar(spots, heights, 0.25, color=COLOURS[k], label=f"all {role}s")
        total = [sum(steps[name].values()) for name in names]
        place.plot(range(len(names)), total, "ko", ms=4, label="everybody")
        place.axhline(0, color="black", lw=0.6)
        place.set_xticks(range(len(names)), names, rotation=25, ha="right", fontsize=7)
        place.set_title(title, fontsize=9)
        place.set_ylabel("utility of an episode, money", fontsize=7)
        place.tick_params(axis="y", labelsize=7)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return fig
