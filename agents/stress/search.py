"""Searches for deviations that pay: every attacker proposes candidates on the seeds it is given."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import check_fields, or_none, whole
from marketenv.core.lookup import unknown
from marketenv.core.policy import Policy

from .attack import Attack
from .deviation import Deviation, Family, together
from .words import say

ELITE = 0.2  # share of a generation that the next one is drawn around
WIDEST = 0.25  # first spread, as a part of each parameter's range


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How hard to search.

    select: seeds on which candidates are chosen
    judge:  fresh seeds on which the chosen candidate is judged
    points: of each line of the grid
    population, generations: of the cross-entropy search
    rl_steps: steps of a learner; None takes the market's own setting
    rl_seed:  seed of a learner's training
    most_markets: the most markets to play at once
    Raises ValueError for numbers below 1.
    """

    select: int = 256
    judge: int = 1024
    points: int = 41
    population: int = 64
    generations: int = 8
    rl_steps: int | None = None
    rl_seed: int = 0
    most_markets: int = 2**16

    def __post_init__(self) -> None:
        names = ("select", "judge", "points", "population", "generations", "most_markets")
        check_fields(self, dict.fromkeys(names, partial(whole, least=1)))
        check_fields(self, {"rl_steps": or_none(whole, least=1), "rl_seed": whole})


@dataclass(frozen=True)
class Candidate:
    """What an attacker proposes: a policy a deviator, words, and a learner's progress."""

    words: str
    policies: tuple[Policy, ...]
    story: list[dict[str, Any]] = field(default_factory=list)


Attacker = Callable[[Attack, Budget], list[Candidate]]


def grid(attack: Attack, budget: Budget) -> list[Candidate]:
    """The best point of every line, from the profile and from truth.

    A line scales or shifts the reports of one field in one stage, or tries every option of a choice
    once. A coalition tries all combinations of its members' points, four times as many as a single
    agent. A point that leaves the profile as it is is no candidate.
    """
    count, candidates = len(attack.agents), []
    points = budget.points if count == 1 else max(3, int((4 * budget.points) ** (1 / count)))
    for bases in attack.starts():
        for members in _members(attack, attack.lines(bases)):
            lines = [member.line(points)[:, 0] for member in members]
            lattice = torch.cartesian_prod(*lines).reshape(-1, count)
            if bases == attack.bases():
                same = lattice.new_tensor([member.identity[0] for member in members])
                lattice = lattice[(lattice != same).any(1)]
            best = changing(attack.grid(bases, members, lattice)).argmax()
            candidates.append(_candidate(attack, bases, members, lattice[best]))
    return candidates


def changing(gains: Float64[Tensor, "candidates pairs"]) -> Float64[Tensor, "candidates"]:
    """Mean gains, and -inf for a candidate that changes nothing on any seed: it is no deviation."""
    return gains.mean(1).masked_fill(~(gains != 0).any(1), -torch.inf)


def _members(
    attack: Attack, lines: Mapping[str, Mapping[str, Family]]
) -> Iterator[tuple[Family, ...]]:
    """For every choice of a line in each role: the family of each deviator."""
    for choice in itertools.product(*(of.values() for of in lines.values())):
        of = dict(zip(lines, choice, strict=True))
        yield tuple(of[role.name] for role in attack.roles)


def cross_entropy(attack: Attack, budget: Budget) -> list[Candidate]:
    """The best of a cross-entropy search over lines and curves in all fields at once.

    Straight lines and curves map truthful reports to other reports, in all stages and for all
    members at once; options are chosen beside them. Each generation draws a population from
    independent normals, keeps the best fifth on common random numbers, and moves the normals to
    them. Candidates are each search's best point and the centre of its last generation.
    Source: Rubinstein, Methodology and Computing in Applied Probability 1 (1999).
    """
    candidates = []
    for bases, kind in itertools.product(attack.starts(), ("affine", "knots")):
        of = attack.families((kind, "choose"))
        members = tuple(together(list(of[role.name].values())) for role in attack.roles)
        for parameters in _evolve(attack, bases, members, budget):
            candidates.append(_candidate(attack, bases, members, parameters))
    return candidates


def _evolve(
    attack: Attack, bases: Sequence[Policy], members: Sequence[Family], budget: Budget
) -> tuple[Float64[Tensor, "k"], Float64[Tensor, "k"]]:
    """The best point of all generations, and the last generation's centre."""
    low, high, centre = (_side_by_side(members, end) for end in ("low", "high", "identity"))
    spread, keep = WIDEST * (high - low), max(2, round(ELITE * budget.population))
    best, most = centre, -float("inf")
    for generation in range(budget.generations):
        number = torch.tensor(generation, device="cpu")
        key = draws.fold(number, "cross entropy", members[0].name)
        points = (centre + spread * draws.normal(key, budget.population, len(low))).clamp(low, high)
        gains = changing(attack.grid(bases, members, points))
        top = gains.topk(min(keep, len(points))).indices
        if float(gains[top[0]]) > most:
            best, most = points[top[0]], float(gains[top[0]])
        centre, spread = points[top].mean(0), points[top].std(0, unbiased=False)
    return best, centre


def _side_by_side(members: Sequence[Family], end: str) -> Float64[Tensor, "k"]:
    """One end of the parameters' box, or the identity, of all members."""
    values = [value for member in members for value in getattr(member, end)]
    return torch.tensor(values, dtype=torch.float64, device="cpu")


def _candidate(
    attack: Attack,
    bases: Sequence[Policy],
    members: Sequence[Family],
    parameters: Float64[Tensor, "k"],
) -> Candidate:
    each = parameters[None].split([len(member.low) for member in members], 1)
    policies = tuple(Deviation(*who) for who in zip(bases, members, each, strict=True))
    return Candidate(say(attack, policies), policies)


def reinforcement(algorithm: str, attack: Attack, budget: Budget) -> list[Candidate]:
    """What a learner finds in the single-agent view while the others play the profile.

    Mixtures draw at every move.

    Raises ValueError for a coalition, which has no single-agent view, and for an attack on some
    fields alone, since a learner acts in all; ImportError where ``agents.rl`` lacks a package.
    """
    from .learned import best_reply  # only who wants a learner needs stable-baselines3

    if len(attack.agents) > 1:
        raise ValueError(
            f"{algorithm} learns for one agent, not for the coalition {attack.agents}; use grid or"
            " cross_entropy."
        )
    if attack.fields is not None:
        raise ValueError(
            f"{algorithm} learns all fields, not {attack.fields} alone; use grid, cross_entropy or"
            " scripted."
        )
    if attack.stage is not None and attack.several(attack.agents[0]):
        raise ValueError(
            f"{algorithm} learns all stages, not {attack.stage!r} alone; use grid, cross_entropy or"
            " scripted."
        )
    policy, story = best_reply(
        algorithm, attack.market, attack.profile, attack.agents[0], budget.rl_steps, budget.rl_seed
    )
    return [Candidate(algorithm, (policy,), story)]


def scripted(attack: Attack, budget: Budget) -> list[Candidate]:
    """Every scripted strategy that can play this market, within what the attack may change.

    All members of a coalition play the same strategy.
    """
    from ..markets import STRATEGIES

    candidates, bases = [], attack.bases()
    for name, strategy in STRATEGIES.items():
        if strategy.config.keys() - {"game"}:
            continue  # it needs a market with options
        try:
            policy = strategy.build(attack.market)
        except ValueError:  # of another market or game
            continue
        label = name if attack.fields is None else f"{name} in {', '.join(attack.fields)}"
        label += "" if attack.stage is None else f" ({attack.stage})"
        policies = tuple(attack.within(base, policy) for base in bases)
        candidates.append(Candidate(label, policies))
    return candidates


ATTACKERS: dict[str, Attacker] = {
    "grid": grid,
    "cross_entropy": cross_entropy,
    "scripted": scripted,
    "ppo": partial(reinforcement, "ppo"),
    "sac": partial(reinforcement, "sac"),
}


def find_attackers(names: Sequence[str]) -> dict[str, Attacker]:
    """Attackers by name; ValueError for an unknown one, with its neighbour."""
    if isinstance(names, str):
        raise ValueError(
            f"attackers is {names!r}, wanted several names, for instance ({names!r},)."
        )
    for name in names:
        if name not in ATTACKERS:
            raise unknown("attacker", name, ATTACKERS)
    return {name: ATTACKERS[name] for name in names}
