"""Line-ups: who plays what in a batch of markets, and many of them on the same seeds at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core import draws, rounds, tree
from marketenv.core.lookup import lookup, unknown
from marketenv.core.market import Market, Move, agent_names
from marketenv.core.policy import Policy, actions_of
from marketenv.envs.opponents import find_opponents

from .markets import STRATEGIES, facts_of
from .runs import is_learned, load_learned
from .scripted import Strategy


@dataclass(frozen=True)
class MixedStrategy:
    """A mixed strategy: one of several policies, each with its chance.

    ``seat`` draws one policy for a whole episode, as game theory means it. Called as a policy
    itself, where no seat is taken (a learner's opponents), it draws anew at every move.
    Raises ValueError for chances that are negative, do not sum to 1, or are not one a policy.
    """

    policies: tuple[Policy, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        weights = self.weights
        fits = len(self.policies) == len(weights) and all(weight >= 0 for weight in weights)
        if not fits or not abs(sum(weights) - 1) < 1e-6:
            raise ValueError(
                f"a mixed strategy of {len(self.policies)} policies got the weights {weights};"
                " wanted one weight a policy, >= 0, with sum 1."
            )

    def draw(self, keys: Int[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
        """The number of the policy that each key draws."""
        edges = torch.tensor(self.weights, dtype=torch.float64, device=keys.device).cumsum(0)[:-1]
        return (draws.uniform(draws.fold(keys, "mixture"))[..., None] >= edges).sum(-1)

    def __call__(
        self, observation: Float[Tensor, "markets dim"], move: Move, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions of a policy drawn for this move."""
        actions = torch.stack(
            [actions_of(policy, observation, move, keys) for policy in self.policies]
        )
        return actions[self.draw(keys), torch.arange(len(keys), device=keys.device)]


Profile = Mapping[str, Policy | MixedStrategy]  # who plays what, by agent


def find_profile(market: Market, parts: Any = "truthful") -> dict[str, Policy]:
    """Who plays what, by agent.

    parts: one part for all, or a mapping from agents or roles to parts; all others are truthful

    A part is a policy, a mixture, a scripted strategy or its name, or what ``marketenv.envs`` takes
    for an opponent. Raises ValueError for unknown names.

    >>> from marketenv import make_market
    >>> sorted(find_profile(make_market("reference_v0", game="double_auction"), {"buyer": "shade"}))
    ['buyer_0', 'seller_0']
    """
    if isinstance(parts, Mapping):
        by_name = {name: find_part(market, part) for name, part in parts.items()}
        return find_opponents(by_name, market)
    return find_opponents(find_part(market, parts), market)


def find_part(market: Market, part: Any) -> Any:
    """The policy of a scripted strategy or of a finished run; any other part as it is.

    A run is named by the folder of one of its seeds: ``"run:folder"``. Raises ValueError for a name
    that is neither the market's nor a strategy's, with its neighbour, and for a folder without a
    policy.
    """
    if isinstance(part, Strategy):
        return part.build(market)
    if is_learned(part):
        return load_learned(part, market)
    if not isinstance(part, str) or part in market.policies or ":" in part:
        return part
    if part not in STRATEGIES:
        raise unknown("policy", part, (*market.policies, *STRATEGIES))
    return STRATEGIES[part].build(market)


def learned_strategy(name: str) -> Strategy:
    """A learned policy as a strategy, which wants the market in which it was trained.

    name: ``"run:folder"`` or ``"trained:name"``; raises ValueError where there is no such policy
    """
    policy = load_learned(name)
    facts = policy.facts
    arguments = {key: value for key, value in facts.arguments.items() if key != "max_cycles"}
    return Strategy(
        builders={facts.market: policy.at},
        summary=f"Plays what {facts.algorithm} learned in {facts.steps} steps",
        claim="It plays as in its training",
        config=arguments,
        role=facts.role,
    )


def members(market: Market, agent: str) -> tuple[str, ...]:
    """The agent of this name alone, or all agents of the role of this name.

    Raises ValueError for an unknown name.

    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="second_price", n_buyers=2)
    >>> members(market, "buyer"), members(market, "buyer_1")
    (('buyer_0', 'buyer_1'), ('buyer_1',))
    """
    groups = {name: (name,) for name in agent_names(market)} | {
        role.name: role.agents for role in market.roles
    }
    return lookup(groups, agent, "agent")


def seat(
    market: Market, profile: Profile, seeds: Int[Tensor, "pairs"]
) -> tuple[list[Policy], Int[Tensor, "pairs agents"]]:
    """All policies of a profile, and the number of each agent's policy on each seed.

    Mixtures are drawn here.
    """
    names, columns = agent_names(market), []
    policies: list[Policy] = []
    for k, name in enumerate(names):
        part = profile[name]
        if isinstance(part, MixedStrategy):
            keys = draws.agent_keys(seeds, len(names), "seat")[:, k]
            numbers = [_number(policies, policy) for policy in part.policies]
            columns.append(torch.tensor(numbers, device=seeds.device)[part.draw(keys)])
        else:
            columns.append(torch.full_like(seeds, _number(policies, part)))
    return policies, torch.stack(columns, 1)


def _number(policies: list[Policy], policy: Policy) -> int:
    """The number of a policy in a list, to which it is added where it is new."""
    for number, other in enumerate(policies):
        if other is policy:
            return number
    policies.append(policy)
    return len(policies) - 1


@dataclass(frozen=True)
class LineupResults:
    """Episodes of some line-ups on the same seeds.

    utility: per episode, money                                   float64 [line-ups, pairs, agents]
    paid:    by each agent in an episode, money                   float64 [line-ups, pairs, agents]
    received: the same of what it received
    facts:   name to a round's mean over rounds and seeds, where asked for
                                                                  float64 [line-ups, agents]
    """

    utility: Float64[Tensor, "lineups pairs agents"]
    paid: Float64[Tensor, "lineups pairs agents"]
    received: Float64[Tensor, "lineups pairs agents"]
    facts: dict[str, Float64[Tensor, "lineups agents"]]


def play(
    market: Market,
    policies: Sequence[Policy],
    who: Int[Tensor, "lineups pairs agents"],
    seeds: Int[Tensor, "pairs"],
    start: rounds.Situation | None = None,
    facts: bool = False,
) -> LineupResults:
    """Play every line-up on every seed as one batch.

    What is quoted before anybody moves is the same for all line-ups, so it is computed once a seed.

    who:   agent i of pair k plays ``policies[who[., k, i]]``
    start: the first situation of the seeds' markets; None begins at the first move
    facts: whether to tell the facts of rounds too, which takes time in markets that train nothing
    """
    pairs = torch.arange(len(seeds), device=market.device).repeat(len(who))
    seats = who.flatten(0, 1).to(market.device)
    now = tree.rows(start or rounds.begin(market, seeds), pairs)
    sums = torch.zeros(3, *seats.shape, dtype=torch.float64, device=market.device)
    over = torch.zeros(len(seats), dtype=torch.bool, device=market.device)
    totals: dict[str, list[Tensor]] = {}
    while now.playing:
        before = now
        now, report = rounds.advance(market, now, rounds.act_mixed(market, policies, seats, now))
        if report is None:
            continue
        amounts = torch.stack((report.rewards, report.paid, report.received))
        amounts[:, over] = 0.0
        sums += amounts
        for name, parts in (facts_of(market, before, report) if facts else {}).items():
            lineups = [
                part.double().masked_fill(over[:, None], 0.0).unflatten(0, who.shape[:2])
                for part in parts
            ]
            total = torch.stack([part.sum(1) for part in lineups])
            totals.setdefault(name, []).append(total)
        over = over | report.terminated
    means = {}
    for name, rows in totals.items():
        total, weight = torch.stack(rows).sum(0).cpu()
        means[name] = total / weight.clamp(min=1e-12)
    utility, paid, received = sums.unflatten(1, who.shape[:2]).cpu()
    return LineupResults(utility, paid, received, means)
