"""Write the verdicts of audits into the documentation: of every claim, in the tables of the pages.

The claims, as they are now, judge the samples of each claims.json anew. A short form of the result
goes to papers/verdicts.json, and from there into the tables of the pages; a test compares them. A
new verdict replaces the one that is kept, unless that is of a larger budget; of several files of
one budget the last counts. All other claims keep their verdicts. Then the page of findings is
written from the verdicts; a finding whose verdict is another one now is refused, after the tables
are written: its words in agents/papers/findings.py must change. Without evidence, --evidence alone,
only the pages are written again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.cli import command  # noqa: E402
from agents.papers.core import headlines  # noqa: E402
from agents.papers.core.units import replace  # noqa: E402
from agents.papers.core.verdict_tables import kept_verdicts, update  # noqa: E402
from agents.papers.findings import FINDINGS, INTRO  # noqa: E402

PAGE = "findings.md"  # the page of findings, in the folder of the documentation


@dataclass(frozen=True, kw_only=True)
class VerdictsConfig:
    """Arguments.

    Args:
        evidence: files claims.json of audits
        docs: folder of the documentation
        smaller: a verdict of a smaller budget replaces one of a larger budget too
    """

    evidence: tuple[Path, ...] = (ROOT / "results" / "audit" / "claims.json",)
    docs: Path = ROOT / "docs"
    smaller: bool = False


def main(config: VerdictsConfig) -> None:
    """Take the verdicts of the files into the pages, print which were taken, write the findings."""
    lines = update(config.docs, config.evidence, config.smaller)
    if lines:
        print("\n".join(lines))
    kept = kept_verdicts(config.docs)
    replace(config.docs / PAGE, headlines.page(INTRO, FINDINGS, kept).encode())


if __name__ == "__main__":
    command.run(lambda: main(command.read(VerdictsConfig, __doc__)), "Nothing is half written.")
