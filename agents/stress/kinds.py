"""The kinds of deviations: a field's reports are scaled, shifted, chosen or bent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from marketenv.core.fields import Choice, Field, Multiple, Share
from marketenv.core.lookup import unknown
from marketenv.core.market import Move

from .deviation import Family, Map, Usual

ROUNDING = 1e-9  # part of a range
TINY = 1e-300  # stands for 0 where logarithms are taken


def scale(field: Field) -> Family:
    """m' = k m: twice the money, half the effort.

    k in [0, 2], or as many powers of ten up and down as the field has
    """
    low, high = field.range if _by_powers(field) else (0.0, 2.0)

    def fit(family: Family, usual: Usual) -> Family:
        moved = usual.report != 0
        ends = torch.cat([end[moved] / usual.report[moved] for end in (usual.least, usual.most)])
        # so that k is what is reported
        whole = isinstance(field, (Multiple, Share)) and bool((usual.report == 1).all())
        unit = field.unit if whole else family.unit
        return dataclasses.replace(_cut(family, ends, 1.0), unit=unit)

    apply = _map(field, lambda m, p: p * m)
    unit, powers = "times what it was", _by_powers(field)
    return Family(
        f"scale {field.name}", (low,), (high,), (1.0,), apply, field.name, unit, powers, fit=fit
    )


def shift(field: Field) -> Family:
    """m' = m + d: more or less money; d up to the width of the range either way."""
    width = field.range[1] - field.range[0]

    def fit(family: Family, usual: Usual) -> Family:
        return _cut(family, torch.cat([usual.least - usual.report, usual.most - usual.report]), 0.0)

    apply = _map(field, lambda m, p: m + p)
    return Family(
        f"shift {field.name}",
        (-width,),
        (width,),
        (0.0,),
        apply,
        field.name,
        f"more {field.unit}".rstrip(),
        fit=fit,
    )


def choose(field: Choice) -> Family:
    """m' = k: another option, by its number; -1 leaves it as it is."""

    def fit(family: Family, usual: Usual) -> Family:
        numbers = usual.report.unique()
        if len(numbers) != 1:
            return family
        low = max(family.low[0], 0.0)
        # the option that is chosen anyway
        return dataclasses.replace(family, low=(low,), identity=(float(numbers),))

    apply = _map(field, lambda m, p: torch.where(p.round() < 0, m, p.round()))
    low, high = (-1.0,), (len(field.options) - 1.0,)
    return Family(
        f"choose {field.name}", low, high, low, apply, field.name, options=field.options, fit=fit
    )


def affine(field: Field) -> Family:
    """m' = i + k m, of logarithms where the field has powers of ten.

    i up to half the range either way, k in [0, 2]
    """
    least, most = (_ruler(field, end) for end in field.range)
    half = (most - least) / 2
    apply = _map(field, lambda m, p: _unruler(field, p[:, :1] + p[:, 1:] * _ruled(field, m)))
    return Family(f"affine {field.name}", (-half, 0.0), (half, 2.0), (0.0, 1.0), apply)


def knots(field: Field, count: int = 5) -> Family:
    """m' follows straight lines between the values p_j at ``count`` points m_j: any curve, roughly.

    The points m_j are spread evenly over the range. Of logarithms where the field has powers of
    ten; reports outside of the range move as its ends do.
    """
    least, most = (_ruler(field, end) for end in field.range)
    step = (most - least) / (count - 1)

    def bend(m: Tensor, values: Tensor) -> Tensor:
        x = _ruled(field, m)
        inside = x.clamp(least, most)
        place = (inside - least) / (step or 1.0)
        lower = place.floor().clamp(max=count - 2).long()
        part = place - lower
        line = (1 - part) * values.gather(1, lower) + part * values.gather(1, lower + 1)
        return _unruler(field, line + x - inside)

    same = tuple(least + step * k for k in range(count))
    return Family(f"knots {field.name}", (least,) * count, (most,) * count, same, _map(field, bend))


LINES = ("scale", "shift", "choose")  # kinds of one parameter
KINDS: dict[str, Callable[..., Family]] = {
    "scale": scale,
    "shift": shift,
    "choose": choose,
    "affine": affine,
    "knots": knots,
}


def families(
    move: Move, kinds: Sequence[str] = tuple(KINDS), fields: Sequence[str] | None = None
) -> dict[str, Family]:
    """Every kind of deviation that fits each field of a move's action, by name: ``"scale price"``.

    fields: of the action that may change, None for all
    An option is chosen, and everything else is scaled, shifted or bent; in the move's stage alone.
    Raises ValueError for an unknown kind.

    >>> from marketenv import make_market
    >>> list(families(make_market("reference_v0").moves[0]))
    ['scale price', 'shift price', 'affine price', 'knots price']
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("kind of deviation", kind, KINDS)
    changing = [field for field in move.action.items if fields is None or field.name in fields]
    fitting = [
        KINDS[kind](field)
        for field in changing
        for kind in kinds
        if (kind == "choose") == isinstance(field, Choice)
    ]
    return {family.name: dataclasses.replace(family, stage=move.stage) for family in fitting}


def lines(
    move: Move, usual: Mapping[str, Usual], fields: Sequence[str] | None = None
) -> dict[str, Family]:
    """The families of one parameter whose every parameter changes what is usually reported.

    usual:  by field, what is reported without a deviation
    fields: of the action that may change, None for all
    Nothing is scaled where all reports are 0, nor shifted where one number is reported and its
    multiples reach both ends.
    """
    every = {name: family.within(usual) for name, family in families(move, LINES, fields).items()}
    return {
        name: one
        for name, one in every.items()
        if one.low < one.high and not _by_scaling(one, every, usual)
    }


def saying_where(families_here: Mapping[str, Family]) -> dict[str, Family]:
    """The same families with names that say their stage: ``"scale price (offer)"``."""
    renamed = []
    for one in families_here.values():
        where = f" ({one.stage})"
        label = (one.label or one.field) + where
        renamed.append(dataclasses.replace(one, name=one.name + where, label=label))
    return {family.name: family for family in renamed}


def _map(field: Field, rule: Callable[[Tensor, Tensor], Tensor]) -> Map:
    """A map of one field's reports."""
    return lambda reports, parameters, observation, move: {
        field.name: rule(reports[field.name], parameters)
    }


def _cut(family: Family, ends: Tensor, identity: float) -> Family:
    """A family of one that ends with the least and the greatest of these parameters.

    Without parameters both ends are the identity.
    """
    least, most = (float(ends.min()), float(ends.max())) if len(ends) else (identity, identity)
    return dataclasses.replace(
        family, low=(max(family.low[0], least),), high=(min(family.high[0], most),)
    )


def _by_scaling(one: Family, every: Mapping[str, Family], usual: Mapping[str, Usual]) -> bool:
    """Whether a family shifts what another scales from end to end: one number that is not 0."""
    scaled, here = every.get(f"scale {one.field}"), usual[one.field]
    if scaled is None or one is scaled or not bool((here.report == here.report[0]).all()):
        return False
    number, least, most = (
        float(part) for part in (here.report[0], here.least.min(), here.most.max())
    )
    rounding = ROUNDING * (most - least)
    return scaled.low[0] * number <= least + rounding and scaled.high[0] * number >= most - rounding


def _by_powers(field: Field) -> bool:
    return isinstance(field, Multiple) and field.decades > 0


def _ruled(field: Field, reports: Tensor) -> Tensor:
    """Reports as lines and curves take them: logarithms where the field has powers of ten."""
    return reports.clamp(min=TINY).log10() if _by_powers(field) else reports


def _unruler(field: Field, values: Tensor) -> Tensor:
    return 10.0**values if _by_powers(field) else values


def _ruler(field: Field, report: float) -> float:
    return float(_ruled(field, torch.tensor(report, dtype=torch.float64, device="cpu")))
