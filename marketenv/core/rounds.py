"""Play a market: the one loop that every door, script and test stands on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
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
    return quoted(market, opened(market, seeds))


@full_precision()
def opened(market: Market, seeds: Int[Tensor, "markets"]) -> Situation:
    """Reset one market per seed; nothing is quoted yet."""
    return Situation(market.reset(seeds.to(market.device)), (), None)


@full_precision()
def quoted(market: Market, now: Situation) -> Situation:
    """The same with what the movers of the stage are shown."""
    return dataclasses.replace(now, quotes=market.quote(now.state, now.past))


@full_precision()
def resume(market: Market, state: Any, moves: Sequence[Tensor], over: bool) -> Situation:
    """Where a saved batch stands: what the seeds fix is opened again, and what was quoted is computed again, stage by stage.

    moves: actions of this round's earlier stages, each [markets, agents, width];   over: the last round is played
    """
    now = Situation(tree.reopened(state, state.seeds), (), None)
    for actions in moves:
        now = Situation(now.state, (*now.past, (quoted(market, now).quotes, actions)), None)
    return now if over else quoted(market, now)


def advance(market: Market, now: Situation, actions: Float[Tensor, "markets agents width"]) -> tuple[Situation, Report | None]:
    """Play one stage and quote the next one; the report is None unless the stage ended a round.

    Raises ValueError as ``play_stage`` does. Where all markets are over nothing is quoted.
    """
    after, report = play_stage(market, now, actions)
    over = report is not None and bool(ended(market, after.state, report).all())
    return after if over else quoted(market, after), report


@full_precision()
def play_stage(market: Market, now: Situation, actions: Float[Tensor, "markets agents width"]) -> tuple[Situation, Report | None]:
    """Play one stage; what follows is not quoted yet, and the report is None unless the stage ended a round.

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
        return Situation(now.state, past, None), None
    state, report = market.clear(now.state, past)
    report = _checked(market, now, report)
    if not is_cut(market):
        report = dataclasses.replace(report, terminated=report.terminated | (state.round >= market.horizon))
    return Situation(state, (), None), report


def ended(market: Market, state: Any, report: Report) -> Bool[Tensor, "markets"]:
    """Which markets a round ended: the game is over, or the horizon cuts it."""
    return report.terminated | (state.round >= market.horizon)


@full_precision()
def observe(market: Market, now: Situation) -> Float[Tensor, "markets agents dim"]:
    """What every agent sees now, padded to the widest role: float32 [markets, agents, dim]."""
    if now.quotes is not None or not is_cut(market):
        return _seen(market, now.state, now.past, now.quotes)
    return observe_end(market, now.state)


@full_precision()
def observe_end(market: Market, state: Any) -> Float[Tensor, "markets agents dim"]:
    """What agents see of markets that are over: nothing is quoted, since no round is left to play.

    A cut cannot be seen: there agents see the next round as if it were played, which a learner values.
    """
    nothing, cut = _seen(market, state, (), None), state.round >= market.horizon
    if not is_cut(market) or not bool(cut.any()):
        return nothing
    index = cut.nonzero()[:, 0]
    some = tree.rows(state, index)
    return nothing.index_put((index,), _seen(market, some, (), market.quote(some, ())))


def put(now: Situation, index: Int[Tensor, "some"], fresh: Situation) -> Situation:
    """The markets of an index, each named once, taken from ``fresh`` in its order; nothing is quoted yet."""
    return Situation(tree.put(now.state, index, fresh.state), (), None)


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
