"""Records of play: arrays for a learner, and JSON lines for everybody else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from marketenv.core import tree
from marketenv.core.market import Market, Report
from marketenv.core.rounds import ByRole
from marketenv.core.storage import whole_file

ByStage = dict[str, dict[str, Tensor]]  # by stage and role


@dataclass(frozen=True)
class Trajectory:
    """Every round of a batch of episodes, as arrays that lead with [rounds, markets].

    observations: of movers, by stage and role   float32 [rounds, markets, count, width]
    actions:      of movers, by stage and role   float32 [rounds, markets, count, width]
    payments:     by name                        float64 [rounds, markets, payers, payees]
    parties:      payer and payee of the payments of each name
    rewards:      of a round                     float64 [rounds, markets, agents]
    terminated:   after a round                  bool [rounds, markets]
    """

    observations: ByStage
    actions: ByStage
    payments: dict[str, Tensor]
    rewards: Float64[Tensor, "rounds markets agents"]
    terminated: Bool[Tensor, "rounds markets"]
    parties: dict[str, tuple[str, str]] = field(metadata=tree.STATIC)

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz`` file; the path gets that ending where it lacks it.

        Arrays are named as here, with dots: ``actions.auction.buyer``, ``payments.price``,
        ``parties.price``, ``rewards``. After an error there is no new file.
        """
        tensors = tree.leaves(self)
        arrays: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        arrays |= {f"parties.{name}": np.array(names) for name, names in self.parties.items()}
        place = f"{path}" if f"{path}".endswith(".npz") else f"{path}.npz"
        with whole_file(place) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)


def collect(market: Market, steps: Iterable[tuple[ByRole, ByRole, Report | None]]) -> Trajectory:
    """Stack the steps that ``rounds.play`` yields of a market.

    Raises ValueError where there are no steps, and for a part of a round.
    """
    played, stages = list(steps), [stage.name for stage in market.stages]
    _check_whole(played, stages)
    reports = [report for _, _, report in played if report is not None]
    flows = reports[0].flows
    return Trajectory(
        observations=_by_stage([observations for observations, _, _ in played], stages),
        actions=_by_stage([actions for _, actions, _ in played], stages),
        payments={name: torch.stack([r.flows[name].money for r in reports]) for name in flows},
        rewards=torch.stack([report.rewards for report in reports]),
        terminated=torch.stack([report.terminated for report in reports]),
        parties={name: (flow.payer, flow.payee) for name, flow in flows.items()},
    )


def _check_whole(steps: Sequence[tuple[ByRole, ByRole, Report | None]], stages: list[str]) -> None:
    """Refuse steps that are no whole rounds."""
    count, n_stages = len(steps), len(stages)
    ends = [k for k, (_, _, report) in enumerate(steps, start=1) if report is not None]
    if not ends or ends != list(range(n_stages, count + n_stages, n_stages)):
        raise ValueError(
            f"collect got {count or 'no'} steps and {len(ends)} reports, wanted whole rounds of"
            f" {n_stages} stages ({', '.join(stages)}): give it all steps of an episode, as"
            " rounds.play yields them."
        )


def _by_stage(parts: Sequence[ByRole], stages: list[str]) -> ByStage:
    """What stands at every step, by the stage of the step."""
    return {stage: _stacked(parts[k :: len(stages)]) for k, stage in enumerate(stages)}


def _stacked(parts: Sequence[ByRole]) -> ByRole:
    return {role: torch.stack([part[role] for part in parts]) for role in parts[0]}


def describe(report: Report, agents: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One dictionary per market of a round: every info by agent, and every payment by its name.

    ``{"agents": {"buyer_0": {"utility": 0.4, ...}, ...}, "payments": [{"name": "price", "payer":
    "buyer_0", "payee": "seller_0", "money": 0.5}, ...]}``
    """
    infos = {name: values.tolist() for name, values in report.infos().items()}
    for m in range(len(report.rewards)):
        rows = {
            agent: {name: _json(values[m][i]) for name, values in infos.items()}
            for i, agent in enumerate(agents)
        }
        payments = [line for name in report.flows for line in _payments(report, name, m)]
        yield {"agents": rows, "payments": payments}


def _payments(report: Report, name: str, market: int) -> Iterator[dict[str, Any]]:
    """Payments of one name in one market that are not 0."""
    flow = report.flows[name]
    money = flow.money[market]
    for payer, payee in money.nonzero().tolist():
        who = {"payer": f"{flow.payer}_{payer}", "payee": f"{flow.payee}_{payee}"}
        yield {"name": name, **who, "money": float(money[payer, payee])}


def _json(value: float | int) -> float | int | None:
    """The number, or None where JSON has none for it (unlimited cash is infinite)."""
    return value if math.isfinite(value) else None


def write_json_lines(path: str | Path, lines: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object per line and return how many; ValueError for NaN, which JSON lacks.

    After an error there is no new file.
    """
    with whole_file(path) as part, part.open("w", encoding="utf8") as file:
        count = 0
        for count, line in enumerate(lines, start=1):  # noqa: B007  the count is what is returned
            file.write(json.dumps(line, allow_nan=False) + "\n")
    return count
