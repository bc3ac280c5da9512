"""Searches for deviations that pay: every attacker proposes candidates, found on the seeds it is given."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core import draws
from marketenv.core.lookup import unknown
from marketenv.core.policy import Policy

from .attack import Attack
from .deviation import Deviation, Family, families, together

ELITE = 0.2  # share of a generation that the next one is drawn around
WIDEST = 0.25  # first spread, as a part of each parameter's range


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How hard to search.

    select: seeds that candidates are chosen on;   judge: fresh seeds that the chosen one is judged on
    points: of each line of the grid;   population, generations: of the cross-entropy search
    rl_steps: of a learner; None takes the market's own setting
    most_markets: markets played at once
    Raises ValueError for numbers below 1.
    """

    select: int = 256
    judge: int = 1024
    points: int = 41
    population: int = 64
    generations: int = 8
    rl_steps: int | None = None
    most_markets: int = 2**16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, wanted a whole number >= 1.")


@dataclass(frozen=True)
class Candidate:
    """What an attacker proposes: a policy for each deviator, and how to name it; ``story`` holds a learner's progress."""

    told: str
    policies: tuple[Policy, ...]
    story: list[dict[str, Any]] = field(default_factory=list)


Attacker = Callable[[Attack, Budget], list[Candidate]]


def grid(attack: Attack, budget: Budget) -> list[Candidate]:
    """The best point of every line: scale and shift, for every field of the deviators' actions.

    Raises ValueError for a coalition of several roles, whose actions have no fields in common.
    """
    found = []
    for family in families(one_role(attack), ("scale", "shift")).values():
        points = family.line(budget.points)
        found.append(_candidate(attack, family, points[attack.grid(family, points).mean(1).argmax()]))
    return found


def cross_entropy(attack: Attack, budget: Budget) -> list[Candidate]:
    """The best that the cross-entropy search finds among straight lines and among curves, all fields at once.

    Each generation draws a population from independent normals, keeps the best fifth on common random numbers, and moves
    the normals to them. Returned are each search's best member and the centre of its last generation.
    Source: Rubinstein, Methodology and Computing in Applied Probability 1 (1999).
    """
    role, found = one_role(attack), []
    for kind in ("affine", "knots"):
        family = together(list(families(role, (kind,)).values()))
        found += [_candidate(attack, family, chosen) for chosen in _evolve(attack, family, budget)]
    return found


def _evolve(attack: Attack, family: Family, budget: Budget) -> tuple[Float64[Tensor, "k"], Float64[Tensor, "k"]]:
    """The best member ever seen, and the last generation's centre."""
    (low, high), size = family.box(), budget.population
    centre, spread = torch.tensor(family.identity, dtype=torch.float64), WIDEST * (high - low)
    keep, best, most = max(2, round(ELITE * size)), centre, 0.0
    for generation in range(budget.generations):
        key = draws.fold(torch.tensor(generation), "cross entropy", family.name)
        members = (centre + spread * draws.normal(key, size, len(low))).clamp(low, high)
        earned = attack.grid(family, members).mean(1)
        top = earned.topk(min(keep, size)).indices
        if float(earned[top[0]]) > most:
            best, most = members[top[0]], float(earned[top[0]])
        centre, spread = members[top].mean(0), members[top].std(0) if len(top) > 1 else spread
    return best, centre


def _candidate(attack: Attack, family: Family, parameters: Float64[Tensor, "k"]) -> Candidate:
    policies = tuple(Deviation(base, family, parameters[None]) for base in attack.bases())
    return Candidate(str(policies[0]), policies)


def one_role(attack: Attack) -> Any:
    """The role that all deviators share; ValueError where they have several."""
    roles = {role.name: role for role in attack.roles}
    if len(roles) > 1:
        raise ValueError(
            f"the coalition {attack.agents} has the roles {', '.join(roles)}; these searches move one role's actions alike. "
            "Attack with agents of one role, or give candidates of your own to Attack.gains."
        )
    return next(iter(roles.values()))


def reinforcement(algorithm: str, attack: Attack, budget: Budget) -> list[Candidate]:
    """What a learner finds in the single-agent view, the others playing the profile (mixtures draw at every move).

    Raises ValueError for a coalition, which has no single-agent view, and ImportError where ``agents.rl`` lacks a package.
    """
    from .learned import best_reply  # only who wants a learner needs stable-baselines3

    if len(attack.agents) > 1:
        raise ValueError(f"{algorithm} learns for one agent, not for the coalition {attack.agents}; use grid or cross_entropy.")
    policy, story = best_reply(algorithm, attack.market, attack.profile, attack.agents[0], budget.rl_steps)
    return [Candidate(algorithm, (policy,), story)]


def scripted(attack: Attack, budget: Budget) -> list[Candidate]:
    """Every scripted strategy that can play this very market; a coalition plays it alike."""
    from ..scripted import STRATEGIES

    found = []
    for name, strategy in STRATEGIES.items():
        try:
            policy = strategy.build(attack.market)
        except ValueError:  # of another market or game
            continue
        if not strategy.config:
            found.append(Candidate(name, (policy,) * len(attack.agents)))
    return found


ATTACKERS: dict[str, Attacker] = {
    "grid": grid,
    "cross_entropy": cross_entropy,
    "scripted": scripted,
    "ppo": partial(reinforcement, "ppo"),
    "sac": partial(reinforcement, "sac"),
}


def find_attackers(names: Sequence[str]) -> dict[str, Attacker]:
    """Attackers by name; ValueError for an unknown one, with its neighbour."""
    for name in names:
        if name not in ATTACKERS:
            raise unknown("attacker", name, ATTACKERS)
    return {name: ATTACKERS[name] for name in dict.fromkeys(itertools.chain(names))}
