"""The contenders of the board beside the scripted strategies: learners and searches."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketenv.core.market import Market, agent_names, role_of

from ..lineups import MixedStrategy, find_profile
from ..rl import TrainConfig, load_policy, seed_folder, train
from ..stress.best_response import best_response
from ..stress.psro import psro
from .budget import Spending, trains

POLICY = "policy.safetensors"  # the file of a trained policy in its folder
MOST_WORDS = 3  # facts in the words on a learned policy


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a contender is made for.

    agent:  whose place it takes
    seed:   of a training or a search
    steps:  of a learner; None takes a share of the market's own setting
    folder: of checkpoints
    """

    market: Market
    agent: str
    seed: int
    spending: Spending
    steps: int | None
    folder: Path

    @property
    def costly(self) -> bool:
        """Whether the market trains models."""
        return trains(self.market)


@dataclass(frozen=True)
class Prepared:
    """A contender that is ready to play.

    policy: what plays, also a mixture
    words:  what it does, in short
    file:   the trained policy as text (base64 of a safetensors file); None for what is no network
    """

    policy: Any
    words: str
    file: str | None = None


@dataclass(frozen=True)
class Contender:
    """A learner or a search.

    prepare: makes the policy
    fits:    whether it can take part in a market
    summary: what it is, in one sentence
    seeded:  whether another seed gives another one
    """

    prepare: Callable[[Task], Prepared]
    fits: Callable[[Market], bool]
    summary: str
    seeded: bool = True


def trained(task: Task, algorithm: str, agent: str) -> Prepared:
    """Train by reinforcement learning against truth; a killed training goes on."""
    config = TrainConfig(
        market=task.market.name,
        algorithm=algorithm,
        agent=agent,
        out=task.folder / "run",
        evaluations=0,
        episodes=32,
    )
    steps = task.steps or round(task.spending.share * (config.with_defaults().steps or 0))
    config = TrainConfig(**{**vars(config), "steps": max(steps, 1)})
    result = train(config, task.seed, market=task.market)
    folder = seed_folder(config, task.seed)
    if agent == "each":
        folder, result = folder / task.agent, result["agents"][task.agent]
    text = base64.b64encode((folder / POLICY).read_bytes()).decode()
    return Prepared(load_policy(folder, task.market), behaviour(result["behaviour"]), text)


def behaviour(facts: Mapping[str, Mapping[str, float]]) -> str:
    """The facts of a round that a learned policy changes most.

    >>> behaviour(
    ...     {
    ...         "bid / worth": {"learned": 0.6, "truthful": 1.0},
    ...         "ask": {"learned": 0.0, "truthful": 0.0},
    ...     }
    ... )
    'bid / worth 0.6 (truth 1)'
    """
    changes = {
        name: abs(one["learned"] - one["truthful"]) / max(abs(one["truthful"]), 0.01)
        for name, one in facts.items()
    }
    most = sorted(changes, key=lambda name: -changes[name])[:MOST_WORDS]
    return ", ".join(
        f"{name} {facts[name]['learned']:.3g} (truth {facts[name]['truthful']:.3g})"
        for name in most
        if changes[name] > 0.02
    )


def ppo(task: Task) -> Prepared:
    """PPO of one agent against truth."""
    return trained(task, "ppo", task.agent)


def sac(task: Task) -> Prepared:
    """SAC of one agent against truth."""
    return trained(task, "sac", task.agent)


def shared_ppo(task: Task) -> Prepared:
    """One PPO policy for all agents."""
    return trained(task, "ppo", "all")


def independent_ppo(task: Task) -> Prepared:
    """A PPO policy for each agent, all of which learn at once."""
    return trained(task, "ppo", "each")


def cross_entropy(task: Task) -> Prepared:
    """The best deviation from truth that a cross-entropy search finds."""
    budget, truth = task.spending.searches[task.costly], find_profile(task.market)
    attackers = ("cross_entropy",)
    best = best_response(task.market, truth, task.agent, attackers, budget, task.seed).best
    return Prepared(best.policies[0], best.words)


def psro_mixture(task: Task) -> Prepared:
    """The mixture that PSRO ends with, from truth."""
    spending = task.spending
    result = psro(
        task.market,
        eps=1e-3,
        budget=spending.searches[task.costly],
        pairs=spending.pairs[task.costly],
        iterations=spending.turns,
    )
    mixture, last = result.profile[task.agent], result.history[-1]
    mix = last.equilibrium.mix[role_of(task.market, task.agent).name]
    shares = ", ".join(f"{chance:.0%} {name}" for name, chance in mix.items() if chance > 0.005)
    assert isinstance(mixture, MixedStrategy)
    return Prepared(mixture, f"{shares}; {result.stopped}")


def one_role(market: Market) -> bool:
    """Whether a market has one role of several agents, who can share a policy."""
    return len(market.roles) == 1 and len(agent_names(market)) > 1


def any_market(market: Market) -> bool:
    """Every market."""
    return True


CONTENDERS: dict[str, Contender] = {
    "ppo": Contender(ppo, any_market, "Proximal policy optimisation against truthful agents."),
    "sac": Contender(sac, any_market, "Soft actor-critic against truthful agents."),
    "shared_ppo": Contender(
        shared_ppo, one_role, "Proximal policy optimisation: all agents share one policy."
    ),
    "independent_ppo": Contender(
        independent_ppo,
        any_market,
        "Proximal policy optimisation: each agent learns a policy of its own, all at once.",
    ),
    "cross_entropy": Contender(
        cross_entropy, any_market, "Cross-entropy search for a deviation from truth."
    ),
    "psro": Contender(
        psro_mixture,
        any_market,
        "The mixture of policy-space response oracles, from truth.",
        seeded=False,
    ),
}
