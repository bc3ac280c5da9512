"""Keep what was played: arrays for a learner, and JSON lines for everybody else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from marketenv.core.market import Report
from marketenv.core.storage import whole_file


@dataclass(frozen=True)
class Trajectory:
    """Every step of a batch of episodes, as arrays that lead with [steps, markets]; rewards are 0 inside a round."""

    observations: Float[Tensor, "steps markets agents dim"]
    actions: Float[Tensor, "steps markets agents width"]
    rewards: Float64[Tensor, "steps markets agents"]
    terminated: Bool[Tensor, "steps markets"]

    def save(self, path: str | Path) -> None:
        """Write the arrays as a compressed ``.npz`` file, whole or not at all; the path gets that ending where it lacks it."""
        place = f"{path}" if f"{path}".endswith(".npz") else f"{path}.npz"
        with whole_file(place) as part, part.open("wb") as file:
            np.savez_compressed(file, **{name: tensor.cpu().numpy() for name, tensor in vars(self).items()})


def collect(steps: Iterable[tuple[Tensor, Tensor, Report | None]]) -> Trajectory:
    """Stack what ``rounds.play`` yields; ValueError where nothing was played."""
    kept = list(steps)
    if not kept:
        raise ValueError("collect got no steps; give it the steps of an episode, as rounds.play yields them.")
    nothing = torch.zeros(kept[0][0].shape[:2], dtype=torch.float64, device=kept[0][0].device)
    return Trajectory(
        observations=torch.stack([seen for seen, _, _ in kept]),
        actions=torch.stack([actions for _, actions, _ in kept]),
        rewards=torch.stack([nothing if report is None else report.rewards for _, _, report in kept]),
        terminated=torch.stack([nothing[:, 0] > 0 if report is None else report.terminated for _, _, report in kept]),
    )


def describe(report: Report, agents: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One dictionary per market of a round: every info by agent, and the payments as [payer, payee, money]."""
    infos = {name: values.tolist() for name, values in report.infos().items()}
    names = [*agents, *(f"operator_{k}" for k in range(report.transfers.shape[-1] - len(agents)))]
    for m, money in enumerate(report.transfers):
        payments = [[names[p], names[q], float(money[p, q])] for p, q in money.nonzero().tolist()]
        rows = {agent: {name: _json(values[m][i]) for name, values in infos.items()} for i, agent in enumerate(agents)}
        yield {"agents": rows, "payments": payments}


def _json(value: float | int) -> float | int | None:
    """The number, or None where JSON has none for it (unlimited cash is infinite)."""
    return value if math.isfinite(value) else None


def write_json_lines(path: str | Path, lines: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object per line, whole or not at all; returns how many. NaN is refused, since JSON has none."""
    with whole_file(path) as part, part.open("w", encoding="utf8") as file:
        count = 0
        for count, line in enumerate(lines, start=1):  # noqa: B007  the count is what is returned
            file.write(json.dumps(line, allow_nan=False) + "\n")
    return count
