"""An experiment: how far a payoff, or the gain of the best deviation, is from its closed form."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ...lineups import find_profile
from ...stress.attack import JUDGE, Attack, seeds_of
from ...stress.best_response import best_response, deviators
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.samples import MOST, blocks
from .settings import game


@dataclass(frozen=True, kw_only=True)
class ClosedForm:
    """The distance of a mean from its closed form, to either side.

    A mean equals its closed form within the tolerance where neither side is farther.

    value: the closed form, money
    name:  of the game
    play:  what everybody plays
    who:   agents or roles whose payoff, or whose gain, is measured
    gain:  the best gain that a search finds, otherwise the payoff of an agent that plays along
    """

    value: float
    name: str
    play: str
    who: tuple[str, ...]
    gain: bool

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The distances of each agent, by block of seeds."""
        market = game(self.name, condition, effort)
        budget = dataclasses.replace(effort.cheap, judge=8 * effort.cheap.judge)
        profile = find_profile(market, self.play)
        samples: dict[str, list[float]] = {}
        notes = [f"closed form: {self.value:.6g} money"]
        for agent in (deviators(market, one)[0] for one in self.who):
            if self.gain:
                best = best_response(market, profile, agent, ("grid", "cross_entropy"), budget).best
                points = best.gains
                notes.append(f"{agent}: {best.words}")
            else:
                seeds = seeds_of(JUDGE, budget.judge)
                points = Attack(market, profile, (agent,), seeds, budget.most_markets).base
            samples[f"{agent} above the closed form"] = blocks(points - self.value)
            samples[f"{agent} below the closed form"] = blocks(self.value - points)
        return Evidence(
            samples=samples,
            seeds=(
                f"chosen on SELECT + 0..{budget.select - 1}, judged on JUDGE +"
                f" 0..{budget.judge - 1}, means of {MOST} blocks"
            ),
            scale=self.value,
            notes=tuple(notes),
        )
