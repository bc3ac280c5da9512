"""Verdicts in the documentation: a short form of what audits found, as tables of the pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marketenv.core.lookup import lookup

from .audit import find_claims
from .audited import Audited, counted, decisive
from .effort import EFFORTS
from .units import replace
from .verdict import verdict

PAGES = {  # by paper, the page of the documentation that shows its verdicts
    "reference": "guides/auditing_claims.md",
    "train_n_trade": "papers/train_n_trade.md",
    "ipfl": "papers/ipfl.md",
    "data_valuation": "papers/data_valuation.md",
    "resources_decoupled": "papers/resources_decoupled.md",
    "marketplace": "papers/marketplace.md",
}
KEPT = "papers/verdicts.json"
NOT_RUN = "not run yet"  # the verdict of a claim that no audit has run
MARKS = "<!-- verdicts of {} -->\n", "<!-- end of verdicts -->\n"
Short = dict[str, dict[str, str]]  # by claim: its words, verdict, deciding statistic, and budget


def read(file: Path) -> Short:
    """The verdicts of a claims.json; ValueError for another file, and as ``summarized`` raises."""
    try:
        evidence = json.loads(file.read_text("utf8"))
        lookup(EFFORTS, evidence["budget"], "budget")
        return summarized(evidence)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{file} holds no evidence, wanted a claims.json that scripts/audit.py wrote."
        ) from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def summarized(evidence: Mapping[str, Any]) -> Short:
    """The verdicts of an audit's evidence, judged anew by the claims as they are now.

    Raises ValueError for claims that could not be run, or whose conditions have changed.
    """
    claims, short = find_claims(), {}
    for name, result in evidence["claims"].items():
        claim = lookup(claims, name, "claim")
        if result["errors"] or result["conditions"] != list(claim.conditions):
            raise ValueError(
                f"{name} could not be run, or was run under other conditions than it has now; run"
                " the audit again."
            )
        measured = {
            condition: result["found"][condition]["evidence"] for condition in claim.conditions
        }
        one = Audited(claim, verdict(claim, measured), measured, {}, {})
        short[name] = {
            "words": claim.words,
            "verdict": one.word,
            "found": decisive(one),
            "budget": evidence["budget"],
        }
    return short


def better(known: Short, new: Short, smaller: bool) -> Short:
    """Those of the new verdicts that replace the known ones.

    A known verdict stays where its claim says the same and its budget is larger.
    smaller: a smaller budget replaces a larger one too
    """
    if smaller:
        return new
    return {name: one for name, one in new.items() if not _stays(known.get(name), one)}


def _stays(known: Mapping[str, str] | None, new: Mapping[str, str]) -> bool:
    if known is None or known["words"] != new["words"] or known["budget"] not in EFFORTS:
        return False
    sizes = list(EFFORTS)  # the table begins with the smallest
    return sizes.index(known["budget"]) > sizes.index(new["budget"])


def table(paper: str, short: Mapping[str, Mapping[str, str]]) -> str:
    """The verdicts of a paper as Markdown, in the order of the claims."""
    rows = {name: one for name, one in short.items() if name.startswith(f"{paper}/")}
    counts = counted(one["verdict"].partition(": ")[0] for one in rows.values())
    lines = [
        f"{len(rows)} claims: {counts}.",
        "",
        "| claim | in short | verdict | found | budget |",
        "|---|---|---|---|---|",
    ]
    for name, one in rows.items():
        cells = (name.partition("/")[2], one["words"], one["verdict"], one["found"], one["budget"])
        lines.append(row(cells))
    return "\n".join([*lines, ""])


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def filled(page: str, paper: str, short: Mapping[str, Mapping[str, str]]) -> str:
    """A page with the table of a paper in its place; ValueError for a page without that place."""
    begin, end = MARKS[0].format(paper), MARKS[1]
    head, mark, rest = page.partition(begin)
    _, stop, tail = rest.partition(end)
    if not mark or not stop:
        raise ValueError(
            f"the page has no place for verdicts: wanted the lines {begin.strip()} and"
            f" {end.strip()} around it."
        )
    return f"{head}{begin}\n{table(paper, short)}\n{end}{tail}"


def kept_verdicts(docs: Path) -> Short:
    """The verdicts that are kept, none where no file is; ValueError for a file of another form."""
    file = docs / KEPT
    try:
        kept = json.loads(file.read_text("utf8")) if file.exists() else {}
        good = all(map(_is_verdict, kept.values()))
    except (ValueError, AttributeError):
        good = False
    if not good:
        raise ValueError(
            f"{file} holds no verdicts, wanted a file that scripts/verdicts.py wrote; take the one"
            " of the repository."
        )
    return kept


def _is_verdict(one: Any) -> bool:
    parts = one if isinstance(one, dict) else {}
    return all(isinstance(parts.get(name), str) for name in ("words", "verdict", "found", "budget"))


def update(docs: Path, files: tuple[Path, ...], smaller: bool) -> list[str]:
    """Take the verdicts of some claims.json into the documentation; returns what was done.

    Raises ValueError before anything is written.
    """
    kept, known, lines = docs / KEPT, kept_verdicts(docs), []
    for file, new in [(file, read(file)) for file in files]:
        replacing = better(known, new, smaller)
        lines.append(f"{file}: {len(replacing)} of {len(new)} verdicts taken.")
        lines += [
            f"    {name}: that of budget {known[name]['budget']} is kept"
            for name in new
            if name not in replacing
        ]
        known |= replacing
    nothing = {"verdict": NOT_RUN, "found": "-", "budget": "-"}
    short = {
        name: known.get(name, {"words": claim.words} | nothing)
        for name, claim in find_claims().items()
    }
    pages = {docs / page: paper for paper, page in PAGES.items()}
    texts = {page: filled(page.read_text("utf8"), paper, short) for page, paper in pages.items()}
    for place, text in ({kept: f"{json.dumps(short, indent=1)}\n"} | texts).items():
        replace(place, text.encode())
    return lines
