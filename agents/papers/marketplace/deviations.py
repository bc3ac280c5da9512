"""What one agent of the marketplace earns by playing something else than the truth, on the same
seeds and draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv import make_market
from marketenv.core.market import agent_names
from marketenv.core.policy import Policy

from ...lineups import play
from ..core.effort import Effort
from ..core.evidence import Evidence
from ..resources_decoupled.market import Changes, changed
from .settings import NAME, SEED, SIZES, Config, marketplace, sizes_of


def utilities(
    config: Config,
    effort: Effort,
    lineups: Mapping[str, tuple[str, Changes]],
    count: int,
) -> dict[str, Float64[Tensor, "seeds agents"]]:
    """Utilities of an episode by line-up, and under ``truth`` where nobody deviates.

    lineups: who deviates, and how: other meanings of its fields
    count: seeds
    """
    market = make_market(NAME, **marketplace(effort, config))
    names = agent_names(market)
    policies: list[Policy] = [market.policies["truthful"]]
    who = torch.zeros(1 + len(lineups), count, len(names), dtype=torch.long)
    for k, (agent, changes) in enumerate(lineups.values(), start=1):
        policies.append(changed(market, changes))
        who[k, :, names.index(agent)] = k
    utility = play(market, policies, who, SEED + torch.arange(count)).utility
    return dict(zip(("truth", *lineups), utility, strict=True))


def gains(
    condition: str,
    effort: Effort,
    *,
    conditions: Mapping[str, Config],
    agent: str,
    plays: Mapping[str, Changes],
    sign: float = 1.0,
    seeds: int = 0,
) -> Evidence:
    """What an agent gains by each of some deviations, money, seed by seed.

    sign: -1 where the claim is that it loses;   seeds: 0 for as many as the effort says
    """
    config, count = conditions[condition], sizes_of(effort).seeds
    # another effort is a trial, which need not tell equal numbers from unequal ones
    count = max(seeds, count) if effort.name in SIZES else count
    lineups: Any = {name: (agent, change) for name, change in plays.items()}
    earned = utilities(config, effort, lineups, count)
    place = agent_names(make_market(NAME, **marketplace(effort, config))).index(agent)
    truth = earned.pop("truth")[:, place]
    points = {name: sign * (utility[:, place] - truth) for name, utility in earned.items()}
    rows = [[name, float(truth.mean()), sign * float(gain.mean())] for name, gain in points.items()]
    head = ["play", "truth earns, money", "the play gains, money"]
    return Evidence(
        samples={name: gain.tolist() for name, gain in points.items()},
        seeds=f"{SEED} + 0..{count - 1}",
        scale=max(float(truth.abs().mean()), 1e-12),
        tables=[{"title": f"{agent}, {condition}", "head": head, "rows": rows}],
    )


def received_less(
    condition: str, effort: Effort, *, conditions: Mapping[str, Config], plays: Changes
) -> Evidence:
    """How much less all owners earn where a developer plays something else, money, by seed."""
    config: Any = conditions[condition]
    earned = utilities(config, effort, {"deviates": ("developer_0", plays)}, sizes_of(effort).seeds)
    market = make_market(NAME, **marketplace(effort, config))
    owners = market.people.rows["owner"]
    truth, other = (earned[name][:, owners].sum(1) for name in ("truth", "deviates"))
    return Evidence(
        samples={"all owners": (truth - other).tolist()},
        seeds=f"{SEED} + 0..{sizes_of(effort).seeds - 1}",
        scale=max(float(truth.abs().mean()), 1e-12),
    )
