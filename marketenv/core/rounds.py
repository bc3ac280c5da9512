"""Play a market: the one loop that every door, script and test stands on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws, tree
from marketenv.core.horizon import is_cut
from marketenv.core.market import Market, Past, Report, action_width, agent_names
from marketenv.core.policy import Policy


@dataclass(frozen=True)
class Situation:
    """Where a batch of markets stands: the state, this round's earlier stages, and what the movers are shown."""

    state: Any
    past: Past
    quotes: Any | None  # None after the last round: nothing is trained for a bid that nobody can make


def begin(market: Market, seeds: Int[Tensor, "markets"]) -> Situation:
    """Reset one market per seed and quote the first stage."""
    state = market.reset(seeds.to(market.device))
    return Situation(state, (), market.quote(state, ()))


def advance(market: Market, now: Situation, actions: Float[Tensor, "markets agents width"]) -> tuple[Situation, Report | None]:
    """Play one stage; the report is None unless the stage ended a round.

    Actions [markets, agents, width] hold rows for all agents; those of agents that are not to move are ignored. The last
    round of the horizon terminates a market, unless the horizon is a cut.
    Raises ValueError where the episode is over.
    """
    if now.quotes is None:
        raise ValueError("the episode is over: every round was played. Call reset first.")
    past = (*now.past, (now.quotes, actions))
    if len(past) < len(market.stages):
        return Situation(now.state, past, market.quote(now.state, past)), None
    state, report = market.clear(now.state, past)
    last = state.round >= market.horizon
    if not is_cut(market):
        report = dataclasses.replace(report, terminated=report.terminated | last)
    over = bool((report.terminated | last).all())
    return Situation(state, (), None if over else market.quote(state, ())), report


def observe(market: Market, now: Situation) -> Float[Tensor, "markets agents dim"]:
    """What every agent sees now, padded to the widest role: float32 [markets, agents, dim]."""
    if now.quotes is not None or not is_cut(market):
        return market.observe(now.state, now.past, now.quotes)
    return observe_end(market, now.state, market.observe(now.state, (), market.quote(now.state, ())))


def observe_end(market: Market, state: Any, going_on: Float[Tensor, "markets agents dim"]) -> Float[Tensor, "markets agents dim"]:
    """What agents see of a market that is over: nothing is quoted, since no round is left to play.

    A cut cannot be seen: there agents see ``going_on``, the next round as if it were played, which a learner values.
    """
    nothing = market.observe(state, (), None)
    return torch.where((state.round >= market.horizon)[:, None, None], going_on, nothing) if is_cut(market) else nothing


def merge(mask: Tensor, fresh: Situation, now: Situation) -> Situation:
    """Restart the masked markets from ``fresh`` and leave the others as they are."""
    return fresh if bool(mask.all()) else tree.where(mask, fresh, now)


def act(
    market: Market, policies: Mapping[str, Policy], now: Situation, skip: frozenset[str] = frozenset()
) -> Float[Tensor, "markets agents width"]:
    """Ask every agent's policy for its action, except those in ``skip``, whose rows stay zero.

    policies: one per agent name. Agents of one role that share a policy object are asked in one call.
    """
    names = agent_names(market)
    parts = list({id(policies[a]): policies[a] for a in names if a not in skip}.values())
    number = {id(part): k for k, part in enumerate(parts)}
    who = torch.tensor([-1 if a in skip else number[id(policies[a])] for a in names], device=market.device)
    return act_mixed(market, parts, who.expand(len(now.state.seeds), -1), now)


def act_mixed(
    market: Market, policies: Sequence[Policy], who: Int[Tensor, "markets agents"], now: Situation
) -> Float[Tensor, "markets agents width"]:
    """Actions where agent i of market m plays ``policies[who[m, i]]``, and zeros where who is -1."""
    seen = observe(market, now)
    actions = torch.zeros(*who.shape, action_width(market), device=seen.device)
    keys = draws.agent_keys(draws.fold(now.state.seeds, now.state.round, len(now.past)), who.shape[1], "policy")
    start = 0
    for role in market.roles:
        span = slice(start, start + role.count)
        start += role.count
        for number, policy in enumerate(policies):
            rows = who[:, span] == number
            if rows.any():
                done = policy(seen[:, span, : role.observation.dim][rows], role, keys[:, span][rows])
                actions[:, span, : role.action.dim][rows] = role.action.check(done, f"what a {role.name}'s policy returned")
    return actions


def play(
    market: Market, policies: Mapping[str, Policy], seeds: Int[Tensor, "markets"]
) -> Iterator[tuple[Tensor, Tensor, Report | None]]:
    """Play one episode per seed with fixed policies; yield (observations, actions, report) of every stage.

    The markets end together at the horizon; a market that terminates earlier ends when all have.
    """
    now = begin(market, seeds)
    while now.quotes is not None:
        seen, actions = observe(market, now), act(market, policies, now)
        now, report = advance(market, now, actions)
        yield seen, actions, report
