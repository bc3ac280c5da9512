"""Trials of mutants: copies of the code made wrong, and the tests that notice."""

from __future__ import annotations

import dataclasses
import gc
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console

from agents.cli.progress import watched
from tests.mutants.mutant import Mutant
from tests.mutants.table import SLOW

KILLED, EQUIVALENT, LIVED, LATE, GONE = (
    "killed",
    "equivalent",
    "lived",
    "out of time",
    "text is gone",
)
UNTRIED = "could not be tried"
FINE = (KILLED, EQUIVALENT)
# One process imports these, and every run of tests is a fork of it: they take most of a short run's
# time. The library itself is not among them, nor may this file import it, since a fork has to
# import the mutant.
HEAVY = (
    "torch",
    "torch._dynamo",  # torch's optimizers import it when the first is made
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.figure",
    "gymnasium",
    "pettingzoo",
    "safetensors.torch",
    "tyro",
    "rich",
    "pytest",
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(HEAVY))


def copy_code(root: Path, copy: Path) -> None:
    """Copy the files that git tracks or would add; ValueError where git lists none."""
    options = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    command = ["git", "-C", str(root), *options]
    listing = subprocess.run(command, capture_output=True, text=True)
    if not listing.stdout:
        raise ValueError(
            f"git lists no files in {root}, wanted a repository:"
            f" {listing.stderr.strip() or 'it is empty'}."
        )
    for name in filter(None, listing.stdout.split("\0")):
        if (root / name).is_file():  # git still lists a file that has just been removed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)


# --- trials ---------------------------------------------------------------------------------------


def try_all(
    chosen: Sequence[Mutant], source: Path, out: Path, jobs: int, timeout: float, resume: bool
) -> dict[str, dict[str, Any]]:
    """Try mutants; returns all results of the file, by label. Each is written as it comes.

    source:  the copy that further copies are made of
    out:     the file of results
    jobs:    mutants at once; 0 takes one per processor
    timeout: seconds that the tests of a mutant may take
    resume:  keep results of mutants that have not changed, nor their code and tests
    Raises ValueError where the related tests fail on the code as it is.
    """
    stamps = {one.label: _stamp(one, source) for one in chosen}
    rows = _read(out)
    sure = {label: row for label, row in rows.items() if resume and row["status"] != UNTRIED}
    known = [label for label, stamp in stamps.items() if sure.get(label, {}).get("stamp") == stamp]
    left = [one for one in chosen if one.label not in known]
    if left:
        _check_tests(left, source)
    with (
        watched("mutants", len(chosen), lambda: len(known)),
        ThreadPoolExecutor(jobs or os.cpu_count()) as threads,
    ):
        works = {threads.submit(trial, one, source, timeout): one for one in left}
        try:
            for work in as_completed(works):
                one = works[work]
                rows[one.label] = work.result() | {"stamp": stamps[one.label]}
                _write(out, rows)
                known.append(one.label)
        finally:
            threads.shutdown(cancel_futures=True)
    return rows


def _read(out: Path) -> dict[str, dict[str, Any]]:
    """The results of a file, by label; ValueError for another file."""
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
    """Run a mutant's tests on a copy of its own: its status, the test that noticed it, seconds."""
    start, test = time.perf_counter(), ""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        # without bytecode, which Python takes for the mutant's where both are of one size and of
        # one second
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / mutant.file
        try:
            file.write_text(mutant.apply(file.read_text("utf8")), encoding="utf8")
            code, test = run_tests(copy, (mutant.file, *mutant.tests), timeout)
            # 2: it cannot be imported
            status = {0: EQUIVALENT if mutant.equivalent else LIVED, 1: KILLED, 2: KILLED}[code]
        except TimeoutError as error:
            status, test = LATE, str(error)
        except RuntimeError as error:
            status, test = UNTRIED, str(error)
        except (OSError, ValueError) as error:
            status, test = GONE, str(error)
    return {
        "status": status,
        "told": mutant.equivalent if status == EQUIVALENT else test,
        "seconds": time.perf_counter() - start,
    }


def run_tests(folder: Path, tests: Sequence[str], timeout: float | None = None) -> tuple[int, str]:
    """Run tests in a process of their own until one fails: pytest's exit code, and that test.

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
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    return process.exitcode, failed[1] if failed else ""


def _pytest(folder: Path, tests: list[str], out: Path) -> None:
    """Run pytest in a fork of the process that has imported the heavy packages."""
    gc.freeze()  # what has been imported stays: looking at it took half of a short run's time
    # pytest would end by Ctrl-C as by a file that cannot be imported
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    sys.path.insert(0, str(folder))
    # what the command that began this process has imported of the repository is the code as it is
    packages = {part.name for part in folder.iterdir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    sys.dont_write_bytecode = False  # compiled once, not for every mutant
    with out.open("w", encoding="utf8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    slow = [f"--deselect={name}" for name in SLOW]
    sys.exit(int(pytest.main([*options, *slow, *tests])))


def _check_tests(mutants: Sequence[Mutant], source: Path) -> None:
    """ValueError where a related test fails on the code as it is: it could kill no mutant."""
    named = dict.fromkeys(part for one in mutants for part in (*one.tests, one.file))
    tests = [part for part in named if (source / part.split("::")[0]).exists()]
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
