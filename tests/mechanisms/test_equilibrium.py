"""Closed-form equilibria, checked by playing them through the payment rules on fixed grids of
values and costs.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.mechanisms import (
    double_auction,
    first_price,
    first_price_equilibrium_bid,
    linear_equilibrium_ask,
    linear_equilibrium_bid,
    second_price,
)

UNIT = (0.0, 1.0, 0.0, 1.0)  # v ~ U[0, 1], c ~ U[0, 1]


def points(n, lo=0.0, hi=1.0):
    """Middles of n equal cells: a quadrature of U[lo, hi]."""
    return lo + (hi - lo) * (torch.arange(n).double() + 0.5) / n


def traded(bids, asks, values, costs, weight=0.5):
    """Mean payoffs of buyer and seller and the chance of trade when each value meets each cost
    once.
    """
    meetings = bids[None, :, None].expand(1, len(bids), len(asks)).contiguous()
    outcome = double_auction(meetings, asks[None], weight=weight)
    won, price = outcome.allocation[0].double(), outcome.prices[0]
    return (
        float((values[:, None] * won - price).mean()),
        float((price - costs * won).mean()),
        float(won.mean()),
    )


def test_closed_forms_on_the_unit_square():
    x = points(50)
    # Chatterjee and Samuelson 1983, example 1; below 1/4 no ask can be met and the cap bid <= v
    # binds, above 3/4 likewise
    assert torch.allclose(
        linear_equilibrium_bid(x, 0.5, *UNIT), torch.minimum(x, 2 * x / 3 + 1 / 12)
    )
    assert torch.allclose(
        linear_equilibrium_ask(x, 0.5, *UNIT), torch.maximum(x, 2 * x / 3 + 1 / 4)
    )


@settings(max_examples=40)
@given(v0=st.floats(0, 1), width=st.floats(1, 3), c0=st.floats(0, 1))
def test_closed_forms_at_weight_one_half(v0, width, c0):
    v1, x = v0 + width, points(20, v0, v0 + width)
    bid = linear_equilibrium_bid(x, 0.5, v0, v1, c0, 9.0, check=False)
    ask = linear_equilibrium_ask(x, 0.5, v0, v1, c0, 9.0, check=False)
    assert torch.allclose(bid, torch.minimum(x, 2 * x / 3 + (v1 + 3 * c0) / 12))
    assert torch.allclose(ask, torch.maximum(x, 2 * x / 3 + (3 * v1 + c0) / 12))


def test_payoffs_and_trade_at_equilibrium():
    x = points(1000)
    bids, asks = linear_equilibrium_bid(x, 0.5, *UNIT), linear_equilibrium_ask(x, 0.5, *UNIT)
    buyer, seller, chance = traded(bids, asks, x, x)
    # trade iff v - c >= 1/4: a triangle of side 3/4, area 9/32; the mean surplus over it is 9/64,
    # halved by symmetry
    assert (buyer, seller, chance) == pytest.approx((9 / 128, 9 / 128, 9 / 32), abs=1e-3)
    # E[(v - c)+] = 1/6 is the first best
    assert (buyer + seller) / (1 / 6) == pytest.approx(0.84375, abs=5e-3)


def test_shading_against_truthful_opponents_gains_a_third():
    x = points(1000)
    honest, _, _ = traded(x, x, x, x)
    assert honest == pytest.approx(1 / 12, abs=1e-3)
    shaded, _, _ = traded(2 * x / 3, x, x, x)  # buyer: the integral of v^2 / 3 is 1/9
    _, raised, _ = traded(x, (2 * x + 1) / 3, x, x)
    assert (shaded, raised) == pytest.approx((1 / 9, 1 / 9), abs=1e-3)
    assert shaded / honest - 1 == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("support", [UNIT, (0.8, 3.0, 1.0, 4.0)])
def test_nobody_gains_by_deviating(weight, support):
    v0, v1, c0, c1 = support
    values, costs, tried = (
        points(9, v0, v1),
        points(9, c0, c1),
        points(201, min(v0, c0), max(v1, c1)),
    )
    many_v, many_c = points(2000, v0, v1), points(2000, c0, c1)
    asks, bids = (
        linear_equilibrium_ask(many_c, weight, *support),
        linear_equilibrium_bid(many_v, weight, *support),
    )

    def buyer(bid):  # [buyers] bids -> payoff of each value [values, bids]
        outcome = double_auction(
            bid[None, :, None].expand(1, len(bid), len(asks)).contiguous(),
            asks[None],
            weight=weight,
        )
        chance, paid = outcome.allocation[0].double().mean(-1), outcome.prices[0].mean(-1)
        return values[:, None] * chance - paid

    def seller(ask):  # [sellers] asks -> payoff of each cost [costs, asks]
        outcome = double_auction(
            bids[None, :, None].expand(1, len(bids), len(ask)).contiguous(),
            ask[None],
            weight=weight,
        )
        chance, paid = outcome.allocation[0].double().mean(0), outcome.prices[0].mean(0)
        return paid - costs[:, None] * chance

    at_bid = buyer(linear_equilibrium_bid(values, weight, *support)).diagonal()
    at_ask = seller(linear_equilibrium_ask(costs, weight, *support)).diagonal()
    slack = 2e-3 * (v1 - v0)  # one quadrature cell is 5e-4 of the range
    assert (buyer(tried).amax(-1) <= at_bid + slack).all() and (
        seller(tried).amax(-1) <= at_ask + slack
    ).all()


def test_truth_is_no_equilibrium():
    # the check above must be able to fail: a truthful buyer of value 1 gains by bidding 2/3 against
    # truthful sellers
    x = points(1000)
    honest = double_auction(torch.ones(1, 1, 1000).double(), x[None]).prices.mean()
    shaded = double_auction(torch.full((1, 1, 1000), 2 / 3).double(), x[None])
    gain = float((shaded.allocation.double() - shaded.prices).mean() - (1 - honest))
    assert gain == pytest.approx(1 / 3 - 1 / 4, abs=2e-3)  # v^2 / 3 against v^2 / 4


@pytest.mark.parametrize(
    ("weight", "support"),
    [
        (0.5, (0.0, 1.0, 0.0, 0.5)),  # c1 = .5 < B = .75
        (0.5, (0.5, 1.0, 0.0, 1.0)),  # v0 = .5 > A = .25
        (0.5, (0.0, 1.0, 0.0, 0.0)),  # a known cost of 0, as for models that can be copied
    ],
)
def test_supports_without_an_exact_equilibrium_are_refused(weight, support):
    x = points(3)
    for line in (linear_equilibrium_bid, linear_equilibrium_ask):
        with pytest.raises(ValueError, match="no exact linear equilibrium"):
            line(x, weight, *support)
        assert line(x, weight, *support, check=False).isfinite().all()


def test_a_batch_of_supports():
    values, tops = points(3)[None].expand(2, 3), torch.tensor([[1.0], [2.0]]).double()
    whole = linear_equilibrium_bid(values, 0.5, 0.0, tops, 0.0, 2.0)
    alone = linear_equilibrium_bid(values[1], 0.5, 0.0, 2.0, 0.0, 2.0)
    assert torch.equal(whole[1], alone)
    with pytest.raises(ValueError, match="no exact"):
        linear_equilibrium_bid(values, 0.5, 0.0, tops, 0.0, torch.tensor([[1.0], [1.0]]).double())


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_weight_outside_its_range_is_refused(weight):
    with pytest.raises(ValueError, match="weight is"):
        linear_equilibrium_ask(points(3), weight, *UNIT)


def test_first_price_equilibrium():
    # .6 * 2/3
    assert first_price_equilibrium_bid(torch.tensor([0.6]), 3).item() == pytest.approx(0.4)
    with pytest.raises(ValueError, match="wanted a whole number >= 2 bidders"):
        first_price_equilibrium_bid(torch.tensor([0.6]), 1)


def test_first_price_revenue_equals_second_price_revenue():
    n = 400
    values = torch.cartesian_prod(points(n), points(n))[:, :, None]
    asks = torch.zeros(len(values), 1).double()
    first = first_price(first_price_equilibrium_bid(values, 2), asks).prices.sum((1, 2)).mean()
    second = second_price(values, asks).prices.sum((1, 2)).mean()
    # (n - 1) / (n + 1) for n = 2
    assert (float(first), float(second)) == pytest.approx((1 / 3, 1 / 3), abs=2e-3)


@pytest.mark.parametrize("n", [2, 3])
def test_no_better_bid_against_first_price_equilibrium(n):
    rival = first_price_equilibrium_bid(points(2000), n) if n == 2 else None
    for value in (0.2, 0.5, 0.9):
        tried = torch.cat([points(100), torch.tensor([value * (n - 1) / n]).double()])
        # two rivals: the chance that both bid less is the square of one's, (3 b / 2)^2
        if rival is None:
            chance = (tried * n / (n - 1)).clamp(max=1) ** (n - 1)
            payoffs = (value - tried) * chance
        else:
            bids = torch.stack([tried[:, None].expand(-1, 2000), rival.expand(len(tried), -1)], 1)
            outcome = first_price(bids, torch.zeros(len(tried), 2000).double())
            payoffs = (value * outcome.allocation[:, 0].double() - outcome.prices[:, 0]).mean(-1)
        assert float(payoffs.max()) <= float(payoffs[-1]) + 1e-3
