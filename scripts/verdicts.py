"""Write the verdicts of audits into the documentation: of every claim, in the tables of the pages.

The claims, as they are now, judge the samples of each claims.json anew. A short form of the result
goes to papers/verdicts.json, and from there into the tables of the pages; a test compares them. A
new verdict replaces the one that is kept, unless that is of a larger budget; of several files of
one budget the last counts. All other claims keep their verdicts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.cli import command  # noqa: E402
from agents.papers.core.verdict_tables import update  # noqa: E402


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
    """Take the verdicts of the files into the pages, and print which were taken."""
    print("\n".join(update(config.docs, config.evidence, config.smaller)))


if __name__ == "__main__":
    command.run(lambda: main(command.read(VerdictsConfig, __doc__)), "Nothing is half written.")
