"""Write what audits found into the documentation: the verdict of every claim, and the tables of the
pages.

The samples of each claims.json are judged anew by the claims as they stand now. A short form of
that goes to papers/verdicts.json, and from there into the tables of the pages; a test compares
them. A verdict replaces the kept one of its claim unless that stands on a larger budget; of files
of one budget the last one counts. All other claims keep what they have.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from agents.stress.claims.claim import EFFORTS, verdict  # noqa: E402
from marketenv.core.lookup import lookup  # noqa: E402
from scripts import command  # noqa: E402
from scripts.audits.evidence import Audited, counted, find_claims, told  # noqa: E402
from scripts.units import replace  # noqa: E402

DOCS = ROOT / "docs"
PAGES = {  # whose claims stand on which page
    "reference": "guides/auditing_claims.md",
    "train_n_trade": "papers/train_n_trade.md",
    "ipfl": "papers/ipfl.md",
    "data_valuation": "papers/data_valuation.md",
    "resources_decoupled": "papers/resources_decoupled.md",
}
KEPT = "papers/verdicts.json"
NOT_RUN = "not run yet"  # of a claim that no file has told of
MARKS = "<!-- verdicts of {} -->\n", "<!-- end of verdicts -->\n"
Short = dict[str, dict[str, str]]  # by claim: its words, verdict, deciding figures, and budget


@dataclass(frozen=True, kw_only=True)
class VerdictsConfig:
    """Arguments.

    Args:
        evidence: files claims.json of audits
        docs: folder of the documentation
        smaller: take evidence of a smaller budget than that of the kept verdict too
    """

    evidence: tuple[Path, ...] = (ROOT / "results" / "audit" / "claims.json",)
    docs: Path = DOCS
    smaller: bool = False


def read(file: Path) -> Short:
    """What a claims.json says in short; ValueError for a file of something else, and for what
    ``summarized`` refuses.
    """
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
    """What a claims.json says in short: of each claim its words, verdict, deciding figures and the
    budget.

    Raises ValueError for claims that could not be run, or were run under other conditions than
    theirs.
    """
    claims, short = find_claims(), {}
    for name, found in evidence["claims"].items():
        claim = lookup(claims, name, "claim")
        if found["errors"] or found["conditions"] != list(claim.conditions):
            raise ValueError(
                f"{name} could not be run, or was run under other conditions than it has now; run"
                " the audit again."
            )
        measured = {
            condition: found["found"][condition]["evidence"] for condition in claim.conditions
        }
        one = Audited(claim, verdict(claim, measured), measured, {}, {})
        short[name] = {
            "words": claim.words,
            "verdict": one.word,
            "found": told(one),
            "budget": evidence["budget"],
        }
    return short


def taken(known: Short, new: Short, smaller: bool) -> Short:
    """Those of the new verdicts that replace the known ones: of no smaller budget, or of a
    claim that said something else.
    """
    # the table begins with the smallest
    sizes = {budget: size for size, budget in enumerate(EFFORTS)}

    def outdone(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
        return (
            one["words"] == other["words"] and sizes.get(one["budget"], -1) > sizes[other["budget"]]
        )

    return {
        name: one
        for name, one in new.items()
        if smaller or name not in known or not outdone(known[name], one)
    }


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
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


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


def main(config: VerdictsConfig) -> None:
    """Take over the verdicts of the files, fill the pages, and tell what was taken and what was
    not.
    """
    file = config.docs / KEPT
    known: Short = json.loads(file.read_text("utf8")) if file.exists() else {}
    found = [(evidence, read(evidence)) for evidence in config.evidence]
    lines = []
    for evidence, new in found:
        better = taken(known, new, config.smaller)
        lines.append(f"{evidence}: {len(better)} of {len(new)} verdicts taken.")
        lines += [
            f"    {name}: that of budget {known[name]['budget']} is kept"
            for name in new
            if name not in better
        ]
        known |= better
    nothing = {"verdict": NOT_RUN, "found": "-", "budget": "-"}
    kept = {
        name: known.get(name, {"words": claim.words} | nothing)
        for name, claim in find_claims().items()
    }
    pages = {config.docs / page: paper for paper, page in PAGES.items()}
    texts = {page: filled(page.read_text("utf8"), paper, kept) for page, paper in pages.items()}
    for place, text in ({file: f"{json.dumps(kept, indent=1)}\n"} | texts).items():
        replace(place, text.encode())
    print("\n".join(lines))


if __name__ == "__main__":
    command.run(lambda: main(command.read(VerdictsConfig, __doc__)), "Nothing is half written.")
