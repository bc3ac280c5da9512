"""Play a market: the one engine that every door, script and test stands on.

It plays the phases in which nobody moves, stops where somebody does, closes the round, and begins
the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core import clock, draws, given, ledger, tree
from marketenv.core.floor import Floor
from marketenv.core.market import Market, Phase, Report, Stage, Tested
from marketenv.core.parts import taken
from marketenv.core.policy import Policy, actions_of
from marketenv.core.precision import full_precision
from marketenv.core.tree import STATIC

ByRole = dict[str, Tensor]  # what the movers of a stage see, or do: [markets, count, width]


@dataclass(frozen=True)
class Situation:
    """Where a batch of markets stands, all at the same phase: markets end only where a round ends.

    floor:   what all phases share;   owns: each phase's own memory by its name
    quotes:  what the movers of the present stage are shown
    at:      number of the phase that comes next;
             playing: it is quoted and waits for actions. Otherwise a round has not begun.
    seconds: of this round so far
    """

    floor: Floor
    owns: Mapping[str, Any]
    quotes: Any = None
    at: int = field(default=0, metadata=STATIC)
    playing: bool = field(default=False, metadata=STATIC)
    seconds: Mapping[str, float] = field(default_factory=dict, metadata=STATIC)


# --- the engine -----------------------------------------------------------------------------------


@full_precision()
def opened(market: Market, seeds: Int[Tensor, "markets"]) -> Situation:
    """Open one market per seed; no round has begun."""
    floor = market.people.open(seeds.to(market.device), market.horizon, market.cut)
    owns = {
        p.name: given.back(
            p, p.begin(*given.handed(p, floor)), f"begin of phase {p.name!r} returned"
        )
        for p in market.phases
    }
    return Situation(floor, owns)


@full_precision()
def begun(market: Market, now: Situation) -> Situation:
    """Play the phases in which nobody moves; stop, quoted, where somebody does, or where the
    chain ends.
    """
    while now.at < len(market.phases):
        now = _quoted(market, now)
        if now.playing:
            return now
        now = _acted(market, now, {})
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
    """Play one stage and what follows it up to the next move, or up to the end of the round: then a
    report, and no round begun.

    actions: of every role that moves now [markets, count, width]; no gradient passes through a
        stage. The last round of the
    horizon terminates a market, unless the horizon is a cut.
    Raises ValueError where the episode is over, for actions of another shape or type or outside
    their box, and for what a phase may not return.
    """
    stage = stage_of(market, now)
    if actions.keys() != stage.moves.keys():
        raise ValueError(
            f"advance was given actions of {', '.join(actions) or 'nobody'}, wanted"
            f" {', '.join(stage.moves)}: the roles that move in stage {stage.name!r}."
        )
    checked = {}
    for role, move in stage.moves.items():
        wanted = given.shaped(now.floor, move.count, move.action.dim)
        axes = "markets, agents, action numbers"
        said = f"advance was given actions of {role}"
        checked[role] = move.action.check(
            taken(actions[role], said, wanted, axes, torch.float32), said
        )
    now = begun(market, _acted(market, now, checked))
    return (now, None) if now.playing else _closed(market, now)


def stage_of(market: Market, now: Situation) -> Stage:
    """The stage at which markets stand; ValueError where the episode is over."""
    stage = market.stage_at[now.at] if now.playing else None
    if stage is None:
        raise ValueError("the episode is over: every round was played. Call reset first.")
    return stage


def _quoted(market: Market, now: Situation) -> Situation:
    """The situation with what the phase at which it stands shows, which waits where somebody
    moves.
    """
    phase, waits = market.phases[now.at], market.stage_at[now.at] is not None
    # quotes nothing, so there is nothing to compute or to time
    if type(phase).quote is Phase.quote:
        return Situation(now.floor, now.owns, None, now.at, waits, now.seconds) if waits else now
    start = clock.seconds(market.device)
    asked = given.handed(phase, now.floor, now.owns[phase.name])
    quotes = given.back(phase, phase.quote(*asked), f"quote of phase {phase.name!r} returned")
    took = {f"{phase.name}: quote": clock.seconds(market.device) - start}
    return Situation(now.floor, now.owns, quotes, now.at, waits, {**now.seconds, **took})


def _acted(market: Market, now: Situation, actions: Mapping[str, Tensor]) -> Situation:
    """The situation after the phase at which it stands."""
    phase, floor, start = market.phases[now.at], now.floor, clock.seconds(market.device)
    absent = {
        role: given.shaped(floor, 0, move.action.dim).float()
        for role, move in phase.moves.items()
        if role not in actions
    }
    own = now.owns[phase.name]
    asked = given.handed(phase, floor, own, now.quotes, {**absent, **actions})
    after, own = given.acted(phase, floor, asked[0], own, phase.act(*asked))
    new = {name: flow for name, flow in after.flows.items() if name not in floor.flows}
    ledger.check(floor.ledger, after.ledger, new, floor.rows, market.people.count)
    took = {phase.name: clock.seconds(market.device) - start}
    return Situation(
        after, {**now.owns, phase.name: own}, at=now.at + 1, seconds={**now.seconds, **took}
    )


def _closed(market: Market, now: Situation) -> tuple[Situation, Report]:
    """The report of a round whose phases are all played, and the next round, not begun. Here
    alone utility is made.
    """
    floor, agents = now.floor, market.people.count
    rewards = floor.ledger.net[:, :agents].clone()
    for terms in _last_first(list(floor.terms.values())):
        for role, value in terms.items():
            rewards[:, floor.rows[role]] += value
    given.check_closed(market, floor, rewards)
    fresh = floor.but(
        round=floor.round + 1, ledger=floor.ledger.new_round(), flows={}, terms={}, done={}
    )
    came = (floor.done, floor.flows, floor.terms, floor.rows, now.seconds, market.told)
    return Situation(fresh, now.owns), Report(rewards, terminated(fresh), floor.ledger, *came)


def _last_first(terms: list[Any]) -> list[Any]:
    """What the last phase adds comes first, as in value + money - effort; rounding is then the
    papers'.
    """
    return terms[-1:] + terms[:-1]


def terminated(floor: Floor) -> Bool[Tensor, "markets"]:
    """Which markets are really over where no round has begun: by a rule of their own, or since
    the last round is played.
    """
    return floor.ended if floor.cut else floor.ended | (floor.round >= floor.horizon)


def ended(now: Situation, report: Report) -> Bool[Tensor, "markets"]:
    """Which markets a round ended: the game is over, or the horizon cuts it."""
    return report.terminated | (now.floor.round >= now.floor.horizon)


@full_precision()
def resume(
    market: Market, start: Situation, moves: Sequence[Mapping[str, Tensor]], over: bool
) -> Situation:
    """Where a saved batch stands: the round is played again up to where it stood.

    start: the round's beginning;   moves: actions of its earlier stages;
        over: the last round is played
    """
    if over:
        return start
    now = begun(market, start)
    for actions in moves:
        now, _ = play_stage(market, now, actions)
    return now


# --- what is seen ---------------------------------------------------------------------------------


@full_precision()
def observe(market: Market, now: Situation) -> ByRole:
    """What the movers see, by role: float32 [markets, count, dim]; where no round has begun,
    see ``observe_end``.
    """
    if not now.playing:
        return observe_end(market, now)
    phase, stage = market.phases[now.at], stage_of(market, now)
    shown = phase.show(*given.handed(phase, now.floor, now.owns[phase.name], now.quotes))
    return {role: given.packed(phase, move, shown, now.floor) for role, move in stage.moves.items()}


@full_precision()
def observe_end(market: Market, now: Situation) -> ByRole:
    """What the movers of the first stage see of markets that are over: nothing is computed, since
    no round is left to play.

    A cut cannot be seen: there agents see the next round as if it were played, which a learner
    values.
    """
    at = next(k for k, stage in enumerate(market.stage_at) if stage is not None)
    phase, stage = market.phases[at], market.stages[0]
    shown = phase.show_end(*given.handed(phase, now.floor, now.owns[phase.name]))
    seen = {
        role: given.packed(phase, move, shown, now.floor, all_of_them=False)
        for role, move in stage.moves.items()
    }
    index = ((now.floor.round >= market.horizon) & ~now.floor.ended).nonzero()[:, 0]
    if not market.cut or not len(index):
        return seen
    cut = observe(market, begun(market, tree.rows(now, index)))
    return {role: values.index_put((index,), cut[role]) for role, values in seen.items()}


# --- who plays ------------------------------------------------------------------------------------


def act(
    market: Market,
    policies: Mapping[str, Policy],
    now: Situation,
    skip: frozenset[str] = frozenset(),
    seen: ByRole | None = None,
) -> ByRole:
    """Ask every mover's policy for its action, by role, except those in ``skip``, whose rows stay
    zero.

    policies: one per agent name. Agents of one role that share a policy object are asked in one
        call.
    seen:     what the movers see, where it is known
    """
    seen, keys, actions = (
        observe(market, now) if seen is None else seen,
        policy_keys(market, now),
        {},
    )
    for role, move in stage_of(market, now).moves.items():
        mine, who = (
            keys[:, market.people.rows[role]],
            [None if a in skip else policies[a] for a in move.agents],
        )
        actions[role] = seen[role].new_zeros(len(mine), move.count, move.action.dim)
        for policy in {id(part): part for part in who if part is not None}.values():
            asked = [k for k, part in enumerate(who) if part is policy]
            rows = slice(None) if len(asked) == move.count else asked
            said = actions_of(
                policy, seen[role][:, rows].flatten(0, 1), move, mine[:, rows].flatten()
            )
            actions[role][:, rows] = said.unflatten(0, (len(mine), -1))
    return actions


def act_mixed(
    market: Market, policies: Sequence[Policy], who: Int[Tensor, "markets agents"], now: Situation
) -> ByRole:
    """Actions by role where agent i of market m plays ``policies[who[m, i]]``, and zeros where
    who is -1.
    """
    seen, keys, actions = observe(market, now), policy_keys(market, now), {}
    for role, move in stage_of(market, now).moves.items():
        span = market.people.rows[role]
        actions[role] = seen[role].new_zeros(len(who), move.count, move.action.dim)
        for number, policy in enumerate(policies):
            rows = who[:, span] == number
            if rows.any():
                actions[role][rows] = actions_of(
                    policy, seen[role][rows], move, keys[:, span][rows]
                )
    return actions


def policy_keys(market: Market, now: Situation) -> Int[Tensor, "markets agents"]:
    """The keys that policies draw from in this stage."""
    stage = market.stages.index(stage_of(market, now))
    return draws.agent_keys(
        draws.fold(now.floor.seeds, now.floor.round, stage), market.people.count, "policy"
    )


def play(
    market: Market, policies: Mapping[str, Policy], seeds: Int[Tensor, "markets"]
) -> Iterator[tuple[ByRole, ByRole, Report | None]]:
    """Play one episode per seed with fixed policies; yield (observations, actions, report) of every
    stage.

    The markets end together at the horizon; a market that terminates earlier ends when all have.
    """
    now = begin(market, seeds)
    while now.playing:
        seen, actions = observe(market, now), act(market, policies, now)
        now, report = advance(market, now, actions)
        yield seen, actions, report


def test_scores(market: Market, now: Situation, **asked: Any) -> Any:
    """Loss and accuracy [markets, count] of the models on examples that nobody trains or trades by.

    now:   the models as they are there: where a round waits for a move that follows a training,
           they are trained already
    asked: further arguments of the phase that tests (see ``Tested``). Raises ValueError where no
        phase does.
    """
    phase = market.phase(Tested)  # type: ignore[type-abstract]  # a protocol, which isinstance knows
    return phase.test_scores(now.floor, now.owns[phase.name], **asked)
