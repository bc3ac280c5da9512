"""Ex-post regret: the best reply to the very reports of the others, round by seed, by
breakpoints or by a grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import rounds, tree
from marketenv.core.fields import Choice, Fields
from marketenv.core.lookup import unknown
from marketenv.core.market import Breakpoints, Market, Move, move_of
from marketenv.core.parts import taken
from marketenv.core.policy import Policy, actions_of

from ..lineups import Profile, seat
from .attack import Attack, at_once

POINTS = 101  # of each field's line, where a market names no breakpoints
COMBINATIONS = 64  # of options that are tried together


@dataclass(frozen=True)
class ExPost:
    """What hindsight would have brought in a stage of the first round.

    regret:  of each seed, >= 0, money           [pairs]
    utility: what was earned in that round        [pairs]
    actions: the best reply                       [pairs, width]
    reports: what it means, by field              [pairs, size] each
    exact:   a best reply was surely tried; otherwise the regret is a lower bound from a grid
    """

    regret: Float64[Tensor, "pairs"]
    utility: Float64[Tensor, "pairs"]
    actions: Float[Tensor, "pairs width"]
    reports: dict[str, Tensor]
    exact: bool


def ex_post_regret(
    market: Market,
    profile: Profile,
    agent: str,
    seeds: Int[Tensor, "pairs"],
    stage: str | None = None,
    fields: Sequence[str] | None = None,
    points: int = POINTS,
) -> ExPost:
    """How much more an agent could have earned in the first round had it known what all others
    would report.

    rgt = max over b' of u(theta; b', b_-i) - u(theta; b, b_-i)   [pairs], money

    stage:  in which the agent replies otherwise, None for the first in which it moves; all play the
            profile before and after
    fields: of the action that change (a bid and not the ask), None for all; the regret is that of
        them alone

    A stage whose phase has ``Breakpoints`` names the actions [markets, candidates, width] among
    which a best one always is, or None; then the regret is exact where nobody moves after it in the
    round. Otherwise each field of the action runs through ``points`` values too, choices through
    the combinations of their options (up to ``COMBINATIONS``, else one at a time), and the truth is
    tried; a search may find more.
    Raises ValueError for unknown names, for an agent that does not move in the stage, and for
    breakpoints of another shape or type or outside the action's box.

    >>> from agents.lineups import find_profile
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="second_price")
    >>> found = ex_post_regret(market, find_profile(market), "buyer_0", torch.arange(100))
    >>> found.exact, bool(found.regret.max() < 1e-6)
    (True, True)
    """
    move = move_of(market, agent, stage)
    attack = Attack(market, profile, (agent,), seeds, stage=move.stage)
    now, (policies, who) = attack.first, seat(market, profile, seeds.to(market.device))
    mine, truth = move.agents.index(agent), rounds.act_mixed(market, policies, who, now)
    own = truth[move.name][:, mine]
    kept = ~_moved(move.action, fields).to(own.device)
    replies, exact = _replies(attack, now, truth, move, mine, fields, points)
    # where fields are kept, many are the same
    replies = torch.where(kept, own[:, None], replies).unique(dim=1)
    # what was done comes first, so that regret is never below 0
    replies = torch.cat([own[:, None], replies], 1)
    earned = _play(market, policies, who, now, truth, move, mine, replies)
    best = earned.argmax(1)
    picked = replies.take_along_dim(best[:, None, None], 1)[:, 0]
    regret = earned.take_along_dim(best[:, None], 1)[:, 0] - earned[:, 0]
    reports = {
        name: meant.cpu()
        for name, meant in move.read(attack.seen(agent, move.stage)[0], picked).items()
    }
    return ExPost(regret.cpu(), earned[:, 0].cpu(), picked.cpu(), reports, exact)


def _replies(
    attack: Attack,
    now: rounds.Situation,
    truth: Mapping[str, Tensor],
    move: Move,
    mine: int,
    fields: Sequence[str] | None,
    points: int,
) -> tuple[Float[Tensor, "pairs replies width"], bool]:
    """What agent number ``mine`` of the mover's role may reply, and whether a best reply is
    surely among it.
    """
    market, found, own = attack.market, [], truth[move.name][:, mine]
    phase = market.phases[now.at]
    if isinstance(phase, Breakpoints):
        named = phase.breakpoints(
            now.floor, now.owns[phase.name], now.quotes, truth, (move.name, mine), fields
        )
        if named is not None:
            found.append(_checked(named, f"breakpoints of phase {phase.name!r}", own, move.action))
    if found and move.stage == market.stages[-1].name:
        return found[0], True
    observation, keys = attack.seen(attack.agents[0], move.stage)
    honest = actions_of(market.policies["truthful"], observation, move, keys)
    return (
        torch.cat(
            [
                *found,
                honest[:, None],
                _lines(own, move, points),
                *_options(own, move.action, fields),
            ],
            1,
        ),
        False,
    )


def _checked(
    named: Any, said: str, own: Tensor, box: Fields
) -> Float[Tensor, "pairs candidates width"]:
    """The candidates that a phase named, which may be a user's own; ValueError for another
    shape or type and outside the box.
    """
    count = named.shape[1] if isinstance(named, Tensor) and named.ndim == 3 else 1
    like = own[:, None].expand(-1, max(count, 1), -1)
    return box.check(
        taken(named, f"{said} came", like, "markets, candidates, action numbers", torch.float32),
        said,
    )


def _moved(box: Fields, names: Sequence[str] | None) -> Bool[Tensor, "width"]:
    """Which numbers of an action belong to the named fields; all where nothing is named."""
    if isinstance(names, str):
        raise ValueError(f"fields is {names!r}, wanted several names, for instance ({names!r},).")
    moved = torch.full((box.dim,), names is None, device="cpu")
    for name in names or ():
        if name not in box.slices:
            raise unknown("field of the action", name, tuple(box.slices))
        moved[box.slices[name]] = True
    return moved


def _lines(actions: Tensor, move: Move, points: int) -> Float[Tensor, "pairs replies width"]:
    """An agent's actions with one field at a time set to each of its values, in turn: options,
    or evenly from end to end.
    """
    lines = []
    for field in move.action.items:
        values = field.grid(max(points, 2)).to(actions.device)
        line = actions[:, None].repeat(1, len(values), 1)
        line[:, :, move.action.slices[field.name]] = values[:, None]
        lines.append(line)
    return torch.cat(lines, 1)


def _options(
    actions: Tensor, box: Fields, names: Sequence[str] | None
) -> list[Float[Tensor, "pairs replies width"]]:
    """An agent's actions with every combination of options: of all its choices, of one, or of one
    number of it.

    names: of the fields that may change, None for all;
        no more than ``COMBINATIONS`` are combined where a part is left
    """
    choices = [
        field
        for field in box.items
        if isinstance(field, Choice) and (names is None or field.name in names)
    ]
    places = [
        (place, field) for field in choices for place in range(box.dim)[box.slices[field.name]]
    ]
    groups = (
        [places]
        if _count(places) <= COMBINATIONS
        else [[one for one in places if one[1] is field] for field in choices]
    )
    small = [
        part
        for group in groups
        for part in ([group] if _count(group) <= COMBINATIONS else [[one] for one in group])
    ]
    found = []
    for group in filter(None, small):
        values = torch.cartesian_prod(
            *(field.grid(0).to(actions.device) for _, field in group)
        ).reshape(-1, len(group))
        tried = actions[:, None].repeat(1, len(values), 1)
        tried[:, :, [place for place, _ in group]] = values
        found.append(tried)
    return found


def _count(places: Sequence[tuple[int, Choice]]) -> int:
    """Combinations of the options of some numbers of an action."""
    return math.prod(len(field.options) for _, field in places)


def _play(
    market: Market,
    policies: list[Policy],
    who: Tensor,
    now: rounds.Situation,
    truth: Mapping[str, Tensor],
    move: Move,
    mine: int,
    replies: Tensor,
) -> Float64[Tensor, "pairs replies"]:
    """The agent's utility of the round for each reply: replies x seeds as one batch, or a few."""
    row, pairs, done = market.people.rows[move.name].start + mine, len(who), []
    for some in replies.split(at_once(now, pairs), 1):
        index = torch.arange(pairs, device=who.device).repeat_interleave(some.shape[1])
        actions = {role: acted[index] for role, acted in truth.items()}
        actions[move.name][:, mine] = some.flatten(0, 1)
        # and no next round is begun
        here, report = rounds.play_stage(market, tree.rows(now, index), actions)
        while report is None:
            here, report = rounds.play_stage(
                market, here, rounds.act_mixed(market, policies, who[index], here)
            )
        done.append(report.rewards[:, row].unflatten(0, (pairs, -1)))
    return torch.cat(done, 1)
