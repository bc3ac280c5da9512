"""Time and memory of a call on its device; memory by the records of torch's own allocators."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from marketenv.core import clock


def timed(call: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Median seconds of a call, until the device has finished it; a first call warms up."""
    times = []
    for _ in range(repeats + 1):
        start = clock.seconds(device)
        call()
        times.append(clock.seconds(device) - start)
    return statistics.median(times[1:])


def allocated(call: Callable[[], Any], device: torch.device) -> int:
    """Most bytes that torch holds at once during a call, beyond those before it.

    On a GPU these are tensors and the workspaces that torch allocates, not those of libraries.
    """
    call()  # what is kept for good is made here
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as records:
        call()
    return _most(records)


def _most(records: Any) -> int:
    """The largest running sum of what was allocated, less what was freed."""
    sizes, events = [], records.profiler.kineto_results.experimental_event_tree()
    while events:
        event = events.pop()
        events += event.children
        if event.typed[0].name == "Allocation":
            sizes.append((event.start_time_ns, event.typed[1].alloc_size))
    most = now = 0
    for _, size in sorted(sizes, key=lambda pair: pair[0]):
        now += size
        most = max(most, now)
    return most
