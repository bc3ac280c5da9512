"""Theorem 4.1, bounds on the buyer's gain: random errors, and how often the bounds fail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from marketenv.core import draws
from marketenv.valuation import paper_bound_is_safe, theorem_4_1

from ..core.effort import Effort
from ..core.evidence import Evidence
from ..core.words import AS_STATED
from .cases import BLOCKS, per_block, worst
from .episodes import squares

ROUNDING = 1e-7  # relative: gains are quotients of small differences
SAFE, SHARP = "inside the safe condition", "the sharp form"
DIMENSIONS = (2, 3, 10)  # of random errors
# of the errors: equal in law, or each with a factor of its own drawn from Exp(1)
LENGTHS = ("equal", "exponential")
AT_ONCE = 2**22  # numbers drawn at once
OUTSIDE, ABOVE = "outside the safe condition", "above the paper's upper bound"
OBTUSE = f"of obtuse cases: {ABOVE}"
BOUNDS = (("low", "high"), ("least", "most"))  # the paper's, the sharp ones


# --- random errors --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Products:
    """All that gains depend on: <e_a, e_a>, <e_b, e_b> and <e_a, e_b> of every case   [cases]."""

    a: Tensor
    b: Tensor
    ab: Tensor

    def merged(self, own: Tensor) -> Tensor:
        """|(1 - own) e_b + own e_a|^2."""
        return own**2 * self.a + (1 - own) ** 2 * self.b + 2 * own * (1 - own) * self.ab


Case = tuple[Products, Tensor, Tensor]  # errors, alpha, beta


def gaussian(key: Tensor, dimension: int, cases: int) -> Products:
    """Products of independent standard Gaussian errors."""
    parts = []
    for some in torch.arange(cases).split(max(1, AT_ONCE // dimension)):
        e_a, e_b = draws.normal(draws.fold(key, dimension, some), 2, dimension).unbind(1)
        parts.append(torch.stack([squares(e_a), squares(e_b), (e_a * e_b).sum(-1)]))
    return Products(*torch.cat(parts, 1))


def uniform_angle(key: Tensor, cases: int) -> Products:
    """Products of errors of length 1 whose angle is uniform on (0, pi)."""
    one = torch.ones(cases, dtype=torch.float64)
    return Products(one, one, (math.pi * draws.uniform(draws.fold(key, "angle"), cases)).cos())


def stretched(errors: Products, key: Tensor) -> Products:
    """The same directions, every error with a factor of its own drawn from Exp(1)."""
    a, b = -draws.uniform(draws.fold(key, "length"), 2, len(errors.a)).log()
    return Products(a**2 * errors.a, b**2 * errors.b, a * b * errors.ab)


def best_weights(errors: Products) -> tuple[Tensor, Tensor]:
    """Weights of least Euclidean error in [0, 1]: alpha = <e_a, e_a - e_b> / |e_a - e_b|^2.

    beta = 1 - alpha
    """
    alpha = ((errors.a - errors.ab) / (errors.a + errors.b - 2 * errors.ab)).clamp(0, 1)
    return alpha, 1 - alpha


def laws(seed: int, dimensions: Sequence[int], cases: int) -> dict[str, Case]:
    """Random errors and weights by the name of their law: (errors, alpha, beta)."""
    key, drawn = torch.tensor(seed), {}
    alpha, beta = draws.uniform(draws.fold(key, "weights"), 2, cases)
    for dimension in dimensions:
        plain = gaussian(key, dimension, cases)
        for lengths, errors in zip(LENGTHS, (plain, stretched(plain, key)), strict=True):
            law = f"d = {dimension}, {lengths} lengths"
            drawn[f"{law}, uniform weights"] = (errors, alpha, beta)
            drawn[f"{law}, best weights"] = (errors, *best_weights(errors))
    turned = uniform_angle(key, cases)
    for lengths, errors in zip(LENGTHS, (turned, stretched(turned, key)), strict=True):
        drawn[f"uniform angle, {lengths} lengths, best weights"] = (errors, *best_weights(errors))
    return drawn


def example() -> Case:
    """e_a = (1, 0), e_b = (-0.9, 0.3) at the best weights, where the printed upper bound fails."""
    one = torch.ones(1, dtype=torch.float64)
    errors = Products(one, 0.9 * one, -0.9 * one)  # <e_b, e_b> = 0.81 + 0.09
    return errors, *best_weights(errors)


# --- bounds ---------------------------------------------------------------------------------------


def checks(errors: Products, alpha: Tensor, beta: Tensor) -> dict[str, Tensor]:
    """Gains, the paper's and the sharp bounds, and what of the theorem holds, case by case."""
    gain_a, gain_b = errors.a / errors.merged(1 - alpha), errors.b / errors.merged(beta)
    (low, high), (least, most) = (
        theorem_4_1(gain_a, alpha, beta, form) for form in ("paper", "sharp")
    )
    exposed = ~paper_bound_is_safe(gain_a, alpha, beta) & (errors.ab < 0)
    slack = 1 + ROUNDING
    return {
        "gain": gain_b,
        "low": low,
        "high": high,
        "least": least,
        "most": most,
        OUTSIDE: exposed,
        ABOVE: gain_b > high * slack,
        "the same inside the safe condition": (gain_b > high * slack) & ~exposed,
        "below the paper's lower bound": gain_b * slack < low,
        "outside the sharp bounds": (gain_b > most * slack) | (gain_b * slack < least),
    }


def rates(facts: Mapping[str, Tensor]) -> dict[str, float]:
    """How often each of the checks that are yes or no is yes, %."""
    return {
        what: 100 * float(values.double().mean())
        for what, values in facts.items()
        if values.dtype == torch.bool
    }


def summary(errors: Products, alpha: Tensor, beta: Tensor) -> dict[str, float]:
    """Of one law: how often each bound fails, %, and how wide the bounds are in the median."""
    facts = checks(errors, alpha, beta)
    obtuse = errors.ab < 0
    among = 100 * float((facts[ABOVE] & obtuse).sum() / obtuse.sum().clamp(min=1))
    widths = {
        "width of the paper's bounds": facts["high"] - facts["low"],
        "width of the sharp bounds": facts["most"] - facts["least"],
    }
    medians = {what: float(width.nanmedian()) for what, width in widths.items()}
    return rates(facts) | {OBTUSE: among} | medians


# --- the experiment -------------------------------------------------------------------------------


def theorem_41(condition: str, effort: Effort) -> Evidence:
    """By how much gains leave the bounds of Theorem 4.1, relative: the worst of each block.

    Errors and weights are random.
    """
    cases = BLOCKS * per_block(effort)
    drawn = laws(0, DIMENSIONS, cases)
    parts = [_leaves(condition, *case) for case in drawn.values()]
    above, below = (torch.stack(sides) for sides in zip(*parts, strict=True))  # [laws, cases]
    law, number = divmod(int(above.maximum(below).argmax()), cases)
    return Evidence(
        samples={
            "above the upper bound": worst(above.amax(0)),
            "below the lower bound": worst(below.amax(0)),
        },
        seeds=f"key 0: {cases} cases of every law, in {BLOCKS} blocks of which the worst counts",
        counterexample=_words(list(drawn)[law], number, *list(drawn.values())[law]),
        tables=(_rates(drawn, cases),) if condition == AS_STATED else (),
        notes=(
            "a sample above 1e6 is told as 1e6; the theorem wants weights above 0, so others do"
            " not count",
            _example(),
        ),
    )


def _leaves(condition: str, errors: Products, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """gain / high - 1 and low / gain - 1 of every case, 0 where they are below that."""
    facts = checks(errors, alpha, beta)
    low, high = (facts[name] for name in BOUNDS[condition == SHARP])
    counts = (alpha > 0) & (beta > 0)  # as in the paper; at a weight of 0 nothing is bought
    if condition == SAFE:
        counts &= ~facts[OUTSIDE]
    parts = facts["gain"] / high.clamp(min=1e-300), low / facts["gain"]
    # a case without a number fails
    above, below = ((part - 1).nan_to_num(1e6).clamp(0.0, 1e6).where(counts, 0.0) for part in parts)
    return above, below


def _words(law: str, number: int, errors: Products, alpha: Tensor, beta: Tensor) -> str:
    """One case in words."""
    part = slice(number, number + 1)
    one = Products(errors.a[part], errors.b[part], errors.ab[part])
    facts = {name: float(value) for name, value in checks(one, alpha[part], beta[part]).items()}
    return (
        f"{law}, case {number}: |e_a|^2 = {float(one.a):.4g}, |e_b|^2 = {float(one.b):.4g}, <e_a,"
        f" e_b> = {float(one.ab):.4g}, alpha = {float(alpha[number]):.4g}, beta ="
        f" {float(beta[number]):.4g}: Delta_b is {facts['gain']:.4g}, the printed bounds are"
        f" [{facts['low']:.4g}, {facts['high']:.4g}], the sharp ones [{facts['least']:.4g},"
        f" {facts['most']:.4g}]"
    )


def _example() -> str:
    facts = {name: float(value) for name, value in checks(*example()).items()}
    return (
        f"errors e_a = (1, 0), e_b = (-0.9, 0.3) at the best weights: Delta_b is"
        f" {facts['gain']:.4g}, the printed bounds are [{facts['low']:.4g}, {facts['high']:.4g}]"
    )


def _rates(drawn: Mapping[str, Case], cases: int) -> dict[str, Any]:
    """How often the printed upper bound fails, by law."""
    rows = []
    for law, case in drawn.items():
        shares = rates(checks(*case))
        rows.append([law, *(shares[n] for n in (OUTSIDE, ABOVE, "outside the sharp bounds"))])
    head = [
        "law of the errors",
        "outside the safe condition, %",
        "above the printed upper bound, %",
        "outside the sharp bounds, %",
    ]
    return {"title": f"random cases, {cases} a law", "head": head, "rows": rows}
