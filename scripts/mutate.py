"""Make the code wrong in chosen places, one at a time, and see which of these mutants tests notice.

Works on copies of what git tracks or would add, in a temporary folder, never on the repository
itself. First the related tests have to pass on the code as it is; then each mutant is killed where
one of its tests fails, and lives where all pass. Playthroughs notice any change and judge none, so
they are not among the tests. Results are kept in a file; a mutant is tried again where it, the code
or its tests have changed. The exit code is 1 where a mutant lives that is not equivalent, runs out
of time, cannot be tried, or is of a text that is not in the code exactly once; it is 2 for bad
arguments and where tests fail on the code as it is.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.cli import command  # noqa: E402
from tests.mutants.mutant import Mutant  # noqa: E402
from tests.mutants.table import MUTANTS  # noqa: E402
from tests.mutants.trials import EQUIVALENT, FINE, KILLED, copy_code, try_all  # noqa: E402

STYLES = {KILLED: "green", EQUIVALENT: "cyan"}


@dataclass(frozen=True, kw_only=True)
class MutateConfig:
    """Arguments.

    Args:
        only: patterns of files and names, such as "mechanisms/*ask" or test_set; none takes all
            mutants
        jobs: mutants at once; 0 takes one per processor
        timeout: seconds that the tests of a mutant may take
        resume: keep the results of mutants that have not changed, nor their code and tests
        list: only list the mutants
        out: file of the results
    """

    only: tuple[str, ...] = ()
    jobs: int = 0
    timeout: float = 600.0
    resume: bool = True
    list: bool = False
    out: Path = ROOT / "results" / "mutants.json"

    def __post_init__(self) -> None:
        command.check_least(0, jobs=self.jobs)
        if not self.timeout > 0:
            raise ValueError(f"timeout is {self.timeout:g}, wanted a number of seconds > 0.")


def main(config: MutateConfig, mutants: Sequence[Mutant] = MUTANTS, root: Path = ROOT) -> int:
    """Try the chosen mutants of a repository, show and write the results; returns the exit code."""
    chosen = [one for one in mutants if _matches(one, config.only)]
    if not chosen:
        raise ValueError(f"no mutant is called like {' or '.join(config.only)}; see --list.")
    if config.list:
        print_list(chosen)
        return 0
    command.check_file(config.out)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        copy_code(root, source)
        options = (config.out, config.jobs, config.timeout, config.resume)
        rows = try_all(chosen, source, *options)
    results = {one.label: rows[one.label] for one in chosen}
    show(results, config.out)
    return int(any(row["status"] not in FINE for row in results.values()))


def _matches(mutant: Mutant, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch(mutant.label, f"*{pattern}*") for pattern in patterns)


# --- what is shown --------------------------------------------------------------------------------


def print_list(mutants: Sequence[Mutant]) -> None:
    """Print the mutants, a label on a line for itself, which ``--only`` takes."""
    for one in mutants:
        print("\n".join((one.label, *(f"    {test}" for test in one.tests), "")))


def show(rows: dict[str, dict[str, Any]], out: Path) -> None:
    """Print the results by label, those that want a look last, and how many mutants are killed."""
    shown = Table(title="mutants", box=box.SIMPLE_HEAD)
    for head in ("mutant", "", "noticed by", "s"):
        shown.add_column(head, no_wrap=head != "noticed by")
    for label, row in sorted(rows.items(), key=lambda item: item[1]["status"] not in FINE):
        style = STYLES.get(row["status"], "bold red")
        shown.add_row(
            escape(label),
            f"[{style}]{row['status']}[/]",
            escape(row["told"]),
            f"{row['seconds']:.0f}",
        )
    console = Console()
    command.show(shown)
    counts = Counter(row["status"] for row in rows.values())
    statuses = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    real = len(rows) - counts[EQUIVALENT]
    console.print(
        f"{len(rows)} mutants: {statuses}. Killed of those that are not equivalent:"
        f" {100 * counts[KILLED] / max(real, 1):.1f} %."
    )
    console.print(f"Results: {out}", soft_wrap=True)


if __name__ == "__main__":
    command.run(lambda: main(command.read(MutateConfig, __doc__)))
