"""How evidence decides a claim: the judged statistics, and the rules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.metrics import Interval, mean_interval, share_interval

from .evidence import Evidence
from .words import HOLDS, NO_GAIN

# chance that any interval of a claim misses its mean, over all statistics and conditions
ERROR = 0.05


@dataclass(frozen=True)
class Statistic:
    """One judged statistic: its mean with an interval, its greatest sample, the number of samples.

    unseen: a kind of case that no sample shows can be at most this share of all cases
    """

    name: str
    mean: float
    low: float | None
    high: float | None
    most: float
    samples: int
    unseen: float = 1.0

    def __str__(self) -> str:
        between = (
            "too few samples for an interval"
            if self.low is None
            else f"[{self.low:.4g}, {self.high:.4g}]"
        )
        return (
            f"{self.name}: mean {self.mean:.4g} {between}, greatest {self.most:.4g} of"
            f" {self.samples}"
        )


def statistics(evidence: Evidence, rule: Rule, conditions: int = 1) -> tuple[Statistic, ...]:
    """All statistics of some evidence; with chance 95 % every interval holds its mean (Bonferroni).

    rule:       says of what kind the intervals are
    conditions: of the claim; they share the chance of a miss too, so that trying many conditions
                lets none of them hold by luck
    """
    intervals = len(evidence.samples) * conditions
    return tuple(
        _statistic(name, torch.tensor(points, dtype=torch.float64), rule, intervals)
        for name, points in evidence.samples.items()
    )


def _statistic(
    name: str, values: Float64[Tensor, "samples"], rule: Rule, intervals: int
) -> Statistic:
    level = 1 - ERROR / intervals
    mean = rule.interval(values, max(2000, 200 * intervals), level)
    unseen = share_interval(0, len(values), level).high
    return Statistic(
        name,
        mean.mean,
        mean.low,
        mean.high,
        float(values.max()) + 0.0,
        len(values),
        1.0 if unseen is None else unseen,
    )


@dataclass(frozen=True)
class Rule:
    """A decision: it passes where every statistic passes, and refutes where one surely fails.

    tolerance: as a part of the evidence's scale
    """

    tolerance: float = 0.0

    def interval(
        self, values: Float64[Tensor, "samples"], resamples: int, level: float
    ) -> Interval:
        """The mean of a statistic's samples, with its interval where there are enough of them."""
        return mean_interval(values, resamples, level=level)

    def decide(self, statistic: Statistic, eps: float, exact: bool) -> bool | None:
        """Whether a statistic passes; None where its samples leave that open.

        eps: the tolerance in the claim's unit
        """
        raise NotImplementedError

    def word(self, exact: bool) -> str:
        """The word of evidence that passes."""
        return HOLDS

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        raise NotImplementedError


@dataclass(frozen=True)
class AtMost(Rule):
    """The mean is at most the tolerance: the whole interval has to be."""

    def decide(self, statistic: Statistic, eps: float, exact: bool) -> bool | None:
        """True where the interval lies at or below eps, False where it lies above."""
        if statistic.low is None or statistic.high is None:
            return None
        return True if statistic.high <= eps else False if statistic.low > eps else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean <= {eps:.4g} {unit}"


@dataclass(frozen=True)
class AtLeast(Rule):
    """The mean is at least the tolerance: the whole interval has to be."""

    def decide(self, statistic: Statistic, eps: float, exact: bool) -> bool | None:
        """True where the interval lies at or above eps, False where it lies below."""
        if statistic.low is None or statistic.high is None:
            return None
        return True if statistic.low >= eps else False if statistic.high < eps else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean >= {eps:.4g} {unit}"


@dataclass(frozen=True)
class InMost(AtLeast):
    """Half of the runs or more show what is claimed: samples are 1 where they do, 0 elsewhere."""

    tolerance: float = 0.5

    def interval(
        self, values: Float64[Tensor, "samples"], resamples: int, level: float
    ) -> Interval:
        """The share of the ones with its exact interval; ValueError for other samples."""
        if not bool(((values == 0) | (values == 1)).all()):
            raise ValueError(
                f"samples are {values.tolist()}; wanted 1 for a run that shows what is claimed, 0"
                " for another."
            )
        return share_interval(int(values.sum()), len(values), level)


@dataclass(frozen=True)
class Above(Rule):
    """The mean is above the tolerance: the whole interval has to be; a mean of 0 is no effect."""

    def decide(self, statistic: Statistic, eps: float, exact: bool) -> bool | None:
        """True where the interval lies above eps, False where it lies at or below."""
        if statistic.low is None or statistic.high is None:
            return None
        return True if statistic.low > eps else False if statistic.high <= eps else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean > {eps:.4g} {unit}"


@dataclass(frozen=True)
class NoGain(AtMost):
    """No deviation gains more than the tolerance; ``holds`` is said of an exact search alone."""

    def word(self, exact: bool) -> str:
        """``holds`` where all deviations were tried."""
        return HOLDS if exact else NO_GAIN

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean gain <= eps = {eps:.4g} {unit}"


@dataclass(frozen=True)
class Never(Rule):
    """No sample lies above the tolerance; one that does refutes.

    rate: that no sample lies above may be luck. So the share of cases above has to be at most this
          with 95 % confidence, unless all cases were tried. For 1 %, 368 samples are enough; with
          several statistics or conditions more are wanted, see ``statistics``.
    """

    rate: float = 0.01

    def decide(self, statistic: Statistic, eps: float, exact: bool) -> bool | None:
        """False where a sample lies above eps, True where enough samples tell that few can."""
        if statistic.most > eps:
            return False
        return True if exact or statistic.unseen <= self.rate else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return (
            f"no sample > {eps:.4g} {unit} (of all cases, or of so many that at most"
            f" {self.rate:.0%} can be above)"
        )
