"""CPU seconds of a call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def cpu_seconds(call: Callable[[], Any], repeats: int, warm: int = 3) -> float:
    """Median CPU seconds of a call, which leave other programs' work out."""
    for _ in range(warm):
        call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)
