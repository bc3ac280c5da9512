"""A folder that one process has for itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = "lock"  # file in the folder of a seed that is locked while a process trains there


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a folder, which is made, for this process alone; ValueError where another one has
    it. A kill lets it go.
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
