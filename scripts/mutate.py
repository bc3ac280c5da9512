"""Make the code wrong in chosen places, one at a time, and see which of these mutants the related
tests notice.

Works on copies of what git tracks or would add, in a temporary folder, never on the repository
itself. First the related tests have to pass as things are; then each mutant is killed where one of
its tests fails, and lives where all pass. Playthroughs, which notice any change and judge none, are
not among the tests. What is known is kept in the file of results, and measured anew where the
mutant, the code or its tests have changed. The exit code is 1 where a mutant lives that is not
equivalent, runs out of time, cannot be tried, or is of a text that is not in the code exactly once,
and 2 for bad arguments and where tests fail as things are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts import command  # noqa: E402
from scripts.mutants.mutant import Mutant  # noqa: E402
from scripts.mutants.table import MUTANTS, SLOW  # noqa: E402
from scripts.progress import watched  # noqa: E402

KILLED, EQUIVALENT, LIVED, LATE, GONE = (
    "killed",
    "equivalent",
    "lived",
    "out of time",
    "text is gone",
)
UNTRIED = "could not be tried"
FINE = (KILLED, EQUIVALENT)
STYLES = {KILLED: "green", EQUIVALENT: "cyan"}
# One process imports these, and every run of tests is a fork of it: they take most of a short run's
# time. The library itself is not among them, nor may this file import it, since a fork has to
# import the mutant.
HEAVY = (
    "torch",
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.figure",
    "gymnasium",
    "pettingzoo",
    "safetensors.torch",
    "tyro",
    "rich",
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(HEAVY))


@dataclass(frozen=True, kw_only=True)
class MutateConfig:
    """Arguments.

    Args:
        only: patterns of files and names, such as "mechanisms/*ask" or test_set; none takes all
            mutants
        jobs: mutants at once; 0 takes one per processor
        timeout: seconds that the tests of a mutant may take
        resume: keep what is known of mutants that have not changed, nor their code and tests
        list: only show which mutants there are
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
    """Try the chosen mutants of a repository, show and write what became of them; returns the
    exit code.
    """
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
        rows = tried(chosen, source, config)
    found = {one.label: rows[one.label] for one in chosen}
    show(found, config.out)
    return int(any(row["status"] not in FINE for row in found.values()))


def _matches(mutant: Mutant, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch(mutant.label, f"*{pattern}*") for pattern in patterns)


def copy_code(root: Path, copy: Path) -> None:
    """Copy the files of a repository that git tracks or would add; ValueError where git lists
    none.
    """
    asked = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(asked, capture_output=True, text=True)
    if not done.stdout:
        raise ValueError(
            f"git lists no files in {root}, wanted a repository:"
            f" {done.stderr.strip() or 'it is empty'}."
        )
    for name in filter(None, done.stdout.split("\0")):
        if (root / name).is_file():  # git still lists what has just been removed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)


# --- trials ---------------------------------------------------------------------------------------


def tried(
    chosen: Sequence[Mutant], source: Path, config: MutateConfig
) -> dict[str, dict[str, Any]]:
    """What is known of all mutants, by label, once the chosen ones are tried; every result is
    written as it comes.

    source: the copy that further copies are made of; ValueError where the related tests fail there
        as things are
    """
    stamps = {one.label: _stamp(one, source) for one in chosen}
    rows = _read(config.out)
    sure = {label: row for label, row in rows.items() if config.resume and row["status"] != UNTRIED}
    known = [label for label, stamp in stamps.items() if sure.get(label, {}).get("stamp") == stamp]
    left = [one for one in chosen if one.label not in known]
    if left:
        _check_tests(left, source)
    with (
        watched("mutants", len(chosen), lambda: len(known)),
        ThreadPoolExecutor(config.jobs or os.cpu_count()) as threads,
    ):
        works = {threads.submit(trial, one, source, config.timeout): one for one in left}
        try:
            for work in as_completed(works):
                one = works[work]
                rows[one.label] = work.result() | {"stamp": stamps[one.label]}
                _write(config.out, rows)
                known.append(one.label)
        finally:
            threads.shutdown(cancel_futures=True)
    return rows


def _read(out: Path) -> dict[str, dict[str, Any]]:
    """What was found before, by label; ValueError for a file of something else."""
    try:
        rows = json.loads(out.read_text("utf8")) if out.exists() else {}
        if all({"status", "stamp"} <= row.keys() for row in rows.values()):
            return rows
    except (ValueError, AttributeError):
        pass
    raise ValueError(f"out: {out} holds no results of mutants. Give another --out.")


def _write(out: Path, rows: dict[str, dict[str, Any]]) -> None:
    # only here: a fork imports this file, and the mutant after it
    from marketenv.core.storage import whole_file

    with whole_file(out) as part:
        part.write_text(f"{json.dumps(rows, indent=1, sort_keys=True)}\n", encoding="utf8")


def trial(mutant: Mutant, source: Path, timeout: float) -> dict[str, Any]:
    """Run a mutant's tests on a copy of its own: its status, what noticed it, and seconds."""
    start, told = time.perf_counter(), ""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        # without bytecode, which Python takes for the mutant's where both are of one size and of
        # one second
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / mutant.file
        try:
            file.write_text(mutant.apply(file.read_text("utf8")), encoding="utf8")
            code, told = run_tests(copy, (mutant.file, *mutant.tests), timeout)
            # 2: it cannot be imported
            status = {0: EQUIVALENT if mutant.equivalent else LIVED, 1: KILLED, 2: KILLED}[code]
        except TimeoutError as error:
            status, told = LATE, str(error)
        except RuntimeError as error:
            status, told = UNTRIED, str(error)
        except (OSError, ValueError) as error:
            status, told = GONE, str(error)
    return {
        "status": status,
        "told": mutant.equivalent if status == EQUIVALENT else told,
        "seconds": time.perf_counter() - start,
    }


def run_tests(folder: Path, tests: Sequence[str], timeout: float | None = None) -> tuple[int, str]:
    """Run tests in a folder until one fails, in a process of their own: pytest's exit code, and the
    test that failed.

    Raises TimeoutError where they take longer, and RuntimeError where pytest cannot run them.
    """
    out = folder.with_suffix(".txt")
    process = FORKS.Process(target=_pytest, args=(folder, list(tests), out))
    process.start()
    try:
        process.join(timeout)
        late = process.exitcode is None
    finally:
        process.kill()  # after Ctrl-C too
        process.join()
    if late:
        raise TimeoutError(f"no end after {timeout:g} s")
    text = out.read_text("utf8") if out.exists() else ""
    if process.exitcode not in (0, 1, 2):
        last = next(
            (line for line in reversed(text.splitlines()) if line.strip()), "it said nothing"
        )
        raise RuntimeError(
            f"pytest could not run {' '.join(tests)} (exit code {process.exitcode}): {last}"
        )
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    return process.exitcode, found[1] if found else ""


def _pytest(folder: Path, tests: list[str], out: Path) -> None:
    """Be pytest: what a fork of the process with the heavy packages does."""
    # pytest would end by Ctrl-C as by a file that cannot be imported
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = False  # compiled once, not for every mutant
    with out.open("w", encoding="utf8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    slow = [f"--deselect={name}" for name in SLOW]
    sys.exit(
        int(
            pytest.main(
                ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *slow, *tests]
            )
        )
    )


def _check_tests(mutants: Sequence[Mutant], source: Path) -> None:
    """ValueError where a related test fails or cannot be run as things are: then no mutant
    could be killed by it.
    """
    tests = list(
        dict.fromkeys(
            part
            for one in mutants
            for part in (*one.tests, one.file)
            if (source / part.split("::")[0]).exists()
        )
    )
    Console().print(f"the related tests, {len(tests)} files, as things are ...", soft_wrap=True)
    try:
        code, failed = run_tests(source, tests)
    except RuntimeError as error:
        raise ValueError(f"as things are {error}; mend it first.") from error
    if code:
        raise ValueError(f"{failed} fails as things are; mend it first.")


def _stamp(mutant: Mutant, source: Path) -> str:
    """Fingerprint of a mutant, of all code, and of the folders of its tests."""
    folders = sorted({str(Path(test.split("::")[0]).parent) for test in mutant.tests})
    facts = [
        dataclasses.astuple(mutant),
        _code(source),
        [_content(source / folder) for folder in folders],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


@cache
def _code(source: Path) -> list[str]:
    """Fingerprints of the packages at the top; scripts are no part of what is made wrong."""
    return [_content(part.parent) for part in sorted(source.glob("*/__init__.py"))]


@cache
def _content(folder: Path) -> str:
    files = sorted(folder.rglob("*.py"))
    return hashlib.sha256(
        b"".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in files)
    ).hexdigest()


# --- what is shown --------------------------------------------------------------------------------


def print_list(mutants: Sequence[Mutant]) -> None:
    """Print the mutants, without a trial; a label has a line for itself, so that nothing cuts
    it, and ``--only`` takes it.
    """
    for one in mutants:
        print("\n".join((one.label, *(f"    {test}" for test in one.tests), "")))


def show(rows: dict[str, dict[str, Any]], out: Path) -> None:
    """Print what became of mutants, by label, those that are to be looked at last; and how many
    were killed.
    """
    shown = Table(title="mutants", box=box.SIMPLE_HEAD)
    for head in ("mutant", "", "told by", "s"):
        shown.add_column(head, no_wrap=head != "told by")
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
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    real = len(rows) - counts[EQUIVALENT]
    console.print(
        f"{len(rows)} mutants: {told}. Killed of those that are not equivalent:"
        f" {100 * counts[KILLED] / max(real, 1):.1f} %."
    )
    console.print(f"Results: {out}", soft_wrap=True)


if __name__ == "__main__":
    command.run(lambda: main(command.read(MutateConfig, __doc__)))
