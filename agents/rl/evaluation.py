"""What a learned policy earns and does beside truth, on seeds that no training used.

Seeds. The first episodes of training seed s have the market seeds s 2**20 + k < 2**52; evaluations
while training begin at 2**61 and final ones at 2**62, so these three never meet. The later episodes
of training have keys hashed to 64 bits, which meet one of the few thousand seeds of an evaluation
with a chance below 1e-9 in a million episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core.market import Market, agent_names
from marketenv.core.policy import Policy
from marketenv.envs.opponents import find_opponents
from marketenv.metrics import Interval, paired_difference

from ..lineups import members, play
from .config import MOST_ENVS

WHILE_TRAINING, FINAL = 2**61, 2**62  # first seeds of the two blocks of evaluation


def truthful(market: Market) -> Policy:
    """The market's own truthful policy."""
    return market.policies["truthful"]


def training_seed(seed: int) -> int:
    """Seed of the first market of a training run; market k has the seed k above it.

    >>> training_seed(1) - training_seed(0)
    1048576
    """
    return seed * MOST_ENVS


def evaluation_seeds(pairs: int, block: int = FINAL) -> Int[Tensor, "pairs"]:
    """Seeds of the evaluation's episodes; ``block`` is ``FINAL`` or ``WHILE_TRAINING``."""
    return block + torch.arange(pairs)


@dataclass(frozen=True)
class Comparison:
    """The learned policy beside truth on the same seeds.

    learned, truthful: utility per episode, money; with agent="all" the mean of all agents   [pairs]
    difference:  learned - truthful, paired by seed
    deviation:   agent="all": what one agent gains by going back to truth while the others play the
                 learned policy
    behaviour:   fact to (learned, truthful): a round's mean of the agent's actions and results
    """

    learned: Float64[Tensor, "pairs"]
    truthful: Float64[Tensor, "pairs"]
    difference: Interval
    deviation: Interval | None
    behaviour: dict[str, tuple[float, float]]

    def plain(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        behaviour = {
            name: {"learned": ours, "truthful": theirs}
            for name, (ours, theirs) in self.behaviour.items()
        }
        return {
            "learned": self.learned.tolist(),
            "truthful": self.truthful.tolist(),
            "learned_mean": float(self.learned.mean()),
            "truthful_mean": float(self.truthful.mean()),
            "difference": vars(self.difference),
            "deviation_to_truth": None if self.deviation is None else vars(self.deviation),
            "behaviour": behaviour,
        }


def mean_utility(
    market: Market, policy: Policy, *, agent: str, opponents: Any = "truthful", pairs: int = 64
) -> float:
    """Mean utility of a policy per episode, money, on the seeds of evaluations during a training.

    With agent="all" everybody plays the policy, and the mean is over all agents.
    """
    names, seeds = agent_names(market), evaluation_seeds(pairs, WHILE_TRAINING)
    if agent == "all":
        return float(
            play(market, [policy], torch.zeros(1, pairs, len(names)).long(), seeds).utility.mean()
        )
    table, who = _seats(market, agent, [policy], opponents, pairs)
    return float(play(market, table, who, seeds).utility[0, :, _rows(market, agent)].mean())


def _seats(
    market: Market, agent: str, policies: Sequence[Policy], opponents: Any, pairs: int
) -> tuple[list[Policy], Int[Tensor, "lineups pairs agents"]]:
    """All policies, and who plays which.

    In line-up k the agent, or every agent of a role, plays policy k; the others are opponents.
    """
    names, others = agent_names(market), find_opponents(opponents, market)
    who = (len(policies) + torch.arange(len(names))).repeat(len(policies), pairs, 1)
    who[:, :, _rows(market, agent)] = torch.arange(len(policies))[:, None, None]
    return [*policies, *(others[name] for name in names)], who


def _rows(market: Market, agent: str) -> list[int]:
    """Where an agent, or all of a role, stand on the agent axis; ValueError for an unknown name."""
    return [agent_names(market).index(name) for name in members(market, agent)]


def compare(
    market: Market,
    policy: Policy,
    agent: str,
    opponents: Any = "truthful",
    pairs: int = 64,
    block: int = FINAL,
) -> Comparison:
    """Play the policy and truth on the same fresh seeds: a pair differs in the policy alone.

    agent: the agent that plays the policy; a role: all its agents play it, and their mean counts;
           "all": all agents play it, or all are truthful; then the agents take turns in going back
           to truth alone, agent i on the seeds k = i, i + n, ...

    Raises ValueError for an unknown agent or opponent.
    """
    seeds = evaluation_seeds(pairs, block)
    if agent == "all":
        return _compare_all(market, policy, seeds)
    table, who = _seats(market, agent, (policy, truthful(market)), opponents, pairs)
    results, mine = play(market, table, who, seeds, facts=True), _rows(market, agent)
    ours, theirs = results.utility[..., mine].mean(-1)
    behaviour = {
        name: (float(rows[0, mine].mean()), float(rows[1, mine].mean()))
        for name, rows in results.facts.items()
    }
    return Comparison(ours, theirs, paired_difference(ours, theirs), None, behaviour)


def _compare_all(market: Market, policy: Policy, seeds: Tensor) -> Comparison:
    n, pairs = len(agent_names(market)), len(seeds)
    back = torch.arange(pairs)[:, None] % n == torch.arange(n)  # who goes back to truth
    who = torch.stack([torch.zeros_like(back), torch.ones_like(back), back]).long()
    results = play(market, [policy, truthful(market)], who, seeds, facts=True)
    ours, theirs = results.utility[:2].mean(2)
    deviation = paired_difference(results.utility[2][back], results.utility[0][back])
    behaviour = {
        name: (float(rows[0].mean()), float(rows[1].mean())) for name, rows in results.facts.items()
    }
    return Comparison(ours, theirs, paired_difference(ours, theirs), deviation, behaviour)


def compare_each(
    market: Market, policies: Mapping[str, Policy], pairs: int, block: int = FINAL
) -> tuple[dict[str, Comparison], Comparison]:
    """Compare every agent's policy with truth in its place, while all others keep their policies.

    Line-ups: everybody plays the policy of its own; agent i alone is truthful, i = 1..n; everybody
    is truthful. The first result is by agent: its utility beside that of truth in its place. The
    second one is the welfare, the sum of all utilities, beside that where everybody is truthful.
    """
    names, seeds = agent_names(market), evaluation_seeds(pairs, block)
    n = len(names)
    table = [*(policies[name] for name in names), truthful(market)]
    own = torch.arange(n)
    one_truthful = own.repeat(n, 1).fill_diagonal_(n)
    who = torch.stack([own, *one_truthful, torch.full((n,), n)])[:, None].repeat(1, pairs, 1)
    results = play(market, table, who, seeds, facts=True)
    agents = {}
    for k, name in enumerate(names):
        ours, theirs = results.utility[0, :, k], results.utility[1 + k, :, k]
        behaviour = {
            fact: (float(rows[0, k]), float(rows[1 + k, k])) for fact, rows in results.facts.items()
        }
        agents[name] = Comparison(ours, theirs, paired_difference(ours, theirs), None, behaviour)
    ours, theirs = results.utility[0].sum(-1), results.utility[-1].sum(-1)
    return agents, Comparison(ours, theirs, paired_difference(ours, theirs), None, {})
