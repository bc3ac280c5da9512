"""Theorem 5.1, convergence: kinds of markets, and whether the theorem's promises are kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from marketenv.core.market import Market

from ..core.effort import Effort
from ..core.evidence import Evidence
from .descent import ALWAYS, NEVER, Descent, assess, descend, parameters_of
from .linear_market import NOISE, market_of

FIGURE_3 = "figure 3's kind"
CLEAN = "plenty of examples"
# label noise, examples a parameter of (A, B) and of the broker
KINDS: dict[str, dict[str, Any]] = {
    FIGURE_3: {"noise": NOISE, "examples": (0.5, 0.8), "validation": 10.0},
    "same distribution": {"noise": (0.0, 0.0), "examples": (4.0, 4.0), "validation": 40.0},
    CLEAN: {"noise": (0.0, 0.0), "examples": (100.0, 100.0), "validation": 100.0},
}
PLENTY = "a hundred clean examples a parameter"
# gradient norms to reach, in units of the first gradient's
EPSILONS = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1)
RATE = 0.1  # of a gradient step; below 1 / L in these markets


def arguments_of(kind: str, dimension: int, n_rounds: int, rate: float) -> dict[str, Any]:
    """The market of a kind with so many parameters; nothing is measured on its test example."""
    about = KINDS[kind]
    return {
        "noise": about["noise"],
        "rounds": n_rounds,
        "rate": rate,
        "dimension": dimension,
        "examples": tuple(round(dimension * part) for part in about["examples"]),
        "validation": round(dimension * about["validation"]),
        "test": 1,
    }


def market_of_kind(arguments: dict[str, Any]) -> Market:
    """Two linear agents whose gain is the fall of the broker's loss."""
    return market_of(arguments, valuation="loss_difference")


def _market(condition: str, effort: Effort) -> Market:
    _, n_rounds, dimension = effort.linear
    if condition == PLENTY:
        return market_of_kind(arguments_of(CLEAN, max(2, dimension // 4), n_rounds, RATE))
    return market_of_kind(arguments_of(FIGURE_3, dimension, n_rounds, RATE))


# --- experiments ----------------------------------------------------------------------------------

ASSUMED = (
    "The theorem's premise is that the broker's loss is nowhere above the agents'. No finite"
    " samples obey that everywhere. Where B always buys, the broker's loss of B's model was at"
    " most B's own in {:.3g} % of the rounds, which is what the verdict's premise counts."
)
SAMPLES = (
    "It speaks of expectations over samples; each seed is one sample here, with the least gain"
    " of its own."
)
COUNTED = (
    "A seed counts only where the step is below 1 / L, and a gradient of a seed that always"
    " buys only where every round up to the promised one had a purchase and a gain: {} of {}"
    " seeds."
)


def theorem_51(premise: bool, condition: str, effort: Effort) -> Evidence:
    """Rounds until B's gradient is small, less those that the theorem says are enough.

    premise: the share of rounds without a gain instead
    B always buys and A never does, or nobody trades. Of each seed the worst of the gradients counts
    of which the episode tells.
    """
    seeds, n_rounds, _ = effort.linear
    market = _market(condition, effort)
    episodes = descend(market, range(seeds))
    words = (
        f"keys 0..{seeds - 1}, {n_rounds} rounds, {parameters_of(market)} parameters, step {RATE}"
    )
    if premise:
        return barren(np.array([one[ALWAYS]["gain"] for one in episodes]), words)
    short = [one for one in episodes if RATE * one["smoothness"] < 1]
    if not short:
        return Evidence(untested=f"the step {RATE} is not below 1 / L in any seed")
    descent = assess(short, RATE, EPSILONS)
    excess = {
        f"{name} buying: rounds more than promised": late(descent, name) for name in (ALWAYS, NEVER)
    }
    if not all(excess.values()):
        return Evidence(
            untested=(
                "no seed met the theorem's conditions up to a promised round within those played"
            )
        )
    met = (descent.curves[ALWAYS]["broker"] <= descent.curves[ALWAYS]["own"]).mean(1)
    counted = len(next(iter(excess.values())))
    return Evidence(
        samples=excess,
        seeds=words,
        premise=met.tolist(),
        series=[_slopes(descent)],
        notes=(
            ASSUMED.format(100 * float(met.mean())),
            SAMPLES,
            COUNTED.format(counted, seeds),
        ),
    )


def barren(gain: np.ndarray, seeds: str) -> Evidence:
    """The share of rounds without a gain, of gains [seeds, rounds]."""
    without = gain <= 0
    seed = int(without.mean(1).argmax())
    return Evidence(
        samples={"share of rounds without a gain": without.mean(1).tolist()},
        seeds=seeds,
        counterexample=(
            f"seed {seed}: no gain in {int(without[seed].sum())} of {gain.shape[1]} rounds, first"
            f" in round {int(without[seed].argmax()) + 1}"
        ),
    )


def late(descent: Descent, name: str) -> list[float]:
    """Rounds more than promised of each seed, <= 0 where all promises were kept.

    Of the gradients at which the theorem's conditions hold the worst counts; a seed without one
    drops out.
    """
    curves = descent.curves[name]
    measured, promised = descent.measured[name], descent.promised[name]
    n_rounds = curves["gain"].shape[1]
    if name == NEVER:
        known = np.minimum(measured, promised) <= n_rounds
    else:  # every round up to the promised one has to have a gain and a purchase
        good = (curves["gain"] > 0) & (curves["bought"][..., 1] > 0)
        known = promised <= np.minimum.accumulate(good, -1).sum(-1)[:, None]
    excess = np.minimum(measured, n_rounds + 1) - np.minimum(promised, n_rounds + 1)
    worst = np.where(known, excess, -np.inf).max(1)
    return worst[np.isfinite(worst)].tolist()


def _slopes(descent: Descent) -> dict[str, Any]:
    curves = {f"{n} buying": one["slope"][:20].tolist() for n, one in descent.curves.items()}
    return {
        "kind": "lines",
        "title": "B's squared gradient",
        "x": "round",
        "y": "|gradient|^2",
        "curves": curves,
    }


def used_up(gain: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """max over T of T delta(T) / gap, for gains [seeds, rounds].

    A gain of delta in every round cannot go on for more than gap / delta rounds.
    """
    return (np.arange(1, gain.shape[1] + 1) * np.minimum.accumulate(gain, 1)).max(1) / gap
