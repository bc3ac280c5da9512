"""Files that are whole or not there, and a folder that one process has for itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

LOCK = "lock"  # file in the folder of a seed: the number of the process that trains there


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Another path to write to; what was written there takes the file's place at once, and after an error nothing does."""
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a folder, which is made, for this process alone; ValueError where another one that lives has it.

    The lock of a process that is gone is taken over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    try:
        lock.touch(exist_ok=False)
    except FileExistsError as error:
        owner = lock.read_text(encoding="utf8").strip()
        if _lives(owner):
            raise ValueError(
                f"{folder} is in use: process {owner or '(unknown)'} trains there. Wait for it, give another --out, or "
                f"remove {lock} if that process is no training."
            ) from error
    lock.write_text(str(os.getpid()), encoding="utf8")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _lives(owner: str) -> bool:
    """Whether another process of this number runs; yes where that cannot be known."""
    if not owner.isdigit() or os.name != "posix":  # elsewhere signal 0 is no mere question
        return True
    if int(owner) == os.getpid():
        return False
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
