"""A claim of a paper: what is measured, how it is decided, and the verdict that its evidence
computes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from marketenv.core.checks import named_part
from marketenv.core.lookup import unknown
from marketenv.metrics import Interval, mean_interval, share_interval

from ..search import Budget

HOLDS, FAILS, INCONCLUSIVE, UNTESTED = "holds", "fails", "inconclusive", "not tested here"
NO_GAIN = "no gain above eps found"  # of a search that could have missed a better deviation
# of a promise whose premise the cases did not meet: it is neither kept nor broken
UNMET = "premise hardly ever true"
POSITIVE = (HOLDS, NO_GAIN)
WORDS = (HOLDS, NO_GAIN, FAILS, INCONCLUSIVE, UNMET, UNTESTED)
UNDER = " under"  # ends a verdict's kind where a condition follows
HARDLY = 0.1  # share of the cases below which a premise is hardly ever true
# chance that some interval of a claim, over all statistics and conditions, misses its mean
ERROR = 0.05
AS_STATED = "as stated"


# --- effort ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much an experiment may spend.

    cheap, costly: searches in markets that train nothing, and in markets that train
    seeds:    episodes of a costly market
    rounds:   of a market that is attacked;
              digits: rounds of an episode of two agents on embedded images
    linear:   seeds, rounds and parameters of two linear agents;
              paper: seeds of them at the paper's size, 0 for none
    cases:    random cases of a theorem
    steps:    that a learning agent trains, 0 for no learner
    data:     whether large data sets are used where their folder is there
    """

    name: str
    cheap: Budget
    costly: Budget
    seeds: int
    rounds: int
    digits: int
    linear: tuple[int, int, int]
    cases: int
    steps: int
    paper: int = 0
    data: bool = False


EFFORTS: dict[str, Effort] = {
    "quick": Effort(
        name="quick",
        cheap=Budget(select=2048, judge=32768, points=21, population=32, generations=4),
        costly=Budget(select=20, judge=20, points=11, population=6, generations=2),
        seeds=20,
        rounds=2,
        digits=12,
        linear=(20, 30, 60),
        cases=2_000,
        steps=0,
    ),
    "standard": Effort(
        name="standard",
        cheap=Budget(select=4096, judge=131072, points=41, population=64, generations=8),
        costly=Budget(select=96, judge=256, points=21, population=12, generations=4),
        seeds=128,
        rounds=5,
        digits=36,
        linear=(40, 100, 200),
        cases=100_000,
        steps=10_000,
        paper=20,
    ),
    "full": Effort(
        name="full",
        cheap=Budget(select=16384, judge=524288, points=101, population=128, generations=12),
        costly=Budget(select=128, judge=256, points=41, population=32, generations=8),
        seeds=256,
        rounds=20,
        digits=60,
        linear=(100, 100, 1000),
        cases=1_000_000,
        steps=38_400,
        paper=100,
        data=True,
    ),
}


# --- evidence -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one experiment measured, as JSON can hold it; equal for equal arguments, so it holds no
    times.

    samples:  the statistics that are judged, all of them: the independent points of each by name,
              paired where compared
    seeds:    the seed list, in words that reproduce it
    premise:  of a claim that has one, the share of its cases in which it was true, a number a seed
    scale:    what tolerances are relative to, in the claim's unit, > 0
    exact:    nothing was left out that could refute: all deviations (breakpoints), or all cases
    series:   for pictures; a dictionary of plain data each, with a "kind" and a "title"
    tables:   {"title", "head": [...], "rows": [[...]]}
    counterexample: the worst case in words, where there is one
    untested: why nothing could be measured; then there are no samples
    Raises ValueError for samples that are missing or not finite, a premise that is no shares, and a
    scale that is not above 0.
    """

    samples: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    seeds: str = ""
    premise: Sequence[float] = ()
    scale: float = 1.0
    exact: bool = False
    series: Sequence[Mapping[str, Any]] = ()
    tables: Sequence[Mapping[str, Any]] = ()
    counterexample: str = ""
    notes: Sequence[str] = ()
    untested: str = ""

    def __post_init__(self) -> None:
        good = all(
            len(points) and all(map(math.isfinite, points)) for points in self.samples.values()
        )
        if not good or bool(self.samples) == bool(self.untested):
            raise ValueError(
                "evidence has the samples"
                f" { ({name: len(points) for name, points in self.samples.items()}) } and untested"
                f" is {self.untested!r}; wanted finite points for every statistic, or a reason why"
                " there are none."
            )
        if not all(0 <= share <= 1 for share in self.premise):
            raise ValueError(
                f"premise is {list(self.premise)}; wanted shares of the cases, each from 0 to 1."
            )
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale is {self.scale}, wanted a number > 0 in the claim's unit.")

    def plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only."""
        return {name: _plain(value) for name, value in vars(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # of pictures and tables; samples are finite
    return value


# --- rules ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One judged statistic: its mean with an interval, its greatest sample, and how many samples
    there are.

    unseen: the greatest share that cases can have of which none is among the samples
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


def figures(evidence: Evidence, rule: Rule, conditions: int = 1) -> tuple[Figure, ...]:
    """Means of all statistics, with intervals that miss none of them with chance 95 % (Bonferroni).

    rule:       which says of what kind the intervals are
    conditions: of the claim; the chance of a miss is shared among them too, so that none of them
        holds by trying many
    """
    k, found = len(evidence.samples) * conditions, []
    for name, points in evidence.samples.items():
        values = torch.tensor(points, dtype=torch.float64)
        seen = rule.interval(values, max(2000, 200 * k), 1 - ERROR / k)
        unseen = share_interval(0, len(values), 1 - ERROR / k).high
        most = 1.0 if unseen is None else unseen
        found.append(
            Figure(
                name, seen.mean, seen.low, seen.high, float(values.max()) + 0.0, len(values), most
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Rule:
    """A decision: every statistic has to pass; one that surely does not refutes; else nothing is
    decided.

    tolerance: as a part of the evidence's scale
    """

    tolerance: float = 0.0

    def interval(
        self, values: Float64[Tensor, "samples"], resamples: int, level: float
    ) -> Interval:
        """The mean of a statistic's samples, with its interval where there are enough of them."""
        return mean_interval(values, resamples, level=level)

    def decide(self, figure: Figure, eps: float, exact: bool) -> bool | None:
        """Whether a statistic passes; None where its samples do not tell. eps: the tolerance in
        the claim's unit.
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

    def decide(self, figure: Figure, eps: float, exact: bool) -> bool | None:
        """True where the interval lies at or below eps, False where it lies above."""
        if figure.low is None or figure.high is None:
            return None
        return True if figure.high <= eps else False if figure.low > eps else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean <= {eps:.4g} {unit}"


@dataclass(frozen=True)
class AtLeast(Rule):
    """The mean is at least the tolerance: the whole interval has to be."""

    def decide(self, figure: Figure, eps: float, exact: bool) -> bool | None:
        """True where the interval lies at or above eps, False where it lies below."""
        if figure.low is None or figure.high is None:
            return None
        return True if figure.low >= eps else False if figure.high < eps else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean >= {eps:.4g} {unit}"


@dataclass(frozen=True)
class InMost(AtLeast):
    """What is claimed of a run is seen in half of the runs or more: samples are 1 where it is
    and 0 elsewhere.
    """

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
    """The mean is above the tolerance: the whole interval has to be, so that no effect at all
    is none.
    """

    def decide(self, figure: Figure, eps: float, exact: bool) -> bool | None:
        """True where the interval lies above eps, False where it lies at or below."""
        if figure.low is None or figure.high is None:
            return None
        return True if figure.low > eps else False if figure.high <= eps else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean > {eps:.4g} {unit}"


@dataclass(frozen=True)
class NoGain(AtMost):
    """No deviation gains more than the tolerance: what was found does not, and only an exact
    search says ``holds``.
    """

    def word(self, exact: bool) -> str:
        """``holds`` where all deviations were tried."""
        return HOLDS if exact else NO_GAIN

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return f"mean gain <= eps = {eps:.4g} {unit}"


@dataclass(frozen=True)
class Never(Rule):
    """No sample lies above the tolerance; one that does refutes.

    rate: as none of n samples may be luck, the share above has to be at most this with 95 %
          confidence, unless all cases were tried. None of 368 makes 1 %; of several statistics and
          conditions more are wanted, see ``figures``.
    """

    rate: float = 0.01

    def decide(self, figure: Figure, eps: float, exact: bool) -> bool | None:
        """False where a sample lies above eps, True where so many do not that hardly any can."""
        if figure.most > eps:
            return False
        return True if exact or figure.unseen <= self.rate else None

    def wanted(self, eps: float, unit: str) -> str:
        """What passes, in words."""
        return (
            f"no sample > {eps:.4g} {unit} (of all cases, or of so many that at most"
            f" {self.rate:.0%} can be above)"
        )


# --- claims and verdicts --------------------------------------------------------------------------

Experiment = Callable[[str, Effort], Evidence]  # (condition, effort) -> what was measured


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says, and how it is put to the test.

    id:         "paper/name";   market: the audit's target that it belongs to
    paper, place, words: who says it, where, and in short
    statistic:  what the samples are;   unit: of the samples;   rule: the decision
    conditions: listed beforehand; ``AS_STATED``, which comes first, is the claim as the paper
                states it, all others say the same of a narrower or another setting; without it the
                paper's own setting is not tested
    corrections: those of the conditions that change what is said, such as a formula; that they hold
                is told, and the claim does not hold by them
    paper:      "ours" where no paper says it: a question that we put to a market
    experiment: what measures it under a condition; None: not tested here, and ``why`` says why
    Raises ValueError for a claim without conditions, with one twice, with corrections that are no
    later conditions, or with neither an experiment nor a reason.
    """

    id: str
    market: str
    paper: str
    place: str
    words: str
    statistic: str
    unit: str
    rule: Rule
    experiment: Experiment | None
    conditions: tuple[str, ...] = (AS_STATED,)
    corrections: tuple[str, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        if not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise ValueError(
                f"claim {self.id} has the conditions {self.conditions}; wanted one or more, each"
                " once."
            )
        if not set(self.corrections) <= set(self.conditions[1:]):
            raise ValueError(
                f"claim {self.id} has the corrections {self.corrections}; wanted conditions after"
                f" its first, {self.conditions}."
            )
        if (self.experiment is None) == (not self.why):
            raise ValueError(
                f"claim {self.id} wants an experiment, or None and a reason why it is not tested"
                " here."
            )


@dataclass(frozen=True)
class Finding:
    """What one condition came to: its word, why in one sentence, its judged statistics, and
    what refutes it.
    """

    condition: str
    word: str
    why: str
    figures: tuple[Figure, ...] = ()
    counterexample: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a claim came to.

    stated:    the word for the claim as the paper states it
    word:      the word for the claim under ``condition``; the same as ``stated`` where no condition
               is named
    condition: "" where the claim as stated decides;
        why: what was wanted and found, of the claim as stated too
    found:     what each condition came to;
               counterexample: of the claim as stated, or of a condition that it fails under

    >>> str(Verdict("fails", "holds", "with patience", "", ()))
    'fails as stated; holds under: with patience'
    """

    stated: str
    word: str
    condition: str
    why: str
    found: tuple[Finding, ...]
    counterexample: str = ""

    @property
    def kind(self) -> str:
        """The verdict without the name of the condition."""
        return (
            f"{self.stated.removesuffix(' here')} {AS_STATED}; {self.word}{UNDER}"
            if self.condition
            else self.word
        )

    def __str__(self) -> str:
        return f"{self.kind}: {self.condition}" if self.condition else self.kind


def finding(claim: Claim, condition: str, evidence: Evidence) -> Finding:
    """Judge the evidence of one condition; nothing but the evidence and the claim's rule counts.

    Where the premise was hardly ever true, samples neither keep nor break the promise.
    """
    if evidence.untested:
        return Finding(condition, UNTESTED, evidence.untested)
    eps = claim.rule.tolerance * evidence.scale
    seen = figures(evidence, claim.rule, len(claim.conditions))
    passed = [claim.rule.decide(figure, eps, evidence.exact) for figure in seen]
    word = (
        FAILS
        if False in passed
        else INCONCLUSIVE
        if None in passed
        else claim.rule.word(evidence.exact)
    )
    telling = [
        f
        for f, p in zip(seen, passed, strict=True)
        if p is {FAILS: False, INCONCLUSIVE: None}.get(word, True)
    ]
    why = f"wanted {claim.rule.wanted(eps, claim.unit)}; found {'; '.join(map(str, telling))}"
    if evidence.premise:
        share = sum(evidence.premise) / len(evidence.premise)
        word = UNMET if share < HARDLY else word
        why = f"the premise is true in {100 * share:.2g} % of the cases; {why}"
    worst = "; ".join(f"{figure} {claim.unit}" for figure in telling)
    return Finding(
        condition, word, why, seen, (evidence.counterexample or worst) if word == FAILS else ""
    )


def verdict(claim: Claim, evidence: Mapping[str, Evidence | Mapping[str, Any]]) -> Verdict:
    """The verdict that the evidence of a claim's conditions computes.

    evidence: by condition, as ``Evidence`` or as its plain data. A condition that has none counts
        as not tested.

    What the claim as stated comes to is always said. Where it does not hold, the first condition in
    the claim's order under which it does is named beside it. Where it is not tested, and holds
    under none, a condition under which it fails is, or else one that is tested. Corrections change
    what is said and are told in ``why`` alone. Raises ValueError for conditions that the claim does
    not list.
    """
    for name in evidence:
        if name not in claim.conditions:
            raise unknown(f"condition of {claim.id}", name, claim.conditions)
    found = tuple(finding(claim, name, _evidence(evidence.get(name))) for name in claim.conditions)
    nowhere = Finding(AS_STATED, UNTESTED, "no experiment has the paper's setting")
    stated = found[0] if claim.conditions[0] == AS_STATED else nowhere
    shown = _shown(stated, [one for one in found if one.condition not in claim.corrections])
    why = (
        stated.why
        if shown is stated
        else f"{shown.condition}: {shown.why}. {stated.condition}: {stated.word}, {stated.why}"
    )
    why += "".join(
        f". Corrected, {one.condition}: {one.word}, {one.why}"
        for one in found
        if one.condition in claim.corrections
    )
    condition = "" if shown is stated else shown.condition
    return Verdict(
        stated.word,
        shown.word,
        condition,
        why,
        found,
        stated.counterexample or shown.counterexample,
    )


def _shown(stated: Finding, found: Sequence[Finding]) -> Finding:
    """The finding that gives the verdict its word: the claim as stated, unless it does not hold
    and there is more to say.
    """
    if stated.word in POSITIVE:
        return stated
    better = [one for one in found if one.word in POSITIVE]
    if stated.word == UNTESTED:
        better += sorted(
            (one for one in found if one.word != UNTESTED), key=lambda one: one.word != FAILS
        )
    return better[0] if better else stated


def _evidence(given: Evidence | Mapping[str, Any] | None) -> Evidence:
    if isinstance(given, Evidence):
        return given
    return Evidence(untested="no evidence was given") if given is None else Evidence(**given)


def measured(claim: Claim, condition: str, effort: str | Effort) -> dict[str, Any]:
    """Measure one condition of a claim on one thread and return its evidence as plain data.

    effort: a name in ``EFFORTS``, or an ``Effort``. Raises ValueError for unknown names.
    """
    if condition not in claim.conditions:
        raise unknown(f"condition of {claim.id}", condition, claim.conditions)
    size: Effort = named_part(effort, "effort", EFFORTS, "an Effort", kind=Effort)
    if claim.experiment is None:
        return Evidence(untested=claim.why).plain()
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the same numbers on every machine of a kind
    try:
        return claim.experiment(condition, size).plain()
    finally:
        torch.set_num_threads(before)
