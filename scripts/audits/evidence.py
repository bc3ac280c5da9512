"""What the audit runs: claims chosen from a table, one unit of work for each of their
conditions, and what came of them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from agents.stress.claims.claim import (
    UNDER,
    UNMET,
    Claim,
    Figure,
    Finding,
    Never,
    Verdict,
    measured,
    verdict,
)
from marketenv.core.lookup import unknown
from scripts.units import Crew, Unit, run

OURS = "agents.stress.claims:CLAIMS"
BROKEN = "could not be run"


def find_claims(table: str = OURS) -> dict[str, Claim]:
    """The claims of a table, by id. ``table`` is ``module:NAME``; NAME maps ids to claims.

    Modules are looked for where Python does, and in the folder that the audit is started from.
    Raises ValueError for a module that cannot be imported, a name that it lacks, and a table of
    something else.
    """
    module, _, name = table.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), name or "CLAIMS")
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"no table of claims {table!r}: {error}. Wanted my_module:CLAIMS, a module that can be"
            " imported."
        ) from error
    if not isinstance(found, Mapping) or not all(
        isinstance(c, Claim) and c.id == name for name, c in found.items()
    ):
        raise ValueError(
            f"{table} is no table of claims; wanted {{claim.id: claim}}, as in {OURS}."
        )
    return dict(found)


def choose(
    claims: Mapping[str, Claim], markets: Sequence[str] = (), patterns: Sequence[str] = ()
) -> dict[str, Claim]:
    """The claims of these markets whose id is one of the patterns (``*`` stands for anything), in
    the table's order.

    No markets, or no patterns, takes all. Raises ValueError for one that takes nothing, with its
    neighbour.
    """
    known = tuple(dict.fromkeys(claim.market for claim in claims.values()))
    for market in markets:
        if market not in known:
            raise unknown("market with claims", market, known)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in claims):
            raise unknown("claim", pattern, tuple(claims))
    found = {
        name: claim
        for name, claim in claims.items()
        if (not markets or claim.market in markets)
        and (not patterns or any(fnmatchcase(name, p) for p in patterns))
    }
    if not found:
        raise ValueError(
            f"no claim of {', '.join(markets)} fits {', '.join(patterns)}; --list shows all claims."
        )
    return found


def measure(
    folder: Path, table: str, claim: str, condition: str, budget: str, data: str
) -> dict[str, Any]:
    """One unit of the audit: the evidence of one condition of a claim, as plain data.

    data: where experiments find large data sets; it is named only so that other data are measured
        anew
    """
    return measured(find_claims(table)[claim], condition, budget)


@dataclass(frozen=True)
class Audited:
    """A claim after the audit: its verdict, and per condition the evidence, or what went wrong;
    seconds for the curious.
    """

    claim: Claim
    verdict: Verdict
    evidence: dict[str, dict[str, Any]]
    errors: dict[str, str]
    seconds: dict[str, float]

    @property
    def kind(self) -> str:
        """The verdict without the name of a condition; there is none where the claim as stated
        could not be run.
        """
        return BROKEN if self.claim.conditions[0] in self.errors else self.verdict.kind

    @property
    def word(self) -> str:
        """The verdict in words."""
        return BROKEN if self.kind == BROKEN else str(self.verdict)

    @property
    def shown(self) -> Finding:
        """The condition that decides: that of the verdict, else the first with figures, else
        the claim as stated.
        """
        found = {one.condition: one for one in self.verdict.found}
        named = found.get(self.verdict.condition) or found[self.claim.conditions[0]]
        return (
            named if named.figures else next((one for one in found.values() if one.figures), named)
        )

    def telling(self, found: Finding) -> list[Figure]:
        """The figures of a condition: what refutes first, then what is undecided, then what
        passes.
        """
        evidence, rule = self.evidence.get(found.condition), self.claim.rule
        if evidence is None:
            return []
        eps = rule.tolerance * evidence["scale"]
        order = (False, None, True)
        return sorted(
            found.figures, key=lambda one: order.index(rule.decide(one, eps, evidence["exact"]))
        )

    def wanted(self, condition: str) -> str:
        """The rule with its tolerance in the claim's unit; "-" where nothing was measured that
        it could refer to.
        """
        rule, evidence = self.claim.rule, self.evidence.get(condition)
        if evidence is None or not evidence["samples"]:
            return "-"
        return rule.wanted(rule.tolerance * evidence["scale"], self.claim.unit)


def audit(
    claims: Mapping[str, Claim],
    table: str,
    budget: str,
    folder: Path,
    crew: Crew,
    fresh: bool = False,
) -> list[Audited]:
    """Measure every condition of every claim that is not measured yet, and judge them."""
    pairs = [(claim.id, condition) for claim in claims.values() for condition in claim.conditions]
    stands, data = ("marketenv", "agents", *_beside(table)), os.environ.get("MARKETENV_DATA", "")
    told = {"table": table, "budget": budget, "data": data}
    units = [
        Unit(measure, told | {"claim": claim, "condition": condition}, stands=stands)
        for claim, condition in pairs
    ]
    ran = run(units, folder, "experiments", crew, fresh)
    found = []
    for claim in claims.values():
        numbers = {condition: pairs.index((claim.id, condition)) for condition in claim.conditions}
        evidence = {
            condition: ran.results[k] for condition, k in numbers.items() if k not in ran.errors
        }
        errors = {condition: ran.errors[k] for condition, k in numbers.items() if k in ran.errors}
        seconds = {condition: ran.seconds[k] for condition, k in numbers.items()}
        found.append(Audited(claim, verdict(claim, evidence), evidence, errors, seconds))
    return found


def _beside(table: str) -> list[str]:
    """The files that a table of one's own may stand on: its module and all that lie in the same
    folder.
    """
    own = sys.modules[table.partition(":")[0]].__file__
    return (
        []
        if table == OURS or own is None
        else [str(file) for file in sorted(Path(own).resolve().parent.glob("*.py"))]
    )


def plain(audited: Sequence[Audited], budget: str) -> dict[str, Any]:
    """All that was found as plain data, without times and without anything of this machine."""
    return {"budget": budget, "claims": {one.claim.id: _plain(one) for one in audited}}


def _plain(one: Audited) -> dict[str, Any]:
    claim, found = one.claim, {}
    for part in one.verdict.found:
        about = {
            "word": part.word,
            "why": part.why,
            "counterexample": part.counterexample,
            "wanted": one.wanted(part.condition),
        }
        figures = [vars(figure) for figure in part.figures]
        found[part.condition] = about | {
            "figures": figures,
            "evidence": one.evidence.get(part.condition),
        }
    facts = {
        name: getattr(claim, name)
        for name in ("market", "paper", "place", "words", "statistic", "unit")
    }
    rule = {"kind": type(claim.rule).__name__} | vars(claim.rule)
    verdict = {
        "verdict": one.word,
        "why": one.verdict.why,
        "counterexample": one.verdict.counterexample,
    }
    conditions = {"conditions": list(claim.conditions), "corrections": list(claim.corrections)}
    return facts | verdict | conditions | {"rule": rule, "found": found, "errors": one.errors}


def counted(kinds: Iterable[str]) -> str:
    """How many verdicts there are of each kind, in words."""
    named = (f'"{kind} a condition"' if kind.endswith(UNDER) else kind for kind in kinds)
    return ", ".join(f"{count} {name}" for name, count in Counter(named).items())


def told(one: Audited, named: bool = True) -> str:
    """The figure that decides, in words or only its numbers; of the claim as stated and of a
    condition where both are told.

    Of a promise that must never be broken the greatest sample counts, of anything else the mean.
    """
    stated, shown = one.verdict.found[0], one.shown
    if shown is stated or not stated.figures:
        return _figure(one, shown, named)
    return (
        f"{stated.condition}: {_figure(one, stated, named)}; under the condition:"
        f" {_figure(one, shown, named)}"
    )


def _figure(one: Audited, found: Finding, named: bool) -> str:
    """The first of a condition's figures, and how many more there are; "-" where there is none."""
    figures = one.telling(found)
    if not figures:
        return "-"
    if found.word == UNMET:
        return found.why.partition(";")[0]
    first, more = figures[0], f" (and {len(figures) - 1} more)" if len(figures) > 1 else ""
    if isinstance(one.claim.rule, Never):
        numbers = f"greatest {first.most:.4g} {one.claim.unit}, {first.samples} samples"
    else:
        between = (
            ""
            if first.low is None or first.high is None
            else f" [{first.low:.4g}, {first.high:.4g}]"
        )
        numbers = f"{first.mean:.4g}{between} {one.claim.unit}" + (
            f", {first.samples} samples" if named else ""
        )
    return (f"{first.name}: {numbers}" if named else numbers) + more
