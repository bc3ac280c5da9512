"""The arithmetic of Theorems 4.1 and 5.1 of Train 'n Trade (Huang, Vishwakarma, Sala, NeurIPS
2023): draws and checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marketenv.core import draws, rounds
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.policy import Policy
from marketenv.core.rounds import Situation
from marketenv.markets.parameter_trading import ROLE, Traded
from marketenv.markets.parameter_trading.reports import Quotes
from marketenv.markets.training import Train
from marketenv.valuation import paper_bound_is_safe, theorem_4_1

from ...scripted.parameter_trading import never_trade, trader

ROUNDING = 1e-7  # relative: gains are quotients of small differences
# of the errors: equal in law, or each with a factor of its own drawn from Exp(1)
LENGTHS = ("equal", "exponential")
AT_ONCE = 2**22  # numbers drawn at once
GRAMS = 2**24  # numbers of one owner's Gram matrices held at once


def squares(x: Tensor) -> Tensor:
    """Squared length of the last axis, float64."""
    return x.double().square().sum(-1)


# --- theorem 4.1 ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Products:
    """All that gains depend on: <e_a, e_a>, <e_b, e_b> and <e_a, e_b> of every case   [cases]."""

    a: Tensor
    b: Tensor
    ab: Tensor

    def merged(self, own: Tensor) -> Tensor:
        """|(1 - own) e_b + own e_a|^2."""
        return own**2 * self.a + (1 - own) ** 2 * self.b + 2 * own * (1 - own) * self.ab


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
    """Weights of least Euclidean error in [0, 1]: alpha = <e_a, e_a - e_b> / |e_a - e_b|^2,
    beta = 1 - alpha.
    """
    alpha = ((errors.a - errors.ab) / (errors.a + errors.b - 2 * errors.ab)).clamp(0, 1)
    return alpha, 1 - alpha


def checks(errors: Products, alpha: Tensor, beta: Tensor) -> dict[str, Tensor]:
    """Gains, bounds, and what of the theorem holds, case by case; see ``count``."""
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
        "outside the safe condition": exposed,
        "above the paper's upper bound": gain_b > high * slack,
        "the same inside the safe condition": (gain_b > high * slack) & ~exposed,
        "below the paper's lower bound": gain_b * slack < low,
        "outside the sharp bounds": (gain_b > most * slack) | (gain_b * slack < least),
    }


def example() -> dict[str, Tensor]:
    """The checks of e_a = (1, 0), e_b = (-.9, .3) at the best weights, where the printed upper
    bound fails.
    """
    one = torch.ones(1, dtype=torch.float64)
    errors = Products(one, 0.9 * one, -0.9 * one)  # <e_b, e_b> = .81 + .09
    return checks(errors, *best_weights(errors))


def laws(
    seed: int, dimensions: Sequence[int], cases: int
) -> dict[str, tuple[Products, Tensor, Tensor]]:
    """Random errors and weights by the name of their law: (errors, alpha, beta)."""
    key, found = torch.tensor(seed), {}
    alpha, beta = draws.uniform(draws.fold(key, "weights"), 2, cases)
    for dimension in dimensions:
        plain = gaussian(key, dimension, cases)
        for lengths, errors in zip(LENGTHS, (plain, stretched(plain, key)), strict=True):
            found[f"d = {dimension}, {lengths} lengths, uniform weights"] = (errors, alpha, beta)
            found[f"d = {dimension}, {lengths} lengths, best weights"] = (
                errors,
                *best_weights(errors),
            )
    turned = uniform_angle(key, cases)
    for lengths, errors in zip(LENGTHS, (turned, stretched(turned, key)), strict=True):
        found[f"uniform angle, {lengths} lengths, best weights"] = (errors, *best_weights(errors))
    return found


# --- theorem 5.1 ----------------------------------------------------------------------------------


Watch = Callable[[Quotes, Situation, Report], dict[str, Tensor]]


def episodes(
    market: Market, policies: Mapping[str, Policy], start: Situation, watch: Watch
) -> dict[str, Tensor]:
    """Play episodes from their start and stack what ``watch(quotes, end, report)`` notes of each
    round: [rounds, ...].

    start: a round begun;   quotes: of the trade;
        end: where the round ended, the next one not begun
    """
    now, notes, over = start, [], False
    while not over:
        quotes = now.quotes
        end, report = rounds.play_stage(market, now, rounds.act(market, policies, now))
        assert report is not None  # a market of one stage
        notes.append(watch(quotes, end, report))
        over = bool(rounds.ended(end, report).all())
        now = end if over else rounds.begun(market, end)
    return {name: torch.stack([note[name] for note in notes]) for name in notes[0]}


@dataclass(frozen=True)
class Quadratic:
    """Losses (theta^T G theta - 2 c^T theta + e) / 2, one or a batch.

    gram: G [*batch, d, d];   cross: c [*batch, 1, d];   energy: e [*batch, 1]
    """

    gram: Tensor
    cross: Tensor
    energy: Tensor

    def loss(self, theta: Tensor) -> Tensor:
        """Losses of models [*batch, k, d]: [*batch, k]."""
        return ((theta @ self.gram - 2 * self.cross) * theta).sum(-1) / 2 + self.energy / 2

    def slope(self, theta: Tensor) -> Tensor:
        """Squared lengths of the gradients at models [*batch, k, d]: [*batch, k]."""
        return squares(theta @ self.gram - self.cross)

    def smoothness(self) -> Tensor:
        """L, the largest curvature: [*batch]."""
        return torch.linalg.eigvalsh(self.gram)[..., -1]


def of_owners(stats: Any, owners: Tensor) -> Quadratic:
    """The losses on some owners' examples."""
    gram, cross, energy = (
        part[owners].double() for part in (stats.gram, stats.cross, stats.energy)
    )
    return Quadratic(gram, cross[:, None], energy[:, None])


def parameters_of(market: Market) -> int:
    """How many parameters a trader's model has."""
    learner = market.phase(Train).learner
    assert learner is not None
    return learner.layout.size


def descend(market: Market, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Of each seed an episode in which B always buys and A never does, and one in which nobody
    trades; a number a round.

    slope: |gradient of B's training loss|^2 at the end of the round;
        gain: Delta_b, the fall of the broker's loss by the
    trade;   rise: what the trade adds to B's training loss;
    broker, own: losses of B's model at the end of the round
    bought: 1 for a purchase, of A and of B
    """
    some = max(1, GRAMS // parameters_of(market) ** 2)
    return [
        one
        for k in range(0, len(seeds), some)
        for one in _descend(market, torch.tensor(seeds[k : k + some]))
    ]


def _descend(market: Market, seeds: Tensor) -> list[dict[str, Any]]:
    a, b = agent_names(market)
    buys = {a: trader(market, factor=0.0), b: trader(market)}
    start, numbers = rounds.begin(market, seeds), torch.arange(len(seeds))
    world = start.floor.world
    material = world.material(start.floor.round)
    own, broker = of_owners(material, 2 * numbers + 1), of_owners(world.content.exam.made, numbers)

    def watch(quotes: Quotes, end: Situation, report: Report) -> dict[str, Tensor]:
        models = torch.stack(
            [quotes.trained[:, 1], end.floor.models[ROLE].params[:, 1]], 1
        ).double()
        ours, theirs = own.loss(models), broker.loss(models)
        facts = {
            "slope": own.slope(models)[:, 1],
            "gain": theirs[:, 0] - theirs[:, 1],
            "rise": ours[:, 1] - ours[:, 0],
        }
        return facts | {
            "broker": theirs[:, 1],
            "own": ours[:, 1],
            "bought": report.of(Traded).bought.double(),
        }

    outside = dict.fromkeys((a, b), never_trade(market))
    curves = {
        name: episodes(market, policies, start, watch)
        for name, policies in (("always", buys), ("never", outside))
    }
    steepest = torch.stack(
        [loss.smoothness() for loss in (of_owners(material, 2 * numbers), own, broker)]
    ).amax(0)
    # expected loss at 0 less that at theta*, whatever the noise
    gap = squares(world.optimum[:, 1]) / 2
    first = squares(own.cross)[:, 0]  # |gradient|^2 at 0
    return [
        {
            name: {what: values[:, k].tolist() for what, values in kept.items()}
            for name, kept in curves.items()
        }
        | {"smoothness": float(steepest[k]), "gap": float(gap[k]), "first": float(first[k])}
        for k in range(len(seeds))
    ]


def reached(slope: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """First round in which the least of slopes [..., rounds] is at most each goal [..., goals];
    inf where none is.
    """
    below = np.minimum.accumulate(slope, -1)[..., None, :] <= goals[..., None]
    return np.where(below.any(-1), below.argmax(-1) + 1.0, np.inf)


def enough(gap: np.ndarray, rate: float, goals: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Rounds T that the theorem says are enough: the first T >= 2 gap / (rate eps^2 + 2 delta(T)).

    gap [...];   goals: eps^2 [..., goals];
    gain: [..., rounds], of which delta(T) is the least of the first T, and 0 if that is negative.
    Beyond the rounds played delta is taken as it was at their end, so that the true number is no
    less.
    """
    delta = np.minimum.accumulate(gain, -1).clip(0)
    need = np.ceil(2 * gap[..., None, None] / (rate * goals[..., None] + 2 * delta[..., None, :]))
    fits = np.arange(1, gain.shape[-1] + 1) >= need
    return np.where(fits.any(-1), fits.argmax(-1) + 1.0, need[..., -1])


def kept(measured: np.ndarray, bound: np.ndarray, n_rounds: int) -> np.ndarray:
    """1 where the theorem holds, 0 where it fails, NaN where neither is reached in the rounds
    played.
    """
    return np.where(
        measured <= bound, 1.0, np.where(np.minimum(measured, bound) <= n_rounds, 0.0, np.nan)
    )
