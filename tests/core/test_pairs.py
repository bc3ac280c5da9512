"""Pair matrices without their diagonal, and back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core.pairs import others, pairs_of


def test_rows_keep_the_others_in_order():
    pairs = torch.arange(9.0).reshape(1, 3, 3)
    # by hand: row 0 keeps columns 1, 2; row 1 keeps 0, 2; row 2 keeps 0, 1
    assert others(pairs).tolist() == [[[1, 2], [3, 5], [6, 7]]]
    # back, by hand: the diagonal 0, 4, 8 is lost and comes back as zeros
    assert pairs_of(others(pairs)).tolist() == [[[0, 1, 2], [3, 0, 5], [6, 7, 0]]]


@given(
    st.integers(1, 4), st.integers(2, 7), st.sampled_from([torch.float64, torch.int64, torch.bool])
)
def test_each_undoes_the_other(markets, n, dtype):
    numbers = torch.arange(1, markets * n * n + 1).reshape(markets, n, n)
    pairs = (numbers % 2 == 0 if dtype == torch.bool else numbers.to(dtype)).masked_fill(
        torch.eye(n, dtype=torch.bool), 0
    )
    seen = others(pairs)
    assert seen.shape == (markets, n, n - 1) and seen.dtype == dtype
    assert torch.equal(pairs_of(seen), pairs)
    assert torch.equal(others(pairs_of(seen)), seen)
    # the same by index: entry k of row i is column k, or k + 1 from the diagonal on
    assert all(seen[0, i, k] == pairs[0, i, k + (k >= i)] for i in range(n) for k in range(n - 1))
