"""What the audit runs: claims of a table, one unit of work for each of their conditions."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from marketenv.core.lookup import unknown

from .audited import Audited
from .claim import Claim, measured
from .units import Crew, Unit, run
from .verdict import verdict

OURS = "agents.papers:CLAIMS"


def find_claims(table: str = OURS) -> dict[str, Claim]:
    """The claims of a table, by id. ``table`` is ``module:NAME``; NAME maps ids to claims.

    A module is looked for where Python looks, and in the folder that the audit is started from.
    Raises ValueError for a module that cannot be imported, a name that the module lacks, and a
    table of something else.
    """
    module, _, name = table.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        claims = getattr(importlib.import_module(module), name or "CLAIMS")
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"no table of claims {table!r}: {error}. Wanted my_module:CLAIMS, a module that can be"
            " imported."
        ) from error
    if not isinstance(claims, Mapping) or not all(
        isinstance(claim, Claim) and claim.id == id for id, claim in claims.items()
    ):
        raise ValueError(
            f"{table} is no table of claims; wanted {{claim.id: claim}}, as in {OURS}."
        )
    return dict(claims)


def choose(
    claims: Mapping[str, Claim], markets: Sequence[str] = (), patterns: Sequence[str] = ()
) -> dict[str, Claim]:
    """The claims of these markets whose id fits one of the patterns, in the table's order.

    patterns: ids, in which ``*`` stands for anything; no markets, or no patterns, takes all
    Raises ValueError for an unknown market, with its neighbour, and where nothing fits.
    """
    known = tuple(dict.fromkeys(claim.market for claim in claims.values()))
    for market in markets:
        if market not in known:
            raise unknown("market with claims", market, known)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in claims):
            raise unknown("claim", pattern, tuple(claims))
    chosen = {
        name: claim
        for name, claim in claims.items()
        if (not markets or claim.market in markets)
        and (not patterns or any(fnmatchcase(name, pattern) for pattern in patterns))
    }
    if not chosen:
        raise ValueError(
            f"no claim of {', '.join(markets)} fits {', '.join(patterns)}; --list shows all claims."
        )
    return chosen


def measure(
    folder: Path, table: str, claim: str, condition: str, budget: str, data: str
) -> dict[str, Any]:
    """One unit of the audit: the evidence of one condition of a claim, as plain data.

    data: the folder of large data sets; it is an argument so that other data are measured anew
    """
    return measured(find_claims(table)[claim], condition, budget)


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
    stands = ("marketenv", "agents", *_own_files(table))
    shared = {"table": table, "budget": budget, "data": os.environ.get("MARKETENV_DATA", "")}
    units = [
        Unit(measure, shared | {"claim": claim, "condition": condition}, stands=stands)
        for claim, condition in pairs
    ]
    ran = run(units, folder, "experiments", crew, fresh)
    audited = []
    for claim in claims.values():
        numbers = {condition: pairs.index((claim.id, condition)) for condition in claim.conditions}
        errors = {condition: ran.errors[k] for condition, k in numbers.items() if k in ran.errors}
        evidence = {
            condition: ran.results[k] for condition, k in numbers.items() if condition not in errors
        }
        seconds = {condition: ran.seconds[k] for condition, k in numbers.items()}
        audited.append(Audited(claim, verdict(claim, evidence), evidence, errors, seconds))
    return audited


def _own_files(table: str) -> list[str]:
    """The files that a table of one's own stands on: all modules in the folder of its module."""
    own = sys.modules[table.partition(":")[0]].__file__
    if table == OURS or own is None:
        return []
    return [str(file) for file in sorted(Path(own).resolve().parent.glob("*.py"))]
