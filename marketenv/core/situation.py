"""Where a batch of markets stands, and what one phase of a round makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from marketenv.core import clock, contract, ledger
from marketenv.core.floor import Floor
from marketenv.core.market import Market, Phase, Report, Stage
from marketenv.core.observations import shaped
from marketenv.core.tree import STATIC

ByRole = dict[str, Tensor]  # what the movers of a stage see, or do: [markets, count, width]


@dataclass(frozen=True)
class Situation:
    """Where a batch of markets stands, all at the same phase: markets end only where a round ends.

    floor:   what all phases share;   owns: each phase's own memory by its name
    quotes:  what the movers of the present stage are shown
    at:      number of the phase that comes next
    playing: this phase is quoted and waits for actions; otherwise no round has begun
    seconds: of this round so far, by phase
    """

    floor: Floor
    owns: Mapping[str, Any]
    quotes: Any = None
    at: int = field(default=0, metadata=STATIC)
    playing: bool = field(default=False, metadata=STATIC)
    seconds: Mapping[str, float] = field(default_factory=dict, metadata=STATIC)


def stage_of(market: Market, now: Situation) -> Stage:
    """The stage at which markets stand; ValueError where the episode is over."""
    stage = market.stage_at[now.at] if now.playing else None
    if stage is None:
        raise ValueError("the episode is over: every round was played. Call reset first.")
    return stage


def quoted(market: Market, now: Situation) -> Situation:
    """The situation with the quotes of its phase, waiting where somebody moves in this phase."""
    phase, waits = market.phases[now.at], market.stage_at[now.at] is not None
    # a phase without quotes has nothing to compute or to time
    if type(phase).quote is Phase.quote:
        return Situation(now.floor, now.owns, None, now.at, waits, now.seconds) if waits else now
    start = clock.seconds(market.device)
    inputs = contract.handed(phase, now.floor, now.owns[phase.name])
    quotes = contract.back(phase, phase.quote(*inputs), f"quote of phase {phase.name!r} returned")
    seconds = {**now.seconds, f"{phase.name}: quote": clock.seconds(market.device) - start}
    return Situation(now.floor, now.owns, quotes, now.at, waits, seconds)


def acted(market: Market, now: Situation, actions: Mapping[str, Tensor]) -> Situation:
    """The situation after its phase is played with the movers' actions."""
    phase, floor, start = market.phases[now.at], now.floor, clock.seconds(market.device)
    own, roles = now.owns[phase.name], [role for role in phase.moves if role not in actions]
    absent = {role: shaped(floor, 0, phase.moves[role].action.dim).float() for role in roles}
    inputs = contract.handed(phase, floor, own, now.quotes, {**absent, **actions})
    after, own = contract.acted(phase, floor, inputs[0], own, phase.act(*inputs))
    new = {name: flow for name, flow in after.flows.items() if name not in floor.flows}
    ledger.check(floor.ledger, after.ledger, new, floor.rows, market.people.count)
    owns = {**now.owns, phase.name: own}
    seconds = {**now.seconds, phase.name: clock.seconds(market.device) - start}
    return Situation(after, owns, at=now.at + 1, seconds=seconds)


def closed(market: Market, now: Situation) -> tuple[Situation, Report]:
    """The next round, not begun, and the report of a round whose phases are all played.

    Utility is computed here alone.
    """
    floor, agents = now.floor, market.people.count
    rewards = floor.ledger.net[:, :agents].clone()
    for terms in _last_first(list(floor.terms.values())):
        for role, value in terms.items():
            rewards[:, floor.rows[role]].add_(value)
    contract.check_closed(market, floor, rewards)
    fresh = floor.but(
        round=floor.round + 1, ledger=floor.ledger.new_round(), flows={}, terms={}, outcomes={}
    )
    report = Report(
        rewards=rewards,
        terminated=terminated(fresh),
        ledger=floor.ledger,
        outcomes=floor.outcomes,
        flows=floor.flows,
        terms=floor.terms,
        rows=floor.rows,
        seconds=now.seconds,
        fact_names=market.fact_names,
    )
    return Situation(fresh, now.owns), report


def _last_first(terms: list[Any]) -> list[Any]:
    """The last phase's term first, as in value + money - effort: it rounds as the papers do."""
    return terms[-1:] + terms[:-1]


def terminated(floor: Floor) -> Bool[Tensor, "markets"]:
    """Which markets are really over before a round: by a rule of their own, or after the last."""
    return floor.ended if floor.cut else floor.ended | (floor.round >= floor.horizon)
