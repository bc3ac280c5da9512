"""Arguments of a market as words of a command line."""

import math

import pytest

from agents.arguments import read_arguments


@pytest.mark.parametrize(
    ("market", "word", "value"),
    [
        ("reference_v0", "n_buyers=None", None),
        ("reference_v0", "values=(0, 2)", (0, 2)),
        ("reference_v0", "costs=[0, 1]", [0, 1]),
        ("marketenv/reference-v0", "game=first_price", "first_price"),
        ("parameter_trading_v0", "layers=(0, 2)", (0, 2)),
        ("parameter_trading_v0", "sabotage=1", 1),
        ("parameter_trading_v0", "offered_layers=(None, (0,))", (None, (0,))),
        ("parameter_trading_v0", "data_options={'rows': 3}", {"rows": 3}),
        ("model_sharing_v0", "credit=inf", math.inf),
        ("parameter_trading_v0", "cash=-inf", -math.inf),
        ("reference_v0", "reserve=+inf", math.inf),
        ("model_sharing_v0", "learner=None", None),
    ],
)
def test_words_are_python_values_or_themselves(market, word, value):
    assert list(read_arguments(market, (word,)).values()) == [value]


@pytest.mark.parametrize(
    ("market", "word", "said"),
    [
        ("reference_v0", "n_buyers=x", "n_buyers of reference_v0 is 'x', wanted int"),
        ("reference_v0", "max_cycles=2.5", "wanted int"),
        ("reference_v0", "max_cycles=True", "wanted int"),
        ("reference_v0", "game=1", "game of reference_v0 is 1, wanted str"),
        ("reference_v0", "values=(0, 1, 2)", "wanted tuple"),
        ("reference_v0", "values=1", "wanted tuple"),
        ("reference_v0", "gane=first_price", "Did you mean 'game'"),
        ("reference_v0", "first_price", "wanted key=value"),
        ("reference_v1", "game=first_price", "Did you mean 'reference_v0'"),
        ("parameter_trading_v0", "credit=x", "wanted float"),
        ("parameter_trading_v0", "credit=-+inf", "wanted float"),
        ("parameter_trading_v0", "data_options=3", "wanted collections.abc.Mapping"),
    ],
)
def test_what_a_market_cannot_take_is_named_with_what_it_wants(market, word, said):
    with pytest.raises(ValueError, match=said):
        read_arguments(market, (word,))


def test_arguments_with_an_option_of_their_own_are_refused():
    with pytest.raises(ValueError, match="give max_cycles by --rounds"):
        read_arguments("reference_v0", ("max_cycles=3",), {"max_cycles": "--rounds"})


def test_an_argument_is_given_once():
    with pytest.raises(
        ValueError, match=r"'n_buyers=4' and another n_buyers before it; give it once"
    ):
        read_arguments("reference_v0", ("n_buyers=3", "n_buyers=4"))
