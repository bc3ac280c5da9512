"""Scenarios: how a strategy does among others that it was not trained with, beside truth in its
place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import named_part
from marketenv.core.lookup import unknown
from marketenv.core.market import Market, agent_names
from marketenv.core.policy import Policy
from marketenv.envs import make_market
from marketenv.metrics import Interval, mean_interval, paired_difference

from ..lineups import Mixture, Profile, find_profile, play, seat
from .attack import seeds_of

SCENARIO = 7 * 2**60  # first seed of the scenarios' block; see ``attack.seeds_of``


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A market in which some agents are focal and the others draw from a fixed mix of scripted
    strategies every episode.

    market, arguments: what ``make_market`` takes
    focal:      the agents that play the strategy in question, all of them the same
    background: role or agent to strategy name to chance, for everybody else; keep such mixes out of
        training
    scale:      what a difference to truth is divided by, money an agent and episode; None: what
                truth earns there, which wants truth to earn something
    words:      what it asks, one sentence
    """

    name: str
    market: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    focal: tuple[str, ...]
    background: Mapping[str, Mapping[str, float]]
    scale: float | None = None
    words: str

    def build(self) -> tuple[Market, dict[str, Any]]:
        """The market, and the background's mixture of every agent that is not focal.

        Raises ValueError for unknown names, and for an agent that is both focal and background, or
        neither.
        """
        market = make_market(self.market, **self.arguments)
        known = (*agent_names(market), *(role.name for role in market.roles))
        for name in (*self.focal, *self.background):
            if name not in known:
                raise unknown("agent or role", name, known)
        mixed = {name: _mixture(market, chances) for name, chances in self.background.items()}
        others = {
            a: mixed.get(a, mixed.get(role.name))
            for role in market.roles
            for a in role.agents
            if a not in self.focal
        }
        odd = [name for name, part in others.items() if part is None] + [
            name for name in self.focal if name in self.background
        ]
        if odd or not self.focal or not set(self.focal) <= set(agent_names(market)):
            raise ValueError(
                f"scenario {self.name!r}: focal are {self.focal}, and {odd} are both or neither;"
                " wanted agents' names as focal, and a background for every other agent, by its"
                " name or its role's."
            )
        return market, others


@dataclass(frozen=True)
class Focal:
    """What a focal strategy earned, beside truth in its place on the same seeds with the same draws
    of the background.

    returns, truthful: mean over the focal agents, per episode, money   [pairs]
    scale: money that differences are told in
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
            the doors take for an opponent, or ``run:folder`` of a training run of one's own (such
            files are pickles)
    pairs:  seeds; they are no training's and no other evaluation's

    Raises ValueError for unknown scenarios and policies, with the nearest name.

    >>> found = play_scenario("double_auction_buyer", "linear_equilibrium", 1000)
    >>> bool(found.beside_truth.low > 0)
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
    asked: Scenario = named_part(scenario, "scenario", SCENARIOS, "a Scenario", kind=Scenario)
    market, others = asked.build()
    seeds, names = seeds_of(SCENARIO, pairs), agent_names(market)
    parts = [*policies.values(), "truthful"]
    profiles = [others | _focal(market, asked, part) for part in parts]
    utility = _play(market, profiles, seeds)[
        ..., [names.index(agent) for agent in asked.focal]
    ].mean(2)
    truthful = utility[-1]
    scale = float(truthful.abs().mean()) if asked.scale is None else asked.scale
    # less is rounding: actions are float32
    if not 1e-6 * float(utility.abs().max()) < scale < math.inf:
        raise ValueError(
            f"scenario {asked.name!r}: truth earns {scale:.3g} there, too little to be a scale;"
            " give the scenario a scale."
        )
    return {
        name: Focal(row, truthful, scale) for name, row in zip(policies, utility[:-1], strict=True)
    }


def _play(
    market: Market, profiles: Sequence[Profile], seeds: Tensor
) -> Float64[Tensor, "profiles pairs agents"]:
    """Utility of every profile on every seed; mixtures draw alike in all of them."""
    table: list[Policy] = []
    rows = []
    for profile in profiles:
        more, who = seat(market, profile, seeds)
        rows.append(who + len(table))
        table += more
    return play(market, table, torch.stack(rows), seeds).utility


def _focal(market: Market, scenario: Scenario, part: Any) -> dict[str, Any]:
    """The focal agents' policy by their names."""
    if isinstance(part, str) and part.startswith("run:"):
        from ..rl.policy import find_opponent  # only who has trained needs stable-baselines3

        part = find_opponent(part, market)
    found = find_profile(market, dict.fromkeys(scenario.focal, part))
    return {name: found[name] for name in scenario.focal}


def _mixture(market: Market, chances: Mapping[str, float]) -> Mixture:
    first = agent_names(market)[0]
    return Mixture(
        tuple(find_profile(market, name)[first] for name in chances), tuple(chances.values())
    )


DOUBLE, FIRST, SECOND = (
    {"game": game} for game in ("double_auction", "first_price", "second_price")
)
SMALL = {"n_agents": 4, "max_cycles": 3}

# A scale in money is what theory says an agent earns: 1/12 by truth on both sides of the double
# auction, 1 / (n (n + 1)) in an auction of n buyers at equilibrium. Truth earns nothing in a
# first-price auction, so it is no scale there.
SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="double_auction_buyer",
            market="reference_v0",
            arguments=DOUBLE,
            focal=("buyer_0",),
            background={
                "seller": {
                    "linear_equilibrium": 0.4,
                    "best_midpoint_seller": 0.3,
                    "myerson_seller": 0.3,
                }
            },
            scale=1 / 12,
            words="A buyer meets sellers that ask above their cost in three ways.",
        ),
        Scenario(
            name="double_auction_seller",
            market="reference_v0",
            arguments=DOUBLE,
            focal=("seller_0",),
            background={"buyer": {"shade": 0.5, "linear_equilibrium": 0.5}},
            scale=1 / 12,
            words="A seller meets buyers that bid below their value.",
        ),
        Scenario(
            name="first_price_shaders",
            market="reference_v0",
            arguments=FIRST,
            focal=("buyer_0",),
            background={"buyer_1": {"shade": 0.5, "first_price_equilibrium": 0.5}},
            scale=1 / 6,
            words="A bidder meets one that shades too little or plays the equilibrium.",
        ),
        Scenario(
            name="first_price_majority",
            market="reference_v0",
            arguments=FIRST | {"n_buyers": 3},
            focal=("buyer_0", "buyer_1"),
            background={"buyer_2": {"shade": 0.7, "random": 0.3}},
            scale=1 / 12,
            words=(
                "Two bidders of one mind meet a third that shades or bids at random: what they bid"
                " away they lose themselves."
            ),
        ),
        Scenario(
            name="second_price_crowd",
            market="reference_v0",
            arguments=SECOND | {"n_buyers": 3},
            focal=("buyer_0",),
            background={"buyer_1": {"shade": 1.0}, "buyer_2": {"shade": 0.5, "random": 0.5}},
            scale=1 / 12,
            words="Nothing earns more than truth here, whatever the others bid.",
        ),
        Scenario(
            name="trading_dear_sellers",
            market="parameter_trading_v0",
            arguments=SMALL,
            focal=("trader_0",),
            background={"trader": {"myerson_seller": 0.5, "best_midpoint_seller": 0.5}},
            words="A trader meets sellers that ask more than their cost.",
        ),
        Scenario(
            name="trading_free_riders",
            market="parameter_trading_v0",
            arguments=SMALL,
            focal=("trader_0",),
            background={"trader": {"free_rider": 0.6, "shade": 0.2, "never_trade": 0.2}},
            words="A trader meets others that mostly leave the training to it.",
        ),
        Scenario(
            name="trading_pair",
            market="parameter_trading_v0",
            arguments=SMALL,
            focal=("trader_0", "trader_1"),
            background={"trader": {"shade": 0.5, "lower_bound_seller": 0.5}},
            words=(
                "Two traders of one mind meet two that shade their bids or ask what anybody pays."
            ),
        ),
        Scenario(
            name="sharing_liars",
            market="model_sharing_v0",
            arguments={"n_agents": 6, "max_cycles": 2, "learner": None},
            focal=("client_0",),
            background={
                "client": {"undercutter": 0.5, "size_liar": 0.25, "eagerness_shader": 0.25}
            },
            words=(
                "A client meets others that say they are cheaper, larger or less in need than they"
                " are."
            ),
        ),
    )
}
