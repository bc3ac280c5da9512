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
from marketenv.core.parts import made, taken
from marketenv.core.policy import Policy, actions_of
from marketenv.core.precision import full_precision


@dataclass(frozen=True)
class Situation:
    """Where a batch of markets stands: the state, this round's earlier stages, and what the movers are shown."""

    state: Any
    past: Past
    quotes: Any | None  # None after the last round: nothing is trained for a bid that nobody can make


@full_precision()
def begin(market: Market, seeds: Int[Tensor, "markets"]) -> Situation:
    """Reset one market per seed and quote the first stage."""
    state = market.reset(seeds.to(market.device))
    return Situation(state, (), market.quote(state, ()))


@full_precision()
def resume(market: Market, state: Any, moves: Sequence[Tensor], over: bool) -> Situation:
    """Where a saved batch stands: its state with what was quoted computed again, stage by stage.

    moves: actions of this round's earlier stages, each [markets, agents, width];   over: the last round is played
    """
    past: Past = ()
    for actions in moves:
        past = (*past, (market.quote(state, past), actions))
    return Situation(state, past, None if over else market.quote(state, past))


@full_precision()
def advance(market: Market, now: Situation, actions: Float[Tensor, "markets agents width"]) -> tuple[Situation, Report | None]:
    """Play one stage; the report is None unless the stage ended a round.

    Actions [markets, agents, width] hold rows for all agents; those of agents that are not to move are ignored. No gradient
    passes through a stage. The last round of the horizon terminates a market, unless the horizon is a cut.
    Raises ValueError where the episode is over, for actions of another shape or type, and for a report whose tensors are not
    those that ``Report`` declares.
    """
    if now.quotes is None:
        raise ValueError("the episode is over: every round was played. Call reset first.")
    wanted = _shaped(now.state, _agents(market), action_width(market))
    actions = taken(actions, "advance was given actions", wanted, "markets, agents, action numbers", torch.float32)
    past = (*now.past, (now.quotes, actions))
    if len(past) < len(market.stages):
        return Situation(now.state, past, market.quote(now.state, past)), None
    state, report = market.clear(now.state, past)
    report, last = _checked(market, now, report), state.round >= market.horizon
    if not is_cut(market):
        report = dataclasses.replace(report, terminated=report.terminated | last)
    over = bool((report.terminated | last).all())
    return Situation(state, (), None if over else market.quote(state, ())), report


@full_precision()
def observe(market: Market, now: Situation) -> Float[Tensor, "markets agents dim"]:
    """What every agent sees now, padded to the widest role: float32 [markets, agents, dim]."""
    if now.quotes is not None or not is_cut(market):
        return _seen(market, now.state, now.past, now.quotes)
    return observe_end(market, now.state, _seen(market, now.state, (), market.quote(now.state, ())))


@full_precision()
def observe_end(market: Market, state: Any, going_on: Float[Tensor, "markets agents dim"]) -> Float[Tensor, "markets agents dim"]:
    """What agents see of a market that is over: nothing is quoted, since no round is left to play.

    A cut cannot be seen: there agents see ``going_on``, the next round as if it were played, which a learner values.
    """
    nothing = _seen(market, state, (), None)
    return torch.where((state.round >= market.horizon)[:, None, None], going_on, nothing) if is_cut(market) else nothing


def merge(mask: Tensor, fresh: Situation, now: Situation) -> Situation:
    """Take the masked markets from ``fresh`` and leave the others as they are.

    Where all of ``now`` are over nothing was quoted; they are shown nothing more, so any quotes may stand in their places.
    """
    if bool(mask.all()):
        return fresh
    return tree.where(mask, fresh, now if now.quotes is not None else dataclasses.replace(now, quotes=fresh.quotes))


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
    actions = torch.zeros(*who.shape, action_width(market), dtype=torch.float32, device=seen.device)
    keys = draws.agent_keys(draws.fold(now.state.seeds, now.state.round, len(now.past)), who.shape[1], "policy")
    start = 0
    for role in market.roles:
        span = slice(start, start + role.count)
        start += role.count
        for number, policy in enumerate(policies):
            rows = who[:, span] == number
            if rows.any():
                answer = actions_of(policy, seen[:, span, : role.observation.dim][rows], role, keys[:, span][rows])
                actions[:, span, : role.action.dim][rows] = answer
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


def _seen(market: Market, state: Any, past: Past, quotes: Any | None) -> Float[Tensor, "markets agents dim"]:
    wanted = _shaped(state, _agents(market), max(role.observation.dim for role in market.roles))
    seen = market.observe(state, past, quotes)
    return taken(seen, "the market's observe returned numbers", wanted, "markets, agents, numbers seen", torch.float32)


def _agents(market: Market) -> int:
    return sum(role.count for role in market.roles)


def _shaped(state: Any, *shape: int) -> Tensor:
    """A view of the shape [markets, *shape] on the market's device: what ``taken`` compares with."""
    seeds: Tensor = state.seeds
    return seeds.view(-1, *[1] * len(shape)).expand(-1, *shape)


def _checked(market: Market, now: Situation, report: Report) -> Report:
    """The report if it holds what ``Report`` declares, a row for every market; a market may be a user's own."""
    made(report, Report, "the market's clear")
    said, agents, terminated = "the market's clear reported", _agents(market), report.terminated
    parties = max(agents, *report.transfers.shape[-1:]) if isinstance(report.transfers, Tensor) else agents
    square, axes = _shaped(now.state, parties, parties), "markets, payers, payees"
    rewards = taken(report.rewards, f"{said} rewards", _shaped(now.state, agents), "markets, agents", torch.float64)
    if not bool(rewards.isfinite().all()):
        place = tuple((~rewards.isfinite()).nonzero()[0].tolist())
        raise ValueError(
            f"{said} a reward of {float(rewards[place])} to agent {place[1]} of market {place[0]}, wanted a finite number: "
            "a part of the market, such as a gain or a payment, returned numbers not finite or too large. Nothing was changed."
        )
    return dataclasses.replace(
        report,
        rewards=rewards,
        transfers=taken(report.transfers, f"{said} transfers", square, axes, torch.float64),
        terminated=taken(terminated, f"{said} terminated", now.state.seeds, "markets", torch.bool),
    )
