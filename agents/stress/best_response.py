"""The best response that any attacker finds, chosen on one set of seeds and judged on another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.lookup import unknown
from marketenv.core.market import Market, agent_names
from marketenv.core.policy import Policy
from marketenv.metrics import Interval, NashConv, mean_interval, nash_conv

from ..lineups import Profile
from .attack import JUDGE, SELECT, Attack, seeds_of
from .search import Budget, Candidate, changing, find_attackers


@dataclass(frozen=True)
class BestDeviation:
    """The best deviation of one attacker.

    words:    what it reports, in money, multiples or shares, or a strategy's or learner's name
    selected: its mean gain on the seeds that it was chosen on: biased upward
    gains:    on fresh seeds, not clipped, seed by seed, money       [pairs]
    story:    a learner's progress, one dictionary an evaluation
    """

    attacker: str
    words: str
    policies: tuple[Policy, ...]
    selected: float
    gains: Float64[Tensor, "pairs"]
    story: list[dict[str, Any]]

    @cached_property
    def gain_lower_bound(self) -> Interval:
        """Mean gain on fresh seeds with its interval; no search proves that nothing gains more."""
        return mean_interval(self.gains)


@dataclass(frozen=True)
class BestResponse:
    """The most that a deviation gains, as far as the attackers know.

    agents:     the deviators
    base:       their utility per episode where they play the profile, on the judging seeds  [pairs]
    best:       the deviation whose gain was largest on the seeds of selection
    deviations: the best deviation of every attacker
    """

    agents: tuple[str, ...]
    base: Float64[Tensor, "pairs"]
    best: BestDeviation
    deviations: tuple[BestDeviation, ...]

    @property
    def relative_lower_bound(self) -> float:
        """Mean gain as a part of the profile's mean absolute utility; infinite near 0."""
        scale, gain = float(self.base.abs().mean()), float(self.best.gains.mean())
        return gain / scale if scale > 1e-6 * abs(gain) else math.inf


def deviators(market: Market, who: str | Sequence[str]) -> tuple[str, ...]:
    """Names of the deviating agents: an agent, a role (its first agent), or a coalition of agents.

    Raises ValueError for an unknown name.
    """
    if not isinstance(who, str):
        return tuple(who)
    firsts = {role.name: role.agents[0] for role in market.roles}
    if who not in agent_names(market) and who not in firsts:
        raise unknown("agent or role", who, (*agent_names(market), *firsts))
    return (firsts.get(who, who),)


def best_response(
    market: Market,
    profile: Profile,
    who: str | Sequence[str],
    attackers: Sequence[str] = ("grid", "cross_entropy"),
    budget: Budget | None = None,
    repeat: int = 0,
    fields: Sequence[str] | None = None,
    stage: str | None = None,
) -> BestResponse:
    """The deviation from a profile that gains most, by the best of several attackers.

    profile:   who plays what, by agent name (``find_profile``)
    who:       an agent, a role, or several agents who deviate together and share what they earn
    attackers: names in ``ATTACKERS``
    repeat:    another number takes other seeds
    fields:    of the action that may change (a bid and not the ask), None for all; learners change
               all and are refused
    stage:     in which they deviate, in every round; None for every stage in which they move

    Every attacker searches on the seeds of selection; its best candidate is played on fresh ones.
    The gain of the best attacker there is an honest lower bound of the regret. It is below 0 where
    no deviation pays: playing the profile counts as no deviation. Raises ValueError for unknown
    names and for attackers that do not fit.

    >>> from agents.lineups import find_profile
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="double_auction")
    >>> result = best_response(market, find_profile(market), "buyer", ("grid",))
    >>> result.best.words, round(result.relative_lower_bound, 1)  # 1/9 against 1/12
    ('price 0.65 times what it was', 0.3)
    """
    budget, agents = budget or Budget(), deviators(market, who)
    budget = dataclasses.replace(budget, rl_seed=budget.rl_seed + repeat)
    if isinstance(fields, str):
        raise ValueError(f"fields is {fields!r}, wanted several names, for instance ({fields!r},).")
    names, most = None if fields is None else tuple(fields), budget.most_markets
    selection, fresh = (
        seeds_of(SELECT, budget.select, repeat),
        seeds_of(JUDGE, budget.judge, repeat),
    )
    search = Attack(market, profile, agents, selection, most, names, stage)
    judging = Attack(market, profile, agents, fresh, most, stage=stage)
    deviations = []
    for name, attacker in find_attackers(attackers).items():
        candidates = attacker(search, budget)
        if candidates:
            deviations.append(_best_deviation(name, candidates, search, judging))
    if not deviations:
        raise ValueError(
            f"none of {tuple(attackers)} had a candidate for {agents}; name another attacker."
        )
    best = max(deviations, key=lambda one: one.selected)
    return BestResponse(agents, judging.base, best, tuple(deviations))


def _best_deviation(
    name: str, candidates: Sequence[Candidate], search: Attack, judging: Attack
) -> BestDeviation:
    """An attacker's best candidate on the seeds of selection, with its gains on fresh ones."""
    gains = search.gains([one.policies for one in candidates])
    best = int(changing(gains).argmax())  # the first where no candidate changes anything
    one, selected = candidates[best], float(gains.mean(1)[best])
    fresh = judging.gains([one.policies])[0]
    return BestDeviation(name, one.words, one.policies, selected, fresh, one.story)


def market_nash_conv(
    market: Market,
    profile: Profile,
    attackers: Sequence[str] = ("grid", "cross_entropy"),
    budget: Budget | None = None,
    repeat: int = 0,
) -> NashConv:
    """What every agent gains at least by its own best response while the others stay: NashConv.

    NashConv = sum over agents i of max over b' of u_i(b', b_-i) - u_i(b);
    a lower bound, as every search is

    The best deviations of all agents are judged on the same seeds. See ``best_response`` for the
    arguments and errors. Source: Lanctot et al., NeurIPS 2017.

    >>> from agents.lineups import find_profile
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="double_auction")
    >>> result = market_nash_conv(market, find_profile(market), ("grid",))
    >>> round(result.total.mean, 2)  # 1/36 of the buyer and 1/36 of the seller
    0.05
    """
    best = [
        best_response(market, profile, agent, attackers, budget, repeat).best
        for agent in agent_names(market)
    ]
    return nash_conv(torch.stack([one.gains for one in best]))
