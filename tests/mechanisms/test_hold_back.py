"""Hold-backs: worked rows, money that is all accounted for, and what a seller gains by
delivering less.
"""

import functools
import math

import pytest
import torch
from data_cases import money
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.mechanisms import RELEASES, hold_back, procurement
from marketenv.mechanisms.hold_back import all_or_nothing

# name: rows of (price, share, promised, realised, (at once, released, returned), where they come
# from)
WORKED = {
    "proportional": [
        (8, 0.5, 0.4, 0.1, (4, 1, 3), "4 wait, 0.1 / 0.4 of them are released"),
        (8, 0.5, 0.4, 0.9, (4, 4, 0), "0.9 / 0.4 > 1 releases the 4 and no more"),
        (
            8,
            0.5,
            0.4,
            -0.2,
            (4, 0, 4),
            "a loss releases 0, and takes nothing of what was paid at once",
        ),
        (8, 0.25, 0.0, -1.0, (6, 2, 0), "nothing was promised, so all 2 are released"),
        (8, 0.25, -0.1, -1.0, (6, 2, 0), "a promise <= 0 releases all"),
        (8, 0.0, 0.4, 0.0, (8, 0, 0), "a share of 0 holds nothing back"),
        (8, 1.0, 0.4, 0.3, (0, 6, 2), "a share of 1 pays 8 * 0.3 / 0.4"),
        (0, 0.5, 0.4, 0.3, (0, 0, 0), "0 is split in zeros"),
    ],
    "all_or_nothing": [
        (8, 0.5, 0.4, 0.37, (4, 4, 0), "0.37 >= 0.9 * 0.4 = 0.36 is near enough"),
        (8, 0.5, 0.4, 0.35, (4, 0, 4), "0.35 < 0.36"),
        (8, 0.25, 0.0, -1.0, (6, 2, 0), "a promise <= 0 releases all"),
    ],
}
EVERY = pytest.mark.parametrize("release", sorted(RELEASES))


def split(price, share, promised, realised, **options):
    """One market, buyer and seller: the three parts as numbers."""
    parts = hold_back(
        money([[[price]]]), *(money([[x]]) for x in (share, promised, realised)), **options
    )
    return tuple(float(x) for x in (parts.at_once, parts.released, parts.returned))


def test_every_release_has_a_worked_row():
    assert WORKED.keys() == RELEASES.keys()


@EVERY
def test_worked_rows(release):
    for *given_numbers, parts, reason in WORKED[release]:
        assert split(*given_numbers, release=release) == pytest.approx(parts, rel=1e-15), reason


def test_the_tolerance_of_all_or_nothing():
    strict = functools.partial(all_or_nothing, tolerance=0.0)
    assert split(8, 0.5, 0.4, 0.4, release=strict) == (4, 4, 0) and split(
        8, 0.5, 0.4, 0.399, release=strict
    ) == (4, 0, 4)
    for tolerance in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"tolerance is .* may be missing"):
            all_or_nothing(money([[[1]]]), money([[[1]]]), tolerance=tolerance)


def test_a_gain_may_be_measured_for_all_or_for_each_seller():
    prices, share = money([[[8, 8], [4, 0]]]), money([[0.5, 1.0]])
    everybody = hold_back(prices, share, money([[0.4, 0.4]]), money([[0.2, 0.1]]))
    assert everybody.released[0].tolist() == [[2, 2], [1, 0]]  # half of 4 each; a quarter of 4
    each = hold_back(prices, share, money([[0.4, 0.4]]), money([[[0.4, 0.0], [0.1, 0.1]]]))
    # the first delivered all, the second nothing
    assert each.released[0].tolist() == [[4, 0], [1, 0]]
    both = hold_back(prices, share, money([[[0.4, 0.0], [0.2, 0.1]]]), money([[0.2, 0.1]]))
    assert both.released[0].tolist() == [[2, 4], [2, 0]]  # .2 / .4; no promise; .1 / .2


def random_sales(seed, markets=30, buyers=2, sellers=4):
    key = torch.tensor(seed)
    u = [draws.uniform(draws.fold(key, k), markets, buyers, sellers) for k in range(4)]
    prices = torch.where(
        u[0] < 0.2, 0.0, 10 ** (600 * draws.uniform(key, markets, 1, 1) - 300) * u[1]
    )
    share = draws.integers(draws.fold(key, 4), 5, markets, buyers) / 4
    return prices, torch.where(share == 0.5, u[0][..., 0], share), 2 * u[2] - 0.5, 2 * u[3] - 0.5


@EVERY
@settings(max_examples=40)
@given(seed=st.integers(0, 2**40))
def test_all_money_is_accounted_for_to_the_bit(release, seed):
    prices, *terms = random_sales(seed)
    parts = hold_back(prices, *terms, release=release)
    three = (parts.at_once, parts.released, parts.returned)
    assert all((part >= 0).all() for part in three)
    for first, second, third in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert torch.equal(three[first] + three[second] + three[third], prices)


@EVERY
@settings(max_examples=20)
@given(seed=st.integers(0, 2**40))
def test_the_parts_are_what_the_formula_says(release, seed):
    prices, share, promised, realised = random_sales(seed)
    parts = hold_back(prices, share, promised, realised, release=release)
    whole = {
        "proportional": realised / promised,
        "all_or_nothing": (realised / promised >= 0.9).double(),
    }[release]
    part = torch.where(promised > 0, whole.clamp(0, 1), 1.0)
    waiting = prices * share[..., None]
    assert ((parts.at_once - (prices - waiting)).abs() <= 1e-15 * prices).all()
    assert ((parts.released - waiting * part).abs() <= 1e-15 * prices).all()
    assert not parts.returned[part == 1].any() and not parts.released[part == 0].any()


@EVERY
@settings(max_examples=20)
@given(seed=st.integers(0, 2**40))
def test_more_gain_never_costs_the_seller_money(release, seed):
    prices, share, promised, realised = random_sales(seed)
    less, more = (
        hold_back(prices, share, promised, gain, release=release)
        for gain in (realised, realised + 0.2)
    )
    assert (more.at_once + more.released >= less.at_once + less.released).all()
    assert (more.released > less.released).any()


def test_who_expects_less_than_its_price_gains_by_a_higher_ask():
    # two sellers of equal value, B = 4, the other asks 1: bought up to an ask of 2, at 2. At h = 1
    # and half of the promised gain, 1 is paid: a loss for a cost of 1.5, so asking 1.5 / .5 = 3,
    # which does not sell, is better.
    def earned(ask, gain, cost=1.5):
        outcome = procurement(money([[1, ask]]), money([[1, 1]]), money([4]))
        parts = hold_back(outcome.prices, money([[1.0]]), money([[0.4]]), money([[gain]]))
        sold, paid = (
            bool(outcome.allocation[0, 0, 1]),
            float((parts.at_once + parts.released)[0, 0, 1]),
        )
        return paid - cost if sold else 0.0

    assert earned(1.5, 0.2) == -0.5 < earned(3.0, 0.2) == 0.0
    assert earned(1.5, 0.4) == 0.5 > earned(3.0, 0.4)  # who delivers its promise asks its cost


def test_a_release_of_ones_own():
    rows = money([[[0.4, -0.2]]]), money([[[0.1, 0.3]]])
    squared = hold_back(
        money([[[8, 8]]]), money([[0.5]]), *rows, release=lambda p, r: (r / p).clamp(0, 1) ** 2
    )
    # 4 / 16; nothing was promised
    assert squared.released[0, 0].tolist() == pytest.approx([0.25, 4])

    def careless(promised, realised):
        realised.zero_()
        return realised

    hold_back(money([[[8, 8]]]), money([[0.5]]), *rows, release=careless)
    assert rows[1].tolist() == [[[0.1, 0.3]]]


BAD = {  # words of the error: (prices, share, promised, realised, release)
    "price -1 at index": ([[[-1]]], [[0.5]], [[1]], [[1]], "proportional"),
    "price inf at index": ([[[math.inf]]], [[0.5]], [[1]], [[1]], "proportional"),
    r"share 1.5 at index \[0, 0\]; wanted a number from 0 to 1": (
        [[[1]]],
        [[1.5]],
        [[1]],
        [[1]],
        "proportional",
    ),
    "share nan": ([[[1]]], [[math.nan]], [[1]], [[1]], "proportional"),
    "promised gain inf": ([[[1]]], [[0.5]], [[math.inf]], [[1]], "proportional"),
    "realised gain nan": ([[[1]]], [[0.5]], [[1]], [[math.nan]], "proportional"),
    r"prices \[1, 1, 2\], share \[1, 1\], promised \[1, 2\] .* do not fit": (
        [[[1, 1]]],
        [[1]],
        [[1, 1]],
        [[1]],
        "proportional",
    ),
    "no release 'proportion'. Did you mean 'proportional'": (
        [[[1]]],
        [[0.5]],
        [[1]],
        [[1]],
        "proportion",
    ),
    r"release is .* wanted a name \(proportional, all_or_nothing\) or": (
        [[[1]]],
        [[0.5]],
        [[1]],
        [[1]],
        lambda p: p,
    ),
    "release returned the part 2 at index .* from 0 to 1": (
        [[[1]]],
        [[0.5]],
        [[1]],
        [[1]],
        lambda p, r: p + r,
    ),
    "release returned the part nan": ([[[1]]], [[0.5]], [[1]], [[1]], lambda p, r: 0 * p / 0),
    r"release returned the part of shape \[1, 1\]": (
        [[[1]]],
        [[0.5]],
        [[1]],
        [[1]],
        lambda p, r: p[0],
    ),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_split_is_refused(message):
    *numbers, release = BAD[message]
    with pytest.raises(ValueError, match=message):
        hold_back(*(money(x) for x in numbers), release=release)


@pytest.mark.usefixtures("as_for_a_user")
def test_money_of_another_type_is_refused():
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match=r"prices is torch\.float32"):
        hold_back(one[None], one, one, one)
