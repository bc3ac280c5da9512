"""Claims that truth, or another profile of play, is a best response."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from marketenv.core.market import Market

from ...lineups import Profile, find_profile
from ...stress.attack import JUDGE, SELECT, Attack, seeds_of
from ...stress.best_response import deviators
from ...stress.exact import ex_post_regret
from ...stress.search import Budget
from .claim import Claim
from .effort import Effort, seed_count
from .evidence import Evidence
from .lines import Line, half, on_lines, regret_series
from .played import steps
from .rules import NoGain
from .samples import MOST, blocks
from .search import SearchResult, best_of_each, learning_series
from .words import AS_STATED

__all__ = ["MOST", "Build", "DeviationSearch", "Line", "blocks", "half", "truthfulness"]

Build = Callable[[str, Effort], Market]  # (condition, effort) -> the market
OTHERS = ("cross_entropy", "scripted")  # attackers beside the lines
ALONG = "no money moves where all play along, so that reports are not put to the test"


@dataclass(frozen=True, kw_only=True)
class DeviationSearch:
    """An experiment: a search for a deviation that gains, chosen on some seeds, judged on others.

    What changes nothing is no deviation and is not judged. Where no money moves, nothing is learned
    about reports, and the evidence says that it was not tested.

    build:   the market of a condition
    play:    what everybody plays, as ``find_profile`` takes it
    plays:   what everybody plays under a condition, where that differs
    who:     the deviators, in turn: agents, roles, or coalitions as tuples
    against: what all others play, in turn, beside ``play``. Where no deviation gains against
             ``play``, that is a best reply; it is dominant where none gains whatever others do
    lines:   deviations of which a whole line is tried, as (name, least, greatest), such as ("scale
             price", 0, 2) in the unit of the line's parameter; None for all that change a report,
             from end to end
    attackers: further searches, over all fields at once
    learns:  PPO searches too, where the effort has steps for it
    costly:  the market trains models, so that the search is small
    ex_post: the regret against the very reports of the others is judged too; it is exact where the
             market names its breakpoints and has one round
    fields:  parts of the action that hindsight changes, None for all
    hindsight: the gain of the lines' best point, chosen anew in every episode, is judged too
    scale:   what tolerances are relative to, money; None for the mean absolute utility of those
             who play along
    """

    build: Build
    who: tuple[str | tuple[str, ...], ...]
    play: Any = "truthful"
    plays: Mapping[str, Any] = field(default_factory=dict)
    against: tuple[str, ...] = ()
    lines: tuple[Line, ...] | None = None
    attackers: tuple[str, ...] = OTHERS
    learns: bool = False
    costly: bool = False
    ex_post: bool = False
    fields: tuple[str, ...] | None = None
    hindsight: bool = False
    scale: float | None = None

    def __call__(self, condition: str, effort: Effort) -> Evidence:
        """The gain of each deviator."""
        market = self.build(condition, effort)
        budget = self._budget(market, effort)
        profile = find_profile(market, self.plays.get(condition, self.play))
        moves = _moves(market, profile, budget.judge)
        if not moves:
            return Evidence(untested=ALONG)
        results, regrets = [], []
        for part, who in itertools.product(("", *self.against), self.who):
            agents, against = deviators(market, who), f" against {part}" if part else ""
            own = {agent: profile[agent] for agent in agents}
            others = find_profile(market, part) | own if part else profile
            names = " and ".join(agents) + against
            results.append(self._search(market, others, agents, budget, effort, names))
            if self.ex_post:
                regrets.append(self._regret(market, others, agents[0], budget, against))
        return self._evidence(results, regrets, budget, moves)

    def _budget(self, market: Market, effort: Effort) -> Budget:
        if not self.costly:
            return effort.cheap
        select, judge = effort.costly.select, effort.costly.judge
        return dataclasses.replace(
            effort.costly,
            select=seed_count(market, select, 4),
            judge=seed_count(market, judge),
        )

    def _search(
        self,
        market: Market,
        profile: Profile,
        agents: tuple[str, ...],
        budget: Budget,
        effort: Effort,
        names: str,
    ) -> SearchResult:
        search = Attack(
            market, profile, agents, seeds_of(SELECT, budget.select), budget.most_markets
        )
        judged = Attack(market, profile, agents, seeds_of(JUDGE, budget.judge), budget.most_markets)
        line, curves = on_lines(search, judged, self.lines, budget.points)
        attackers = self.attackers
        if self.learns and effort.steps and len(agents) == 1:
            attackers = (*attackers, "ppo")
            budget = dataclasses.replace(budget, rl_steps=effort.steps)
        deviations = (line, *best_of_each(search, judged, attackers, budget))
        series = [regret_series(f"{names}: {one.family}", one) for one in curves]
        series += [learning_series(names, one) for one in deviations if one.story]
        # not to deviate is always possible, so no regret is below 0
        regret = torch.cat([one.gains for one in curves]).amax(0).clamp(min=0)
        return SearchResult(names, judged.base, regret, deviations, tuple(series))

    def _regret(
        self, market: Market, profile: Profile, agent: str, budget: Budget, against: str
    ) -> _Regret:
        seeds = seeds_of(JUDGE, budget.judge)
        hindsight = ex_post_regret(market, profile, agent, seeds, fields=self.fields)
        exact = hindsight.exact and market.horizon == 1
        return _Regret(f"ex-post regret of {agent}{against}", blocks(hindsight.regret), exact)

    def _evidence(
        self, results: list[SearchResult], regrets: list[_Regret], budget: Budget, moves: float
    ) -> Evidence:
        samples = {f"gain of {one.names}": blocks(one.best.gains) for one in results}
        samples |= {one.name: one.points for one in regrets}
        if self.hindsight:
            samples |= {
                f"regret of {one.names} on its lines": blocks(one.regret) for one in results
            }
        worst = max(results, key=lambda one: float(one.best.gains.mean()))
        along = [float(one.base.abs().mean()) for one in results[: len(self.who)]]
        seeds = (
            f"chosen on SELECT + 0..{budget.select - 1}, judged on JUDGE + 0..{budget.judge - 1};"
            f" of more than {MOST} seeds a sample is the mean of a block"
        )
        return Evidence(
            samples=samples,
            seeds=seeds + "; regrets on lines on SELECT" * self.hindsight,
            scale=self.scale or max(sum(along) / len(along), 1e-12),
            exact=bool(regrets) and all(one.exact for one in regrets),
            series=[series for one in results for series in one.series],
            tables=[one.table for one in results],
            counterexample=worst.counterexample(),
            notes=(f"where all play along money moves in {100 * moves:.3g} % of the episodes",),
        )


@dataclass(frozen=True)
class _Regret:
    """An ex-post regret: its name, its samples, and whether the best replies are surely known."""

    name: str
    points: list[float]
    exact: bool


def _moves(market: Market, profile: Profile, seeds: int) -> float:
    """The share of episodes in which money moves."""
    rounds = steps(market, profile, seeds_of(JUDGE, min(max(seeds, 20), 64)))
    money = torch.stack([(report.paid + report.received).sum(1) for _, report, _ in rounds]).sum(0)
    return float((money > 0).double().mean())


def truthfulness(
    *,
    id: str,
    market: str,
    paper: str,
    place: str,
    words: str,
    build: Build,
    who: tuple[str | tuple[str, ...], ...],
    conditions: tuple[str, ...] = (AS_STATED,),
    tolerance: float = 0.01,
    **search: Any,
) -> Claim:
    """A claim that nobody gains by deviating from truth, or from what else ``play`` names.

    tolerance: of the gain, as a part of the mean absolute utility of those who play along (or of
        ``scale``)
    search:    further arguments of ``DeviationSearch``

    >>> from marketenv import make_market
    >>> from agents.papers import EFFORTS, measured, verdict
    >>> build = lambda condition, effort: make_market("reference_v0", game="second_price")
    >>> claim = truthfulness(
    ...     id="mine/truth",
    ...     market="mine",
    ...     paper="-",
    ...     place="-",
    ...     words="Truth pays.",
    ...     build=build,
    ...     who=("buyer",),
    ...     ex_post=True,
    ... )
    >>> str(verdict(claim, {"as stated": measured(claim, "as stated", "quick")}))
    'holds'
    """
    return Claim(
        id=id,
        market=market,
        paper=paper,
        place=place,
        words=words,
        statistic=(
            "utility of the best deviation found less that of playing along, same seeds, not those"
            " it was chosen on"
        ),
        unit="money",
        rule=NoGain(tolerance),
        conditions=conditions,
        experiment=DeviationSearch(build=build, who=who, **search),
    )
