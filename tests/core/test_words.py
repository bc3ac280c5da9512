"""Arguments in words: equal in every process, different for different arguments."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from marketenv.core.words import plain
from marketenv.data.augmentation import Augmentation, crop
from marketenv.learners import Training


def test_parts_are_told_without_addresses():
    # a function's own repr holds where it lies in memory, which differs from process to process
    told = plain(Training(augment=Augmentation(("flip", crop, partial(crop, pad=1)), 3)))
    wanted = "augment=Augmentation(names=('flip', crop, crop(; {pad: 1})), n_agents=3))"
    assert told.startswith("Training(optimizer='sgd', learning_rate=0.1,") and told.endswith(wanted)


def test_numbers_of_numpy_are_told_by_value():
    assert plain(np.float32(5)) == plain(5.0) != plain(np.float32(50)) and plain(np.arange(3)) == "int64[3]"
    assert plain(Path("a/b")) == "'a/b'" and plain({"b", "a"}) == "{'a', 'b'}"


def test_what_differs_is_told_apart():
    assert plain({"a": [1, "1"]}) == "{a: (1, '1')}"
    assert plain(None) == "None" and plain(partial(crop, pad=1)) != plain(partial(crop, pad=2))
    assert plain(torch.zeros(2, 3)) == "torch.float32[2, 3]" and plain(object()) == "object"
