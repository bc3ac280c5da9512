"""Claims that taking part pays, of any market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from marketenv.core.market import Market, agent_names

from ...lineups import find_profile, play, seat
from ...stress.attack import JUDGE, seeds_of
from .claim import Claim
from .effort import Effort, seed_count
from .evidence import Evidence
from .rules import AtMost, Never
from .samples import MOST, blocks, greatest
from .truthfulness import Build
from .words import AS_STATED


@dataclass(frozen=True, kw_only=True)
class Participation:
    """An experiment: the loss of an agent that takes part, in the mean or ever.

    who:     agents that may stay away, in turn; all of them where none is named
    play:    what everybody plays
    others:  what all but that agent play, where that differs
    outside: what that agent alone plays to stay away; None where staying away is worth 0
    signed:  the loss in the mean, negative for a gain; otherwise 0 where there is no loss
    costly:  the market trains models, so that episodes are few
    scale:   what tolerances are relative to, money; None for the mean absolute utility inside
    """

    build: Build
    who: tuple[str, ...] = ()
    play: Any = "truthful"
    others: Any = None
    outside: Any = None
    signed: bool = False
    costly: bool = False
    scale: float | None = None

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """Losses of each agent, by seed."""
        market = self.build(condition, effort)
        count = seed_count(market, effort.seeds) if self.costly else effort.cheap.judge
        seeds, losses, sizes = seeds_of(JUDGE, count), {}, []
        for agent in self.who or agent_names(market):
            inside = self._utility(market, agent, self.play, seeds)
            away = torch.zeros_like(inside)
            if self.outside is not None:
                away = self._utility(market, agent, self.outside, seeds)
            losses[agent] = away - inside
            sizes.append(float(inside.abs().mean()))
        worst = max(losses, key=lambda agent: float(losses[agent].max()))
        most, seed = float(losses[worst].max()), int(losses[worst].argmax())
        part = "mean" if self.signed else "greatest"
        return Evidence(
            samples={f"loss of {agent}": self._samples(loss) for agent, loss in losses.items()},
            seeds=f"JUDGE + 0..{count - 1}; of more than {MOST} seeds a block's {part}",
            scale=self.scale or max(sum(sizes) / len(sizes), 1e-12),
            counterexample=f"{worst} loses {most:.4g} by taking part at seed JUDGE + {seed}",
        )

    def _utility(self, market: Market, agent: str, part: Any, seeds: Tensor) -> Tensor:
        rest = self.play if self.others is None else self.others
        parts = {name: part if name == agent else rest for name in agent_names(market)}
        policies, who = seat(market, find_profile(market, parts), seeds)
        utility = play(market, policies, who[None], seeds).utility
        return utility[0, :, agent_names(market).index(agent)]

    def _samples(self, loss: Tensor) -> list[float]:
        return blocks(loss) if self.signed else greatest(loss.clamp(min=0), MOST)


def rationality(
    *,
    id: str,
    market: str,
    paper: str,
    place: str,
    words: str,
    build: Build,
    who: tuple[str, ...] = (),
    conditions: tuple[str, ...] = (AS_STATED,),
    tolerance: float = 1e-6,
    rate: float = 0.01,
    signed: bool = False,
    **outside: Any,
) -> Claim:
    """A claim that agents do not lose by taking part: in no episode, or (``signed``) in the mean.

    tolerance: of the loss, as a part of the mean absolute utility inside (or of ``scale``)
    rate:      of ``Never``
    outside:   further arguments of ``Participation``
    """
    return Claim(
        id=id,
        market=market,
        paper=paper,
        place=place,
        words=words,
        statistic="utility of staying away less that of taking part, per episode"
        + ("" if signed else ", where above 0"),
        unit="money",
        rule=AtMost(tolerance) if signed else Never(tolerance, rate),
        conditions=conditions,
        experiment=Participation(build=build, who=who, signed=signed, **outside),
    )
