"""The welfare ladder of the marketplace, in rows and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marketenv.core.lookup import lookup

from ..core.rows import STANDS, about, row
from ..core.study import Common, Row, Study, run
from ..core.units import Unit
from . import figures
from .ladder import NOTHING, RULES, STEPS, welfare
from .settings import DATA, ROLES

TRADES = ("nash_bargaining", "double_auction", "posted_price")


@dataclass(frozen=True, kw_only=True)
class Ladder(Common):
    """Arguments of the study of the welfare ladder.

    Args:
        data: data sets: digits, german_credit
        rules: how data are sold: contest, procurement, posted, leave_one_out, shapley
        trades: how parameters are sold in the last step: nash_bargaining, double_auction,
            posted_price
        seeds: marketplaces that are played at each step; below 20 no interval is shown
        rounds: rounds of an episode
    """

    data: tuple[str, ...] = tuple(DATA)
    rules: tuple[str, ...] = tuple(RULES)
    trades: tuple[str, ...] = TRADES
    seeds: int = 40
    rounds: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        tables: dict[str, Mapping[str, Any]] = {"data": DATA, "rules": RULES}
        tables["trades"] = dict.fromkeys(TRADES)
        for field, table in tables.items():
            if not getattr(self, field):
                raise ValueError(
                    f"{field} is empty, wanted one name or more of: {', '.join(table)}."
                )
            for name in getattr(self, field):
                lookup(table, name, field)
        if min(self.seeds, self.rounds) < 1:
            raise ValueError(
                f"seeds is {self.seeds} and rounds {self.rounds}, wanted at least 1 of both."
            )


def climbed(
    folder: Path, data: str, rule: str, step: str, trade: str, seeds: int, n_rounds: int
) -> dict[str, Any]:
    """One step of the ladder: utilities by role, Gini index and accuracy, a number a seed."""
    step_of = welfare(data, rule, step, trade, seeds, n_rounds)
    by_role = {role: utility.tolist() for role, utility in step_of.by_role.items()}
    return {
        "by_role": by_role,
        "gini": step_of.gini.tolist(),
        "accuracy": (100 * step_of.accuracy).tolist(),
    }


def marketplace_ladder(config: Ladder) -> None:
    """Welfare by role as markets are added: nothing, data, computing, parameters."""
    size = {"seeds": config.seeds, "n_rounds": config.rounds}
    cases = [
        (data, rule, step, trade)
        for data in config.data
        for rule in config.rules
        for step in STEPS
        for trade in (config.trades if step == list(STEPS)[-1] else config.trades[:1])
    ]
    names = ("data", "rule", "step", "trade")
    work = [
        Unit(climbed, dict(zip(names, case, strict=True)) | size, stands=STANDS) for case in cases
    ]
    steps = dict(zip(cases, run(work, config, "marketplace_ladder"), strict=True))
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for (data, rule, step, trade), one in steps.items():
        if trade == config.trades[0]:
            means = {role: float(np.mean(points)) for role, points in one["by_role"].items()}
            panels.setdefault(f"{rule}, {data}", {})[step] = means
    Study(
        name="marketplace_ladder",
        title="The welfare ladder: nothing, data, data and compute, and parameters",
        scaled="",
        about=about(config),
        rows=tuple(r for case, one in steps.items() for r in _rows(case, one, steps)),
        fig=figures.ladder(panels),
        notes=(
            "All agents are truthful; every step is played on the same seeds. Gains are over the"
            " step before, paired by seed.",
        ),
    ).write(config.out)


def _rows(case: tuple[str, ...], one: Mapping[str, Any], steps: Mapping[Any, Any]) -> list[Row]:
    data, rule, step, trade = case
    name = f"{data}, {rule}, {step}" + (f" by {trade}" if step == list(STEPS)[-1] else "")
    arrays = {role: np.array(one["by_role"][role]) for role in ROLES}
    rows = [row(f"{name}: everybody", "money", sum(arrays.values()))]
    rows += [row(f"{name}: all {role}s", "money", points) for role, points in arrays.items()]
    rows += [row(f"{name}: Gini index of utilities", "from 0 to 1", one["gini"])]
    rows += [row(f"{name}: developers' test accuracy", "%", one["accuracy"])]
    if step == NOTHING:
        return rows
    order = list(STEPS)
    last = order[order.index(step) - 1]
    before = next(steps[c] for c in steps if c[:3] == (data, rule, last))
    gains = {role: arrays[role] - np.array(before["by_role"][role]) for role in ROLES}
    rows += [row(f"{name}: everybody gains over {last!r}", "money", sum(gains.values()))]
    return rows + [row(f"{name}: {r}s gain over {last!r}", "money", g) for r, g in gains.items()]
