"""Money: nothing appears or vanishes, and a refused settlement moves nothing."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marketenv.core.transfers import Ledger, net


def money(rows):
    return torch.tensor(rows, dtype=torch.float64)


@st.composite
def payments(draw):
    """A square transfer matrix of one to three markets of two to five agents."""
    markets, agents = draw(st.integers(1, 3)), draw(st.integers(2, 5))
    count = markets * agents * agents
    amounts = draw(st.lists(st.floats(0, 1e6), min_size=count, max_size=count))
    return money(amounts).reshape(markets, agents, agents)


def test_net_is_received_less_paid():
    # 0 pays 2 to 1 and 3 to 2; 1 pays 1 to 0: net 0: 1 - 5 = -4, net 1: 2 - 1 = 1, net 2: 3
    assert net(money([[[0, 2, 3], [1, 0, 0], [0, 0, 0]]])).tolist() == [[-4, 1, 3]]


@given(payments())
def test_money_is_conserved(transfers):
    scale = 1 + float(transfers.sum())
    assert float(net(transfers).sum(-1).abs().max()) <= 1e-12 * scale
    plenty = torch.full(transfers.shape[:2], 1e9, dtype=torch.float64)
    after = Ledger(plenty, torch.zeros_like(plenty)).settle(transfers)
    assert torch.allclose(after.cash.sum(-1), plenty.sum(-1), rtol=1e-12)


@given(payments(), st.floats(0, 1e5), st.floats(0, 1e5))
def test_nobody_ever_falls_below_its_credit(transfers, cash, credit):
    books = Ledger(*(torch.full(transfers.shape[:2], x, dtype=torch.float64) for x in (cash, credit)))
    kept = dataclasses.replace(books, cash=books.cash.clone())
    too_much = transfers.sum(-1) > (cash + credit) * (1 + 1e-9) + 1e-9
    if too_much.any():
        with pytest.raises(ValueError, match="No money moved"):
            books.settle(transfers)
    else:
        slack = 1e-6 * (1 + cash + credit)
        assert bool((books.settle(transfers).cash >= -credit - slack).all())
    assert torch.equal(books.cash, kept.cash)


def test_the_purse_is_cash_and_credit_but_never_negative():
    books = Ledger(money([[1.0, -3.0, 0.0]]), money([[2.0, 1.0, torch.inf]]))
    assert books.purse.tolist() == [[3, 0, torch.inf]]  # -3 + 1 < 0 counts as an empty purse


def test_affordable_bids_fit_in_the_purse():
    books = Ledger(money([[1.0, 2.0]]), money([[0.0, 0.5]]))
    bids = money([[[1.0, 1.01], [2.5, 3.0]]])
    assert books.affordable(bids).tolist() == [[[True, False], [True, False]]]


def test_credit_lets_cash_fall_below_zero_to_its_limit():
    books = Ledger(money([[1.0, 0.0]]), money([[2.0, 0.0]]))
    assert books.settle(money([[[0, 3], [0, 0]]])).cash.tolist() == [[-2, 3]]
    with pytest.raises(ValueError, match=r"agent 0 of market 0 would pay 3.5 from a purse of 3"):
        books.settle(money([[[0, 3.5], [0, 0]]]))


def test_only_rounding_may_overdraw_a_purse():
    books = Ledger(money([[3.0, 0.0]]), torch.zeros(1, 2, dtype=torch.float64))
    assert books.settle(money([[[0, 3 + 1e-12], [0, 0]]])).cash[0, 0] == pytest.approx(0, abs=1e-11)
    with pytest.raises(ValueError, match="from a purse of 3"):
        books.settle(money([[[0, 3 + 1e-6], [0, 0]]]))


def test_money_received_cannot_be_spent_in_the_same_round():
    books = Ledger(money([[5.0, 0.0, 0.0]]), torch.zeros(1, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="agent 1 of market 0 would pay 1 from a purse of 0"):
        books.settle(money([[[0, 5, 0], [0, 0, 1], [0, 0, 0]]]))


@pytest.mark.parametrize("amount", [-1.0, torch.nan, torch.inf])
def test_impossible_amounts_are_refused(amount):
    books = Ledger(money([[9.0, 9.0]]), money([[torch.inf, torch.inf]]))
    with pytest.raises(ValueError, match=f"a transfer is {amount}, wanted a finite amount >= 0"):
        books.settle(money([[[0, amount], [0, 0]]]))
    assert books.cash.tolist() == [[9, 9]]


def test_transfers_of_another_shape_are_refused_before_they_are_broadcast():
    books = Ledger(torch.full((4, 2), 9.0).double(), torch.zeros(4, 2).double())
    with pytest.raises((ValueError, TypeError)):  # jaxtyping's own error is a TypeError; without it settle refuses
        books.settle(money([[0, 1], [0, 0]]))
    with pytest.raises(ValueError, match=r"given transfers of shape \[1, 2, 2\] float64, wanted \[4, 2, 2\]"):
        books.settle(money([[[0, 1], [0, 0]]]))


def test_the_message_of_an_overdrawn_purse_blames_no_bid():
    books = Ledger(money([[1.0, 0.0]]), torch.zeros(1, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="agent 0 of market 0 would pay 2 from a purse of 1: more than its cash and credit"):
        books.settle(money([[[0, 2], [0, 0]]]))
