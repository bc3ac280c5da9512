"""Named fields: where they lie, how they are packed, what their actions mean, and what is
refused.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core.fields import TOLERANCE, Choice, Field, Fields, Money, Multiple, Share
from marketenv.core.market import Move

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
        (
            [[0.0, torch.nan, 0.0]],
            r"action: 'bid' is nan at index \[0, 1\], wanted a number in \[-1, 1\]",
        ),
        (
            [[0.0, 0.0, 0.0], [0.0, 0.0, 4.001]],
            r"'effort' is 4.001 at index \[1, 2\], wanted a number in \[0, 4\]",
        ),
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


def test_a_field_is_found_by_its_name():
    assert FIELDS["effort"] is FIELDS.items[1]
    with pytest.raises(
        ValueError, match=r"no field 'efort'\. Did you mean 'effort'\? Known: bid, effort"
    ):
        FIELDS["efort"]


def test_two_fields_of_one_name_are_refused():
    with pytest.raises(ValueError, match="fields are named bid, ask, bid, wanted every name once"):
        Fields((Money("bid"), Money("ask"), Share("bid")))


# --- what actions mean ----------------------------------------------------------------------------


WIDE = {"low": 2.0, "high": 10.0}  # a box of another size: 6 is its middle
EVEN = {
    "itself": Field("x", **WIDE),
    "money": Money("x", least=1.0, most=9.0),
    "money in another box": Money("x", most=3.0, **WIDE),
    "multiple": Multiple("x", most=2.0),
    "share": Share("x"),
    "share in another box": Share("x", **WIDE),
}
TENS = {"by tens": Multiple("x", decades=1.0), "by hundreds": Multiple("x", decades=2.0, **WIDE)}
NAMED = Choice("upload", options=("honest", "noise", "ones"))
STAY = Choice("stay", options=("leave", "stay"), edges=(-0.9,))
numbers = pytest.mark.parametrize("field", (EVEN | TENS).values(), ids=EVEN | TENS)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_what_the_kinds_mean_by_hand():
    assert EVEN["itself"].read(tensor(2.0, 5.5)).tolist() == [2.0, 5.5]
    # 1 + (1 + a) / 2 * 8
    assert EVEN["money"].read(tensor(-1.0, 0.0, 0.5, 1.0)).tolist() == [1, 5, 7, 9]
    assert EVEN["money"].write(tensor(1.0, 3.0, 9.0)).tolist() == [-1, -0.5, 1]
    assert EVEN["money in another box"].read(tensor(2.0, 6.0, 10.0)).tolist() == [0, 1.5, 3]
    assert EVEN["multiple"].read(tensor(-1.0, 0.0, 1.0)).tolist() == [0, 1, 2]  # 0 is the truth
    assert EVEN["share"].write(tensor(0.0, 0.25, 1.0)).tolist() == [-1, -0.5, 1]
    assert TENS["by tens"].write(tensor(0.1, 1.0, 10.0)).tolist() == [-1, 0, 1]
    assert TENS["by tens"].read(tensor(0.5)).item() == pytest.approx(3.16227766)  # the root of ten
    # 10^2 lies at the upper end, 10^1 halfway
    assert TENS["by hundreds"].write(tensor(0.01, 1.0, 10.0)).tolist() == [2, 6, 8]


@numbers
def test_the_ends_of_the_box_mean_the_ends_of_the_range(field):
    ends = tensor(field.low, field.high)
    assert field.read(ends).tolist() == pytest.approx(field.range, rel=1e-15)
    assert torch.equal(field.write(tensor(*field.range)), ends.float())


@numbers
@given(part=st.floats(0, 1))
def test_reading_undoes_writing(field, part):
    least, most = field.range
    meaning = tensor(least + part * (most - least))
    action = field.write(meaning)
    assert action.dtype == torch.float32 and field.low <= float(action) <= field.high
    # half a unit of float32 in the box is 2^-24 of its larger end; a multiple by tens changes by ln
    # 10 times as much
    room = 2**-24 * max(abs(field.low), abs(field.high)) / (field.high - field.low)
    slope = (
        2 * 2.31 * getattr(field, "decades", 0.0) * float(meaning)
        if field in TENS.values()
        else most - least
    )
    assert float((field.read(action) - meaning).abs()) <= 1.01 * room * slope + 1e-15


@numbers
@given(place=st.floats(0, 1, width=32))
def test_writing_undoes_reading(field, place):
    action = torch.tensor([field.low + place * (field.high - field.low)], dtype=torch.float32)
    assert float(field.write(field.read(action))) == pytest.approx(float(action), abs=1e-6)


@numbers
@given(beyond=st.floats(0, 1e6))
def test_what_the_box_has_no_room_for_is_clipped(field, beyond):
    least, most = field.range
    written = field.write(tensor(least - beyond, most + beyond, -torch.inf, torch.inf))
    assert written.tolist() == [field.low, field.high] * 2


@given(places=st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2))
def test_more_of_the_box_never_means_less(places):
    low, high = sorted(places)
    for field in (*EVEN.values(), *TENS.values(), NAMED, STAY):
        scale = (field.high - field.low) / 2
        inside = tensor(low, high) * scale + (field.low + field.high) / 2
        less, more = field.read(inside).tolist()
        assert less <= more


def test_a_money_without_room_means_nothing_else():
    nothing = Money("ask", most=0.0)
    assert nothing.read(tensor(-1.0, 1.0)).tolist() == [0, 0] and nothing.write(
        tensor(0.0, 5.0)
    ).tolist() == [-1, -1]


def test_a_multiple_of_nothing_is_a_multiple_of_what_stands_in_its_place():
    """A type of 0 has no multiples: there the action says 1 + a times a stand-in, so that -1 is
    the truth, 0.
    """
    cost, truth = TENS["by tens"], tensor(0.0, 0.0, 0.0, 3.0)
    assert cost.read(tensor(-1.0, 0.0, 1.0, 1.0), truth).tolist() == [0, 1, 2, 10]
    assert cost.write(tensor(0.0, 1.0, 2.0, 10.0), truth).tolist() == [-1, 0, 1, 1]
    assert cost.write(tensor(-1.0, 7.0), tensor(0.0, 0.0)).tolist() == [-1, 1]
    # evenly, any multiple of 0 is 0 anyway
    assert EVEN["multiple"].read(tensor(0.5), tensor(0.0)).item() == 1.5


@given(meaning=st.floats(0.1, 2), zero=st.booleans())
def test_reading_undoes_writing_at_a_truth_of_0_too(meaning, zero):
    truth, cost = tensor(0.0 if zero else 5.0), TENS["by tens"]
    assert float(cost.read(cost.write(tensor(meaning), truth), truth)) == pytest.approx(
        meaning, rel=1e-6, abs=1e-6
    )


# --- options --------------------------------------------------------------------------------------


def test_a_choice_is_bins_and_an_edge_belongs_to_the_option_above():
    # the edges of three equal bins are -1/3 and 1/3; the float32 of -1/3 lies below it, that of 1/3
    # above
    third = 1 / 3
    near = torch.tensor([-1.0, -third - 1e-6, -third + 1e-6, 0.0, third - 1e-6, third + 1e-6, 1.0])
    assert NAMED.read(near).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert STAY.read(tensor(-1.0, -0.9 - 1e-9, -0.9, -0.9 + 1e-9, 1.0)).tolist() == [0, 0, 1, 1, 1]
    quarters = Choice("x", options=("a", "b", "c", "d"), **WIDE)
    assert quarters.read(tensor(2.0, 3.9, 4.0, 6.0, 8.0, 10.0)).tolist() == [0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("box", [{}, WIDE], ids=["box", "wide"])
def test_every_option_is_written_in_its_bin(n, box):
    field = Choice("x", options=tuple("abcdefghijkl"[:n]), **box)
    each = torch.arange(n).double()
    written = field.write(each)
    assert field.read(written).tolist() == each.tolist() and written.tolist() == sorted(
        written.tolist()
    )
    assert float(written[0]) == field.low and (n == 1 or float(written[-1]) == field.high)
    assert torch.equal(field.grid(2), written)  # whatever the number of points


def test_an_option_is_known_by_name():
    assert NAMED.number("noise") == 1 and NAMED.write(NAMED.number("noise")) == 0
    with pytest.raises(
        ValueError, match=r"no upload 'noize'\. Did you mean 'noise'\? Known: honest, noise, ones"
    ):
        NAMED.number("noize")


@pytest.mark.parametrize(
    ("options", "edges"),
    [
        ((), ()),
        (("a", "b", "a"), ()),
        (("a", "b"), (0.0, 0.5)),
        (("a", "b", "c"), (0.0,)),
        (("a", "b", "c"), (0.5, 0.0)),
        (("a", "b"), (-1.0,)),
        (("a", "b"), (1.5,)),
    ],
)
def test_options_that_are_no_bins_are_refused(options, edges):
    with pytest.raises(
        ValueError, match="wanted options, no two alike, and rising edges between them"
    ):
        Choice("x", options=options, edges=edges)


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            lambda: Choice("x", options=("a", "b"), edges=(float("nan"),)),
            r"edges of 'x'\[0\] is nan, wanted a finite number",
        ),
        (lambda: Choice("x", options=("a", 1)), r"options of 'x'\[1\] is 1, wanted text"),
        (lambda: Choice("x", options="abc"), "options of 'x' is 'abc', wanted a tuple of entries"),
        (
            lambda: Money("x", most=float("nan")),
            r"the range of field 'x' is \(0.0, nan\), wanted an interval",
        ),
        (lambda: Money("x", least=2.0, most=1.0), r"the range of field 'x' is \(2.0, 1.0\)"),
        (lambda: Multiple("x", decades=-1.0), "the range of field 'x'"),
        (lambda: Share("x", 0), "size of field 'x' is 0, wanted a whole number >= 1"),
        (lambda: Field("x", low=1.0, high=-1.0), r"the range of field 'x' is \(1.0, -1.0\)"),
        (lambda: Field("x", low=-float("inf")), r"the range of field 'x' is \(-inf, 1.0\)"),
    ],
)
def test_fields_that_cannot_be_are_refused(made, said):
    with pytest.raises(ValueError, match=said):
        made()


def test_a_multiple_is_as_wide_as_what_it_is_a_multiple_of():
    seen, does = Fields((Field("worth", 1, 0.0, 9.0),)), Fields((Multiple("bid", 2, of="worth"),))
    with pytest.raises(ValueError, match="'bid' has the size 2, wanted 1 as 'worth'"):
        Move(seen, does)


def test_a_grid_runs_evenly_from_end_to_end():
    assert Field("x", **WIDE).grid(5).tolist() == [2, 4, 6, 8, 10]
    assert Money("x", most=9.0).grid(3).tolist() == [-1, 0, 1]


# --- all fields of an action ----------------------------------------------------------------------


ACTION = Fields(
    (Money("bid", 2, most=4.0), Multiple("cost", decades=1.0, of="cost"), Share("effort"), NAMED)
)
MEANT = {
    "bid": torch.tensor([[1.0, 3.0], [4.0, 0.0]]),
    "cost": 10.0,
    "effort": 0.5,
    "upload": "ones",
}
LIKE = torch.zeros(2, 7)


def test_fields_write_numbers_rows_and_options():
    written = ACTION.write(LIKE, **MEANT)
    assert (
        written.tolist() == [[-0.5, 0.5, 1, 0, 1], [1, -1, 1, 0, 1]]
        and written.dtype == torch.float32
    )
    means = ACTION.read(written)
    assert means["bid"].tolist() == [[1, 3], [4, 0]] and means["upload"].tolist() == [[2], [2]]
    assert means["cost"].tolist() == [[10], [10]] and means["effort"].tolist() == [[0.5], [0.5]]


def test_a_meaning_may_be_whatever_broadcasts_to_its_field():
    one = ACTION.write(LIKE, **MEANT)
    for bid in (
        torch.tensor([1.0, 3.0]),
        torch.tensor([[1.0, 3.0]]),
        torch.tensor([[1, 3], [1, 3]]),
    ):
        assert ACTION.write(LIKE, **(MEANT | {"bid": bid}))[:, :2].tolist() == [[-0.5, 0.5]] * 2
    more = {
        "cost": torch.tensor(10.0),
        "effort": torch.tensor([[0.5], [0.5]]),
        "upload": torch.tensor([[2.0], [2.0]]),
    }
    assert torch.equal(ACTION.write(LIKE, **(MEANT | more)), one)
    assert ACTION.write(torch.zeros(3, 2, 7), **(MEANT | {"bid": 1.0})).shape == (3, 2, 5)


NO_OPTION = "'upload' is to mean no option, wanted numbers of its options, from 0 to"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"bids": 1.0},
            (
                r"write got \['bid', 'bids', 'cost', 'effort', 'upload'\], wanted \['bid', 'cost',"
                r" 'effort', 'upload'\]"
            ),
        ),
        ({"effort": float("nan")}, "'effort' is to mean NaN"),
        ({"bid": torch.tensor([1.0, torch.nan])}, "'bid' is to mean NaN"),
        *(
            (
                {"upload": torch.tensor([[0.0], [bad]])},
                "'upload' is to mean no option, wanted numbers of its options, from 0 to",
            )
            for bad in (torch.nan, torch.inf, 42.0, -1.0, 0.5)
        ),
        ({"upload": "one"}, r"no upload 'one'\. Did you mean 'ones'"),
        (
            {"effort": "full"},
            "'effort' is to mean 'full', wanted a number: it is no choice between options",
        ),
        (
            {"bid": torch.zeros(2, 3)},
            r"what 'bid' is to mean has shape \[2, 3\], wanted \[2, 2\] or one number for all",
        ),
        (
            {"cost": torch.ones(2)},
            r"what 'cost' is to mean has shape \[2\], wanted \[2, 1\] or one number for all",
        ),
        (
            {"bid": torch.zeros(2, dtype=torch.complex64)},
            "what 'bid' is to mean is .*wanted real numbers",
        ),
    ],
)
def test_fields_refuse_meanings_and_name_them(change, says):
    with pytest.raises(ValueError, match=says):
        ACTION.write(LIKE, **(MEANT | change))


def test_write_wants_every_field():
    with pytest.raises(ValueError, match="give every field once"):
        ACTION.write(LIKE, bid=1.0)


# --- a move ---------------------------------------------------------------------------------------


SEEN = Fields((Field("loss", 1, 0.0, 9.0), Field("cost", 1, 0.0, 9.0)))
CLIENT = Move(SEEN, ACTION, "client", 2)


def test_a_move_reads_and_writes_multiples_of_what_the_agent_sees():
    seen = SEEN.pack(loss=torch.ones(2, 1), cost=torch.tensor([[3.0], [0.0]]))
    written = CLIENT.write(seen, **(MEANT | {"cost": torch.tensor([[10.0], [0.0]])}))
    # ten times a cost of 3, and the truth about a cost of 0
    assert written[:, 2].tolist() == [1, -1]
    assert CLIENT.read(seen, written)["cost"].tolist() == [[10], [0]]
    # the truth, and the stand-in of a cost of 0
    assert CLIENT.read(seen, torch.zeros(2, 5))["cost"].tolist() == [[1], [1]]


def test_a_multiple_of_what_nobody_sees_is_refused():
    with pytest.raises(
        ValueError,
        match=r"no observed field for 'cost' to be a multiple of: 'cots'\. Did you mean 'cost'",
    ):
        Move(SEEN, Fields((Multiple("cost", decades=1.0, of="cots"),)))
    # of something that only the market knows
    free = Move(SEEN, Fields((Multiple("cost", decades=1.0),)))
    assert free.write(torch.zeros(1, 2), cost=10.0).tolist() == [[1]]
