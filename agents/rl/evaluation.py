"""What a learned policy earns and does, beside truth: pairs of episodes that share seeds nobody was trained on.

Seeds. The first episodes of training seed s have the market seeds s 2**20 + k < 2**52; evaluations while training begin at
2**61 and final ones at 2**62, so these three never meet. The later episodes of training have keys hashed to 64 bits,
which meet one of the few thousand seeds of an evaluation with a chance below 1e-9 in a million episodes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import rounds
from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.policy import Policy
from marketenv.envs.opponents import find_opponents
from marketenv.markets.parameter_trading_types import TradingReport
from marketenv.markets.reference import ReferenceReport
from marketenv.metrics import Interval, paired_difference

from .config import MOST_ENVS
from .policy import truthful

WHILE_TRAINING, FINAL = 2**61, 2**62  # first seeds of the two blocks of evaluation

Facts = dict[str, tuple[Tensor, Tensor]]  # name to (sum, weight) of a round, each [markets, agents]


def training_seed(seed: int) -> int:
    """Seed of the first market of a training run; market k has the seed k above it.

    >>> training_seed(1) - training_seed(0)
    1048576
    """
    return seed * MOST_ENVS


def evaluation_seeds(pairs: int, block: int = FINAL) -> Int[Tensor, "pairs"]:
    """Seeds of the evaluation's episodes; ``block`` is ``FINAL`` or ``WHILE_TRAINING``."""
    return block + torch.arange(pairs)


def _of_reference(state: Any, report: ReferenceReport) -> Facts:
    n, one = report.utility.shape[1], torch.ones_like(report.utility)
    each = {"price / type": (report.offers[:, :n], report.types[:, :n]), "price": (report.offers[:, :n], one)}
    return each | {name: (getattr(report, name), one) for name in ("traded", "paid", "received")}


def _of_trading(state: Any, report: TradingReport) -> Facts:
    worth = state.money_per_loss[..., None] * report.gain.worth.double().clamp(min=0)
    one, others = torch.ones_like(report.utility), report.utility.shape[1] - 1
    asks = report.asks.sum(1) - report.asks.diagonal(dim1=1, dim2=2)  # of the others; nobody asks itself
    facts = {"bid / worth": ((report.bids * (worth > 0)).sum(2), worth.sum(2)), "ask": (asks, others * one)}
    named = {"effort": "effort", "purchases": "bought", "sales": "sold", "paid": "paid", "earned": "received", "loss": "loss"}
    return facts | {name: (getattr(report, field).double(), one) for name, field in named.items()}


def _of_any(state: Any, report: Report) -> Facts:
    return {name: (values.double(), torch.ones_like(report.rewards)) for name, values in report.infos().items()}


# What is told of a round by kind of report; a ratio is the sum of all numerators over the sum of all denominators.
FACTS: dict[type[Report], Callable[[Any, Any], Facts]] = {ReferenceReport: _of_reference, TradingReport: _of_trading}


@dataclass(frozen=True)
class Played:
    """Episodes of some line-ups on the same seeds.

    utility: per episode, money                                   float64 [line-ups, pairs, agents]
    facts:   name to a round's mean over rounds and seeds         float64 [line-ups, agents]
    """

    utility: Float64[Tensor, "lineups pairs agents"]
    facts: dict[str, Float64[Tensor, "lineups agents"]]


def play(market: Market, policies: Sequence[Policy], who: Int[Tensor, "lineups pairs agents"], seeds: Tensor) -> Played:
    """Play every line-up on every seed as one batch: agent i of pair k plays ``policies[who[., k, i]]``."""
    market = copy.copy(market)  # what a market remembers of its training episodes stays there
    flat = who.flatten(0, 1).to(market.device)
    now = rounds.begin(market, seeds.repeat(len(who)))
    utility = torch.zeros(flat.shape, dtype=torch.float64, device=market.device)
    sums: dict[str, list[Tensor]] = {}
    while now.quotes is not None:
        before, (now, report) = now.state, rounds.advance(market, now, rounds.act_mixed(market, policies, flat, now))
        if report is None:
            continue
        utility += report.rewards
        for name, parts in FACTS.get(type(report), _of_any)(before, report).items():
            told = torch.stack([part.double().unflatten(0, who.shape[:2]).sum(1) for part in parts])
            sums[name] = [*sums.get(name, []), told]
    facts = {name: torch.stack(rows).sum(0).cpu() for name, rows in sums.items()}
    means = {name: total / weight.clamp(min=1e-12) for name, (total, weight) in facts.items()}
    return Played(utility.unflatten(0, who.shape[:2]).cpu(), means)


@dataclass(frozen=True)
class Comparison:
    """The learned policy beside truth on the same seeds.

    learned, truthful: utility per episode (of the agent; with agent="all" the mean over agents), money   [pairs]
    difference:  learned less truthful, paired by seed
    deviation:   agent="all": what one agent gains by going back to truth while the others play the learned policy
    behaviour:   name to (learned, truthful): a round's mean of what the agent did and got
    """

    learned: Float64[Tensor, "pairs"]
    truthful: Float64[Tensor, "pairs"]
    difference: Interval
    deviation: Interval | None
    behaviour: dict[str, tuple[float, float]]

    def plain(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        told = {name: {"learned": ours, "truthful": theirs} for name, (ours, theirs) in self.behaviour.items()}
        return {
            "learned": self.learned.tolist(),
            "truthful": self.truthful.tolist(),
            "learned_mean": float(self.learned.mean()),
            "truthful_mean": float(self.truthful.mean()),
            "difference": vars(self.difference),
            "deviation_to_truth": None if self.deviation is None else vars(self.deviation),
            "behaviour": told,
        }


def mean_utility(market: Market, policy: Policy, *, agent: str, opponents: Any = "truthful", pairs: int = 64) -> float:
    """Mean utility per episode, money, of an agent's policy on the seeds that evaluations use while a model trains.

    With agent="all" everybody plays the policy, and the mean is over all agents.
    """
    names, seeds = agent_names(market), evaluation_seeds(pairs, WHILE_TRAINING)
    if agent == "all":
        return float(play(market, [policy], torch.zeros(1, pairs, len(names)).long(), seeds).utility.mean())
    table, who = _seats(market, agent, [policy], opponents, pairs)
    return float(play(market, table, who, seeds).utility[0, :, names.index(agent)].mean())


def _seats(
    market: Market, agent: str, policies: Sequence[Policy], opponents: Any, pairs: int
) -> tuple[list[Policy], Int[Tensor, "lineups pairs agents"]]:
    """All policies, and who plays which: in line-up k the agent plays policy k, and the others are opponents."""
    names, others = agent_names(market), find_opponents(opponents, market)
    if agent not in names:
        raise unknown("agent", agent, ("all", *names))
    who = (len(policies) + torch.arange(len(names))).repeat(len(policies), pairs, 1)
    who[:, :, names.index(agent)] = torch.arange(len(policies))[:, None]
    return [*policies, *(others[name] for name in names)], who


def compare(
    market: Market, policy: Policy, agent: str, opponents: Any = "truthful", pairs: int = 64, block: int = FINAL
) -> Comparison:
    """Play the policy and truth on the same fresh seeds; nothing but the policy differs inside a pair.

    agent: whose policy it is, or "all": everybody plays it, against everybody being truthful; then the agents take turns
           in going back to truth alone, agent i on the seeds k = i, i + n, ...

    Raises ValueError for an unknown agent or opponent.
    """
    seeds = evaluation_seeds(pairs, block)
    if agent == "all":
        return _compare_all(market, policy, seeds)
    table, who = _seats(market, agent, (policy, truthful(market)), opponents, pairs)
    played, mine = play(market, table, who, seeds), agent_names(market).index(agent)
    ours, theirs = played.utility[..., mine]
    told = {name: (float(rows[0, mine]), float(rows[1, mine])) for name, rows in played.facts.items()}
    return Comparison(ours, theirs, paired_difference(ours, theirs), None, told)


def _compare_all(market: Market, policy: Policy, seeds: Tensor) -> Comparison:
    n, pairs = len(agent_names(market)), len(seeds)
    back = torch.arange(pairs)[:, None] % n == torch.arange(n)  # who goes back to truth
    who = torch.stack([torch.zeros_like(back), torch.ones_like(back), back]).long()
    played = play(market, [policy, truthful(market)], who, seeds)
    ours, theirs = played.utility[:2].mean(2)
    deviation = paired_difference(played.utility[2][back], played.utility[0][back])
    told = {name: (float(rows[0].mean()), float(rows[1].mean())) for name, rows in played.facts.items()}
    return Comparison(ours, theirs, paired_difference(ours, theirs), deviation, told)
