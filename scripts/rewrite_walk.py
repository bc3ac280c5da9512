"""Write the page of the documentation that walks through one round: docs/guides/one_round.md.

The page is made from a round that is played now: its words, the functions that ran, and the
formulas of their docstrings. A test compares it with the code.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.cli import command  # noqa: E402
from agents.walk.page import page  # noqa: E402
from marketenv.core.storage import whole_file  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class WalkConfig:
    """Where the page goes.

    Args:
        out: folder of the page
    """

    out: Path = ROOT / "docs" / "guides"


def main(config: WalkConfig) -> None:
    """Write the page."""
    torch.set_num_threads(1)  # the tests run on one thread, and rounding depends on it
    command.check_folder(config.out)
    path = config.out / "one_round.md"
    text = page()
    with whole_file(path) as part:
        part.write_text(text, encoding="utf8")
    print(f"wrote {path}")


if __name__ == "__main__":
    command.run(lambda: main(command.read(WalkConfig, __doc__)), "Nothing is half written.")
