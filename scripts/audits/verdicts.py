"""Write what an audit found into the documentation: python -m scripts.audits.verdicts results/audit/claims.json

The samples of the file are judged anew by the claims as they stand now. A short form of that goes to docs/papers/verdicts.json,
and from there into the tables of the pages; a test compares them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.stress.claims.claim import verdict
from marketenv.core.lookup import lookup
from scripts.audits.evidence import Audited, counted, find_claims, told
from scripts.units import ROOT, replace

PAGES = {  # whose claims stand on which page
    "reference": ROOT / "docs" / "guides" / "auditing_claims.md",
    "train_n_trade": ROOT / "docs" / "papers" / "train_n_trade.md",
    "ipfl": ROOT / "docs" / "papers" / "ipfl.md",
}
NOT_RUN = "not run yet"  # of a claim that no file has told of
KEPT = ROOT / "docs" / "papers" / "verdicts.json"
MARKS = "<!-- verdicts of {} -->\n", "<!-- end of verdicts -->\n"


def summarized(evidence: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What a claims.json says in short: of each claim its words, verdict, deciding figures and the budget.

    Raises ValueError for claims that could not be run, or were run under other conditions than theirs.
    """
    claims, short = find_claims(), {}
    for name, found in evidence["claims"].items():
        claim = lookup(claims, name, "claim")
        if found["errors"] or found["conditions"] != list(claim.conditions):
            raise ValueError(f"{name} could not be run, or was run under other conditions than it has now; run the audit again.")
        measured = {condition: found["found"][condition]["evidence"] for condition in claim.conditions}
        one = Audited(claim, verdict(claim, measured), measured, {}, {})
        short[name] = {"words": claim.words, "verdict": one.word, "found": told(one), "budget": evidence["budget"]}
    return short


def table(paper: str, short: Mapping[str, Mapping[str, str]]) -> str:
    """The verdicts of a paper as Markdown, in the order of the claims."""
    rows = {name: one for name, one in short.items() if name.startswith(f"{paper}/")}
    counts = counted(one["verdict"].partition(": ")[0] for one in rows.values())
    lines = [f"{len(rows)} claims: {counts}.", "", "| claim | in short | verdict | found | budget |", "|---|---|---|---|---|"]
    for name, one in rows.items():
        cells = (name.partition("/")[2], one["words"], one["verdict"], one["found"], one["budget"])
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def filled(page: str, paper: str, short: Mapping[str, Mapping[str, str]]) -> str:
    """A page with the table of a paper in its place; ValueError for a page without that place."""
    begin, end = MARKS[0].format(paper), MARKS[1]
    head, mark, rest = page.partition(begin)
    _, stop, tail = rest.partition(end)
    if not mark or not stop:
        raise ValueError(f"the page has no place for verdicts: wanted the lines {begin.strip()} and {end.strip()} around it.")
    return f"{head}{begin}\n{table(paper, short)}\n{end}{tail}"


def main(files: list[str]) -> int:
    """Take over the verdicts of these files, later ones over earlier ones, and fill the pages."""
    known = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for file in files:
        known |= summarized(json.loads(Path(file).read_text()))
    nothing = {"verdict": NOT_RUN, "found": "-", "budget": "-"}
    kept = {name: known.get(name, {"words": claim.words} | nothing) for name, claim in find_claims().items()}
    replace(KEPT, f"{json.dumps(kept, indent=1)}\n".encode())
    for paper, page in PAGES.items():
        replace(page, filled(page.read_text(), paper, kept).encode())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
