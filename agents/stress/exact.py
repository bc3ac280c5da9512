"""Ex-post regret: the best reply to the very reports of the others, round by seed, by breakpoints or by a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from marketenv.core import rounds, tree
from marketenv.core.fields import Fields
from marketenv.core.lookup import unknown
from marketenv.core.market import Market, Role, agent_names, role_of
from marketenv.core.policy import Policy
from marketenv.core.precision import full_precision

from ..lineups import Profile, seat
from .attack import Attack, at_once

POINTS = 101  # of each field's line, where a market names no breakpoints


@dataclass(frozen=True)
class ExPost:
    """What hindsight would have brought in the first round.

    regret:  of each seed, >= 0, money           [pairs]
    utility: what was earned in that round        [pairs]
    actions: the best reply                       [pairs, width]
    reports: what it means, by field              [pairs, size] each
    exact:   the market named all actions that matter; otherwise the regret is a lower bound from a grid
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
    fields: Sequence[str] | None = None,
    points: int = POINTS,
) -> ExPost:
    """How much more an agent could have earned in the first round had it known what all others would report.

    rgt = max over b' of u(theta; b', b_-i) - u(theta; b, b_-i)   [pairs], money

    A market with a method ``breakpoints(state, past, agent)`` names the actions [markets, candidates, width] among which a
    best one always is, or None; then the regret is exact. Otherwise each field of the action runs through ``points`` values, and
    a choice through its options.
    Where only costs change, a market's ``cost_breakpoints`` does the same for them alone.
    With ``fields`` only these parts of the action change (a bid and not the ask), and the regret is that of them alone.
    The agent deviates in the round's first stage; the profile plays what follows. Raises ValueError for unknown names and for
    an agent that does not move in the first stage.

    >>> from agents.lineups import find_profile
    >>> from marketenv import make_market
    >>> market = make_market("reference_v0", game="second_price")
    >>> found = ex_post_regret(market, find_profile(market), "buyer_0", torch.arange(100))
    >>> found.exact, bool(found.regret.max() < 1e-6)
    (True, True)
    """
    Attack(market, profile, (agent,), seeds)  # refuses unknown agents and profiles with gaps
    if role_of(market, agent).name not in market.stages[0].movers:
        raise ValueError(f"{agent} does not move in the first stage, {market.stages[0].name!r}; hindsight is known of it alone.")
    mine, role = agent_names(market).index(agent), role_of(market, agent)
    policies, who = seat(market, profile, seeds.to(market.device))
    now = rounds.begin(market, seeds)
    truth = rounds.act_mixed(market, policies, who, now)
    named = _named(market, fields)
    replies = None if named is None else named(now.state, (*now.past, (now.quotes, truth)), mine)
    exact = replies is not None
    if replies is None:
        replies = _lines(truth[:, mine], role, points)
    kept = ~_moved(role.action, fields).to(replies.device)
    replies[..., : len(kept)] = torch.where(kept, truth[:, mine, None, : len(kept)], replies[..., : len(kept)])
    replies = replies.unique(dim=1)  # where fields are kept, many are the same
    replies = torch.cat([truth[:, mine][:, None], replies], 1)  # what was done comes first, so that regret is never below 0
    earned = _play(market, policies, who, now, truth, replies, mine)
    best = earned.argmax(1)
    picked = replies.take_along_dim(best[:, None, None], 1)[:, 0]
    regret = earned.take_along_dim(best[:, None], 1)[:, 0] - earned[:, 0]
    reports = role.read(rounds.observe(market, now)[:, mine, : role.observation.dim], picked)
    reports = {name: meant.cpu() for name, meant in reports.items()}
    return ExPost(regret.cpu(), earned[:, 0].cpu(), picked.cpu(), reports, exact)


def _named(market: Market, fields: Sequence[str] | None) -> Callable[..., Tensor | None] | None:
    """What names the actions that matter: the market's breakpoints of costs where nothing else changes, or of all fields."""
    of_costs = getattr(market, "cost_breakpoints", None) if tuple(fields or ()) == ("cost",) else None
    return of_costs or getattr(market, "breakpoints", None)


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


def _lines(actions: Tensor, role: Role, points: int) -> Float[Tensor, "pairs replies width"]:
    """An agent's actions with one field at a time set to each of its values, in turn: options, or evenly from end to end."""
    lines = []
    for field in role.action.items:
        values = field.grid(max(points, 2)).to(actions.device)
        line = actions[:, None].repeat(1, len(values), 1)
        line[:, :, role.action.slices[field.name]] = values[:, None]
        lines.append(line)
    return torch.cat(lines, 1)


def _play(
    market: Market, policies: list[Policy], who: Tensor, now: rounds.Situation, truth: Tensor, replies: Tensor, mine: int
) -> Float64[Tensor, "pairs replies"]:
    """The agent's utility of the round for each reply: replies x seeds as one batch, or a few."""
    pairs, done = len(who), []
    for some in replies.split(at_once(now, pairs), 1):
        index = torch.arange(pairs, device=who.device).repeat_interleave(some.shape[1])
        here, seated, actions = tree.rows(now, index), who[index], truth[index]
        actions[:, mine] = some.flatten(0, 1)
        while len(here.past) + 1 < len(market.stages):
            here, _ = rounds.advance(market, here, actions)
            actions = rounds.act_mixed(market, policies, seated, here)
        with full_precision():
            _, report = market.clear(here.state, (*here.past, (here.quotes, actions)))  # without the next round's quotes
        done.append(report.rewards[:, mine].unflatten(0, (pairs, -1)))
    return torch.cat(done, 1)
