"""Ex-post regret: the best reply to the others' actual reports, seed by seed."""

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
    """What an agent could have earned more in the first round had it known all others' reports.

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
    >>> best = ex_post_regret(market, find_profile(market), "buyer_0", torch.arange(100))
    >>> best.exact, bool(best.regret.max() < 1e-6)
    (True, True)
    """
    move = move_of(market, agent, stage)
    attack = Attack(market, profile, (agent,), seeds, stage=move.stage)
    now, (policies, who) = attack.first, seat(market, profile, seeds.to(market.device))
    mine, truth = move.agents.index(agent), rounds.act_mixed(market, policies, who, now)
    own = truth[move.name][:, mine]
    unchanged = ~_moved(move.action, fields).to(own.device)
    replies, exact = _replies(attack, now, truth, move, mine, fields, points)
    # where fields are kept, many are the same
    replies = torch.where(unchanged, own[:, None], replies).unique(dim=1)
    # what was done comes first, so that regret is never below 0
    replies = torch.cat([own[:, None], replies], 1)
    earned = _play(market, policies, who, now, truth, move, mine, replies)
    best = earned.argmax(1)
    picked = replies.take_along_dim(best[:, None, None], 1)[:, 0]
    regret = earned.take_along_dim(best[:, None], 1)[:, 0] - earned[:, 0]
    reports = {
        name: meant.cpu()
        for name, meant in move.read(attack.policy_inputs(agent, move.stage)[0], picked).items()
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
    """The replies of agent ``mine`` of a role, and whether they surely hold a best one."""
    market, own = attack.market, truth[move.name][:, mine]
    phase, replies = market.phases[now.at], []
    if isinstance(phase, Breakpoints):
        candidates = phase.breakpoints(
            now.floor, now.owns[phase.name], now.quotes, truth, (move.name, mine), fields
        )
        if candidates is not None:
            label = f"breakpoints of phase {phase.name!r}"
            replies.append(_checked(candidates, label, own, move.action))
    if replies and move.stage == market.stages[-1].name:
        return replies[0], True
    observation, keys = attack.policy_inputs(attack.agents[0], move.stage)
    honest = actions_of(market.policies["truthful"], observation, move, keys)
    replies += [honest[:, None], _lines(own, move, points), *_options(own, move.action, fields)]
    return torch.cat(replies, 1), False


def _checked(
    candidates: Any, label: str, own: Tensor, box: Fields
) -> Float[Tensor, "pairs candidates width"]:
    """A phase's candidates, which may be a user's own.

    Raises ValueError for another shape or type and for candidates outside the box.
    """
    tensor = isinstance(candidates, Tensor) and candidates.ndim == 3
    count = candidates.shape[1] if tensor else 1
    like = own[:, None].expand(-1, max(count, 1), -1)
    axes = "markets, candidates, action numbers"
    return box.check(taken(candidates, f"{label} came", like, axes, torch.float32), label)


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
    """An agent's actions with one field at a time at each of its options or grid points."""
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
    """An agent's actions with every combination of the options of its choices.

    Where there are more than ``COMBINATIONS`` of all choices, they are combined within each choice,
    or else set one number at a time. names: of the fields that may change, None for all
    """
    choices = [
        field
        for field in box.items
        if isinstance(field, Choice) and (names is None or field.name in names)
    ]
    replies = []
    for group in _groups(choices, box):
        grids = [field.grid(0).to(actions.device) for _, field in group]
        values = torch.cartesian_prod(*grids).reshape(-1, len(group))
        reply = actions[:, None].repeat(1, len(values), 1)
        reply[:, :, [place for place, _ in group]] = values
        replies.append(reply)
    return replies


def _groups(choices: Sequence[Choice], box: Fields) -> list[Sequence[tuple[int, Choice]]]:
    """The numbers of an action whose options are combined, in groups of few combinations."""
    by_field = [
        [(place, field) for place in range(box.dim)[box.slices[field.name]]] for field in choices
    ]
    places = [place for group in by_field for place in group]
    groups = [places] if _count(places) <= COMBINATIONS else by_field
    small: list[Sequence[tuple[int, Choice]]] = []
    for group in groups:
        small += [group] if _count(group) <= COMBINATIONS else [[one] for one in group]
    return [group for group in small if group]


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
    """The agent's utility of the round for each reply: pairs x replies as one batch, or a few.

    What a pair tries twice is played once.
    """
    row, pairs, utilities = market.people.rows[move.name].start + mine, len(who), []
    (pair, reply), earlier = _once(replies)
    for some in torch.arange(len(pair), device=who.device).split(at_once(now, pairs) * pairs):
        index = pair[some]
        actions = {role: acted[index] for role, acted in truth.items()}
        actions[move.name][:, mine] = replies[index, reply[some]]
        # and no next round is begun
        here, report = rounds.play_stage(market, tree.rows(now, index), actions)
        while report is None:
            here, report = rounds.play_stage(
                market, here, rounds.act_mixed(market, policies, who[index], here)
            )
        utilities.append(report.rewards[:, row])
    return torch.cat(utilities)[earlier]


def _once(
    replies: Float[Tensor, "pairs replies width"],
) -> tuple[tuple[Tensor, Tensor], Int[Tensor, "pairs replies"]]:
    """Every pair's different replies, as places, and the number among these of each reply."""
    # torch.unique of rows takes ten times as long
    order = torch.arange(replies.shape[1], device=replies.device).expand(replies.shape[:2])
    for numbers in reversed(replies.unbind(-1)):
        order = order.gather(1, numbers.gather(1, order).argsort(dim=1, stable=True))
    ordered = replies.take_along_dim(order[..., None], 1)
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).any(-1)
    place = (fresh.flatten().cumsum(0) - 1).view_as(order)
    pair, at = fresh.nonzero(as_tuple=True)
    return (pair, order[pair, at]), torch.empty_like(place).scatter(1, order, place)
