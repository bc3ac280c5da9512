"""Shards: padded row numbers of one pool of examples."""

import torch

from marketenv.core.shards import Shards

# a pool of 5 examples x = 0, 10, .. 40; market 0's owners hold rows (3, 1) and (4); market 1's (0,
# 2) and (2, 3)
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
    assert flat.index.tolist() == [[3, 1], [4, 0], [0, 2], [2, 3]] and flat.size.tolist() == [
        2,
        1,
        2,
        2,
    ]
    assert flat.x is POOL.x  # examples are stored once


def test_select_takes_owners_in_order_and_no_wider_than_they_need():
    flat = POOL.flat()
    some = flat.select(torch.tensor([1, 3, 1]))
    assert some.index.tolist() == [[4, 0], [2, 3], [4, 0]] and some.size.tolist() == [1, 2, 1]
    assert flat.select(torch.tensor([1])).index.tolist() == [[4]]  # it owns one row
    assert some.x is POOL.x


def test_owners_of_one_pool_are_joined_without_copying_it():
    flat = POOL.flat()
    both = flat.select(torch.tensor([1])).joined(flat.select(torch.tensor([2])))
    assert (
        both.index.tolist() == [[4, 4], [0, 2]]
        and both.size.tolist() == [1, 2]
        and both.x is POOL.x
    )


def test_two_pools_become_one_without_the_rows_that_nobody_owns():
    flat = POOL.flat().select(torch.tensor([0]))  # rows 3 and 1
    other = Shards(flat.x + 1, flat.y.clone(), torch.tensor([[4, 2]]), torch.tensor([1]))  # row 4
    both = flat.joined(other)
    assert both.x[:, 0].tolist() == [10, 30, 41] and both.y.tolist() == [1, 3, 4]
    x, y, mask = both.padded()
    assert x[mask][:, 0].tolist() == [30, 10, 41] and y[mask].tolist() == [3, 1, 4]
    assert both.index.max() < 3  # padding names rows that exist


def test_padded_gives_all_examples_and_the_mask():
    x, y, mask = POOL.padded()
    assert x.shape == (2, 2, 2, 1) and torch.equal(x[..., 0], 10.0 * y)
    assert y[mask].tolist() == [3, 1, 4, 0, 2, 2, 3]
