"""Nash bargaining against its definition: the largest product of utilities, found by trying
prices.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.mechanisms import double_auction, nash_bargaining

amount = st.floats(0.0, 10.0)
surplus = st.floats(0.1, 10.0)


def money(values):
    return torch.tensor(values, dtype=torch.float64)


def pair(ask_a, bid_b, ask_b, bid_a):
    """Two agents: A = 0 and B = 1; bids[buyer, seller]."""
    return money([[[0.0, bid_a], [bid_b, 0.0]]]), money([[ask_a, ask_b]])


def tried(ask_a, bid_b, ask_b, bid_a, part_a=0.5, steps=801):
    """P_A - P_B and utilities at the largest U_A^part * U_B^(1-part), U >= 0, over a grid of
    both prices.
    """
    price_a = torch.linspace(ask_a, bid_b, steps, dtype=torch.float64)[:, None]
    price_b = torch.linspace(ask_b, bid_a, steps, dtype=torch.float64)[None, :]
    u_a = ((price_a - ask_a) + (bid_a - price_b)).clamp(min=0)
    u_b = ((price_b - ask_b) + (bid_b - price_a)).clamp(min=0)
    best = int((u_a**part_a * u_b ** (1 - part_a)).argmax())
    return (
        float((price_a - price_b).flatten()[best]),
        float(u_a.flatten()[best]),
        float(u_b.flatten()[best]),
    )


@settings(max_examples=25)
@given(
    a=amount,
    gain_a=surplus,
    b=amount,
    gain_b=surplus,
    power=st.tuples(st.floats(0.2, 5.0), st.floats(0.2, 5.0)),
)
def test_trying_all_prices_finds_the_same_difference(a, gain_a, b, gain_b, power):
    y, x, total = a + gain_a, b + gain_b, gain_a + gain_b
    step = total / 800
    for weights in ((1.0, 1.0), power):
        outcome = nash_bargaining(*pair(a, y, b, x), power=money([weights]))
        price_a, price_b = float(outcome.prices[0, 1, 0]), float(outcome.prices[0, 0, 1])
        part = weights[0] / sum(weights)
        difference, u_a, u_b = tried(a, y, b, x, part)
        assert price_a - price_b == pytest.approx(difference, abs=1.5 * step)
        assert (price_a - a) + (x - price_b) == pytest.approx(part * total)  # U_A = w S
        assert (u_a, u_b) == pytest.approx((part * total, (1 - part) * total), abs=1.5 * step)
    equal = nash_bargaining(*pair(a, y, b, x)).prices
    # Huang et al., eq. 1
    assert float(equal[0, 1, 0] - equal[0, 0, 1]) == pytest.approx((y + a - x - b) / 2)


def test_the_printed_box_would_exclude_the_papers_own_solution():
    # a = 0, y = 1, b = 0, x = 8: eq. 1 gives P_A - P_B = (1 + 0 - 8 - 0) / 2 = -3.5. The printed
    # P_A <= v_A(theta_B) = x would let B pay up to 8 for what it values at 1; ours keeps P_A in [a,
    # y] = [0, 1] and P_B in [b, x] = [0, 8].
    prices = nash_bargaining(*pair(0.0, 1.0, 0.0, 8.0)).prices[0]
    assert (float(prices[1, 0]), float(prices[0, 1])) == (0.5, 4.0)


def test_net_payment_is_the_difference_of_the_gains():
    # asks equal to the bids (section 4's best case), Delta_b = 5 for A's model, Delta_a = 2 for
    # B's: B pays 5, A pays 2, so P_A - P_B = Delta_b - Delta_a = 3; the paper prints Delta_a -
    # Delta_b.
    prices = nash_bargaining(*pair(5.0, 5.0, 2.0, 2.0)).prices[0]
    assert float(prices[1, 0] - prices[0, 1]) == 3.0


def test_two_losing_trades_are_not_a_gain():
    # both U would be -1 at the middle: their product 1 is positive, yet nobody may trade
    assert not nash_bargaining(*pair(3.0, 2.0, 3.0, 2.0)).allocation.any()


def test_one_dead_trade_leaves_the_other():
    # y = 1 < a = 2 fails; b = 1, x = 3 settles alone at 2
    prices = nash_bargaining(*pair(2.0, 1.0, 1.0, 3.0)).prices
    assert prices.tolist() == [[[0.0, 2.0], [0.0, 0.0]]]


def test_as_many_sellers_as_buyers_need_not_be_the_same_agents():
    # one buyer of value 4 and one seller of cost 1 trade at the midpoint
    outcome = nash_bargaining(torch.full((1, 1, 1), 4.0).double(), torch.ones(1, 1).double())
    assert outcome.prices.tolist() == [[[2.5]]]


def test_power_belongs_to_the_agent_on_both_sides():
    # A is three times as strong: of each surplus 4 it keeps 3, as seller (price 3) and as buyer
    # (price 1)
    prices = nash_bargaining(
        *pair(0.0, 4.0, 0.0, 4.0), power=torch.tensor([[3.0, 1.0]]).double()
    ).prices[0]
    assert (float(prices[1, 0]), float(prices[0, 1])) == (3.0, 1.0)


def test_separate_parties_of_equal_power_are_the_double_auction():
    bids, asks = torch.rand(4, 2, 3).double(), torch.rand(4, 3).double()
    assert torch.equal(nash_bargaining(bids, asks).prices, double_auction(bids, asks).prices)
    with pytest.raises((ValueError, TypeError)):
        nash_bargaining(bids, asks, power=torch.ones(4, 3).double())
