"""Every gain of the table: a worked example, and what must hold for all totals."""

import math
from fractions import Fraction

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.mechanisms import GAINS, GainFamily
from marketenv.mechanisms.gain_families import InverseSqrt

# name: (scale, before, added, need, marginal, where it comes from)
WORKED = {
    "inverse_sqrt": (
        1.0,
        1.0,
        1.0,
        100.0,
        10 - 10 / math.sqrt(2),
        "arXiv 2505.02462, G_i: sqrt(100 / 1) - sqrt(100 / 2)",
    ),
    "log": (2.0, 2.0, 4.0, 3.0, 3 * math.log(2), "3 (log(1 + 6/2) - log(1 + 2/2)) = 3 log 2"),
    "sqrt": (4.0, 4.0, 12.0, 3.0, 3.0, "3 (sqrt(16 / 4) - sqrt(4 / 4)) = 3 (2 - 1)"),
    "hill": (
        2.0,
        2.0,
        4.0,
        4.0,
        1.0,
        "4 (6 / 8 - 2 / 4) = 4 * .25; 2 samples are the half of the saturation",
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(GAINS))
amount = st.floats(1e-3, 1e7)


def money(value):
    return torch.tensor(value, dtype=torch.float64)


def test_every_gain_has_a_worked_example():
    assert WORKED.keys() == GAINS.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@EVERY
def test_worked_example(name):
    scale, before, added, need, marginal, reason = WORKED[name]
    gain = GAINS[name](scale)
    assert float(gain.marginal(money(before), money(added), money(need))) == pytest.approx(
        marginal, rel=1e-14
    ), reason
    values = gain.value(money([before, before + added]), money(need))
    assert float(values[1] - values[0]) == pytest.approx(marginal, rel=1e-14), reason


@EVERY
@settings(max_examples=60)
@given(before=amount, added=amount, need=st.floats(1e-3, 1e6), more=st.floats(1e-3, 10.0))
def test_data_add_worth_and_ever_less_of_it(name, before, added, need, more):
    gain = GAINS[name]()
    now, later = (
        float(gain.marginal(money(x), money(added), money(need)))
        for x in (before, before * (1 + more))
    )
    assert now > later > 0
    parts = gain.marginal(money([before, before + added]), money([added, more]), money(need))
    whole = gain.marginal(money(before), money(added + more), money(need))
    # the pieces of a purchase are worth the whole
    assert float(parts.sum()) == pytest.approx(float(whole), rel=1e-9)
    assert (
        float(gain.marginal(money(before), money(added), money(0.0)))
        == 0
        == float(gain.value(money(before), money(0.0)))
    )


def exact(name, before, added):
    """The marginal of a gain with scale 1 and K = 1, before and before + added squares, in
    exact arithmetic.
    """
    x, y = Fraction(before), Fraction(before) + Fraction(added)
    root = {z: Fraction(math.isqrt(int(z))) for z in (x, y)}
    return {
        "inverse_sqrt": 1 / root[x] - 1 / root[y],
        "sqrt": root[y] - root[x],
        "hill": y / (y + 1) - x / (x + 1),
    }[name]


@pytest.mark.parametrize("name", ["inverse_sqrt", "sqrt", "hill"])
def test_little_data_beside_much_keep_their_digits(name):
    # (2^26)^2 and (2^26 + 1)^2 = 2^52 + 2^27 + 1: subtracting the values would leave 7 of 16 digits
    before, added = 2.0**52, 2.0**27 + 1
    found = float(GAINS[name](1.0).marginal(money(before), money(added), money(1.0)))
    assert found == pytest.approx(float(exact(name, before, added)), rel=1e-14)
    assert float(
        GAINS["log"](1.0).marginal(money(1e16 - 1), money(1.0), money(1.0))
    ) == pytest.approx(1e-16, rel=1e-12)


def closed_form(name, worth, added, need, scale):
    """The total before the last ``added`` samples, each family's own equation solved for it; <=
    0: there is none.
    """
    if name == "log":  # K log(1 + n / (s + y)) = C
        return added / math.expm1(min(worth / need, 700)) - scale
    if name == "sqrt":  # sqrt(y + n) - sqrt(y) = d = C sqrt(s) / K, so sqrt(y) = (n - d^2) / 2 d
        d = worth * math.sqrt(scale) / need
        return ((added - d * d) / (2 * d)) ** 2 if added > d * d else 0.0
    # hill: z (z + n) = K s n / C, z = s + y
    start = (-added + math.sqrt(added**2 + 4 * need * scale * added / worth)) / 2
    return start - scale


@pytest.mark.parametrize("name", ["log", "sqrt", "hill"])
@settings(max_examples=40)
@given(worth=st.floats(1e-2, 10.0), added=st.floats(1.0, 1e5), need=st.floats(1.0, 100.0))
def test_bisection_finds_what_the_equation_gives(name, worth, added, need):
    gain = GAINS[name]()
    found = float(gain.threshold(money(worth), money(added), money(need)))
    wanted = added + max(closed_form(name, worth, added, need, gain.scale), 0.0)
    # the closed forms cancel, the bisection does not
    assert found == pytest.approx(wanted, rel=1e-7)


@EVERY
@settings(max_examples=60)
@given(worth=st.floats(1e-4, 1e4), added=amount, need=st.floats(1e-2, 1e6))
def test_at_the_threshold_the_last_data_are_worth_the_price(name, worth, added, need):
    gain = GAINS[name]()
    before = gain.threshold(money(worth), money(added), money(need)) - added
    if float(before) > 1e-3 * added:  # below, the subtraction here has lost the digits
        assert float(gain.marginal(before, money(added), money(need))) == pytest.approx(
            worth, rel=1e-8
        )


def test_the_papers_threshold():
    # K = 5e5, N = 5000, hurdle 1 + 2 = 3: sqrt(5e5) (1 / sqrt(4892.32) - 1 / sqrt(9892.32)) =
    # 10.1094 - 7.1094 = 3
    assert float(InverseSqrt().threshold(money(3.0), money(5000.0), money(5e5))) == pytest.approx(
        9892.3235, abs=1e-4
    )


@settings(max_examples=100)
@given(worth=st.floats(1e-12, 1e12), added=st.floats(1e-6, 1e9), need=st.floats(0, 1e12))
def test_newton_is_bisection(worth, added, need):
    gain = InverseSqrt()
    newton, halved = (
        f(money(worth), money(added), money(need))
        for f in (gain.beyond, super(InverseSqrt, gain).beyond)
    )
    assert float(newton) == pytest.approx(float(halved), rel=1e-12, abs=1e-290)


VALUES = {  # g of a total x for K and s, to as many digits as mpmath is told to keep
    "inverse_sqrt": lambda x, need, scale: -mpmath.sqrt(need * scale / x),
    "log": lambda x, need, scale: need * mpmath.log(1 + x / scale),
    "sqrt": lambda x, need, scale: need * mpmath.sqrt(x / scale),
    "hill": lambda x, need, scale: need * x / (x + scale),
}
wide = st.floats(-150, 150).map(lambda exponent: 10.0**exponent)


def difference(name, before, added, need, scale):
    """g(x + n) - g(x) with 700 digits, so that the subtraction leaves enough of them."""
    with mpmath.workdps(700):
        x, n, k, s = (mpmath.mpf(value) for value in (before, added, need, scale))
        return VALUES[name](x + n, k, s) - VALUES[name](x, k, s)


@pytest.mark.long
@EVERY
@settings(max_examples=100)
@given(before=wide, added=wide, need=st.floats(1e-3, 1e6))
def test_what_data_add_keeps_its_digits_at_every_size(name, before, added, need):
    gain = GAINS[name]()
    wanted = difference(name, before, added, need, gain.scale)
    assert float(gain.marginal(money(before), money(added), money(need))) == pytest.approx(
        float(wanted), rel=1e-13, abs=1e-300
    )


@EVERY
@settings(max_examples=60)
@given(before=st.floats(-9, 9), added=st.floats(-3, 9), need=st.floats(1e-3, 1e6))
def test_what_lies_beyond_keeps_its_digits_at_every_size(name, before, added, need):
    """The total is recovered from what the last data were worth there, also where it is next to
    nothing beside them.
    """
    gain, before, added = GAINS[name](), 10.0**before, 10.0**added
    worth = difference(name, before, added, need, gain.scale)
    # the worth is rounded to float64: where it hardly depends on the total, that alone moves the
    # total
    with mpmath.workdps(60):
        steep = abs(
            float(
                (difference(name, before * (1 + 1e-6), added, need, gain.scale) / worth - 1) / 1e-6
            )
        )
    found = float(gain.beyond(money(float(worth)), money(added), money(need)))
    assert steep < 1e-12 or found == pytest.approx(before, rel=1e-12 + 1e-14 / steep)


@EVERY
@pytest.mark.parametrize("worth", [5e-324, 1e-320, 1e-305, 1e-200, 1e200, 1e308])
@pytest.mark.parametrize("need", [0.0, 1e-300, 1.0, 1e300])
@pytest.mark.parametrize("added", [1e-300, 1.0, 1e300])
def test_no_number_makes_a_threshold_nan(name, worth, need, added):
    found = GAINS[name]().threshold(money(worth), money(added), money(need))
    assert not found.isnan() and float(found) >= added


@EVERY
def test_ends_of_the_threshold(name):
    need = money([1.0, 1.0, 0.0])
    found = GAINS[name]().threshold(money([0.0, 1e9, 1.0]), money(10.0), need).tolist()
    # free data are never too many; data that cost 1e9, or that nobody needs, are not worth it even
    # first
    assert found[0] == math.inf and found[1:] == pytest.approx([10.0, 10.0], rel=1e-12)


@EVERY
@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_bad_scales_are_refused(name, scale):
    with pytest.raises(ValueError, match=r"scale is .* wanted a finite number"):
        GAINS[name](scale)


def test_a_family_needs_its_two_functions():
    for call in (
        lambda g: g.value(money(1.0), money(1.0)),
        lambda g: g.marginal(money(1.0), money(1.0), money(1.0)),
    ):
        with pytest.raises(NotImplementedError):
            call(GainFamily())
