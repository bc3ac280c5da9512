"""Named fields: where they lie, how they are packed, and what is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core.fields import TOLERANCE, Field, Fields

FIELDS = Fields((Field("bid", 2, -1.0, 1.0), Field("effort", 1, 0.0, 4.0)))


def test_names_lie_in_order():
    assert FIELDS.dim == 3  # 2 + 1
    assert FIELDS.slices == {"bid": slice(0, 2), "effort": slice(2, 3)}
    assert FIELDS.low.tolist() == [-1, -1, 0] and FIELDS.high.tolist() == [1, 1, 4]


def test_pack_clips_and_turns_nan_into_the_upper_bound():
    bid = torch.tensor([[-7.0, 0.5], [torch.nan, torch.inf]], dtype=torch.float64)
    packed = FIELDS.pack(effort=torch.tensor([[9.0], [-torch.inf]]), bid=bid)
    assert packed.tolist() == [[-1, 0.5, 4], [1, 1, 0]] and packed.dtype == torch.float32


def test_pack_wants_every_field_once():
    with pytest.raises(ValueError, match=r"pack got \['bid'\], wanted \['bid', 'effort'\]"):
        FIELDS.pack(bid=torch.zeros(1, 2))
    with pytest.raises(ValueError, match="give every field once"):
        FIELDS.pack(bid=torch.zeros(1, 2), effort=torch.zeros(1, 1), ask=torch.zeros(1, 1))


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2), st.floats(0, 4, width=32))
def test_unpack_undoes_pack_inside_the_bounds(bid, effort):
    parts = FIELDS.unpack(FIELDS.pack(bid=torch.tensor([bid]), effort=torch.tensor([[effort]])))
    assert parts["bid"].tolist() == [bid] and parts["effort"].tolist() == [[effort]]


def test_unpack_reads_past_padding():
    assert FIELDS.unpack(torch.arange(5.0))["effort"].tolist() == [2.0]


def test_check_returns_values_clipped_to_the_box():
    inside = torch.tensor([[1 + TOLERANCE / 2, -1.0, 0.0]])
    assert FIELDS.check(inside, "action").tolist() == [[1, -1, 0]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([[0.0, torch.nan, 0.0]], r"action: 'bid' is nan at index \[0, 1\], wanted a number in \[-1, 1\]"),
        ([[0.0, 0.0, 0.0], [0.0, 0.0, 4.001]], r"'effort' is 4.001 at index \[1, 2\], wanted a number in \[0, 4\]"),
        ([0.0, -torch.inf, 0.0], r"'bid' is -inf at index \[1\]"),
        ([[0.0, 0.0]], r"action has shape \[1, 2\], wanted \[..., 3\]: bid \(2\), effort \(1\)"),
        (0.0, r"action has shape \[\], wanted \[..., 3\]"),
    ],
)
def test_check_refuses_and_names_the_field(values, says):
    with pytest.raises(ValueError, match=says):
        FIELDS.check(torch.tensor(values), "action")


@given(st.floats(-1e6, 1e6))
def test_check_refuses_exactly_what_lies_further_out_than_the_tolerance(x):
    values = torch.tensor([x, 0.0, 0.0], dtype=torch.float64)
    if abs(x) <= 1 + TOLERANCE:
        assert abs(float(FIELDS.check(values, "action")[0])) <= 1
    else:
        with pytest.raises(ValueError, match="'bid'"):
            FIELDS.check(values, "action")
