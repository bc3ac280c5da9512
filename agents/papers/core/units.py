"""Units of work that survive a kill: processes of one thread each, and a file for each result."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import torch
from filelock import FileLock

from agents.cli.command import sheltered
from agents.cli.progress import watched
from marketenv.core.storage import whole_file

from .crew import ENGINES, ROOT, Crew

PAPERS = ROOT / "agents" / "papers"
CODE = (  # what results depend on where nothing else is said
    "marketenv",
    "agents/markets",
    "agents/scripted",
    "agents/stress",
    "agents/papers/core",
    "agents/lineups.py",
)
LIBRARIES = ("torch", "numpy", "scipy", "lapx", "gymnasium")  # whose versions change results
FURTHER_LIBRARIES = ("nashpy", "stable-baselines3")  # so do these, where they are installed


@dataclass(frozen=True)
class Unit:
    """One piece of work: ``work(folder, **arguments)`` returns what JSON can hold.

    The result depends on nothing but the arguments, files that they name, and code.
    work:   a function of a module, so that another process can find it; it may keep checkpoints in
            its folder and say by ``beat`` how many rounds are done
    rounds: how much work it is, for the progress bar
    stands: folders and files of this repository that the result depends on, beside the module of
            ``work`` and its paper
    """

    work: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 1
    stands: tuple[str, ...] = CODE

    def name(self) -> str:
        """Equal for equal work on equal files by equal code, and different otherwise."""
        stamps = [_stamp(value) for value in self.arguments.values() if isinstance(value, str)]
        module, arguments = self.work.__module__, sorted(self.arguments.items())
        code = _code(module, self.stands)
        facts = [module, self.work.__qualname__, arguments, stamps, code]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:20]


def _stamp(text: str) -> list[Any]:
    """Size and age of the files that a text names, if it is a path; "" names none."""
    if not text:  # as a path it would be the folder that the work is started from
        return []
    place = Path(text)
    files = [place] if place.is_file() else sorted(place.iterdir()) if place.is_dir() else []
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


@cache
def _code(module: str, stands: tuple[str, ...]) -> str:
    """Fingerprint of this file, of what is named, of the work's module and of its papers."""
    own = getattr(sys.modules.get(module), "__file__", None)
    files = {Path(__file__), *([Path(own)] if own else [])}
    for place in (*(ROOT / name for name in stands), *_papers(module)):
        files |= {place} if place.is_file() else set(place.rglob("*.py"))
    further = [name for name in FURTHER_LIBRARIES if find_spec(name.replace("-", "_"))]
    versions = [f"{name} {version(name)}".encode() for name in (*LIBRARIES, *further)]
    texts = [file.read_bytes() for file in sorted(files)]
    return hashlib.sha256(b"".join([*texts, *versions])).hexdigest()


def _papers(module: str) -> list[Path]:
    """Folders of the paper of a module and of all papers that it imports, directly or not."""
    names = [module.split(".")[2]] if module.startswith("agents.papers.") else []
    for name in names:
        for file in (PAPERS / name).glob("*.py"):
            imported = re.findall(r"from \.\.(\w+)[\w.]* import", file.read_text("utf8"))
            names += [other for other in dict.fromkeys(imported) if other not in names]
    return [PAPERS / name for name in names]


def beat(folder: Path, rounds: int) -> None:
    """Say how many rounds of a unit are done."""
    (folder / "rounds").write_text(str(rounds))


def replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(file) as part:
        part.write_bytes(content)


# --- the work -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """The results of some units.

    results: in the units' order, None where a unit failed
    seconds: that each unit took when it was done, 0 where it failed
    errors:  the last line of each failure, by the unit's number
    """

    results: list[Any]
    seconds: list[float]
    errors: dict[int, str]

    def all(self) -> list[Any]:
        """All results; RuntimeError where a unit failed, with the unit's error."""
        if self.errors:
            texts = "; ".join(f"unit {number}: {text}" for number, text in self.errors.items())
            raise RuntimeError(
                f"{len(self.errors)} of {len(self.results)} units failed, the others are kept."
                f" {texts}"
            )
        return self.results


def run(
    units: Sequence[Unit], folder: Path, label: str, crew: Crew | None = None, fresh: bool = False
) -> Ran:
    """Do the units that are not done yet, in processes of one thread each, and keep each result.

    A unit that fails is tried again after all others; its last error stands in the folder
    (NAME.error).
    fresh: do everything again
    Raises ValueError, before any work, for a kept file that holds no result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    crew, files = crew or Crew(), [folder / f"{unit.name()}.json" for unit in units]
    if fresh:
        _forget(files)
    for file in files:
        _kept(file)
    total, rounds = sum(unit.rounds for unit in units), lambda: sum(map(_rounds, units, files))
    errors: dict[Path, str] = {}
    with watched(label, total, rounds):
        for tries in range(crew.tries):
            left = {
                file: unit for unit, file in zip(units, files, strict=True) if not file.exists()
            }
            errors = _try(left, crew, alone=tries > 0)
    kept = [_kept(file) for file in files]
    failed = {number: errors[file] for number, file in enumerate(files) if file in errors}
    return Ran([result for result, _ in kept], [seconds for _, seconds in kept], failed)


def _kept(file: Path) -> tuple[Any, float]:
    """The result that a file holds, and its seconds; nothing where there is no file."""
    if not file.exists():
        return None, 0.0
    try:
        one = json.loads(file.read_text())
        return one["result"], float(one["seconds"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is damaged: it holds no result of a unit. Delete it, and the unit is done"
            " again."
        ) from error


def _forget(files: Sequence[Path]) -> None:
    """Delete results and checkpoints of units."""
    for file in files:
        with FileLock(file.with_suffix(".lock")):  # another run may be at it
            file.unlink(missing_ok=True)
            _empty(file.with_suffix(""))


def _try(left: Mapping[Path, Unit], crew: Crew, alone: bool) -> dict[Path, str]:
    """Do units once; returns errors by file.

    alone: one after another, so that a unit that kills its worker fails alone
    """
    errors: dict[Path, str] = {}
    near = crew.engine == "local"
    for group in [[file] for file in left] if alone else [list(left)] * bool(left):
        with ENGINES[crew.engine](crew, len(group)) as parallel:
            try:
                with sheltered():
                    results = parallel(
                        joblib.delayed(_do)(left[file], file, near) for file in group
                    )
                for name, text, error in results:
                    _keep(Path(name), text, error, errors)
            # units hold their own exceptions: this is a worker that died, or a cluster that went
            except Exception as error:
                words = " ".join(str(error).split())[:300]
                lost = f"its worker was lost: {type(error).__name__}: {words}"
                for file in group:
                    if not file.exists() and file not in errors:
                        _keep(file, None, lost, errors)
    return errors


def _keep(file: Path, text: str | None, error: str | None, errors: dict[Path, str]) -> None:
    """Write a result that comes from far away, or an error."""
    if text is not None:
        replace(file, text.encode())
    if error is not None:
        replace(file.with_suffix(".error"), error.encode())
        errors[file] = error.strip().splitlines()[-1]
    else:
        file.with_suffix(".error").unlink(missing_ok=True)


def _do(unit: Unit, file: Path, near: bool) -> tuple[str, str | None, str | None]:
    """Do a unit in this process; returns its file, its result, and its error.

    near: the result is written here, and None is returned in its place
    """
    try:
        if not near:
            with tempfile.TemporaryDirectory() as place:
                return str(file), _work(unit, Path(place)), None
        # another run may be at the same unit: wait for it, and take its result
        with FileLock(file.with_suffix(".lock")):
            if not file.exists():
                folder = file.with_suffix("")
                folder.mkdir(exist_ok=True)
                replace(file, _work(unit, folder).encode())
                _empty(folder)
    except Exception:
        return str(file), None, traceback.format_exc()
    return str(file), None, None


def _work(unit: Unit, folder: Path) -> str:
    """The result of a unit as JSON, computed on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the same numbers on every machine; processes use the others
    try:
        start = time.perf_counter()
        result = unit.work(folder, **unit.arguments)
        seconds = time.perf_counter() - start
    finally:
        torch.set_num_threads(before)
    arguments = {name: str(value) for name, value in unit.arguments.items()}
    about = {"work": unit.work.__qualname__, "arguments": arguments}
    return json.dumps(about | {"result": result, "seconds": seconds})


def _empty(folder: Path) -> None:
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _rounds(unit: Unit, file: Path) -> int:
    """How many rounds of a unit are done."""
    if file.exists():
        return unit.rounds
    try:
        rounds = int((file.with_suffix("") / "rounds").read_text())
    except (OSError, ValueError):  # not begun, or caught in the middle of a write
        return 0
    return min(rounds, unit.rounds)
