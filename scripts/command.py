"""What all command lines share: how they end, where they write, and tables that are not cut."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

GOES_ON = "What is done is kept, and the same command goes on from there."
WRONG, INTERRUPTED = 2, 130  # exit codes: what the user gave cannot be used; Ctrl-C, as shells count it


def run(script: Callable[[], int | None], interrupted: str = GOES_ON) -> NoReturn:
    """Run a script and exit: with its own code, or with one line on stderr for what was given wrongly and for Ctrl-C.

    interrupted: what Ctrl-C leaves, as one sentence
    Exit codes: 2 for ValueError, OSError and ImportError, which the user can mend; 130 for Ctrl-C.
    """
    signal.signal(signal.SIGINT, _interrupt)
    try:
        code = script()
    except KeyboardInterrupt:
        code = _told(INTERRUPTED, f"Interrupted. {interrupted}")
    except (ValueError, OSError, ImportError) as error:
        code = _told(WRONG, str(error))
    sys.exit(code or 0)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not disturb the clearing up
    raise KeyboardInterrupt


def _told(code: int, words: str) -> int:
    """Print words as one line on stderr; returns the code."""
    sys.stdout.flush()
    print(" ".join(words.split()), file=sys.stderr)
    return code


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    """Processes that are started in the body never hear of Ctrl-C: this one hears of it afterwards, and ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # they inherit what is ignored
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def check_folder(*folders: Path) -> None:
    """Make folders for results, before any work is done; ValueError for one in which nothing can be written."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ValueError(f"out: nothing can be written to {folder}: {error.strerror}. Give another --out.") from error


def check_file(file: Path) -> None:
    """Make the folder of a file of results, before any work is done; ValueError where the file cannot be written."""
    check_folder(file.parent)
    if file.exists() and not file.is_file():
        raise ValueError(f"out: {file} is no file. Give another --out.")


def check_least(least: int, **counts: int) -> None:
    """Raise ValueError for a count that is too small.

    >>> check_least(1, seeds=0)
    Traceback (most recent call last):
    ValueError: seeds is 0, wanted a whole number >= 1.
    """
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} is {count}, wanted a whole number >= {least}.")


def show(*tables: Table) -> None:
    """Print tables at one width at which no word is cut, nor any column that must not wrap: a narrow terminal wraps lines."""
    measure = Console(width=10_000)
    width = max(_needed(table, measure) for table in tables)
    console = Console(width=max(width, Console().width))
    for table in tables:
        console.print(table)


def _needed(table: Table, measure: Console) -> int:
    """The least width at which a table is whole."""
    for column in table.columns:
        cells = (Measurement.get(measure, measure.options, cell) for cell in (column.header, *column.cells))
        column.min_width = max(cell.maximum if column.no_wrap else cell.minimum for cell in cells)
    return Measurement.get(measure, measure.options, table).minimum
