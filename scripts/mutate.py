"""Make the code wrong in chosen places, one at a time, and see which of these mutants the related tests notice.

Works on copies in a temporary folder, never on the repository itself. First the related tests have to pass as things are; then
each mutant is killed where one of its tests fails, and lives where all pass. Playthroughs, which notice any change and judge
none, are not among the tests. What is known is kept in the file of results, and measured anew where the mutant, the code or its
tests have changed. The exit code is 1 where a mutant lives that is not equivalent, runs out of time, or is of a text that is not
in the code exactly once, and 2 for bad arguments and where tests fail as things are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import re
import shutil
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

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.mutants.mutant import Mutant  # noqa: E402
from scripts.mutants.table import MUTANTS, SLOW  # noqa: E402
from scripts.progress import watched  # noqa: E402

KILLED, EQUIVALENT, LIVED, LATE, GONE = "killed", "equivalent", "lived", "out of time", "text is gone"
FINE = (KILLED, EQUIVALENT)
STYLES = {KILLED: "green", EQUIVALENT: "cyan"}
# One process imports these, and every run of tests is a fork of it: they take most of a short run's time. The library itself is
# not among them, nor may this file import it, since a fork has to import the mutant.
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
LEFT_OUT = ("results", "shared", "__pycache__")  # and whatever begins with a dot, and virtual environments


@dataclass(frozen=True, kw_only=True)
class MutateConfig:
    """Arguments.

    Args:
        only: patterns of files and names, such as "mechanisms/*ask" or test_set; none takes all mutants
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
        if self.jobs < 0 or not self.timeout > 0:
            raise ValueError(f"jobs is {self.jobs} and timeout {self.timeout:g}; wanted >= 0 and > 0.")


def main(config: MutateConfig, mutants: Sequence[Mutant] = MUTANTS, root: Path = ROOT) -> int:
    """Try the chosen mutants of a repository, show and write what became of them; returns the exit code."""
    chosen = [one for one in mutants if _matches(one, config.only)]
    if not chosen:
        raise ValueError(f"no mutant is called like {' or '.join(config.only)}; see --list.")
    if config.list:
        Console().print(listed(chosen), soft_wrap=True)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        shutil.copytree(root, source, ignore=_left_out)
        rows = tried(chosen, source, config)
    found = {one.label: rows[one.label] for one in chosen}
    show(found, config.out)
    return int(any(row["status"] not in FINE for row in found.values()))


def _matches(mutant: Mutant, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch(mutant.label, f"*{pattern}*") for pattern in patterns)


def _left_out(folder: str, names: list[str]) -> list[str]:
    return [n for n in names if n.startswith(".") or n in LEFT_OUT or (Path(folder) / n / "pyvenv.cfg").exists()]


# --- trials -----------------------------------------------------------------------------------------------------------------


def tried(chosen: Sequence[Mutant], source: Path, config: MutateConfig) -> dict[str, dict[str, Any]]:
    """What is known of all mutants, by label, once the chosen ones are tried; every result is written as it comes.

    source: the copy that further copies are made of; ValueError where the related tests fail there as things are
    """
    stamps = {one.label: _stamp(one, source) for one in chosen}
    rows: dict[str, dict[str, Any]] = json.loads(config.out.read_text("utf8")) if config.out.is_file() else {}
    known = [label for label, stamp in stamps.items() if config.resume and rows.get(label, {}).get("stamp") == stamp]
    left = [one for one in chosen if one.label not in known]
    if left:
        _check_tests(left, source)
    with watched("mutants", len(chosen), lambda: len(known)), ThreadPoolExecutor(config.jobs or os.cpu_count()) as threads:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        works = {threads.submit(trial, one, source, config.timeout): one for one in left}
        try:
            for work in as_completed(works):
                one = works[work]
                rows[one.label] = work.result() | {"stamp": stamps[one.label]}
                part = config.out.with_suffix(".part")
                part.write_text(f"{json.dumps(rows, indent=1, sort_keys=True)}\n", encoding="utf8")
                part.replace(config.out)
                known.append(one.label)
        finally:
            threads.shutdown(cancel_futures=True)
    return rows


def trial(mutant: Mutant, source: Path, timeout: float) -> dict[str, Any]:
    """Run a mutant's tests on a copy of its own: its status, what noticed it, and seconds."""
    start, told = time.perf_counter(), ""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(source, copy)
        file = copy / mutant.file
        try:
            file.write_text(mutant.apply(file.read_text("utf8")), encoding="utf8")
            code, told = run_tests(copy, (mutant.file, *mutant.tests), timeout)
            status = {0: EQUIVALENT if mutant.equivalent else LIVED, 1: KILLED, 2: KILLED}[code]  # 2: it cannot be imported
        except TimeoutError as error:
            status, told = LATE, str(error)
        except (OSError, ValueError) as error:
            status, told = GONE, str(error)
    return {"status": status, "told": mutant.equivalent if status == EQUIVALENT else told, "seconds": time.perf_counter() - start}


def run_tests(folder: Path, tests: Sequence[str], timeout: float | None = None) -> tuple[int, str]:
    """Run tests in a folder until one fails, in a process of their own: pytest's exit code, and the test that failed.

    Raises TimeoutError where they take longer, and RuntimeError where pytest cannot run them.
    """
    out = folder.with_suffix(".txt")
    process = FORKS.Process(target=_pytest, args=(folder, list(tests), out))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"no end after {timeout:g} s")
    text = out.read_text("utf8")
    if process.exitcode not in (0, 1, 2):
        raise RuntimeError(f"pytest could not run {' '.join(tests)}: {text[-2000:]}")
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    return process.exitcode, found[1] if found else ""


def _pytest(folder: Path, tests: list[str], out: Path) -> None:
    """Be pytest: what a fork of the process with the heavy packages does."""
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = False  # compiled once, not for every mutant
    with out.open("w", encoding="utf8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    slow = [f"--deselect={name}" for name in SLOW]
    sys.exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *slow, *tests])))


def _check_tests(mutants: Sequence[Mutant], source: Path) -> None:
    """ValueError where a related test fails as things are: then no mutant could be told to be killed by it."""
    tests = list(
        dict.fromkeys(part for one in mutants for part in (*one.tests, one.file) if (source / part.split("::")[0]).exists())
    )
    Console().print(f"the related tests, {len(tests)} files, as things are ...", soft_wrap=True)
    code, failed = run_tests(source, tests)
    if code:
        raise ValueError(f"{failed} fails as things are; mend it first.")


def _stamp(mutant: Mutant, source: Path) -> str:
    """Fingerprint of a mutant, of all code, and of the folders of its tests."""
    folders = sorted({str(Path(test.split("::")[0]).parent) for test in mutant.tests})
    facts = [dataclasses.astuple(mutant), _code(source), [_content(source / folder) for folder in folders]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]


@cache
def _code(source: Path) -> list[str]:
    """Fingerprints of the packages at the top; scripts are no part of what is made wrong."""
    return [_content(part.parent) for part in sorted(source.glob("*/__init__.py"))]


@cache
def _content(folder: Path) -> str:
    files = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in files)).hexdigest()


# --- what is shown ----------------------------------------------------------------------------------------------------------


def listed(mutants: Sequence[Mutant]) -> Table:
    """The mutants, without a trial."""
    shown = Table("file", "what is wrong", "tests", box=box.SIMPLE_HEAD)
    for one in mutants:
        shown.add_row(*map(escape, (one.file, one.name, " ".join(one.tests))))
    return shown


def show(rows: dict[str, dict[str, Any]], out: Path) -> None:
    """Print what became of mutants, by label, those that are to be looked at last; and how many were killed."""
    shown = Table("mutant", "", "told by", "s", title="mutants", box=box.SIMPLE_HEAD)
    for label, row in sorted(rows.items(), key=lambda item: item[1]["status"] not in FINE):
        style = STYLES.get(row["status"], "bold red")
        shown.add_row(escape(label), f"[{style}]{row['status']}[/]", escape(row["told"]), f"{row['seconds']:.0f}")
    console = Console()
    console.print(shown)
    counts = Counter(row["status"] for row in rows.values())
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    real = len(rows) - counts[EQUIVALENT]
    console.print(
        f"{len(rows)} mutants: {told}. Killed of those that are not equivalent: {100 * counts[KILLED] / max(real, 1):.1f} %."
    )
    console.print(f"Results: {out}", soft_wrap=True)


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(MutateConfig, description=__doc__)))
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped; what is known is kept, and the same command goes on.", file=sys.stderr)
        sys.exit(130)
