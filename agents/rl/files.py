"""The folder of one seed of a run: its lock, its settings, and the checkpoint to continue."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from marketenv.core.market import Market
from marketenv.core.saved import describe
from marketenv.core.storage import whole_file

from ..runs import POLICY_FILE
from . import checkpoint
from .config import TrainConfig

LOCK = "lock"  # file in the folder of a seed that is locked while a process trains there
FORMER = ("policy.json", "model.zip")  # written by older versions
FILES = ("result.json", POLICY_FILE, "progress.csv", "speed.csv", *FORMER)
FREE = ("out", "resume", "workers", "seeds", "checkpoint_every")  # they change no number of a run


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock a folder for this process, until it ends at the latest; make the folder if absent.

    Raises ValueError where another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"{folder} is in use: another process trains there. Wait for it, or give another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def seed_folder(config: TrainConfig, seed: int) -> Path:
    """Where the files of one seed lie."""
    assert config.out is not None
    return config.out / f"seed_{seed}"


def settings_of(
    config: TrainConfig, seed: int, market: Market, against: str | None
) -> dict[str, Any]:
    """All that the numbers of a run depend on, as JSON holds it."""
    settings = {name: part for name, part in dataclasses.asdict(config).items() if name not in FREE}
    settings |= {"seed": seed, "plays": describe(market), "against": against}
    return json.loads(json.dumps(settings))


def start_of(folder: Path, settings: dict[str, Any], resume: bool) -> Path | None:
    """The checkpoint to continue, None for a fresh run.

    Raises ValueError where the folder's run has other settings, or where that cannot be known.
    """
    last = checkpoint.latest(folder) if resume else None
    if last is None:
        return None
    if settings["against"] is None:
        raise ValueError(
            f"{folder} holds a run, and the opponents are an object that cannot be compared, so"
            " the run may be one against others. Give them by name ('module:name', run:folder),"
            " give another out, or give resume=False to begin anew there."
        )
    if settings["plays"] is None:
        raise ValueError(
            f"{folder} holds a run, and the market holds an object that cannot be compared, so"
            " the run may be one of another market. Give another out, or resume=False to begin"
            " anew there."
        )
    former = checkpoint.read_state(last)["settings"]
    _check_same(folder, former, settings)
    return last


def _check_same(folder: Path, former: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse to continue a run of fewer steps or of other settings."""
    if former["steps"] > settings["steps"]:
        raise ValueError(
            f"{folder} holds a run of {former['steps']} steps, not {settings['steps']}: steps can"
            " only be raised. Give at least as many, another --out, or --no-resume to begin anew"
            " there."
        )
    differences = [
        f"{name} {former.get(name)!r}, not {value!r}"
        for name, value in settings.items()
        if name != "steps" and former.get(name) != value
    ]
    if differences:
        raise ValueError(
            f"{folder} holds a run of other settings: {'; '.join(differences)}. Give another"
            " --out, the same settings, or --no-resume to begin anew there."
        )


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write ``result.json``."""
    with whole_file(folder / "result.json") as part:
        part.write_text(json.dumps(result, indent=1), encoding="utf8")


def clear(folder: Path) -> None:
    """Remove the files of a former run from the folder, also those of its agents."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    agents = {path.parent.name for path in folder.glob("*/policy.*")}
    for name in ("checkpoints", "tensorboard", *agents):
        shutil.rmtree(folder / name, ignore_errors=True)
