"""Names are found, and unknown ones get their neighbour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core.lookup import lookup, unknown

TABLE = {"first_price": 1, "second_price": 2, "posted_price": 3}


def test_a_name_gives_its_entry():
    assert lookup(TABLE, "second_price", "mechanism") == 2


@pytest.mark.parametrize("value", [20, None, "cuts", ("first_price",), [], {}])
def test_what_is_no_name_of_the_table_is_refused(value):
    with pytest.raises(
        ValueError, match=r"no mechanism .* Known: first_price, posted_price, second_price"
    ):
        lookup(TABLE, value, "mechanism")


def test_an_unknown_name_gets_its_neighbour_and_the_sorted_list():
    with pytest.raises(ValueError) as caught:
        lookup(TABLE, "secondprice", "mechanism")
    # the form that docs and style page promise, word by word
    assert (
        str(caught.value)
        == "no mechanism 'secondprice'. Did you mean 'second_price'? Known: first_price,"
        " posted_price, second_price."
    )


def test_a_name_like_nothing_gets_no_neighbour():
    assert "Did you mean" not in str(unknown("mechanism", "zzz", TABLE))
    assert "Known: first_price, posted_price, second_price." in str(
        unknown("mechanism", "zzz", TABLE)
    )


@given(st.sampled_from(sorted(TABLE)), st.data())
def test_one_wrong_letter_still_finds_the_neighbour(name, data):
    k = data.draw(st.integers(0, len(name) - 1))
    with pytest.raises(ValueError, match=f"Did you mean '{name}'"):
        lookup(TABLE, name[:k] + "#" + name[k + 1 :], "mechanism")
