"""Looks at numbers that take one pass."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core.numbers import finite, has_nan, total

FLOATS = st.lists(st.floats(width=32), max_size=9)


@given(FLOATS, st.floats(-10, 10))
def test_finite_and_nan_are_as_each_number_says(numbers, least):
    values = torch.tensor(numbers, dtype=torch.float64)
    real = all(map(math.isfinite, numbers))
    assert finite(values) == real
    assert finite(values, least) == (real and all(number >= least for number in numbers))
    assert has_nan(values) == any(map(math.isnan, numbers))


@pytest.mark.parametrize("size", [0, 1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_a_total_is_the_sum_to_the_bit(size, axis):
    shape = [5, 4, 3]
    shape[axis] = size
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(total(values, axis), values.sum(axis))
