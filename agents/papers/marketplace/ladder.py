"""The welfare ladder: nothing, data, data and compute, and parameters too, on the same seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.metrics import gini

from ...lineups import play
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..resources_decoupled.market import changed
from .settings import BOUGHT, DATA, NAME, ROLES, SEED, sizes_of

NOTHING, WITH_DATA, WITH_WORK, WITH_MODELS = "nothing", "data", "data and compute", "and parameters"
# developers have data of their own, or with nothing on sale nothing would happen
OWN: dict[str, Any] = {"own_data": True, "effort_cost": (0.0, 0.0)}
STEPS: dict[str, dict[str, Any]] = {
    # somebody has to move, but nobody bids
    NOTHING: {"rule": None, "data_market": {}, "trade": "nash_bargaining"},
    WITH_DATA: {"compute": None, "trade": None},
    WITH_WORK: {"compute": "contest", "trade": None},
    WITH_MODELS: {"compute": "contest"},
}
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)  # that a planner tries
RULES: dict[str, dict[str, Any]] = {
    "contest": {"rule": "contest"},
    "procurement": {"rule": "procurement", "data_market": BOUGHT},
    "posted": {"rule": "posted", "data_market": BOUGHT},
    "leave_one_out": {"rule": "leave_one_out", "data_market": BOUGHT},
    "shapley": {"rule": "shapley", "data_market": BOUGHT},
}


@dataclass(frozen=True)
class Welfare:
    """What an episode comes to.

    by_role: utility of all agents of a role, money   float64 [seeds] by role
    total:   of everybody, money;   gini: of everybody's utility;   accuracy: of developers, mean
    """

    by_role: Mapping[str, Float64[Tensor, "seeds"]]
    total: Float64[Tensor, "seeds"]
    gini: Float64[Tensor, "seeds"]
    accuracy: Float64[Tensor, "seeds"]


def config_of(rule: str, step: str, trade: str = "nash_bargaining") -> dict[str, Any]:
    """Arguments of a step of the ladder, whatever the data."""
    chosen = OWN | RULES[rule] | {"trade": trade} | STEPS[step]
    return chosen


@lru_cache(maxsize=64)
def welfare(data: str, rule: str, step: str, trade: str, seeds: int, n_rounds: int) -> Welfare:
    """Truthful play of a step of the ladder."""
    config = DATA[data] | config_of(rule, step, trade) | {"max_cycles": n_rounds}
    market = make_market(NAME, **config)
    idle = step == NOTHING
    policy = changed(market, {"bid": 0.0}) if idle else market.policies["truthful"]
    policies = dict.fromkeys(agent_names(market), policy)
    now, utility = rounds.begin(market, SEED + torch.arange(seeds)), torch.zeros(())
    while now.playing:
        now, report = rounds.advance(market, now, rounds.act(market, policies, now))
        utility = utility if report is None else utility + report.rewards.double()
    accuracy = rounds.test_scores(market, now).accuracy.double().mean(1)
    rows = market.people.rows
    by_role = {role: utility[:, rows[role]].sum(1) for role in ROLES}
    poorest = utility.amin(1, keepdim=True)
    return Welfare(by_role, utility.sum(1), gini(utility - poorest), accuracy)


@lru_cache(maxsize=16)
def planned(data: str, seeds: int, n_rounds: int) -> tuple[float, Float64[Tensor, "seeds"]]:
    """The share of all data that is best for everybody together, and what everybody earns then.

    A planner lets every owner give that share to every developer, who pays nothing for it; work
    costs what it costs at home. The share is chosen by the mean over the seeds, so that it is what
    a planner could reach at most.
    """
    config = DATA[data] | config_of("contest", WITH_DATA) | {"max_cycles": n_rounds}
    market = make_market(NAME, **config)
    names, count = agent_names(market), len(SHARES)
    policies = [changed(market, {"eta": 0.0, "share": share}) for share in SHARES]
    who = torch.arange(count)[:, None, None].expand(-1, seeds, len(names)).contiguous()
    total = play(market, policies, who, SEED + torch.arange(seeds)).utility.sum(2)
    best = int(total.mean(1).argmax())
    return SHARES[best], total[best]


def captured(condition: str, effort: Effort) -> Evidence:
    """What everybody earns together, as a part of what a planner reaches, by seed."""
    rule, _, data = condition.partition(" on ")
    size = sizes_of(effort)
    share, best = planned(data, size.seeds, size.rounds)
    reached = welfare(data, rule, WITH_DATA, "nash_bargaining", size.seeds, size.rounds).total
    return Evidence(
        samples={"part of the planner's welfare": (reached / best).tolist()},
        seeds=f"{SEED} + 0..{size.seeds - 1}",
        notes=(f"the planner's share of all data: {share:g}",),
    )


def pays(condition: str, effort: Effort, *, step: str, before: str) -> Evidence:
    """Welfare of a step less that of the one before, money, by seed."""
    rule, _, data = condition.partition(" on ")
    size = sizes_of(effort)
    with_it, without = (
        welfare(data, rule, one, "nash_bargaining", size.seeds, size.rounds)
        for one in (step, before)
    )
    rows = [
        [role, float(without.by_role[role].mean()), float(with_it.by_role[role].mean())]
        for role in ROLES
    ]
    rows.append(["everybody", float(without.total.mean()), float(with_it.total.mean())])
    return Evidence(
        samples={"welfare": (with_it.total - without.total).tolist()},
        seeds=f"{SEED} + 0..{size.seeds - 1}",
        scale=max(float(with_it.total.abs().mean()), 1e-12),
        tables=[{"title": condition, "head": ["who", before, f"{step}, money"], "rows": rows}],
    )
