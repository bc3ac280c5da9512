"""Curves: the gain along a family of one parameter, all points on the same seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from marketenv.metrics import Interval, mean_intervals

from .attack import Attack
from .deviation import Family


@dataclass(frozen=True)
class Curve:
    """Gain against deviation, with common random numbers.

    family:     as far as it goes without clipping every report
    parameters: of the family, one a point                        [points]
    gains:      what a point gains over the profile, seed by seed  [points, pairs]
    """

    family: Family
    parameters: Float64[Tensor, "points"]
    gains: Float64[Tensor, "points pairs"]

    def bands(self) -> list[Interval]:
        """Mean gain of every point with its interval."""
        rows = zip(*(part.tolist() for part in mean_intervals(self.gains)), strict=True)
        return [Interval(mean, _number(low), _number(high)) for mean, low, high in rows]


def curve(attack: Attack, family: Family, points: int = 41) -> Curve:
    """The gain along a family of one parameter: points x seeds as one batch.

    All members of a coalition deviate alike. The line ends where the box begins to clip every
    report of the first deviator's role in the family's stage. Raises ValueError for a family of a
    stage in which that one does not deviate, and for one of several parameters.

    >>> from agents.lineups import find_profile
    >>> from agents.stress import JUDGE, families, seeds_of
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="double_auction")
    >>> attack = Attack(market, find_profile(market), ("buyer_0",), seeds_of(JUDGE, 512))
    >>> gains = curve(attack, families(market.moves[0])["scale price"], 61)
    >>> best = gains.gains.mean(1).argmax()
    >>> round(float(gains.parameters[best]), 1)  # the best reply to truth is 2/3
    0.7
    """
    agents, bases = attack.agents, attack.bases()
    moves = [move for move in attack.moves_of(agents[0]) if family.stage in ("", move.stage)]
    if not moves:
        raise ValueError(
            f"{family} changes reports in stage {family.stage!r}, in which {agents[0]} does not"
            " deviate; give a family of one of its stages."
        )
    family = family.within(attack.usual(moves[0], bases))
    parameters = family.line(points)
    gains = attack.grid(bases, (family,) * len(agents), parameters.repeat(1, len(agents)))
    return Curve(family, parameters[:, 0], gains)


def _number(end: float) -> float | None:
    return None if math.isnan(end) else end
