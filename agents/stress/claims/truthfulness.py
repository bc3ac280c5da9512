"""Claims that any market can be held to: truth or an equilibrium is a best response, and taking
part pays.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import rounds
from marketenv.core.fields import Field
from marketenv.core.lookup import lookup
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.policy import Policy
from marketenv.metrics import mean_intervals

from ...lineups import Profile, find_profile, play, seat
from ..attack import JUDGE, SELECT, Attack, Curve, curve, seeds_of
from ..best_response import Found, deviators
from ..deviation import Deviation, Family
from ..exact import ex_post_regret
from ..kinds import LINES
from ..search import Budget, find_attackers
from ..words import axis, say
from .claim import AS_STATED, AtMost, Claim, Effort, Evidence, Never, NoGain

Build = Callable[[str, Effort], Market]  # (condition, effort) -> the market
# in the unit of the line's parameter, or what is found of the field, such as ``half``
End = float | Callable[[Field], float]
Line = tuple[str, End, End]  # a deviation of one parameter, and the range of it that is tried
# parameters that near are rounding: a line's own points can miss the one that changes nothing by
# 1e-17
SAME = 1e-9
MOST = 1024  # samples kept of one statistic; of more, means of blocks are
OTHERS = ("cross_entropy", "scripted")  # attackers beside the lines


def blocks(samples: Float64[Tensor, "samples"], most: int = MOST) -> list[float]:
    """Samples, or the means of as many equal blocks as are allowed: as independent, and with the
    same mean.

    >>> blocks(torch.arange(6, dtype=torch.float64), 3)
    [0.5, 2.5, 4.5]
    """
    size = -(-len(samples) // most)
    whole = len(samples) // size * size
    return samples[:whole].reshape(-1, size).mean(1).tolist()


def half(field: Field) -> float:
    """Half of the most that a field can mean.

    >>> from marketenv.core.fields import Money
    >>> half(Money("ask", most=8.0))
    4.0
    """
    return field.range[1] / 2


def once(market: Market, seeds: int, more: int = 20) -> int:
    """How many seeds a market that trains is worth: so many times more where it has one round,
    up to MOST or as asked.
    """
    return max(seeds, min(more * seeds, MOST)) if market.horizon == 1 else seeds


def regret_series(title: str, found: Curve) -> dict[str, Any]:
    """The gain along a line of deviations with its band, for a picture; ``x`` says what the
    line's parameter is.
    """
    rows = torch.stack([torch.tensor(blocks(row), dtype=torch.float64) for row in found.gains])
    mean, low, high = mean_intervals(rows)
    family = found.family
    axes = {"kind": "regret", "title": title, "x": axis(family), "y": "gain, money"}
    spaced = {"powers": family.powers, "options": family.options}
    return axes | spaced | {"parameters": found.parameters, "mean": mean, "low": low, "high": high}


# --- no deviation gains ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Searched:
    """An experiment: search for a deviation that gains, choose it on some seeds and judge it on
    others.

    Whatever changes nothing is no deviation and is not judged. Where no money moves nothing is
    learned about reports, and the evidence says that it was not tested.

    build:  the market of a condition;   play: what everybody plays, as ``find_profile`` takes it
    plays:  what everybody plays under a condition, where that differs
    who:    who deviates, in turn: agents, roles, or coalitions as tuples
    against: what all others play, in turn, beside playing along: that deviating gains nothing
            against what everybody plays makes it a best reply, and only whatever the others do
            makes it dominant
    lines:  deviations of which a whole line is tried, as (name, least, greatest), such as ("scale
            price", 0, 2) in the unit of the line's parameter; None for all that change what is
            reported, from end to end
    attackers: what else searches, at all fields at once;
        learns: so does PPO where the effort has steps for it
    costly: the market trains models, so that the search is small
    ex_post: the regret against the very reports of the others is judged too; it is exact where the
            market names its breakpoints and has one round;
            fields: parts of the action that hindsight changes, None for all
    hindsight: so is what the best point of the lines earns more, chosen anew in every episode
    scale:  what tolerances are relative to, money; None for the mean absolute utility of who plays
            along
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
        """What each deviator found."""
        market, budget = (
            self.build(condition, effort),
            effort.costly if self.costly else effort.cheap,
        )
        if self.costly:
            budget = dataclasses.replace(
                budget, select=once(market, budget.select, 4), judge=once(market, budget.judge)
            )
        profile = find_profile(market, self.plays.get(condition, self.play))
        moves = _moves(market, profile, budget.judge)
        if not moves:
            return Evidence(
                untested=(
                    "no money moves where all play along, so that reports are not put to the test"
                )
            )
        done, regrets = [], []
        for part, who in itertools.product(("", *self.against), self.who):
            agents = deviators(market, who)
            others = (
                find_profile(market, part) | {agent: profile[agent] for agent in agents}
                if part
                else profile
            )
            against = f" against {part}" * bool(part)
            done.append(
                self._one(market, others, agents, budget, effort, " and ".join(agents) + against)
            )
            regrets += (
                [self._regret(market, others, agents[0], budget, against)] if self.ex_post else []
            )
        along = done[: len(self.who)]
        samples = {f"gain of {one.names}": blocks(one.best.gains) for one in done} | {
            name: r for name, r, _ in regrets
        }
        samples |= {
            f"regret of {one.names} on its lines": blocks(one.regret)
            for one in done
            if self.hindsight
        }
        worst = max(done, key=lambda one: float(one.best.gains.mean()))
        return Evidence(
            samples=samples,
            seeds=(
                f"chosen on SELECT + 0..{budget.select - 1}, judged on JUDGE +"
                f" 0..{budget.judge - 1}; of more than {MOST} seeds a sample is the mean of a block"
            )
            + "; regrets on lines on SELECT" * self.hindsight,
            scale=self.scale
            or max(sum(float(one.base.abs().mean()) for one in along) / len(along), 1e-12),
            exact=bool(regrets) and all(exact for _, _, exact in regrets),
            series=[one for found in done for one in found.series],
            tables=[one.table for one in done],
            counterexample=worst.counterexample(),
            notes=(f"where all play along money moves in {100 * moves:.3g} % of the episodes",),
        )

    def _one(
        self,
        market: Market,
        profile: Profile,
        agents: tuple[str, ...],
        budget: Budget,
        effort: Effort,
        names: str,
    ) -> _Done:
        search = Attack(
            market, profile, agents, seeds_of(SELECT, budget.select), budget.most_markets
        )
        judged = Attack(market, profile, agents, seeds_of(JUDGE, budget.judge), budget.most_markets)
        line, curves = on_lines(search, judged, self.lines, budget.points)
        found, attackers = [line], self.attackers
        if self.learns and effort.steps and len(agents) == 1:
            attackers, budget = (
                (*attackers, "ppo"),
                dataclasses.replace(budget, rl_steps=effort.steps),
            )
        found += searched(search, judged, attackers, budget)
        series = [regret_series(f"{names}: {c.family}", c) for c in curves]
        series += [_learning(names, one) for one in found if one.story]
        # to deviate is free, and so is not to
        regret = torch.cat([c.gains for c in curves]).amax(0).clamp(min=0)
        return _Done(
            names,
            judged.base,
            regret,
            max(found, key=lambda one: one.selected),
            tuple(found),
            tuple(series),
        )

    def _regret(
        self, market: Market, profile: Profile, agent: str, budget: Budget, against: str
    ) -> tuple[str, list[float], bool]:
        seen = ex_post_regret(
            market, profile, agent, seeds_of(JUDGE, budget.judge), fields=self.fields
        )
        return (
            f"ex-post regret of {agent}{against}",
            blocks(seen.regret),
            seen.exact and market.horizon == 1,
        )


@dataclass(frozen=True)
class _Done:
    """What the search for one deviator came to."""

    names: str
    base: Tensor
    regret: Tensor
    best: Found
    found: tuple[Found, ...]
    series: tuple[dict[str, Any], ...]

    @property
    def table(self) -> dict[str, Any]:
        """What each attacker found."""
        head = [
            "attacker",
            "its best deviation",
            "gain where it was chosen, money",
            "gain on other seeds, money",
        ]
        rows = [[f.attacker, f.told, f.selected, float(f.gains.mean())] for f in self.found]
        return {
            "title": f"{self.names} deviates; who stays earns {float(self.base.mean()):.4g} money",
            "head": head,
            "rows": rows,
        }

    def counterexample(self) -> str:
        """The best deviation, and the seed where it gained most."""
        gains, seed = self.best.gains, int(self.best.gains.argmax())
        mean, there = float(self.base.mean()), float(self.base[seed])
        return (
            f"{self.names}: {self.best.told} ({self.best.attacker}) earns"
            f" {mean + float(gains.mean()):.4g} money in place of {mean:.4g}; at seed JUDGE +"
            f" {seed} {there + float(gains[seed]):.4g} in place of {there:.4g}"
        )


def on_lines(
    search: Attack, judged: Attack, lines: Sequence[Line] | None, points: int
) -> tuple[Found, list[Curve]]:
    """The best point of some lines of deviations, and the lines; a coalition deviates alike.

    The point that changes nothing is on every line and is not chosen. Raises ValueError for an
    unknown line, and for one that changes nothing.
    """
    curves = [curve(search, family, points) for family in _chosen(search, lines)]
    moved = [
        one.gains.mean(1).where((one.parameters - one.family.identity[0]).abs() > SAME, -torch.inf)
        for one in curves
    ]
    best = max(range(len(curves)), key=lambda k: float(moved[k].max()))
    means = moved[best]
    point = curves[best].parameters[int(means.argmax())].reshape(1, 1)
    policies = tuple(Deviation(base, curves[best].family, point) for base in search.bases())
    return (
        Found(
            "grid",
            say(search, policies),
            policies,
            float(means.max()),
            judged.gains([policies])[0],
            [],
        ),
        curves,
    )


def _chosen(search: Attack, lines: Sequence[Line] | None) -> list[Family]:
    """The families of some lines, cut to their ranges; of all lines that change something where
    none is named.
    """
    role, bases, agent = search.roles[0].name, search.bases(), search.agents[0]
    if lines is None:
        return list(search.lines(bases)[role].values())
    known, moves, found = (
        search.families(LINES)[role],
        {move.stage: move for move in search.moves_of(agent)},
        [],
    )
    for name, *ends in lines:
        family = lookup(known, name, "line of deviations")
        move = moves[family.stage]
        low, high = (
            end(move.action[family.field]) if callable(end) else float(end) for end in ends
        )
        found.append(
            dataclasses.replace(family, low=(low,), high=(high,)).within(search.usual(move, bases))
        )
        if not found[-1].low < found[-1].high:
            others = ", ".join(search.lines(bases)[role])
            raise ValueError(
                f"the line {name!r} from {low:g} to {high:g} changes no report; lines that do:"
                f" {others}."
            )
    return found


def searched(
    search: Attack, judged: Attack, attackers: Sequence[str], budget: Budget
) -> list[Found]:
    """The best real deviation of each attacker that has one, chosen on the seeds of ``search``
    and played on others.
    """
    found, base = [], search.bases()
    for name, attacker in find_attackers(attackers).items():
        real = [one for one in attacker(search, budget) if any(map(changes, one.policies, base))]
        if real:
            selected = search.gains([one.policies for one in real]).mean(1)
            best = real[int(selected.argmax())]
            gains = judged.gains([best.policies])[0]
            found.append(
                Found(name, best.told, best.policies, float(selected.max()), gains, best.story)
            )
    return found


def changes(policy: Policy, base: Policy) -> bool:
    """Whether a policy is another than its base: neither that itself nor that changed by
    nothing.
    """
    if isinstance(policy, Deviation) and policy.base == base:
        same = torch.tensor(policy.family.identity, dtype=torch.float64)
        return bool(((policy.parameters[0].cpu() - same).abs() > SAME).any())
    return policy != base


def _moves(market: Market, profile: Profile, seeds: int) -> float:
    """The share of episodes in which money moves."""
    played = steps(market, profile, seeds_of(JUDGE, min(max(seeds, 20), 64)))
    money = torch.stack([(report.paid + report.received).sum(1) for _, report, _ in played]).sum(0)
    return float((money > 0).double().mean())


def _learning(names: str, one: Found) -> dict[str, Any]:
    columns = {
        name: [float(row[name]) for row in one.story] for name in ("steps", "utility", "truthful")
    }
    return {"kind": "learning", "title": f"{names}: {one.attacker}"} | columns


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

    tolerance: of the gain, as a part of the mean absolute utility of who plays along (or of
        ``scale``)
    search:    further arguments of ``Searched``

    >>> from marketenv import make_market
    >>> from agents.stress.claims import EFFORTS, measured, verdict
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
        experiment=Searched(build=build, who=who, **search),
    )


# --- taking part pays -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Outside:
    """An experiment: what an agent loses by taking part, in the mean or ever.

    who:     agents that may stay away, in turn, all of them where none is named
    play:    what everybody plays;   others: what all but that agent play, where that differs
    outside: what staying away is, played by that agent alone; None where it is worth 0
    signed:  loss in the mean, negative for a gain; otherwise the loss where there is one, 0
             elsewhere
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
        """Losses of each agent, seed by seed."""
        market = self.build(condition, effort)
        count = once(market, effort.seeds) if self.costly else effort.cheap.judge
        seeds, losses, size = seeds_of(JUDGE, count), {}, []
        for agent in self.who or agent_names(market):
            inside = self._utility(market, agent, self.play, seeds)
            away = (
                torch.zeros_like(inside)
                if self.outside is None
                else self._utility(market, agent, self.outside, seeds)
            )
            losses[agent] = away - inside
            size.append(float(inside.abs().mean()))
        worst = max(losses, key=lambda agent: float(losses[agent].max()))
        seed = int(losses[worst].argmax())
        samples = {f"loss of {agent}": _of(loss, self.signed) for agent, loss in losses.items()}
        return Evidence(
            samples=samples,
            seeds=(
                f"JUDGE + 0..{count - 1}; of more than {MOST} seeds a block's"
                f" {'mean' if self.signed else 'greatest'}"
            ),
            scale=self.scale or max(sum(size) / len(size), 1e-12),
            counterexample=(
                f"{worst} loses {float(losses[worst].max()):.4g} by taking part at seed JUDGE +"
                f" {seed}"
            ),
        )

    def _utility(self, market: Market, agent: str, part: Any, seeds: Tensor) -> Tensor:
        rest = self.play if self.others is None else self.others
        parts = {name: part if name == agent else rest for name in agent_names(market)}
        policies, who = seat(market, find_profile(market, parts), seeds)
        return play(market, policies, who[None], seeds).utility[
            0, :, agent_names(market).index(agent)
        ]


def _of(loss: Tensor, signed: bool) -> list[float]:
    if signed:
        return blocks(loss)
    return [float(part.max()) for part in loss.clamp(min=0).split(-(-len(loss) // MOST))]


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
    """A claim that agents do not lose by taking part: never in any episode, or (``signed``) not in
    the mean.

    tolerance: of the loss, as a part of the mean absolute utility inside (or of ``scale``)
    rate:      of ``Never``;   outside: further arguments of ``Outside``
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
        experiment=Outside(build=build, who=who, signed=signed, **outside),
    )


# --- what is played -------------------------------------------------------------------------------


def steps(
    market: Market, play: Any, seeds: Tensor
) -> Iterator[tuple[rounds.Situation, Report, rounds.Situation]]:
    """(where it began, report, where it ended) of every round of episodes in which all play a
    profile.
    """
    policies, who = seat(market, find_profile(market, play), seeds)
    before, over = rounds.opened(market, seeds), False
    while not over:
        now, report = rounds.begun(market, before), None
        while report is None:
            now, report = rounds.play_stage(
                market, now, rounds.act_mixed(market, policies, who, now)
            )
        yield before, report, now
        before, over = now, bool(rounds.ended(now, report).all())
