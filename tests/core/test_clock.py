"""The clock books seconds under names."""

import time

import torch

from marketenv.core.clock import Clock


def test_laps_of_one_name_add_up():
    clock = Clock(torch.device("cpu"))
    for _ in range(2):
        time.sleep(0.01)
        clock.lap("train")
    clock.lap("align")
    assert clock.seconds["train"] >= 0.02 > clock.seconds["align"] >= 0  # two sleeps of 10 ms, then nothing
    assert list(clock.seconds) == ["train", "align"]
