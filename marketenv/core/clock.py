"""Seconds of the named steps of a round."""

from __future__ import annotations

import time

import torch


class Clock:
    """Collects wall-clock seconds by name; waits for a GPU's work before it reads the time.

    >>> clock = Clock(torch.device("cpu"))
    >>> clock.lap("train"); sorted(clock.seconds)
    ['train']
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}
        self._last = self._now()

    def lap(self, name: str) -> None:
        """Book the time since the last lap under this name."""
        now = self._now()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
