"""Scenarios: what a strategy earns among others that it was not trained with, beside truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import named_part
from marketenv.core.market import Market, agent_names
from marketenv.core.policy import Policy
from marketenv.metrics import Interval, mean_interval, paired_difference

from ..lineups import Profile, find_profile, play, seat
from ..scenarios import SCENARIOS, Scenario
from .attack import seeds_of

SCENARIO = 7 * 2**60  # first seed of the scenarios' block; see ``attack.seeds_of``


@dataclass(frozen=True)
class Focal:
    """What a focal strategy earned, beside truth in its place on the same seeds and draws.

    returns, truthful: mean over the focal agents, per episode, money   [pairs]
    scale: divides differences, money
    """

    returns: Float64[Tensor, "pairs"]
    truthful: Float64[Tensor, "pairs"]
    scale: float

    @cached_property
    def per_capita(self) -> Interval:
        """What a focal agent earns per episode, money."""
        return mean_interval(self.returns)

    @cached_property
    def beside_truth(self) -> Interval:
        """What it earns more than truth, paired by seed, money."""
        return paired_difference(self.returns, self.truthful)

    @property
    def normalised(self) -> Float64[Tensor, "pairs"]:
        """(returns - truthful) / scale: 0 is truth."""
        return (self.returns - self.truthful) / self.scale

    @cached_property
    def score(self) -> Interval:
        """Mean of ``normalised``; the scale is taken as exact."""
        return mean_interval(self.normalised)


def play_scenario(scenario: str | Scenario, policy: Any, pairs: int = 256) -> Focal:
    """Let the focal agents play a policy in a scenario, and then truth, on the same seeds.

    policy: a policy, a mixture (drawn per agent and episode), a scripted strategy or its name, what
            the doors take for an opponent, or ``run:folder`` of a training run
    pairs:  seeds; they are no training's and no other evaluation's

    Raises ValueError for unknown scenarios and policies, with the nearest name.

    >>> result = play_scenario("double_auction_buyer", "linear_equilibrium", 1000)
    >>> bool(result.beside_truth.low > 0)
    True
    """
    return play_policies(scenario, {"policy": policy}, pairs)["policy"]


def play_policies(
    scenario: str | Scenario, policies: Mapping[str, Any], pairs: int = 256
) -> dict[str, Focal]:
    """``play_scenario`` for many policies by name, as one batch with truth among them.

    Raises ValueError as ``play_scenario`` does, and where truth earns nothing and the scenario
    names no scale.
    """
    setting: Scenario = named_part(scenario, "scenario", SCENARIOS, "a Scenario", kind=Scenario)
    *others, truth = play_focal(setting, [*policies.values(), "truthful"], pairs)
    scale = float(truth.returns.abs().mean()) if setting.scale is None else setting.scale
    # less is rounding: actions are float32
    largest = max(float(one.returns.abs().max()) for one in (*others, truth))
    if not 1e-6 * largest < scale < math.inf:
        raise ValueError(
            f"scenario {setting.name!r}: truth earns {scale:.3g} money there, too little to be a"
            " scale; give the scenario a scale."
        )
    pairs_of = zip(policies, others, strict=True)
    return {name: Focal(one.returns, truth.returns, scale) for name, one in pairs_of}


@dataclass(frozen=True)
class Episodes:
    """Episodes of a scenario in which the focal agents play one policy, money.

    returns: mean over the focal agents                 [pairs]
    welfare: sum of all agents' utilities, and of what the accounts take, as the house of an auction
                                                        [pairs]
    paid:    sum of all payments by agents              [pairs]
    """

    returns: Float64[Tensor, "pairs"]
    welfare: Float64[Tensor, "pairs"]
    paid: Float64[Tensor, "pairs"]


def play_focal(scenario: Scenario, parts: Sequence[Any], pairs: int) -> list[Episodes]:
    """Let the focal agents play each of some policies, all on the same seeds and as one batch.

    parts: what ``play_scenario`` takes as a policy
    """
    market, others = scenario.build()
    profiles = [others | _focal(market, scenario, part) for part in parts]
    focal = [agent_names(market).index(agent) for agent in scenario.focal]
    return _play(market, profiles, focal, pairs)


def play_truth(scenario: Scenario, pairs: int) -> Episodes:
    """The episodes of a scenario's market in which all agents are truthful, on the same seeds."""
    market, _ = scenario.build()
    focal = [agent_names(market).index(agent) for agent in scenario.focal]
    return _play(market, [find_profile(market)], focal, pairs)[0]


def _play(
    market: Market, profiles: Sequence[Profile], focal: Sequence[int], pairs: int
) -> list[Episodes]:
    """Every profile on every seed; mixtures draw alike in all of them."""
    table: list[Policy] = []
    rows, seeds = [], seeds_of(SCENARIO, pairs)
    for profile in profiles:
        more, who = seat(market, profile, seeds)
        rows.append(who + len(table))
        table += more
    results = play(market, table, torch.stack(rows), seeds)
    returns = results.utility[..., focal].mean(2)
    # money is conserved: what agents pay and do not receive is what accounts take
    welfare = (results.utility + results.paid - results.received).sum(2)
    sums = (welfare, results.paid.sum(2))
    return [Episodes(*one) for one in zip(returns, *sums, strict=True)]


def _focal(market: Market, scenario: Scenario, part: Any) -> dict[str, Any]:
    """The focal agents' policy by their names."""
    profile = find_profile(market, dict.fromkeys(scenario.focal, part))
    return {name: profile[name] for name in scenario.focal}
