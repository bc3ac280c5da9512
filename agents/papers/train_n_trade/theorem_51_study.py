"""The study of theorem 5.1: rounds until B's gradient is small, beside those promised."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.rows import about
from ..core.study import Common, Row, Study, run
from ..core.units import Unit
from . import theorem_figures as figures
from .descent import ALWAYS, NEVER, Descent, assess, descend, kept
from .per_seed import jsonable, row, share
from .theorem_51 import KINDS, arguments_of, market_of_kind, used_up


@dataclass(frozen=True, kw_only=True)
class Thm51(Common):
    """Arguments of the study of theorem 5.1.

    Args:
        seeds: episodes of each kind of market; below 20 no interval is shown
        rounds: rounds of an episode
        rate: size of a gradient step; the theorem wants it below 1 / L
        dimensions: parameters of the three kinds: figure 3's, the same distribution for all, plenty
            of examples
        epsilons: gradient norms to reach, in units of the first gradient's
    """

    seeds: int = 20
    rounds: int = 200
    rate: float = 0.1
    dimensions: tuple[int, int, int] = (1000, 100, 50)
    epsilons: tuple[float, ...] = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seeds", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wanted at least 1.")
        if not 0 < self.rate < math.inf or min(self.dimensions) < 2:
            raise ValueError(
                f"rate is {self.rate} and dimensions {self.dimensions}, wanted a rate > 0 and 2 or"
                " more parameters."
            )
        if not self.epsilons or not all(0 < e < math.inf for e in self.epsilons):
            raise ValueError(f"epsilons is {self.epsilons}, wanted one or more numbers > 0.")

    def arguments(self, kind: str) -> dict[str, Any]:
        """The arguments of a unit of this kind of market, its seed aside."""
        dimension = self.dimensions[list(KINDS).index(kind)]
        return arguments_of(kind, dimension, self.rounds, self.rate)


def play_descent(folder: Path, seed: int, **arguments: Any) -> dict[str, Any]:
    """One seed of a kind of market, as ``descend`` notes it."""
    return descend(market_of_kind(arguments), [seed])[0]


def thm51(config: Thm51) -> None:
    """Theorem 5.1: rounds until B's gradient is small, always and never buying, beside what the
    theorem promises.
    """
    descents = {}
    for kind in KINDS:
        arguments = config.arguments(kind)
        work = [Unit(play_descent, {"seed": s, **arguments}) for s in range(config.seeds)]
        episodes = run(work, config, f"Theorem 5.1, {kind}")
        descents[kind] = assess(episodes, config.rate, config.epsilons)
    Study(
        name="thm51",
        title="Theorem 5.1: rounds until B's gradient is small",
        scaled="",
        about=about(config) | {"markets": KINDS},
        rows=tuple(one for kind, descent in descents.items() for one in _of(kind, descent, config)),
        fig=figures.theorem_51(config.epsilons, descents),
        notes=(
            "The gradient is that of B's own training loss, Delta_b the fall of the broker's"
            " loss, L0 - L* the expected loss at the start less that of the true parameters, as"
            " in the theorem. It also assumes that the broker's loss is nowhere above the"
            " agents', and that a fall of the broker's loss is a fall of the loss that B"
            " descends.",
            "delta_b is the least gain of the rounds up to T. Where T is more than was played,"
            " the least gain played is taken, and the promise is, if anything, too early.",
        ),
        curves={kind: _curves(descent, config) for kind, descent in descents.items()},
    ).write(config.out)


def _of(kind: str, descent: Descent, config: Thm51) -> Iterator[Row]:
    """What the theorem assumes, whether it keeps its promises, and rounds of some gradients."""
    for what, (unit, points) in (_assumed(descent, config.rate) | _promises(descent)).items():
        yield row(f"{kind}: {what}", unit, points)
    counts = _counts(descent)
    for k in reversed(range(len(config.epsilons))[::-3]):  # all of them are among the curves
        if all(np.isfinite(values[:, k]).all() for values in counts.values()):
            name = f"{kind}: rounds to {config.epsilons[k]:g} of the first gradient"
            for what, values in counts.items():
                yield row(f"{name}, {what}", "rounds", values[:, k])


def _assumed(descent: Descent, rate: float) -> dict[str, tuple[str, np.ndarray]]:
    """Units and numbers of each seed that tell of the theorem's assumptions."""
    always, never = descent.curves[ALWAYS], descent.curves[NEVER]
    gain, n_rounds = always["gain"], always["gain"].shape[1]
    barren = gain <= 0
    first = np.where(barren.any(1), barren.argmax(1) + 1, n_rounds + 1)
    below = 100 * (always["broker"] <= always["own"]).mean(1)
    saved = 100 * (1 - always["broker"] / never["broker"])[:, -1]
    used = "T delta_b(T) / (L0 - L*), greatest over T, at most 1 by the theorem"
    rises = "rounds in which the purchase raises B's training loss"
    return {
        "step size times smoothness L, wanted below 1": ("number", rate * descent.smoothness),
        "delta_b, the least gain in all rounds": ("loss", gain.min(1)),
        "rounds without a gain for B": ("%", 100 * barren.mean(1)),
        "first round without a gain, or one more than all": ("round", first),
        used: ("number", used_up(gain, descent.gap)),
        rises: ("%", 100 * (always["rise"] > 0).mean(1)),
        "rounds with the broker's loss of B's model at most B's own": ("%", below),
        "fall of the broker's loss against never buying, last round": ("%", saved),
    }


def _promises(descent: Descent) -> dict[str, tuple[str, np.ndarray]]:
    """How many promises are kept, of those that the rounds played can tell."""
    rows = {}
    for name, measured in descent.measured.items():
        n_rounds = descent.curves[name]["gain"].shape[1]
        holds = kept(measured, descent.promised[name], n_rounds)
        what = f"{name} buying: promises kept, of those that can be told"
        rows[what] = ("%", share(holds == 1, np.isfinite(holds)))
    return rows


def _counts(descent: Descent) -> dict[str, np.ndarray]:
    """Rounds that are measured and promised, by who buys: [seeds, epsilons]."""
    return {
        f"{name} buying, {what}": values[name]
        for name in descent.measured
        for what, values in (("measured", descent.measured), ("promised", descent.promised))
    }


def _curves(descent: Descent, config: Thm51) -> dict[str, Any]:
    means = {what: jsonable(values.mean(0)) for what, values in _counts(descent).items()}
    return {
        "epsilons": config.epsilons,
        "mean rounds, null if some seed does not get there": means,
    } | {
        f"{name} buying, mean {what}": values.mean(0).tolist()
        for name, curves in descent.curves.items()
        for what, values in curves.items()
    }
