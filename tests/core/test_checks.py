"""Arguments come in one plain form or are refused in words: what came, what was wanted, what to
do.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core import checks

ARRAYS = [[3], np.array([3]), torch.tensor([3])]
NONE_OF_THEM = [
    None,
    "3",
    b"3",
    math.nan,
    object(),
    [],
    {},
    1j,
    np.complex64(1),
    np.ma.masked,
    *ARRAYS,
]
TRUTHS = [True, np.True_, np.array(True), torch.tensor(True)]
TABLE = {"total": sum, "most": max}


def refusal(check, value, *rest, **more):
    """The words with which a check refuses a value."""
    with pytest.raises(ValueError) as caught:
        check(value, "size", *rest, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor(3, dtype=torch.uint8)],
)
def test_a_whole_number_of_any_kind_is_an_int(value):
    assert type(checks.whole(value, "size")) is int and checks.whole(value, "size", 3, 3) == 3


@pytest.mark.parametrize(
    "value",
    [
        *NONE_OF_THEM,
        True,
        np.True_,
        torch.tensor(True),
        3.0,
        np.float64(3),
        torch.tensor(3.0),
        math.inf,
    ],
)
def test_what_is_no_whole_number_is_refused_by_its_name(value):
    assert refusal(checks.whole, value, 1).startswith(
        "size is "
    ) and "wanted a whole number >= 1." in refusal(checks.whole, value, 1)


@given(st.integers(), st.integers(-5, 5), st.integers(0, 9))
def test_whole_numbers_from_least_to_most_are_taken_and_no_others(value, least, width):
    if least <= value <= least + width:
        assert checks.whole(value, "size", least, least + width) == value
    else:
        assert (
            refusal(checks.whole, value, least, least + width)
            == f"size is {value}, wanted a whole number from {least} to {least + width}."
        )


def test_a_large_power_of_two_is_said_as_one():
    said = "size is -1, wanted a whole number from 0 to 2**32 - 1; give another."
    assert refusal(checks.whole, -1, 0, 2**32 - 1, "; give another") == said


def test_whole_numbers_end_where_those_of_tensors_do():
    assert checks.whole(2**63 - 1, "size") == 2**63 - 1
    assert refusal(checks.whole, 2**63).endswith("wanted a whole number from 0 to 2**63 - 1.")


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        np.float32(2),
        np.int8(2),
        np.array(2.0),
        torch.tensor(2.0),
        torch.tensor(2),
        Fraction(2),
    ],
)
def test_a_real_number_of_any_kind_is_a_float(value):
    assert type(checks.number(value, "size")) is float and checks.number(value, "size") == 2.0


@pytest.mark.parametrize(
    "value",
    [
        *NONE_OF_THEM,
        True,
        np.True_,
        torch.tensor(True),
        torch.tensor(1j),
        torch.tensor(1.0, device="meta"),
        10**400,
        math.inf,
    ],
)
def test_what_is_no_finite_number_is_refused_by_its_name(value):
    assert refusal(checks.number, value, 0).startswith(
        "size is "
    ) and "wanted a finite number >= 0." in refusal(checks.number, value, 0)


@pytest.mark.parametrize(
    ("value", "bounds", "wanted"),
    [
        (-0.1, {"least": 0.0}, "a finite number >= 0"),
        (1.1, {"least": 0.0, "most": 1.0}, "a finite number >= 0 and <= 1"),
        (0.0, {"above": 0.0}, "a finite number > 0"),
        (1.0, {"least": 0.0, "below": 1.0}, "a finite number >= 0 and < 1"),
        (-math.inf, {"least": 0.0, "infinite": True}, "a number >= 0"),
        (-math.inf, {}, "a finite number"),
    ],
)
def test_a_bound_is_kept_and_said(value, bounds, wanted):
    assert refusal(checks.number, value, **bounds) == f"size is {value!r}, wanted {wanted}."


def test_bounds_themselves_are_taken_unless_they_are_open():
    assert checks.number(0, "size", 0.0, 1.0) == 0.0 and checks.number(1, "size", 0.0, 1.0) == 1.0
    assert checks.number(math.inf, "size", 0.0, infinite=True) == math.inf  # a limit that sets none
    assert refusal(checks.number, 1e9, 0.0, below=1e9).endswith("< 1e+09.")


@pytest.mark.parametrize("value", TRUTHS)
def test_a_flag_is_a_bool(value):
    assert checks.flag(value, "size") is True


@pytest.mark.parametrize("value", [*NONE_OF_THEM, 0, 1, 1.0, "True"])
def test_nothing_but_true_and_false_is_a_flag(value):
    assert "wanted True or False" in refusal(checks.flag, value)


@pytest.mark.parametrize("value", [20, None, "cuts", ("cut",), [], {}])
def test_a_choice_is_one_of_the_names_and_nothing_else(value):
    assert checks.choice("cut", "size", ("end", "cut")) == "cut"
    assert refusal(checks.choice, value, ("end", "cut")).startswith(f"no size {value!r}.")


def test_a_named_part_is_an_entry_or_an_object_of_its_kind():
    assert checks.named_part("most", "rule", TABLE, "a callable") is max
    assert checks.named_part(min, "rule", TABLE, "a callable", takes=1) is min
    assert checks.named_part(3, "rule", TABLE, "an int", kind=int) == 3


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "size is 5, wanted a name (total, most) or a callable numbers -> number."),
        (None, "size is None, wanted a name (total, most) or a callable numbers -> number."),
        ("totel", "no size 'totel'. Did you mean 'total'? Known: most, total."),
        (
            dict,
            (
                "size is <class 'dict'>, wanted a name (total, most) or a callable numbers ->"
                " number: this is the class dict, make"
            ),
        ),
    ],
)
def test_another_part_is_refused(value, said):
    assert refusal(checks.named_part, value, TABLE, "a callable numbers -> number").startswith(said)


def test_a_callable_of_other_arguments_is_refused_before_it_is_called():
    assert "it is called with 2 arguments" in refusal(
        checks.named_part, lambda bids: bids, TABLE, "a callable", takes=2
    )


@pytest.mark.parametrize(
    "value",
    [(0, 2), [0, 2], np.array([0, 2]), torch.tensor([0.0, 2.0]), (np.float32(0), Fraction(2))],
)
def test_an_interval_is_two_floats(value):
    low, high = checks.interval(value, "size", 0.0)
    assert (low, high) == (0.0, 2.0) and type(low) is type(high) is float


@pytest.mark.parametrize(
    "value",
    [
        *NONE_OF_THEM,
        5.0,
        (1,),
        (0, 1, 2),
        (2, 1),
        (-1, 1),
        (0, math.inf),
        (0, math.nan),
        ("0", "1"),
        "01",
        {0: 1, 1: 2},
    ],
)
def test_what_is_no_interval_is_refused(value):
    assert "wanted an interval (low, high), 0 <= low <= high, both finite" in refusal(
        checks.interval, value, 0.0
    )


def test_an_interval_has_a_top_and_may_have_to_be_more_than_a_point():
    assert (
        refusal(checks.interval, (0, 11), 0.0, 10.0)
        == "size is (0, 11), wanted an interval (low, high), 0 <= low <= high <= 10."
    )
    assert checks.interval((1, 1), "size", 0.0) == (1.0, 1.0)
    assert "0 <= low < high" in refusal(checks.interval, (1, 1), 0.0, apart=True)


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("value", [(-math.inf, 1.0), (-math.inf, -math.inf), (math.nan, 1.0)])
def test_an_interval_without_a_floor_is_finite_all_the_same(value):
    assert checks.interval((-1e300, 1.0), "size", -math.inf) == (-1e300, 1.0)
    said = refusal(checks.interval, value, -math.inf)
    assert said.endswith("wanted an interval (low, high), low <= high, both finite.")


@pytest.mark.parametrize(
    "value", [(1, 2), [1, 2], range(1, 3), np.array([1, 2]), torch.tensor([1, 2])]
)
def test_entries_come_as_a_tuple(value):
    assert checks.each(value, "size", checks.whole, 2) == (1, 2)


@pytest.mark.parametrize(
    "value", [None, 5, "12", b"12", object(), {}, {1, 2}, (1,), (1, 2, 3), np.ones((2, 2))]
)
def test_another_number_of_entries_is_refused(value):
    said = refusal(checks.each, value, checks.whole, 2, "rounds", ", or None")
    assert said.endswith("wanted a tuple of 2 rounds, one for each agent, or None.")


def test_an_entry_is_refused_by_its_place():
    assert (
        refusal(checks.each, (1, "2"), checks.whole)
        == "size[1] is '2', wanted a whole number >= 0."
    )
    nested = lambda value, name: checks.each(value, name, checks.whole)  # noqa: E731
    assert (
        refusal(checks.each, ((1,), (1, None)), nested)
        == "size[1][1] is None, wanted a whole number >= 0."
    )


def test_one_stands_for_all_or_there_is_one_for_each():
    assert checks.one_or_each(1, "size", checks.number, 2, "numbers") == 1.0
    assert checks.one_or_each([1, 2], "size", checks.number, 2, "numbers") == (1.0, 2.0)
    assert "2 numbers, one for each agent, or one for all" in refusal(
        checks.one_or_each, [1], checks.number, 2, "numbers"
    )
    assert (
        refusal(checks.one_or_each, "1", checks.number, 2, "numbers")
        == "size is '1', wanted a finite number."
    )


def test_options_are_copied_and_unknown_ones_get_a_neighbour():
    given_ = {"hidden": 1}
    taken = checks.options(given_, "size", ("hidden",))
    assert taken == given_ and taken is not given_
    assert (
        refusal(checks.options, {"hiden": 1}, ("hidden", "memory"))
        == "no entry of size 'hiden'. Did you mean 'hidden'? Known: hidden, memory."
    )


@pytest.mark.parametrize("value", [None, 5, "x", [("a", 1)], {1: 2}])
def test_options_are_a_mapping_from_names(value):
    assert "wanted a mapping from names to values" in refusal(checks.options, value)


def test_keywords_are_those_beyond_the_first_arguments():
    assert checks.keywords(lambda a, b, c=1, *, d=2: 0, 2) == ("c", "d")
    assert checks.keywords(lambda a, **more: 0, 1) is None


def test_a_long_value_is_shown_in_one_short_line():
    said = refusal(checks.whole, np.arange(10_000.0).reshape(100, 100))
    assert len(said) < 200 and "\n" not in said and "(a ndarray)" in said


@pytest.mark.parametrize(
    "value",
    [
        b"ab",
        bytearray(b"ab"),
        memoryview(b"ab"),
        torch.ones(2).to_sparse(),
        torch.ones(2, device="meta"),
    ],
    ids=type,
)
def test_what_lists_no_numbers_is_no_interval(value):
    """Bytes are numbers to Python, and a tensor without values has none to list."""
    with pytest.raises(ValueError, match=r"costs is .*, wanted an interval"):
        checks.interval(value, "costs", 0.0, 200.0)
