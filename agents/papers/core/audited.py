"""A claim after the audit, as words and as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .claim import Claim
from .rules import Never, Statistic
from .verdict import UNDER, Finding, Verdict
from .words import UNMET

BROKEN = "could not be run"


@dataclass(frozen=True)
class Audited:
    """A claim after the audit: its verdict, and for each condition its evidence or its error.

    seconds: that each condition took; no file holds them
    """

    claim: Claim
    verdict: Verdict
    evidence: dict[str, dict[str, Any]]
    errors: dict[str, str]
    seconds: dict[str, float]

    @property
    def kind(self) -> str:
        """The verdict without a condition's name; BROKEN where the claim as stated has an error."""
        return BROKEN if self.claim.conditions[0] in self.errors else self.verdict.kind

    @property
    def word(self) -> str:
        """The verdict in words."""
        return BROKEN if self.kind == BROKEN else str(self.verdict)

    @property
    def shown(self) -> Finding:
        """The finding that decides: of the verdict's condition, or the first with statistics."""
        findings = {one.condition: one for one in self.verdict.findings}
        named = findings.get(self.verdict.condition) or findings[self.claim.conditions[0]]
        measured = [one for one in (named, *findings.values()) if one.statistics]
        return measured[0] if measured else named

    def ordered(self, finding: Finding) -> list[Statistic]:
        """The statistics of a finding: those that refute, then undecided ones, then the others."""
        evidence, rule = self.evidence.get(finding.condition), self.claim.rule
        if evidence is None:
            return []
        eps, order = rule.tolerance * evidence["scale"], (False, None, True)
        return sorted(
            finding.statistics,
            key=lambda one: order.index(rule.decide(one, eps, evidence["exact"])),
        )

    def wanted(self, condition: str) -> str:
        """The rule with its tolerance in the claim's unit; "-" where nothing was measured."""
        rule, evidence = self.claim.rule, self.evidence.get(condition)
        if evidence is None or not evidence["samples"]:
            return "-"
        return rule.wanted(rule.tolerance * evidence["scale"], self.claim.unit)


def counted(kinds: Iterable[str]) -> str:
    """How many verdicts there are of each kind, in words."""
    named = (f'"{kind} a condition"' if kind.endswith(UNDER) else kind for kind in kinds)
    return ", ".join(f"{count} {name}" for name, count in Counter(named).items())


# --- the statistic that decides -------------------------------------------------------------------


def decisive(one: Audited, named: bool = True) -> str:
    """The statistic that decides: of the claim as stated, and of the verdict's condition.

    named: with its name and its number of samples, else only its numbers
    For a promise that must never be broken the greatest sample decides, otherwise the mean.
    """
    stated, shown = one.verdict.findings[0], one.shown
    if shown is stated or not stated.statistics:
        return _first(one, shown, named)
    return (
        f"{stated.condition}: {_first(one, stated, named)}; under the condition:"
        f" {_first(one, shown, named)}"
    )


def _first(one: Audited, finding: Finding, named: bool) -> str:
    """The first statistic of a finding, and how many more there are; "-" where there is none."""
    statistics = one.ordered(finding)
    if not statistics:
        return "-"
    if finding.word == UNMET:
        return finding.why.partition(";")[0]
    first = statistics[0]
    numbers = _numbers(one.claim, first, named)
    more = f" (and {len(statistics) - 1} more)" if len(statistics) > 1 else ""
    return (f"{first.name}: {numbers}" if named else numbers) + more


def _numbers(claim: Claim, statistic: Statistic, counted: bool) -> str:
    samples = f", {statistic.samples} samples"
    if isinstance(claim.rule, Never):
        return f"greatest {statistic.most:.4g} {claim.unit}{samples}"
    between = ""
    if statistic.low is not None and statistic.high is not None:
        between = f" [{statistic.low:.4g}, {statistic.high:.4g}]"
    return f"{statistic.mean:.4g}{between} {claim.unit}{samples * counted}"


# --- plain data -----------------------------------------------------------------------------------


def plain(audited: Sequence[Audited], budget: str) -> dict[str, Any]:
    """All verdicts and their evidence as plain data, without times and places of this machine."""
    return {"budget": budget, "claims": {one.claim.id: _claim(one) for one in audited}}


def _claim(one: Audited) -> dict[str, Any]:
    claim, verdict = one.claim, one.verdict
    names = ("market", "paper", "place", "words", "statistic", "unit")
    return {name: getattr(claim, name) for name in names} | {
        "verdict": one.word,
        "why": verdict.why,
        "counterexample": verdict.counterexample,
        "conditions": list(claim.conditions),
        "corrections": list(claim.corrections),
        "rule": {"kind": type(claim.rule).__name__} | vars(claim.rule),
        "found": {part.condition: _finding(one, part) for part in verdict.findings},
        "errors": one.errors,
    }


def _finding(one: Audited, finding: Finding) -> dict[str, Any]:
    return {
        "word": finding.word,
        "why": finding.why,
        "counterexample": finding.counterexample,
        "wanted": one.wanted(finding.condition),
        "figures": [vars(statistic) for statistic in finding.statistics],
        "evidence": one.evidence.get(finding.condition),
    }
