"""The study of theorem 4.1: how often the bounds on the buyer's gain fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from marketenv.valuation import theorem_4_1

from ..core.rows import about
from ..core.study import Row, Study, run
from ..core.units import Unit
from . import numbers
from . import theorem_figures as figures
from .episodes import OTHER, Curves
from .linear_studies import Fig3, play_figure_3, smaller
from .per_seed import middle, row, share
from .settings import AGENTS
from .theorem_41 import ABOVE, OBTUSE, OUTSIDE, checks, example, laws, summary

ByLaw = Mapping[str, Mapping[str, np.ndarray]]  # by law and what was counted: a number a seed


@dataclass(frozen=True, kw_only=True)
class Thm41(Fig3):
    """Arguments of figure 3, whose markets are looked at, and of the random errors.

    Args:
        cases: random pairs of errors a seed and law
        dimensions: numbers of parameters of these errors
    """

    cases: int = 10_000
    dimensions: tuple[int, ...] = (2, 3, 10, 1000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cases < 1 or not self.dimensions or min(self.dimensions) < 2:
            raise ValueError(
                f"cases is {self.cases} and dimensions {self.dimensions}, wanted >= 1 and numbers"
                " >= 2."
            )


def count(
    folder: Path, seed: int, dimensions: Sequence[int], cases: int
) -> dict[str, dict[str, float]]:
    """How often each bound fails, %, and how wide it is in the median, by law."""
    return {law: summary(*case) for law, case in laws(seed, dimensions, cases).items()}


def thm41(config: Thm41) -> None:
    """Theorem 4.1: how often the bounds on the buyer's gain fail, for random errors and in the
    markets of figure 3.
    """
    drawn = {"dimensions": config.dimensions, "cases": config.cases}
    work = [Unit(count, {"seed": seed, **drawn}) for seed in range(config.seeds)]
    counts = run(work, config, "Theorem 4.1")
    bounds = market_bounds(play_figure_3(config, "Theorem 4.1, markets of figure 3")["in"])
    by_law = {
        law: {what: np.array([seed[law][what] for seed in counts]) for what in facts}
        for law, facts in counts[0].items()
    }
    Study(
        name="thm41",
        title="Theorem 4.1: bounds on the buyer's gain",
        scaled=smaller(config),
        about=about(config),
        rows=(*_example(), *_never(by_law), *_rates(by_law), *_in_markets(bounds)),
        fig=figures.theorem_41(config.dimensions, by_law, bounds),
        notes=(
            "Outside the safe condition: neither 1 - beta > sqrt(Delta_a) (1 - alpha - beta + 2"
            " alpha beta), nor a weight of 1, nor <e_a, e_b> >= 0. There the square of the"
            " paper's upper bound hides a negative denominator.",
            "Lengths: errors are standard Gaussian, with 'exponential' each times a factor of"
            " its own from Exp(1). The earlier program did not record the law of its lengths:"
            " 'exponential' comes near its rates of uniform weights. Its 13.1 and 26.4 % are of"
            " uniform angles; the latter stands beside d = 3, where directions are uniform in"
            " space, as well.",
        ),
        curves={
            law: {what: float(points.mean()) for what, points in facts.items()}
            for law, facts in by_law.items()
        },
    ).write(config.out)


def _example() -> Iterator[Row]:
    """The case in which the printed upper bound fails."""
    names = {
        "gain": "true Delta_b",
        "low": "paper's lower bound",
        "high": "paper's upper bound",
        "least": "sharp lower bound",
        "most": "sharp upper bound",
    }
    facts, case = checks(*example()), "e_a = (1, 0), e_b = (-0.9, 0.3)"
    for name, what in names.items():
        yield row(f"{case}: {what}", "Delta", facts[name].numpy(), numbers.EXAMPLE.get(name, ""))


def _never(by_law: ByLaw) -> Iterator[Row]:
    """What must not happen under any law."""
    for name, source in numbers.NEVER.items():
        mean = np.mean([facts[name] for facts in by_law.values()], axis=0)
        what = name.replace("the same", "above its upper bound")
        yield row(f"all laws: {what}", "% of cases", mean, source)


def _rates(by_law: ByLaw) -> Iterator[Row]:
    """How often the printed upper bound may fail and does, and how wide the bounds are, by law."""
    for law, facts in by_law.items():
        angle = law.startswith("uniform angle")
        if angle or law == "d = 3, equal lengths, best weights":
            what = f"{law}: {ABOVE}, obtuse angles"
            yield row(what, "% of cases", facts[OBTUSE], numbers.EARLIER_OBTUSE)
        for what, source in _earlier(law).items():
            yield row(f"{law}: {what}", "% of cases", facts[what], source)
        for what in (name for name in facts if name.startswith("width")):
            yield row(f"{law}: {what}, median", "Delta", facts[what])


def _earlier(law: str) -> dict[str, str]:
    """What an earlier program found of a law, in words; "" where it found nothing."""
    if law.startswith("uniform angle"):
        return {OUTSIDE: "", ABOVE: numbers.EARLIER_ANGLE}
    dimension, _, rest = law.removeprefix("d = ").partition(", ")
    if rest != "exponential lengths, uniform weights":
        return {OUTSIDE: "", ABOVE: ""}
    known = numbers.EARLIER_OUTSIDE, numbers.EARLIER_ABOVE
    return {w: x.get(int(dimension), "") for w, x in zip((OUTSIDE, ABOVE), known, strict=True)}


def market_bounds(played: Curves) -> Curves:
    """What sellers could infer in a market, in Delta: of each buyer by the other agent.

    gain: the buyer's own, true;   told_low, told_high: what the market discloses
    low, high: the paper's bounds
    """
    gain, alpha = (torch.from_numpy(played[name]) for name in ("gain", "alpha"))
    bounds = theorem_4_1(gain, alpha, alpha[..., OTHER], "paper")
    low, high = (bound[..., OTHER].numpy() for bound in bounds)
    told = {f"told_{end}": played[end] + 1 for end in ("low", "high")}
    return {"gain": played["gain"], "low": low, "high": high} | told


def _in_markets(bounds: Curves) -> Iterator[Row]:
    """In how many rounds the bounds hold the gain of a buyer that gains."""
    gain, low, high = (bounds[name] for name in ("gain", "told_low", "told_high"))
    gains, most = gain > 1, gain * (1 + 1e-5)  # gains of a market are float32 numbers
    tests = {
        "the disclosed interval holds the buyer's gain": (
            (low <= most) & (gain <= high * (1 + 1e-5))
        ),
        "the paper's lower bound holds": bounds["low"] <= most,
        "the paper's upper bound holds": gain <= bounds["high"] * (1 + 1e-5),
    }
    for k, agent in enumerate(AGENTS):
        for what, holds in tests.items():
            name = f"markets of figure 3, {agent} buys: {what}"
            yield row(name, "% of offers", share(holds[..., k], gains[..., k]))
    width = np.where(gains, high - low, np.nan)
    what = "markets of figure 3: width of the disclosed interval, median"
    yield middle(what, width, take=np.median)
