"""The verdict that the evidence of a claim's conditions computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketenv.core.lookup import unknown

from .claim import Claim
from .evidence import Evidence
from .rules import Statistic, statistics
from .words import AS_STATED, FAILS, INCONCLUSIVE, POSITIVE, UNMET, UNTESTED

UNDER = " under"  # ends a verdict's kind where a condition follows
HARDLY = 0.1  # a premise that is true in a smaller share of the cases is hardly ever true


@dataclass(frozen=True)
class Finding:
    """What one condition comes to: its word, why, its judged statistics, and what refutes it."""

    condition: str
    word: str
    why: str
    statistics: tuple[Statistic, ...] = ()
    counterexample: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a claim comes to.

    stated:    the word for the claim as the paper states it
    word:      the word for the claim under ``condition``; the same as ``stated`` where no condition
               is named
    condition: "" where the claim as stated decides
    why:       what was wanted and what was measured, of the claim as stated too
    findings:  what each condition comes to
    counterexample: of the claim as stated, or of a condition that it fails under

    >>> str(Verdict("fails", "holds", "with patience", "", ()))
    'fails as stated; holds under: with patience'
    """

    stated: str
    word: str
    condition: str
    why: str
    findings: tuple[Finding, ...]
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

    Where the premise is hardly ever true, samples neither keep nor break the promise.
    """
    if evidence.untested:
        return Finding(condition, UNTESTED, evidence.untested)
    rule, eps = claim.rule, claim.rule.tolerance * evidence.scale
    judged = statistics(evidence, rule, len(claim.conditions))
    passed = [rule.decide(one, eps, evidence.exact) for one in judged]
    word = _word(passed, rule.word(evidence.exact))
    decisive = {FAILS: False, INCONCLUSIVE: None}.get(word, True)
    named = [one for one, passes in zip(judged, passed, strict=True) if passes is decisive]
    why = f"wanted {rule.wanted(eps, claim.unit)}; found {'; '.join(map(str, named))}"
    if evidence.premise:
        share = sum(evidence.premise) / len(evidence.premise)
        word = UNMET if share < HARDLY else word
        why = f"the premise is true in {100 * share:.2g} % of the cases; {why}"
    worst = evidence.counterexample or "; ".join(f"{one} {claim.unit}" for one in named)
    return Finding(condition, word, why, judged, worst if word == FAILS else "")


def _word(passed: Sequence[bool | None], positive: str) -> str:
    """The word of statistics that pass (True), fail (False), or leave it open (None)."""
    if False in passed:
        return FAILS
    return INCONCLUSIVE if None in passed else positive


def verdict(claim: Claim, evidence: Mapping[str, Evidence | Mapping[str, Any]]) -> Verdict:
    """The verdict that the evidence of a claim's conditions computes.

    evidence: by condition, as ``Evidence`` or as its plain data; a condition without evidence
        counts as not tested

    The word for the claim as stated is always said. Where that does not hold, the verdict also
    names the first condition, in the claim's order, under which it does. Where it is not tested and
    holds under no condition, the verdict names a condition under which it fails, or else one that
    is tested. Corrections change what is said, so they stand in ``why`` alone.
    Raises ValueError for conditions that the claim does not list.
    """
    for name in evidence:
        if name not in claim.conditions:
            raise unknown(f"condition of {claim.id}", name, claim.conditions)
    findings = tuple(
        finding(claim, name, _evidence(evidence.get(name))) for name in claim.conditions
    )
    nowhere = Finding(AS_STATED, UNTESTED, "no experiment has the paper's setting")
    stated = findings[0] if claim.conditions[0] == AS_STATED else nowhere
    corrected = [one for one in findings if one.condition in claim.corrections]
    named = _named(stated, [one for one in findings if one.condition not in claim.corrections])
    why = stated.why
    if named is not stated:
        why = f"{named.condition}: {named.why}. {stated.condition}: {stated.word}, {stated.why}"
    why += "".join(f". Corrected, {one.condition}: {one.word}, {one.why}" for one in corrected)
    condition = "" if named is stated else named.condition
    counterexample = stated.counterexample or named.counterexample
    return Verdict(stated.word, named.word, condition, why, findings, counterexample)


def _named(stated: Finding, findings: Sequence[Finding]) -> Finding:
    """The finding that the verdict names: the claim as stated, or one that says more than it."""
    if stated.word in POSITIVE:
        return stated
    better = [one for one in findings if one.word in POSITIVE]
    if stated.word == UNTESTED:
        tested = [one for one in findings if one.word != UNTESTED]
        better += sorted(tested, key=lambda one: one.word != FAILS)
    return better[0] if better else stated


def _evidence(given: Evidence | Mapping[str, Any] | None) -> Evidence:
    if isinstance(given, Evidence):
        return given
    return Evidence(untested="no evidence was given") if given is None else Evidence(**given)
