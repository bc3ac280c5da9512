"""Theorem 5.1, the descent of agent B: where it always buys, and where nobody trades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marketenv.core import rounds
from marketenv.core.market import Market, Report, agent_names
from marketenv.core.rounds import Situation
from marketenv.markets.parameter_trading import ROLE, Traded
from marketenv.markets.parameter_trading.reports import Quotes
from marketenv.markets.training import Train

from ...scripted.parameter_trading import never_trade, trader
from .episodes import squares, watched

GRAMS = 2**24  # numbers of one owner's Gram matrices held at once
ALWAYS, NEVER = "always", "never"


# --- losses ---------------------------------------------------------------------------------------


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


# --- what is played -------------------------------------------------------------------------------


def parameters_of(market: Market) -> int:
    """How many parameters a trader's model has."""
    learner = market.phase(Train).learner
    assert learner is not None
    return learner.layout.size


def descend(market: Market, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Of each seed an episode in which B always buys and A never does, and one without trade.

    A number a round of each episode, all of B's model and at the end of the round:
    slope: |gradient of B's training loss|^2
    gain:  Delta_b, the fall of the broker's loss by the trade;   rise: of B's training loss by it
    broker, own: the broker's loss and B's training loss
    bought: 1 for a purchase, of A and of B
    """
    some = max(1, GRAMS // parameters_of(market) ** 2)
    batches = (torch.tensor(seeds[k : k + some]) for k in range(0, len(seeds), some))
    return [one for batch in batches for one in _descend(market, batch)]


def _descend(market: Market, seeds: Tensor) -> list[dict[str, Any]]:
    a, b = agent_names(market)
    start, numbers = rounds.begin(market, seeds), torch.arange(len(seeds))
    world = start.floor.world
    material = world.material(start.floor.round)
    of_a, of_b = (of_owners(material, 2 * numbers + k) for k in (0, 1))
    broker = of_owners(world.content.exam.made, numbers)

    def watch(quotes: Quotes, end: Situation, report: Report) -> dict[str, Tensor]:
        after = end.floor.models[ROLE].params[:, 1]
        models = torch.stack([quotes.trained[:, 1], after], 1).double()
        ours, theirs = of_b.loss(models), broker.loss(models)
        return {
            "slope": of_b.slope(models)[:, 1],
            "gain": theirs[:, 0] - theirs[:, 1],
            "rise": ours[:, 1] - ours[:, 0],
            "broker": theirs[:, 1],
            "own": ours[:, 1],
            "bought": report.of(Traded).bought.double(),
        }

    buys = {a: trader(market, factor=0.0), b: trader(market)}
    outside = dict.fromkeys((a, b), never_trade(market))
    notes = {
        name: watched(market, policies, start, watch)
        for name, policies in ((ALWAYS, buys), (NEVER, outside))
    }
    steepest = torch.stack([loss.smoothness() for loss in (of_a, of_b, broker)]).amax(0)
    # expected loss at 0 less that at theta*, whatever the noise
    gap = squares(world.optimum[:, 1]) / 2
    first = squares(of_b.cross)[:, 0]  # |gradient|^2 at 0
    facts = {"smoothness": steepest, "gap": gap, "first": first}
    return [
        {name: {what: x[:, k].tolist() for what, x in one.items()} for name, one in notes.items()}
        | {name: float(values[k]) for name, values in facts.items()}
        for k in range(len(seeds))
    ]


# --- rounds that are needed and promised ----------------------------------------------------------


def reached(slope: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """First round in which the least of slopes [..., rounds] is at most each goal [..., goals].

    inf where none is
    """
    below = np.minimum.accumulate(slope, -1)[..., None, :] <= goals[..., None]
    return np.where(below.any(-1), below.argmax(-1) + 1.0, np.inf)


def enough(gap: np.ndarray, rate: float, goals: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Rounds T that the theorem says are enough: the first T >= 2 gap / (rate eps^2 + 2 delta(T)).

    gap [...];   goals: eps^2 [..., goals]
    gain: [..., rounds], of which delta(T) is the least of the first T, and 0 if that is negative.
    Beyond the rounds played delta is taken as it was at their end, so that the true number is no
    less.
    """
    delta = np.minimum.accumulate(gain, -1).clip(0)
    need = np.ceil(2 * gap[..., None, None] / (rate * goals[..., None] + 2 * delta[..., None, :]))
    fits = np.arange(1, gain.shape[-1] + 1) >= need
    return np.where(fits.any(-1), fits.argmax(-1) + 1.0, need[..., -1])


def kept(measured: np.ndarray, bound: np.ndarray, n_rounds: int) -> np.ndarray:
    """1 where the theorem holds, 0 where it fails, NaN where neither is reached in the episode."""
    known = np.minimum(measured, bound) <= n_rounds
    return np.where(measured <= bound, 1.0, np.where(known, 0.0, np.nan))


@dataclass(frozen=True)
class Descent:
    """Episodes of one kind of market by who buys, ``ALWAYS`` and ``NEVER``.

    curves: by name [seeds, rounds];   measured, promised: rounds [seeds, goals]
    """

    curves: Mapping[str, Mapping[str, np.ndarray]]
    measured: Mapping[str, np.ndarray]
    promised: Mapping[str, np.ndarray]
    smoothness: np.ndarray
    gap: np.ndarray


def assess(episodes: Sequence[Mapping[str, Any]], rate: float, epsilons: Any) -> Descent:
    """Rounds that are needed beside those that the theorem promises, seed by seed.

    epsilons: gradient norms to reach, in units of the first gradient's
    """
    curves = {
        name: {what: np.array([one[name][what] for one in episodes]) for what in episodes[0][name]}
        for name in (ALWAYS, NEVER)
    }
    smoothness, gap, first = (
        np.array([one[name] for one in episodes]) for name in ("smoothness", "gap", "first")
    )
    goals = first[:, None] * np.square(epsilons)
    gains = {ALWAYS: curves[ALWAYS]["gain"], NEVER: np.zeros_like(curves[NEVER]["gain"])}
    measured = {name: reached(curves[name]["slope"], goals) for name in curves}
    promised = {name: enough(gap, rate, goals, gains[name]) for name in curves}
    return Descent(curves, measured, promised, smoothness, gap)
