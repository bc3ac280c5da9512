"""A progress bar for the work of other processes, which write down how much is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def watched(label: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Show a bar of ``done()`` of ``total`` while the body runs."""
    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    over = threading.Event()
    with Progress(*columns) as bar:
        task = bar.add_task(label, total=total)

        def _look() -> None:
            while not over.wait(0.5):
                bar.update(task, completed=done())

        thread = threading.Thread(target=_look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            bar.update(task, completed=done())
