"""Regrets against auctions whose best deviations are known, and selection that does not flatter."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.metrics import Interval, epsilon_equilibrium, ex_ante_loss, interim_loss, regret

PAIRS = 2400
FACTORS = torch.linspace(0, 1.5, 61, dtype=torch.float64)  # of the own value; .5 and 1 among them


def auction(first_price, n=PAIRS):
    """Own value, utilities of bidding each factor of it, and of the truth, against one truthful
    rival; values uniform.
    """
    v, w = draws.uniform(torch.tensor(11), 2, n)
    bids = FACTORS[:, None] * v
    paid = bids if first_price else w
    utilities = torch.where(bids >= w, v - paid, 0.0)
    return v, utilities, utilities[40]  # the factor 1


def test_first_price_regrets_have_closed_forms():
    _, utilities, truthful = auction(first_price=True)
    found = regret(utilities, truthful, scale=0.5)
    assert float(FACTORS[40]) == 1.0 and float(truthful.abs().max()) == 0.0  # truth pays its value
    # ex post the best bid is just w: gain max(0, v - w), mean 1/6, nearly reached by 61 factors: a
    # lower bound
    assert 1 / 6 - 0.02 < found.mean_lower_bound.mean < 1 / 6 + 0.005
    # P(v - w > x) = (1 - x)^2 / 2 = .01 at .86
    assert found.max_lower_bound <= 1.0 and found.quantile_lower_bound <= 0.91
    assert found.relative_lower_bound == pytest.approx(2 * found.mean_lower_bound.mean)
    # one factor c for all: E (1 - c) v c v = c (1 - c) / 3, best at 1/2: 1/12
    assert float(FACTORS[found.deviation]) == pytest.approx(0.5, abs=0.08)
    assert found.single_lower_bound.low <= 1 / 12 <= found.single_lower_bound.high


def test_second_price_has_no_regret():
    _, utilities, truthful = auction(first_price=False)
    found = regret(utilities, truthful)
    # Vickrey 1961
    assert (found.mean_lower_bound.mean, found.max_lower_bound, found.quantile_lower_bound) == (
        0.0,
        0.0,
        0.0,
    )
    assert (
        found.single_lower_bound == Interval(0.0, 0.0, 0.0) and found.relative_lower_bound is None
    )


def test_an_overbid_alone_is_worse_than_the_truth_and_says_so():
    _, utilities, truthful = auction(first_price=False)
    found = regret(utilities[-1:], truthful)
    assert found.max_lower_bound == 0.0  # clipped: one may stay truthful
    # bidding 1.5 v wins wrongly where v < w < 1.5 v, and loses w - v there: v^2 / 8 below v = 2/3,
    # (1 - v)^2 / 2 above: (2/3)^3 / 24 + (1/3)^3 / 6 = 1/54
    assert found.single_lower_bound.low <= -1 / 54 <= found.single_lower_bound.high < 0


def test_choosing_among_noise_shows_no_gain():
    """40 deviations of pure noise: the clipped maximum says 2, the judged single one covers 0
    in about 95 % of 100 cases.
    """
    hits = 0
    for simulation in range(100):
        found = regret(
            draws.normal(torch.tensor(simulation), 40, 80), torch.zeros(80, dtype=torch.float64)
        )
        hits += found.single_lower_bound.low <= 0 <= found.single_lower_bound.high
        # the mean of the largest of 40 normal numbers is 2.16
        assert found.mean_lower_bound.low > 1.5
    assert hits >= 88  # 95 less three standard errors of 2.2


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**40),
    deviations=st.integers(1, 5),
    pairs=st.integers(2, 60),
    scale=st.floats(1e-3, 1e3),
)
def test_regrets_scale_and_are_never_negative(seed, deviations, pairs, scale):
    utilities, truthful = (
        draws.normal(torch.tensor(seed), deviations, pairs),
        draws.normal(torch.tensor(seed + 1), pairs),
    )
    found = regret(utilities, truthful, scale=1.0)
    # clipping stands for staying truthful
    with_truth = regret(torch.cat([utilities, truthful[None]]), truthful)
    assert with_truth.mean_lower_bound == found.mean_lower_bound
    assert (
        0 <= found.mean_lower_bound.mean <= found.max_lower_bound
        and found.quantile_lower_bound <= found.max_lower_bound
    )
    assert found.single_lower_bound.mean <= found.max_lower_bound
    scaled = regret(scale * utilities, scale * truthful, scale=scale)
    assert scaled.max_lower_bound == pytest.approx(scale * found.max_lower_bound)
    assert scaled.relative_lower_bound == pytest.approx(found.relative_lower_bound)
    assert scaled.deviation == found.deviation


# --- at each type ---------------------------------------------------------------------------------


def test_interim_loss_of_a_first_price_auction_grows_with_the_square_of_the_value():
    v, utilities, truthful = auction(first_price=True)
    found = interim_loss(v, utilities, truthful, bins=4)
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    for value, loss, best in zip(
        middle.tolist(), found.loss_lower_bounds, found.deviation, strict=True
    ):
        # value v bids b < v: b (v - b), best v^2 / 4 at v / 2; a bin 1/4 wide adds 1/4^2 / 48 to
        # the mean of v^2 / 4
        assert loss.low <= value**2 / 4 + 1 / 768 <= loss.high
        # low values win too seldom to tell
        assert value < 0.25 or float(FACTORS[best]) == pytest.approx(0.5, abs=0.16)
    assert found.ex_ante.low <= 1 / 12 <= found.ex_ante.high  # E v^2 / 4
    assert ex_ante_loss(v, utilities, truthful, bins=4) == found.ex_ante


def test_each_type_may_have_its_own_deviation():
    types = torch.arange(512).double() // 256  # first zeros, then ones
    # the first deviation helps type 0, the second type 1
    gains = torch.stack([1 - 2 * types, 2 * types - 1])
    found = interim_loss(types, gains, torch.zeros(512).double(), bins=2)
    assert found.deviation.tolist() == [0, 1]
    assert [loss.mean for loss in found.loss_lower_bounds] == [
        1.0,
        1.0,
    ] and found.ex_ante == Interval(1.0, 1.0, 1.0)
    single = regret(gains, torch.zeros(512).double())
    # one deviation for all types wins here and loses there
    assert single.single_lower_bound.mean == pytest.approx(0.0)


def test_a_lowest_type_that_repeats_is_a_bin_of_its_own():
    """37 % of the pairs have type 0, where the deviation gains 1, the others type 1, where it
    loses 1.
    """
    types = (torch.arange(1000) % 100 >= 37).double()
    gains = (1 - 2 * types)[None]
    found = interim_loss(types, gains, torch.zeros(1000).double(), bins=10)
    assert found.edges.tolist() == [0.0, 0.0, 1.0]
    assert [loss.mean for loss in found.loss_lower_bounds] == [1.0, -1.0]
    # judged on the odd pairs: of each 50 of them 18 have type 0
    assert found.ex_ante.mean == pytest.approx(0.36 - 0.64)


def test_one_type_is_one_bin():
    found = interim_loss(
        torch.ones(600).double(), torch.ones(1, 600).double(), torch.zeros(600).double(), bins=10
    )
    assert found.edges.tolist() == [1.0, 1.0] and found.loss_lower_bounds == (
        Interval(1.0, 1.0, 1.0),
    )


def test_repeated_types_share_a_bin():
    types = torch.tensor([0.0, 1.0]).double().repeat_interleave(20)
    found = interim_loss(types, torch.zeros(1, 40).double(), torch.zeros(40).double(), bins=10)
    assert len(found.loss_lower_bounds) == len(found.edges) - 1 <= 3


def test_all_bins_hold_at_once():
    """Pure noise in four bins: each with 95 % they would all hold in 81 % of 40 cases, 33;
    together they shall in 38.
    """
    hits, together = 0, 0
    for simulation in range(40):
        key = torch.tensor(simulation)
        noise = draws.normal(draws.fold(key, "noise"), 20, 400)
        found = interim_loss(draws.uniform(key, 400), noise, torch.zeros(400).double(), bins=4)
        hits += all(loss.low <= 0 <= loss.high for loss in found.loss_lower_bounds)
        together += found.ex_ante.low <= 0 <= found.ex_ante.high
    # 38 less two standard errors of 1.4; who judges on the chosen pairs sees gains
    assert hits >= 35 and together >= 35


@pytest.mark.parametrize(
    ("losses", "epsilon", "verdict"),
    [
        ([(0.0, -0.1, 0.1), (0.1, 0.0, 0.2)], 0.2, True),
        ([(0.0, -0.1, 0.1), (0.1, 0.0, 0.2)], 0.15, None),  # the second may be above
        ([(0.0, None, None), (0.1, 0.0, 0.2)], 0.2, None),  # the first is not known
        ([(0.3, 0.1, 0.5)], 0.2, None),  # the mean is above, and may be by chance
        ([(0.0, None, None), (0.3, 0.25, 0.35)], 0.2, False),  # one that gains is enough
    ],
)
def test_epsilon_equilibrium(losses, epsilon, verdict):
    assert epsilon_equilibrium([Interval(*loss) for loss in losses], epsilon) is verdict


# --- errors ---------------------------------------------------------------------------------------

ZEROS = torch.zeros(4, dtype=torch.float64)


def test_what_does_not_fit_is_refused():
    for bad in (ZEROS[None, :1], ZEROS[None] * math.nan, ZEROS[None][:0]):
        with pytest.raises(ValueError, match="wanted finite"):
            regret(bad, ZEROS[: bad.shape[1]])
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="scale"):
            regret(ZEROS[None], ZEROS, scale=scale)
    with pytest.raises(ValueError, match="too few"):
        interim_loss(torch.arange(4).double(), ZEROS[None], ZEROS, bins=4)
    for lonely in (0, 1):  # the only pair of the upper bin is one to choose by, or one to judge by
        types = torch.ones(4, dtype=torch.float64)
        types[lonely], types[lonely + 2] = 2, 0
        with pytest.raises(ValueError, match="too few"):
            interim_loss(types, ZEROS[None], ZEROS, bins=2)
    with pytest.raises(ValueError, match="bins"):
        interim_loss(torch.arange(4).double(), ZEROS[None], ZEROS, bins=0)
    with pytest.raises(ValueError, match="finite type"):
        interim_loss(ZEROS * math.nan, ZEROS[None], ZEROS)
    with pytest.raises(ValueError, match="epsilon"):
        epsilon_equilibrium([], 0.1)
    with pytest.raises(ValueError, match="epsilon"):
        epsilon_equilibrium([Interval(0.0, None, None)], math.nan)


def test_the_quantile_is_that_of_99_percent():
    """Gains of 0, 1, ..., 199: 99 % of the 199 steps is 197.01, so 197 is the highest observed
    one below it.
    """
    gains = torch.arange(200).double()[None]
    assert regret(gains, torch.zeros(200).double()).quantile_lower_bound == 197
