"""Play a market: the one engine of every door, script and test.

It plays the phases in which nobody moves, stops where somebody does, closes the round, and begins
the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core import contract, draws, tree
from marketenv.core.market import Market, Move, Report, Tested
from marketenv.core.observations import packed, shaped
from marketenv.core.parts import fits, taken
from marketenv.core.policy import NO_KEYS, Policy, actions_of, answers_of, draws_keys
from marketenv.core.precision import full_precision
from marketenv.core.situation import (
    ByRole,
    Situation,
    acted,
    closed,
    quoted,
    stage_of,
    terminated,
)

__all__ = [
    "ByRole",
    "Situation",
    "act",
    "act_mixed",
    "advance",
    "begin",
    "begun",
    "ended",
    "observe",
    "observe_end",
    "opened",
    "play",
    "play_stage",
    "policy_keys",
    "resume",
    "stage_of",
    "terminated",
    "test_scores",
]

# --- the engine -----------------------------------------------------------------------------------


@full_precision()
def opened(market: Market, seeds: Int[Tensor, "markets"]) -> Situation:
    """Open one market per seed; no round has begun.

    Raises ValueError unless seeds are int64 of one axis.
    """
    if not isinstance(seeds, Tensor) or seeds.dtype != torch.int64 or seeds.dim() != 1:
        raise ValueError(f"seeds are {seeds!r}, wanted int64 [markets], such as torch.arange(8).")
    floor = market.people.open(seeds.to(market.device), market.horizon, market.cut)
    owns = {}
    for phase in market.phases:
        own = phase.begin(*contract.handed(phase, floor))
        owns[phase.name] = contract.back(phase, own, f"begin of phase {phase.name!r} returned")
    return Situation(floor, owns)


@full_precision()
def begun(market: Market, now: Situation) -> Situation:
    """Play the phases in which nobody moves, up to a quoted move or the end of the chain."""
    while now.at < len(market.phases):
        now = quoted(market, now)
        if now.playing:
            return now
        now = acted(market, now, {})
    return now


def begin(market: Market, seeds: Int[Tensor, "markets"]) -> Situation:
    """Open one market per seed and play up to the first move."""
    return begun(market, opened(market, seeds))


def advance(
    market: Market, now: Situation, actions: Mapping[str, Float[Tensor, "markets agents width"]]
) -> tuple[Situation, Report | None]:
    """Play one stage and go on to the next one; the report is None unless the stage ended a round.

    Raises ValueError as ``play_stage`` does. Where all markets are over no new round is begun.
    """
    after, report = play_stage(market, now, actions)
    over = report is not None and bool(ended(after, report).all())
    return after if over or after.playing else begun(market, after), report


@full_precision()
def play_stage(
    market: Market, now: Situation, actions: Mapping[str, Float[Tensor, "markets agents width"]]
) -> tuple[Situation, Report | None]:
    """Play one stage and all up to the next move, or up to the end of the round.

    At the end of a round there is a report, and the next round has not begun. The last round of the
    horizon terminates a market, unless the horizon is a cut.

    actions: of every role that moves now [markets, count, width]; no gradient passes through a
        stage

    Raises ValueError where the episode is over, for actions of another shape or type or outside
    their box, and where a phase breaks its contract.
    """
    stage = stage_of(market, now)
    if actions.keys() != stage.moves.keys():
        raise ValueError(
            f"advance was given actions of {', '.join(actions) or 'nobody'}, wanted"
            f" {', '.join(stage.moves)}: the roles that move in stage {stage.name!r}."
        )
    checked = {}
    for role, move in stage.moves.items():
        subject = f"advance was given actions of {role}"
        numbers = _taken(now, move, actions[role], subject)
        checked[role] = move.action.check(numbers, subject)
    now = begun(market, acted(market, now, checked))
    return (now, None) if now.playing else closed(market, now)


def _taken(now: Situation, move: Move, actions: Any, subject: str) -> Tensor:
    """A role's actions as float32 [markets, count, width]; ValueError for another shape or type."""
    shape = (now.floor.seeds.shape[0], move.count, move.action.dim)
    if fits(actions, shape, now.floor.seeds.device, torch.float32):
        return actions
    like = shaped(now.floor, *shape[1:])
    return taken(actions, subject, like, "markets, agents, action numbers", torch.float32)


def ended(now: Situation, report: Report) -> Bool[Tensor, "markets"]:
    """Which markets a round ended: the game is over, or the horizon cuts it."""
    if not now.floor.cut:
        return report.terminated
    return report.terminated | (now.floor.round >= now.floor.horizon)


@full_precision()
def resume(
    market: Market, start: Situation, moves: Sequence[Mapping[str, Tensor]], over: bool
) -> Situation:
    """Where a saved batch stands: the round is played again up to that stage.

    start: the round's beginning;   moves: actions of its earlier stages
    over:  the last round is played
    """
    if over:
        return start
    now = begun(market, start)
    for actions in moves:
        now, _ = play_stage(market, now, actions)
    return now


# --- observations ---------------------------------------------------------------------------------


@full_precision()
def observe(market: Market, now: Situation) -> ByRole:
    """What the movers see, by role: float32 [markets, count, dim].

    Where no round has begun it is what ``observe_end`` returns.
    """
    if not now.playing:
        return observe_end(market, now)
    phase, stage = market.phases[now.at], stage_of(market, now)
    inputs = contract.handed(phase, now.floor, now.owns[phase.name], now.quotes)
    fields = phase.show(*inputs)
    return {role: packed(phase, move, fields, now.floor) for role, move in stage.moves.items()}


@full_precision()
def observe_end(market: Market, now: Situation) -> ByRole:
    """What the movers of the first stage see of markets that are over.

    Nothing is computed where the game ends, for no round is left to play. A cut is hidden: there
    agents see the next round as if it were played, for which a learner needs a value.
    """
    at = next(k for k, stage in enumerate(market.stage_at) if stage is not None)
    phase, moves = market.phases[at], market.stages[0].moves
    fields = phase.show_end(*contract.handed(phase, now.floor, now.owns[phase.name]))
    ends = {
        role: packed(phase, move, fields, now.floor, all_of_them=False)
        for role, move in moves.items()
    }
    if not market.cut:
        return ends
    index = ((now.floor.round >= market.horizon) & ~now.floor.ended).nonzero()[:, 0]
    if not len(index):
        return ends
    cut = observe(market, begun(market, tree.rows(now, index)))
    return {role: values.index_put((index,), cut[role]) for role, values in ends.items()}


# --- policies -------------------------------------------------------------------------------------


def act(
    market: Market,
    policies: Mapping[str, Policy],
    now: Situation,
    skip: frozenset[str] = frozenset(),
    observations: ByRole | None = None,
) -> ByRole:
    """Ask every mover's policy for its action, by role; rows of agents in ``skip`` stay zero.

    policies:     one per agent name. Agents of one role that share a policy object are asked in one
                  call.
    observations: what the movers see, where it is known
    """
    if observations is None:
        observations = observe(market, now)
    moves, keys = stage_of(market, now).moves, None
    players = [policies[a] for move in moves.values() for a in move.agents if a not in skip]
    if any(map(draws_keys, players)):
        keys = policy_keys(market, now)
    actions = {}
    for role, move in moves.items():
        parts = [None if agent in skip else policies[agent] for agent in move.agents]
        role_keys = None if keys is None else keys[:, market.people.rows[role]]
        actions[role] = answers_of(move, parts, observations[role], role_keys)
    return actions


def act_mixed(
    market: Market, policies: Sequence[Policy], who: Int[Tensor, "markets agents"], now: Situation
) -> ByRole:
    """Actions by role where agent i of market m plays ``policies[who[m, i]]``; zeros for -1."""
    observations, actions = observe(market, now), {}
    keys = policy_keys(market, now) if any(map(draws_keys, policies)) else None
    for role, move in stage_of(market, now).moves.items():
        span, observation = market.people.rows[role], observations[role].flatten(0, 1)
        seats, role_keys = who[:, span].flatten(), None if keys is None else keys[:, span].flatten()
        flat = observation.new_zeros(len(seats), move.action.dim)
        for number, policy in enumerate(policies):
            rows = (seats == number).nonzero()[:, 0]
            if len(rows):
                own_keys = NO_KEYS
                if role_keys is not None and draws_keys(policy):
                    own_keys = role_keys.index_select(0, rows)
                some = observation.index_select(0, rows)
                flat.index_copy_(0, rows, actions_of(policy, some, move, own_keys))
        actions[role] = flat.unflatten(0, (len(who), -1))
    return actions


def policy_keys(market: Market, now: Situation) -> Int[Tensor, "markets agents"]:
    """The keys that policies draw from in this stage."""
    stage = market.stages.index(stage_of(market, now))
    keys = draws.fold(now.floor.seeds, now.floor.round, stage)
    return draws.agent_keys(keys, market.people.count, "policy")


def play(
    market: Market, policies: Mapping[str, Policy], seeds: Int[Tensor, "markets"]
) -> Iterator[tuple[ByRole, ByRole, Report | None]]:
    """Play one episode per seed with fixed policies.

    Yields (observations, actions, report) of every stage. The markets end together at the horizon;
    a market that terminates earlier ends when all have.
    """
    now = begin(market, seeds)
    while now.playing:
        observations, actions = observe(market, now), act(market, policies, now)
        now, report = advance(market, now, actions)
        yield observations, actions, report


def test_scores(market: Market, now: Situation, **options: Any) -> Any:
    """Loss and accuracy [markets, count] of the models on examples that nobody trains or trades by.

    now:     where the models stand; in a round that waits for a move after a training they are
             trained already
    options: further arguments of the phase that tests (see ``Tested``)

    Raises ValueError where no phase tests.
    """
    phase = market.phase(Tested)  # type: ignore[type-abstract]  # a protocol, which isinstance knows
    return phase.test_scores(now.floor, now.owns[phase.name], **options)
