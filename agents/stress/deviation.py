"""Deviations: maps from what an agent would report to what it reports instead, in families with parameters.

A report is what an action means: money, a multiple of the truth, a share, an option (see ``marketenv.core.fields``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core.fields import Choice, Field, Multiple, Share
from marketenv.core.lookup import unknown
from marketenv.core.market import Role
from marketenv.core.policy import Policy

Reports = Mapping[str, Tensor]  # by field what actions mean   [rows, size] each
Map = Callable[[Reports, Tensor, Tensor, Role], Reports]
ROUNDING = 1e-9  # part of a range
TINY = 1e-300  # stands for 0 where logarithms are taken


@dataclass(frozen=True)
class Usual:
    """What is reported in one field where nobody deviates, beside the least and the most that could be: [reports] each."""

    report: Float64[Tensor, "reports"]
    least: Float64[Tensor, "reports"]
    most: Float64[Tensor, "reports"]


@dataclass(frozen=True)
class Family:
    """Maps from reports to reports, told apart by k parameters.

    low, high: box of the parameters [k];   identity: the parameters that change nothing [k]
    apply:     (reports by field, parameters [rows, k], observation [rows, dim], role) -> the reports of the fields that
               change [rows, size]; what no action means is clipped to what the nearest does
    field:     that changes, and unit: of the parameter, both of a family of one
    powers:    points of a line are spaced evenly by the logarithm of the parameter
    options:   what the parameters 0, 1, ... stand for, where it is a choice
    fit:       (this family, what is usual in its field) -> the same without parameters at which all reports are clipped
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    identity: tuple[float, ...]
    apply: Map
    field: str = ""
    unit: str = ""
    powers: bool = False
    options: tuple[str, ...] = ()
    fit: Callable[[Family, Usual], Family] | None = None

    def within(self, usual: Mapping[str, Usual]) -> Family:
        """The same family, ending where the box begins to clip every report; of several parameters as it is.

        usual: by field what is reported without a deviation
        """
        return self if self.fit is None else self.fit(self, usual[self.field])

    def line(self, points: int) -> Float64[Tensor, "points k"]:
        """Evenly spaced parameters of a family of one, two or more; every option once where it is a choice.

        The identity is among them; points nearer to it than a quarter of a step, which hardly differ from it, give way to it.
        Raises ValueError for a family of several.
        """
        if len(self.low) != 1:
            raise ValueError(f"{self.name!r} has {len(self.low)} parameters; a line wants a family of one, for instance scale.")
        low, high, same = torch.tensor([*self.low, *self.high, *self.identity], dtype=torch.float64, device="cpu")
        points = round(float(high - low)) + 1 if self.options else max(points, 2)
        if self.powers:
            low, high, same = low.log10(), high.log10(), same.log10()
        grid = torch.linspace(float(low), float(high), points, dtype=torch.float64, device="cpu")
        near = (grid - same).abs() < 0.25 * (high - low) / max(points - 1, 1)
        grid = torch.cat([grid[~near], same[None]]).sort().values[:, None]
        return 10.0**grid if self.powers else grid

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Deviation:
    """A policy that reports what a base policy would, changed by a family's map.

    With one row of parameters it is a policy like any other. With several rows it plays all of them at once: the markets
    that it is asked about come in as many equal runs as there are rows, and run l is played with row l. Whatever the family
    leaves as it is keeps the base's action, to the bit.

    parameters: [rows, k]
    """

    base: Policy
    family: Family
    parameters: Float64[Tensor, "rows k"]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the role's box, float32 [markets, actions]."""
        each = self.parameters.to(observation.device).repeat_interleave(len(observation) // len(self.parameters), 0)
        actions = self.base(observation, role, keys)
        before = role.read(observation, actions)
        after = self.family.apply(before, each, observation, role)
        written = role.action.unpack(role.write(observation, **{**before, **after}))
        parts = role.action.unpack(actions.float()) | {
            name: torch.where(new == before[name], actions[:, role.action.slices[name]].float(), written[name])
            for name, new in after.items()
        }
        low, high = (end.to(actions.device) for end in (role.action.low, role.action.high))
        return torch.cat(list(parts.values()), 1).clamp(low, high)

    def __str__(self) -> str:
        (values,) = self.parameters[:1].tolist()
        if self.family.options and values[0] >= 0:
            return f"{self.family.field}: {self.family.options[round(values[0])]}"
        return f"{self.family.name} by {', '.join(f'{value:.4g}' for value in values)} {self.family.unit}".rstrip()


@dataclass(frozen=True)
class Within:
    """A policy's answer in some fields of the action, and a base's in all others.

    fields: names of the parts that are the policy's
    """

    base: Policy
    policy: Policy
    fields: tuple[str, ...]

    def __call__(
        self, observation: Float[Tensor, "markets dim"], role: Role, keys: Int[Tensor, "markets"]
    ) -> Float[Tensor, "markets actions"]:
        """Actions in the role's box, float32 [markets, actions]."""
        actions, new = (policy(observation, role, keys) for policy in (self.base, self.policy))
        return torch.cat([(new if name in self.fields else actions)[:, where] for name, where in role.action.slices.items()], 1)


# --- the families ----------------------------------------------------------------------------------------------------------


def scale(field: Field) -> Family:
    """m' = k m: twice the money, half the effort; k in [0, 2], or as many powers of ten up and down as the field has."""
    low, high = field.range if _by_powers(field) else (0.0, 2.0)

    def fit(family: Family, usual: Usual) -> Family:
        moved = usual.report != 0
        ends = torch.cat([end[moved] / usual.report[moved] for end in (usual.least, usual.most)])
        whole = isinstance(field, (Multiple, Share)) and bool((usual.report == 1).all())  # so that k is what is reported
        unit = field.unit if whole else family.unit
        return dataclasses.replace(_cut(family, ends, 1.0), unit=unit)

    apply = _map(field, lambda m, p: p * m)
    unit, powers = "times what it was", _by_powers(field)
    return Family(f"scale {field.name}", (low,), (high,), (1.0,), apply, field.name, unit, powers, fit=fit)


def shift(field: Field) -> Family:
    """m' = m + d: more or less money; d up to the width of the range either way."""
    width = field.range[1] - field.range[0]

    def fit(family: Family, usual: Usual) -> Family:
        return _cut(family, torch.cat([usual.least - usual.report, usual.most - usual.report]), 0.0)

    apply = _map(field, lambda m, p: m + p)
    return Family(f"shift {field.name}", (-width,), (width,), (0.0,), apply, field.name, f"more {field.unit}".rstrip(), fit=fit)


def choose(field: Choice) -> Family:
    """m' = k: another option, by its number; -1 leaves it as it is."""

    def fit(family: Family, usual: Usual) -> Family:
        numbers = usual.report.unique()
        if len(numbers) != 1:
            return family
        low = max(family.low[0], 0.0)
        return dataclasses.replace(family, low=(low,), identity=(float(numbers),))  # the option that is chosen anyway

    apply = _map(field, lambda m, p: torch.where(p.round() < 0, m, p.round()))
    low, high = (-1.0,), (len(field.options) - 1.0,)
    return Family(f"choose {field.name}", low, high, low, apply, field.name, options=field.options, fit=fit)


def affine(field: Field) -> Family:
    """m' = i + k m, of logarithms where the field has powers of ten; i up to half the range either way, k in [0, 2]."""
    least, most = (_ruler(field, end) for end in field.range)
    half = (most - least) / 2
    apply = _map(field, lambda m, p: _unruler(field, p[:, :1] + p[:, 1:] * _ruled(field, m)))
    return Family(f"affine {field.name}", (-half, 0.0), (half, 2.0), (0.0, 1.0), apply)


def knots(field: Field, count: int = 5) -> Family:
    """m' runs through the values p_j at ``count`` points m_j evenly over the range, straight between them: any curve, roughly.

    Of logarithms where the field has powers of ten; what is below or above the range moves as its end does.
    """
    least, most = (_ruler(field, end) for end in field.range)
    step = (most - least) / (count - 1)

    def bend(m: Tensor, values: Tensor) -> Tensor:
        x = _ruled(field, m)
        inside = x.clamp(least, most)
        place = (inside - least) / (step or 1.0)
        left = place.floor().clamp(max=count - 2).long()
        part = place - left
        return _unruler(field, (1 - part) * values.gather(1, left) + part * values.gather(1, left + 1) + x - inside)

    same = tuple(least + step * k for k in range(count))
    return Family(f"knots {field.name}", (least,) * count, (most,) * count, same, _map(field, bend))


LINES = ("scale", "shift", "choose")  # kinds of one parameter
KINDS: dict[str, Callable[..., Family]] = {"scale": scale, "shift": shift, "choose": choose, "affine": affine, "knots": knots}


def families(role: Role, kinds: Sequence[str] = tuple(KINDS), fields: Sequence[str] | None = None) -> dict[str, Family]:
    """Every kind of deviation that fits, for every field of a role's action, by name: ``"scale price"``, ``"choose upload"``.

    fields: of the action that may change, None for all
    An option is chosen, and everything else is scaled, shifted or bent. Raises ValueError for an unknown kind.

    >>> from marketenv import make_market
    >>> list(families(make_market("reference_v0").roles[0]))
    ['scale price', 'shift price', 'affine price', 'knots price']
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of deviation", kind, KINDS)
    chosen = [field for field in role.action.items if fields is None or field.name in fields]
    fitting = [KINDS[kind](field) for field in chosen for kind in kinds if (kind == "choose") == isinstance(field, Choice)]
    return {family.name: family for family in fitting}


def lines(role: Role, usual: Mapping[str, Usual], fields: Sequence[str] | None = None) -> dict[str, Family]:
    """The families of one parameter that say something else than is usual, each of its parameters something else.

    usual: by field what is reported without a deviation;   fields: of the action that may change, None for all
    Nothing is scaled where all reports are 0, nor shifted where one number is reported and its multiples reach both ends.
    """
    every = {name: family.within(usual) for name, family in families(role, LINES, fields).items()}
    return {name: one for name, one in every.items() if one.low < one.high and not _by_scaling(one, every, usual)}


def together(members: Sequence[Family]) -> Family:
    """Several families as one, applied one after another: their parameters side by side."""
    ends = [0]
    for member in members:
        ends.append(ends[-1] + len(member.low))

    def apply(reports: Reports, parameters: Tensor, seen: Tensor, role: Role) -> Reports:
        changed: dict[str, Tensor] = {}
        for member, start, stop in zip(members, ends, ends[1:], strict=False):
            changed |= member.apply({**reports, **changed}, parameters[:, start:stop], seen, role)
        return changed

    low, high, identity = (
        tuple(value for member in members for value in getattr(member, end)) for end in ("low", "high", "identity")
    )
    return Family(" + ".join(member.name for member in members), low, high, identity, apply)


def _map(field: Field, rule: Callable[[Tensor, Tensor], Tensor]) -> Map:
    """A map of one field's reports."""
    return lambda reports, parameters, seen, role: {field.name: rule(reports[field.name], parameters)}


def _cut(family: Family, ends: Tensor, identity: float) -> Family:
    """A family of one that ends with the least and the greatest of these parameters; with the identity where there is none."""
    least, most = (float(ends.min()), float(ends.max())) if len(ends) else (identity, identity)
    return dataclasses.replace(family, low=(max(family.low[0], least),), high=(min(family.high[0], most),))


def _by_scaling(one: Family, every: Mapping[str, Family], usual: Mapping[str, Usual]) -> bool:
    """Whether a family shifts what another scales from end to end: one number that is not 0."""
    scaled, here = every.get(f"scale {one.field}"), usual[one.field]
    if scaled is None or one is scaled or not bool((here.report == here.report[0]).all()):
        return False
    number, least, most = (float(part) for part in (here.report[0], here.least.min(), here.most.max()))
    rounding = ROUNDING * (most - least)
    return scaled.low[0] * number <= least + rounding and scaled.high[0] * number >= most - rounding


def _by_powers(field: Field) -> bool:
    return isinstance(field, Multiple) and field.decades > 0


def _ruled(field: Field, reports: Tensor) -> Tensor:
    """Reports as a straight line or a curve takes them: themselves, or their logarithms where the field has powers of ten."""
    return reports.clamp(min=TINY).log10() if _by_powers(field) else reports


def _unruler(field: Field, values: Tensor) -> Tensor:
    return 10.0**values if _by_powers(field) else values


def _ruler(field: Field, report: float) -> float:
    return float(_ruled(field, torch.tensor(report, dtype=torch.float64, device="cpu")))
