"""Every payment rule of the table: a worked example with its reason, and what must hold for all
reports.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.core.ledger import Ledger, net
from marketenv.mechanisms import (
    MECHANISMS,
    check_reports,
    double_auction,
    first_price,
    nash_bargaining,
    second_price,
)

# name: (bids [buyers, sellers], asks [sellers], prices [buyers, sellers], where the prices come
# from)
WORKED = {
    "nash_bargaining": (
        [[0, 4], [6, 0]],
        [2, 1],
        [[0, 2.5], [4, 0]],
        (
            "Huang et al. 2023, eq. 1: P_A - P_B = (y + a - x - b) / 2 = (6 + 2 - 4 - 1) / 2 = 1.5,"
            " canonical (2+6)/2 and (1+4)/2"
        ),
    ),
    "double_auction": (
        [[6, 0.5], [1, 4]],
        [2, 4],
        [[4, 0], [0, 4]],
        (
            "Huang et al. 2023, Algorithm 1: (bid + ask) / 2 where bid >= ask: (6+2)/2, (4+4)/2; .5"
            " < 4 and 1 < 2 fail"
        ),
    ),
    "posted_price": (
        [[6, 0.5], [1, 4]],
        [2, 4],
        [[2, 0], [0, 4]],
        "Myerson 1981: take it or leave it, the price is the ask",
    ),
    "first_price": (
        [[6, 3], [1, 4]],
        [2, 5],
        [[6, 0], [0, 0]],
        "Vickrey 1961: the winner pays its bid 6; 4 < 5 sells nothing",
    ),
    "second_price": (
        [[6, 3], [4, 5], [1, 1]],
        [2, 4.5],
        [[4, 0], [0, 4.5], [0, 0]],
        (
            "Vickrey 1961: the second bid 4 is above the ask 2; the second bid 3 is below the ask"
            " 4.5, which is paid"
        ),
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(MECHANISMS))


def money(values):
    return torch.tensor(values, dtype=torch.float64)


def test_every_rule_has_a_worked_example():
    assert WORKED.keys() == MECHANISMS.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@EVERY
def test_worked_example(name):
    bids, asks, prices, reason = WORKED[name]
    outcome = MECHANISMS[name](money([bids]), money([asks]))
    assert outcome.prices.tolist() == [prices], reason
    assert outcome.allocation.tolist() == [[[p > 0 for p in row] for row in prices]]
    assert outcome.transfers is outcome.prices


@st.composite
def coarse_reports(draw):
    """Reports on a coarse grid, so that ties, zeros, equal bids and asks, and goods not for
    sale are common.
    """
    markets, buyers, sellers = (draw(st.integers(1, 4)) for _ in range(3))
    key = torch.tensor(draw(st.integers(0, 2**40)))
    bids = draws.integers(key, 5, markets, buyers, sellers) * 0.1
    asks = draws.integers(draws.fold(key, 1), 6, markets, sellers) * 0.1
    return bids.double(), torch.where(asks == 0.5, math.inf, asks.double())


@st.composite
def fine_reports(draw, square=False):
    """Reports without ties: uniform on (0, 1)."""
    buyers = draw(st.integers(1, 5))
    sellers = buyers if square else draw(st.integers(1, 5))
    key = torch.tensor(draw(st.integers(0, 2**40)))
    return draws.uniform(key, 2, buyers, sellers), draws.uniform(draws.fold(key, 1), 2, sellers)


@EVERY
@settings(max_examples=40)
@given(reports=coarse_reports())
def test_nobody_loses_by_its_own_report(name, reports):
    bids, asks = reports
    outcome = MECHANISMS[name](bids, asks)
    won, wanted = outcome.allocation, asks[:, None].expand_as(bids)
    assert (outcome.prices[~won] == 0).all()  # only who gets the good pays
    assert (outcome.prices <= bids)[won].all() and (outcome.prices >= wanted)[won].all()
    assert not won[bids == 0].any()  # a bid of 0 is no bid, even at ask 0
    assert (outcome.transfers >= 0).all() and outcome.transfers.isfinite().all()


@EVERY
@settings(max_examples=20)
@given(reports=coarse_reports())
def test_a_batch_is_its_singles(name, reports):
    bids, asks = reports
    whole = MECHANISMS[name](bids, asks)
    for m in range(len(bids)):
        alone = MECHANISMS[name](bids[m : m + 1], asks[m : m + 1])
        assert torch.equal(alone.allocation[0], whole.allocation[m]) and torch.equal(
            alone.prices[0], whole.prices[m]
        )


@EVERY
@settings(max_examples=30)
@given(reports=fine_reports(), raise_by=st.floats(1e-9, 5.0))
def test_a_higher_bid_never_loses_the_good(name, reports, raise_by):
    bids, asks = reports
    before = MECHANISMS[name](bids, asks)
    for buyer, seller in before.allocation[0].nonzero().tolist():
        higher = bids.clone()
        higher[0, buyer, seller] += raise_by
        assert MECHANISMS[name](higher, asks).allocation[0, buyer, seller]


@EVERY
@settings(max_examples=30)
@given(reports=fine_reports(square=True), seed=st.integers(0, 2**30))
def test_names_do_not_matter(name, reports, seed):
    bids, asks = reports
    order = draws.permutation(torch.tensor(seed), len(asks[0]))
    plain = MECHANISMS[name](bids, asks)
    renamed = MECHANISMS[name](bids[:, order][:, :, order], asks[:, order])
    assert torch.equal(renamed.allocation, plain.allocation[:, order][:, :, order])
    assert torch.equal(renamed.prices, plain.prices[:, order][:, :, order])


@EVERY
@settings(max_examples=20)
@given(reports=fine_reports(square=True))
def test_money_moves_between_agents_and_is_conserved(name, reports):
    bids, asks = reports
    transfers = MECHANISMS[name](bids, asks).transfers
    start = torch.full(asks.shape, 100.0, dtype=torch.float64)
    after = Ledger.of(start, torch.zeros_like(start)).book(slice(None), slice(None), transfers).cash
    assert torch.allclose(after.sum(-1), start.sum(-1), rtol=0, atol=1e-12)
    assert torch.equal(after, start + net(transfers))


def test_the_weight_of_the_bid():
    bids, asks = money([[[5.0]]]), money([[1.0]])
    prices = [float(double_auction(bids, asks, weight=w).prices) for w in (0.0, 0.25, 1.0)]
    assert prices == [1.0, 2.0, 5.0]  # 1 + w (5 - 1)


@pytest.mark.parametrize("rule", [first_price, second_price])
def test_a_tie_goes_to_the_lower_index_at_the_full_bid(rule):
    outcome = rule(money([[[3.0], [7.0], [7.0]]]), money([[1.0]]))
    assert outcome.prices.flatten().tolist() == [0.0, 7.0, 0.0]  # the runner-up bids 7 as well


def test_reserve():
    bids, asks = money([[[3.0], [1.0]]]), money([[0.5]])
    # above the second bid 1 and the ask .5
    assert float(second_price(bids, asks, reserve=2.0).prices.sum()) == 2.0
    assert not first_price(bids, asks, reserve=3.5).allocation.any()  # above the best bid 3


@settings(max_examples=40)
@given(reports=fine_reports(), shade=st.floats(0.0, 2.0))
def test_truth_is_dominant_under_second_and_posted_price(reports, shade):
    values, asks = reports
    for name in ("second_price", "posted_price"):
        rule = MECHANISMS[name]
        other = values.clone()
        other[:, 0] *= shade  # buyer 0 bids any multiple of its value, the others bid what they bid
        honest, strategic = rule(values, asks), rule(other, asks)
        gain = [((values - o.prices) * o.allocation)[:, 0] for o in (honest, strategic)]
        assert (gain[0] >= gain[1] - 1e-12).all(), name


BAD_REPORTS = {
    "bid nan at index \\[0, 1, 0\\]": ([[[1.0], [math.nan]]], [[1.0]]),
    "bid -1 at index": ([[[1.0], [-1.0]]], [[1.0]]),
    "bid inf at index": ([[[1.0], [math.inf]]], [[1.0]]),
    "ask nan at index \\[0, 0\\]": ([[[1.0], [1.0]]], [[math.nan]]),
    "ask -2 at index": ([[[1.0], [1.0]]], [[-2.0]]),
}


@EVERY
@pytest.mark.parametrize("message", BAD_REPORTS)
def test_bad_numbers_are_refused(name, message):
    bids, asks = BAD_REPORTS[message]
    with pytest.raises(ValueError, match=message):
        MECHANISMS[name](money(bids), money(asks))


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        (torch.ones(2, 2), torch.ones(2, 2)),
        (torch.ones(2, 3, 2), torch.ones(2, 3)),
        (torch.ones(1, 0, 2), torch.ones(1, 2)),
    ],
)
def test_shapes_that_disagree_are_refused(bids, asks):
    with pytest.raises(ValueError, match="do not fit"):
        check_reports(bids.double(), asks.double())


def test_money_of_another_dtype_is_refused():
    with pytest.raises(ValueError, match="float64"):
        check_reports(torch.ones(1, 1, 1), torch.ones(1, 1))


@EVERY
def test_wrong_shapes_do_not_get_through(name):
    # jaxtyping's own error is a TypeError; without it check_reports refuses
    with pytest.raises((ValueError, TypeError)):
        MECHANISMS[name](torch.ones(1, 2, 3).double(), torch.ones(1, 2).double())


def test_options_out_of_range_are_refused():
    bids, asks = money([[[0.0, 3.0], [3.0, 0.0]]]), money([[1.0, 1.0]])
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="weight is"):
            double_auction(bids, asks, weight=weight)
    for reserve in (-1.0, math.nan):
        with pytest.raises(ValueError, match="reserve is"):
            second_price(bids, asks, reserve=reserve)
    for power in ([[1.0, 0.0]], [[1.0, math.nan]], [[1.0, 2.0, 3.0]]):
        with pytest.raises(ValueError, match="power"):
            nash_bargaining(bids, asks, power=money(power))
    with pytest.raises(TypeError):
        double_auction(bids, asks, wieght=0.5)


@EVERY
@settings(max_examples=10)
@given(reports=fine_reports())
def test_a_good_not_for_sale_is_not_sold(name, reports):
    bids, asks = reports
    asks[:, 0] = math.inf
    outcome = MECHANISMS[name](bids, asks)
    assert not outcome.allocation[..., 0].any() and outcome.prices.isfinite().all()


def test_equal_bid_and_ask_are_paid_exactly():
    # .1 + .2 and thirds round; the price may not exceed the bid by even one unit in the last place
    values = money([0.1 + 0.2, 1 / 3, 0.7, 1e-9, 1e9])
    bids = values[None, :, None].expand(1, 5, 5)
    for weight in (0.1, 0.3, 0.7, 0.9):
        outcome = double_auction(bids.contiguous(), values[None], weight=weight)
        assert torch.equal(outcome.prices[0].diagonal(), values)
