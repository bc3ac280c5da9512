"""Wall-clock seconds of the phases of a round."""

from __future__ import annotations

import time

import torch


def seconds(device: torch.device) -> float:
    """A clock's seconds, read after the device has finished all its work.

    >>> start = seconds(torch.device("cpu"))
    >>> seconds(torch.device("cpu")) >= start
    True
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
