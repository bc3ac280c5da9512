"""Shards: padded row numbers of one pool of examples."""

import torch

from marketenv.core.shards import Shards

# a pool of 5 examples x = 0, 10, .. 40; market 0's owners hold rows (3, 1) and (4); market 1's (0, 2) and (2, 3)
POOL = Shards(
    x=torch.arange(5.0)[:, None] * 10,
    y=torch.arange(5),
    index=torch.tensor([[[3, 1], [4, 0]], [[0, 2], [2, 3]]]),
    size=torch.tensor([[2, 1], [2, 2]]),
)


def test_the_mask_marks_what_counts():
    assert POOL.mask.tolist() == [[[True, True], [True, False]], [[True, True], [True, True]]]


def test_flat_joins_the_owners_of_all_markets():
    flat = POOL.flat()
    assert flat.index.tolist() == [[3, 1], [4, 0], [0, 2], [2, 3]] and flat.size.tolist() == [2, 1, 2, 2]
    assert flat.x is POOL.x  # examples are stored once


def test_padded_gives_all_examples_and_the_mask():
    x, y, mask = POOL.padded()
    assert x.shape == (2, 2, 2, 1) and torch.equal(x[..., 0], 10.0 * y)
    assert y[mask].tolist() == [3, 1, 4, 0, 2, 2, 3]
