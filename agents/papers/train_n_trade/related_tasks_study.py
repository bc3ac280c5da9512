"""The study of figure 4: what A gains by trade with an agent whose task is related to its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.rows import about
from ..core.study import Row, Study, run
from ..core.units import Unit
from . import linear_figures as figures
from .linear_experiments import fall
from .linear_market import source_of
from .linear_studies import Fig3, smaller
from .numbers import EARLIER_FALLS_BY_DISTANCE
from .per_seed import row
from .related_tasks import BROKERS, OUT, OWN_BROKER, related

LOSSES = ("loss on its own task", "mean loss over both tasks")
Falls = dict[str, np.ndarray]  # of A's losses, %, by broker: [distances, seeds, losses]


@dataclass(frozen=True, kw_only=True)
class Fig4(Fig3):
    """Arguments of figure 3, and how far the tasks are apart.

    Args:
        test: examples of a test set that nothing is measured on: losses are known exactly here
        distances: distances of the two true parameters, in lengths of A's
    """

    test: int = 1
    distances: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.distances or any(near >= far for near, far in pairwise(self.distances)):
            raise ValueError(
                f"distances is {self.distances}, wanted one or more, each larger than the one"
                " before."
            )
        for distance in self.distances:
            source_of(self.arguments() | {"distance": distance})


def play_related(folder: Path, seed: int, **arguments: Any) -> dict[str, list[list[float]]]:
    """What both agents end with, by broker and out of the market.

    Loss on the own task, mean over both tasks, and share of rounds with a purchase   [3][agents]
    """
    ends = related(arguments, torch.tensor([seed]))
    return {
        name: [x[0].tolist() for x in (one.own, (one.own + one.other) / 2, one.bought)]
        for name, one in ends.items()
    }


def fig4(config: Fig4) -> None:
    """Figure 4: A gains from parameters of a related task, the less the farther that task is
    from its own.
    """
    arguments, seeds = config.arguments(), range(config.seeds)
    apart = [{"seed": s, "distance": d, **arguments} for d in config.distances for s in seeds]
    results = run([Unit(play_related, one) for one in apart], config, "Figure 4")
    shape = (len(config.distances), config.seeds, 3, 2)
    # of A: [distances, seeds, (own, both, bought)]
    ends = {
        name: np.array([result[name] for result in results]).reshape(shape)[..., 0]
        for name in (OUT, *BROKERS)
    }
    falls = {name: fall(ends[name][..., :2], ends[OUT][..., :2]) for name in BROKERS}
    bought = {name: 100 * ends[name][..., 2] for name in BROKERS}
    Study(
        name="fig4",
        title="Figure 4: A's gain from trade with a related task",
        scaled=smaller(config),
        about=about(config),
        rows=(*_by_distance(config.distances, falls, bought), *_everywhere(falls)),
        fig=figures.figure_4(config.distances, falls, LOSSES),
        notes=(
            "The paper's broker holds examples of both tasks, and so does the market's own: its"
            " weights serve the average of both tasks. The own-task broker labels its features"
            " by each buyer's task in turn; the earlier program's numbers come near to it. The gate"
            " is Delta > 1 of the buyer's own parameter error, or with 'loss' a fall of the"
            " broker's loss.",
            "We read the paper's 'empirical testing loss' as A's loss on its own task. Negative"
            " falls are harm done by trade.",
        ),
        curves={
            "distances": config.distances,
            "mean fall, %": {name: x.mean(1).T.tolist() for name, x in falls.items()},
        },
    ).write(config.out)


def _by_distance(distances: Sequence[float], falls: Falls, bought: Falls) -> Iterator[Row]:
    """What A gains by trade, and how often it buys, by broker and distance."""
    for name, values in falls.items():
        for which, loss in enumerate(LOSSES):
            for k, distance in enumerate(distances):
                earlier = EARLIER_FALLS_BY_DISTANCE if (name, which) == (OWN_BROKER, 0) else {}
                known = [earlier[distance]] if distance in earlier else []
                what = f"{name}: fall of A's {loss}, distance {distance:g}"
                source = "; ".join(["figure 4 gives no numbers", *known])
                yield row(what, "%", values[k, :, which], source)
        for k, distance in enumerate(distances):
            what = f"{name}: rounds in which A buys, distance {distance:g}"
            yield row(what, "%", bought[name][k])


def _everywhere(falls: Falls) -> Iterator[Row]:
    """Whether A's gain is positive throughout and falls with the distance, seed by seed."""
    unit = "share of seeds"
    for name, values in falls.items():
        for which, loss in enumerate(LOSSES):
            gain = values[..., which]
            what = f"{name}: A's {loss} falls at every distance"
            yield row(what, unit, (gain > 0).all(0))
            what = f"{name}: the less the farther, A's {loss}"
            yield row(what, unit, (np.diff(gain, axis=0) < 0).all(0))
