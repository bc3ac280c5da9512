"""Lines of deviations: one parameter of what an agent reports, from one end to the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from marketenv.core.fields import Field
from marketenv.core.lookup import lookup
from marketenv.core.policy import Policy
from marketenv.metrics import mean_intervals

from ...stress.attack import Attack
from ...stress.best_response import BestDeviation
from ...stress.curves import Curve, curve
from ...stress.deviation import Deviation, Family
from ...stress.kinds import LINES
from ...stress.words import axis, say
from .samples import blocks

# an end of a line: a number in the unit of its parameter, or a function of the field, as ``half``
End = float | Callable[[Field], float]
Line = tuple[str, End, End]  # a deviation of one parameter, and the range of it that is tried
# a parameter this near to the one that changes nothing is that one: a line's points are rounded
SAME = 1e-9


def half(field: Field) -> float:
    """Half of the most that a field can mean.

    >>> from marketenv.core.fields import Money
    >>> half(Money("ask", most=8.0))
    4.0
    """
    return field.range[1] / 2


def on_lines(
    search: Attack, judged: Attack, lines: Sequence[Line] | None, points: int
) -> tuple[BestDeviation, list[Curve]]:
    """The best point of some lines of deviations, and the lines; a coalition deviates alike.

    search, judged: the attack on the seeds of the choice, and on others
    lines: None for all lines that change a report
    The point that changes nothing is on every line and is not chosen. Raises ValueError for an
    unknown line, and for one that changes nothing.
    """
    curves = [curve(search, family, points) for family in _families(search, lines)]
    gains = [_real_gains(one) for one in curves]
    best = max(range(len(curves)), key=lambda k: float(gains[k].max()))
    family, number = curves[best].family, int(gains[best].argmax())
    point = curves[best].parameters[number].reshape(1, 1)
    policies = tuple(Deviation(base, family, point) for base in search.bases())
    selected, judged_gains = float(gains[best].max()), judged.gains([policies])[0]
    return BestDeviation(
        "grid", say(search, policies), policies, selected, judged_gains, []
    ), curves


def _real_gains(one: Curve) -> Tensor:
    """Mean gains of the points of a line, -inf at the one that changes nothing."""
    changed = (one.parameters - one.family.identity[0]).abs() > SAME
    return one.gains.mean(1).where(changed, -torch.inf)


def _families(search: Attack, lines: Sequence[Line] | None) -> list[Family]:
    """The families of some lines, cut to their ranges; all that change a report for None."""
    if lines is None:
        return list(search.lines(search.bases())[search.roles[0].name].values())
    return [_family(search, *line) for line in lines]


def _family(search: Attack, name: str, first: End, last: End) -> Family:
    """The family of a line, cut to its range; ValueError where it changes no report."""
    role, bases = search.roles[0].name, search.bases()
    family = lookup(search.families(LINES)[role], name, "line of deviations")
    move = {move.stage: move for move in search.moves_of(search.agents[0])}[family.stage]
    field = move.action[family.field]
    low, high = (end(field) if callable(end) else float(end) for end in (first, last))
    cut = dataclasses.replace(family, low=(low,), high=(high,)).within(search.usual(move, bases))
    if not cut.low < cut.high:
        others = ", ".join(search.lines(bases)[role])
        raise ValueError(
            f"the line {name!r} from {low:g} to {high:g} changes no report; lines that do:"
            f" {others}."
        )
    return cut


def changes(policy: Policy, base: Policy) -> bool:
    """Whether a policy is neither its base nor the base with a deviation that changes nothing."""
    if isinstance(policy, Deviation) and policy.base == base:
        same = torch.tensor(policy.family.identity, dtype=torch.float64)
        return bool(((policy.parameters[0].cpu() - same).abs() > SAME).any())
    return policy != base


def regret_series(title: str, line: Curve) -> dict[str, Any]:
    """The gain along a line with its band, for a picture; ``x`` says what the parameter is."""
    rows = torch.stack([torch.tensor(blocks(row), dtype=torch.float64) for row in line.gains])
    mean, low, high = mean_intervals(rows)
    return {
        "kind": "regret",
        "title": title,
        "x": axis(line.family),
        "y": "gain, money",
        "powers": line.family.powers,
        "options": line.family.options,
        "parameters": line.parameters,
        "mean": mean,
        "low": low,
        "high": high,
    }
