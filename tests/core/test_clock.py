"""Seconds on a clock."""

import time

import torch

from marketenv.core import clock


def test_a_clock_counts_seconds():
    start = clock.seconds(torch.device("cpu"))
    time.sleep(0.02)
    took = clock.seconds(torch.device("cpu")) - start
    assert 0.02 <= took < 10  # a sleep of 20 ms, on a machine that may be busy
