"""Units of work that survive a kill: processes of one thread each, here or on a cluster, and a
file for each that is done.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import torch
from filelock import FileLock

from marketenv.core.lookup import unknown
from marketenv.core.storage import whole_file
from scripts.command import check_least, sheltered
from scripts.progress import watched

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Unit:
    """One piece of work: ``work(folder, **arguments)`` returns what JSON can hold and depends on
    nothing else.

    work:   a function of a module, so that another process can find it; it may keep checkpoints in
            its folder and tell how far it is by ``beat``
    rounds: how much work it is, for the progress bar
    stands: folders and files of this repository that its result depends on, beside its own module
    """

    work: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 1
    stands: tuple[str, ...] = (
        "marketenv",
        "agents/markets",
        "agents/scripted",
        "agents/stress",
        "agents/lineups.py",
    )

    def name(self) -> str:
        """Equal for equal work on equal files by equal code; a change of what the work stands
        on makes it another.
        """
        stamps = [_stamp(value) for value in self.arguments.values() if isinstance(value, str)]
        module = self.work.__module__
        facts = [
            module,
            self.work.__qualname__,
            sorted(self.arguments.items()),
            stamps,
            _code(module, self.stands),
        ]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:20]


def _stamp(text: str) -> list[Any]:
    """Size and age of the files that a text names, if it is a path."""
    place = Path(text)
    files = [place] if place.is_file() else sorted(place.iterdir()) if place.is_dir() else []
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


@cache
def _code(module: str, stands: tuple[str, ...]) -> str:
    """Fingerprint of what results depend on: this file, what is named, the work's own module
    and the studies it imports.
    """
    own = getattr(sys.modules.get(module), "__file__", None)
    files = {Path(__file__), *_studies([Path(own)] if own else [])}
    for place in (ROOT / name for name in stands):
        files |= {place} if place.is_file() else set(place.rglob("*.py"))
    versions = [
        f"{name} {version(name)}" for name in ("torch", "numpy", "scipy", "lapx", "gymnasium")
    ]
    versions += [
        f"{name} {version(name)}"
        for name in ("nashpy", "stable-baselines3")
        if find_spec(name.replace("-", "_"))
    ]
    return hashlib.sha256(
        b"".join([*(file.read_bytes() for file in sorted(files)), *map(str.encode, versions)])
    ).hexdigest()


def _studies(found: list[Path]) -> list[Path]:
    """The files, and all studies that they import, directly or not."""
    for file in found:
        names = re.findall(r"from scripts\.studies\.(\w+) import", file.read_text("utf8"))
        files = [ROOT / "scripts" / "studies" / f"{name}.py" for name in names]
        found += [other for other in dict.fromkeys(files) if other not in found]
    return found


def beat(folder: Path, rounds: int) -> None:
    """Tell how many rounds of a unit are done."""
    (folder / "rounds").write_text(str(rounds))


def replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with whole_file(file) as part:
        part.write_bytes(content)


# --- who does them --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who works.

    workers: processes; 0 takes one per processor;   tries: how often a unit is tried that fails
    engine:  a name in ``ENGINES``;
             address: of a Ray cluster; None takes one that runs here, or starts one
    Raises ValueError for an unknown engine, an address without Ray, and counts that are too small;
    ImportError where Ray is asked for and not installed.
    """

    workers: int = 0
    tries: int = 2
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.address is not None and self.engine != "ray":
            raise ValueError(
                f"address is {self.address!r} but the engine is {self.engine!r}; only ray has one:"
                " --engine ray."
            )
        if self.workers < 0:
            raise ValueError(
                f"workers is {self.workers}, wanted a whole number >= 0; 0 takes one per processor."
            )
        check_least(1, tries=self.tries)
        if self.engine == "ray" and find_spec("ray") is None:
            raise ImportError("the engine 'ray' needs Ray: pip install 'marketenv[ray]'.")


@contextmanager
def _local(crew: Crew, count: int) -> Iterator[joblib.Parallel]:
    """Processes of this machine; one worker alone is this process itself."""
    workers = crew.workers or os.cpu_count() or 1
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        yield joblib.Parallel(
            min(workers, max(count, 2)), return_as="generator_unordered", batch_size=1
        )


@contextmanager
def _ray(crew: Crew, count: int) -> Iterator[joblib.Parallel]:
    """Ray as joblib's backend; its processes get the code of this repository and send back what
    they find.
    """
    import ray
    from ray.util.joblib.ray_backend import RayBackend

    if not ray.is_initialized():
        code = {"py_modules": [str(ROOT / name) for name in ("marketenv", "agents", "scripts")]}
        try:
            ray.init(
                crew.address,
                runtime_env=code,
                include_dashboard=False,
                logging_level="ERROR",
                log_to_driver=False,
            )
        except ConnectionError as error:
            raise ValueError(
                f"no Ray cluster at {crew.address}: {error}. Give the address that ray start --head"
                " told, and set up Ray's own access token on this machine where the cluster asks"
                " for one."
            ) from error
    there = int(ray.cluster_resources()["CPU"])
    # its pool calls back result by result, which is all that a generator needs; joblib's own pool
    # of this kind lacks it
    backend = type("RayBackend", (RayBackend,), {"supports_return_generator": True})
    joblib.register_parallel_backend("marketenv_ray", backend)
    with joblib.parallel_config("marketenv_ray"):
        yield joblib.Parallel(
            min(crew.workers or there, there, max(count, 2)),
            return_as="generator_unordered",
            batch_size=1,
        )


# A context in which joblib works for a crew: (crew, number of units) -> joblib.Parallel
ENGINES: dict[str, Callable[[Crew, int], AbstractContextManager[joblib.Parallel]]] = {
    "local": _local,
    "ray": _ray,
}


# --- the work -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """What came of some units.

    results: in their order, None where a unit failed;
        seconds: that each took when it was done, 0 where it failed
    errors:  the last line of each failure by the unit's number
    """

    results: list[Any]
    seconds: list[float]
    errors: dict[int, str]

    def all(self) -> list[Any]:
        """All results; RuntimeError where a unit failed, with what it said."""
        if self.errors:
            told = "; ".join(f"unit {number}: {text}" for number, text in self.errors.items())
            raise RuntimeError(
                f"{len(self.errors)} of {len(self.results)} units failed, the others are kept."
                f" {told}"
            )
        return self.results


def run(
    units: Sequence[Unit], folder: Path, label: str, crew: Crew | None = None, fresh: bool = False
) -> Ran:
    """Do the units that are not done yet, in processes of one thread each; every result is kept as
    it comes.

    A unit that fails is tried again after all others; what it said at last stands in the folder
    beside them (NAME.error).
    fresh: do everything again
    """
    folder.mkdir(parents=True, exist_ok=True)
    crew, files = crew or Crew(), [folder / f"{unit.name()}.json" for unit in units]
    if fresh:
        for file in files:
            with FileLock(file.with_suffix(".lock")):  # another run may be at it
                file.unlink(missing_ok=True)
                _empty(file.with_suffix(""))
    errors: dict[Path, str] = {}
    with watched(
        label, sum(unit.rounds for unit in units), lambda: sum(map(_rounds, units, files))
    ):
        for tries in range(crew.tries):
            left = {
                file: unit for unit, file in zip(units, files, strict=True) if not file.exists()
            }
            errors = _try(left, crew, alone=tries > 0)
    done = [
        json.loads(file.read_text()) if file.exists() else {"result": None, "seconds": 0.0}
        for file in files
    ]
    failed = {number: errors[file] for number, file in enumerate(files) if file in errors}
    return Ran([one["result"] for one in done], [one["seconds"] for one in done], failed)


def _try(left: Mapping[Path, Unit], crew: Crew, alone: bool) -> dict[Path, str]:
    """Do units once; what went wrong, by file. ``alone``: one after another, so that none can
    take others with it.
    """
    errors: dict[Path, str] = {}
    near = crew.engine == "local"
    for group in [[file] for file in left] if alone else [list(left)] * bool(left):
        with ENGINES[crew.engine](crew, len(group)) as parallel:
            try:
                with sheltered():
                    done = parallel(joblib.delayed(_do)(left[file], file, near) for file in group)
                for name, text, error in done:
                    _keep(Path(name), text, error, errors)
            # units hold their own exceptions: this is a worker that died, or a cluster that went
            except Exception as error:
                told = " ".join(str(error).split())[:300]
                for file in group:
                    if not file.exists() and file not in errors:
                        _keep(
                            file,
                            None,
                            f"its worker was lost: {type(error).__name__}: {told}",
                            errors,
                        )
    return errors


def _keep(file: Path, text: str | None, error: str | None, errors: dict[Path, str]) -> None:
    """Write what has come: a result from far away, or what went wrong."""
    if text is not None:
        replace(file, text.encode())
    if error is not None:
        replace(file.with_suffix(".error"), error.encode())
        errors[file] = error.strip().splitlines()[-1]
    else:
        file.with_suffix(".error").unlink(missing_ok=True)


def _do(unit: Unit, file: Path, near: bool) -> tuple[str, str | None, str | None]:
    """Do a unit in this process: (its file, the result where the caller has to write it, what
    went wrong).
    """
    try:
        if not near:
            with tempfile.TemporaryDirectory() as folder:
                return str(file), _work(unit, Path(folder)), None
        # another run may be at the same unit: wait for it, and take what it found
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
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the same numbers on every machine; processes use the others
    try:
        start = time.perf_counter()
        done = {
            "result": unit.work(folder, **unit.arguments),
            "seconds": time.perf_counter() - start,
        }
    finally:
        torch.set_num_threads(before)
    about = {
        "work": unit.work.__qualname__,
        "arguments": {k: str(v) for k, v in unit.arguments.items()},
    }
    return json.dumps(about | done)


def _empty(folder: Path) -> None:
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _rounds(unit: Unit, file: Path) -> int:
    if file.exists():
        return unit.rounds
    told = file.with_suffix("") / "rounds"
    try:
        return min(int(told.read_text()), unit.rounds)
    except (OSError, ValueError):  # not begun, or caught in the middle of a write
        return 0
