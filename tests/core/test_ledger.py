"""Money: nothing appears or vanishes, nobody pays what it does not have, and a refused payment
moves nothing.
"""

import dataclasses

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from marketenv.core import rounds
from marketenv.core.fields import Field, Fields, Money
from marketenv.core.ledger import Flow, Ledger, check, dense, net
from marketenv.core.market import Market, Move, Outcome, People, Phase

# three agents and an account
ROWS = {"seller": slice(0, 1), "buyer": slice(1, 3), "pot": slice(3, 4)}
AGENTS = 3


def money(rows):
    return torch.tensor(rows, dtype=torch.float64)


def booked(ledger, *flows):
    """The books after flows (payer, payee, money of one market), and these by name, checked as
    an engine does.
    """
    named = {
        f"flow {k}": Flow(payer, payee, money([amount]))
        for k, (payer, payee, amount) in enumerate(flows)
    }
    after = ledger
    for flow in named.values():
        after = after.book(ROWS[flow.payer], ROWS[flow.payee], flow.money)
    check(ledger, after, named, ROWS, AGENTS)
    return after, named


def books(cash, credit=(0, 0, 0, 0)):
    return Ledger.of(money([cash]), money([list(credit)]))


@st.composite
def rounds_of_flows(draw):
    """Cash of two markets of four rows, and up to six payments of any names, payers and payees."""
    cash = draw(st.lists(st.floats(-1e4, 1e6), min_size=8, max_size=8))
    flows = {}
    for k in range(draw(st.integers(0, 6))):
        payer, payee = draw(st.sampled_from(sorted(ROWS))), draw(st.sampled_from(sorted(ROWS)))
        shape = (2, ROWS[payer].stop - ROWS[payer].start, ROWS[payee].stop - ROWS[payee].start)
        count = shape[0] * shape[1] * shape[2]
        amounts = draw(st.lists(st.floats(0, 1e6), min_size=count, max_size=count))
        flows[f"flow {k}"] = Flow(payer, payee, money(amounts).reshape(shape))
    return (
        Ledger.of(money(cash).reshape(2, 4), torch.full((2, 4), torch.inf, dtype=torch.float64)),
        flows,
    )


# --- properties of all books ----------------------------------------------------------------------


@given(rounds_of_flows())
def test_money_is_conserved_and_each_rows_change_is_the_sum_of_its_flows(made):
    before, flows = made
    after = before
    for flow in flows.values():
        after = after.book(ROWS[flow.payer], ROWS[flow.payee], flow.money)
    # credit is unlimited: whatever is finite and >= 0 can be paid
    check(before, after, flows, ROWS, AGENTS)
    scale = (
        1 + float(before.cash.abs().max()) + sum(float(flow.money.sum()) for flow in flows.values())
    )
    assert float((after.cash.sum(1) - before.cash.sum(1)).abs().max()) <= 1e-12 * scale
    assert torch.allclose(after.cash - before.cash, after.net, rtol=0, atol=1e-12 * scale)
    for market in range(2):
        for name, where in ROWS.items():
            for place in range(where.stop - where.start):
                got = sum(
                    float(f.money[market, :, place].sum())
                    for f in flows.values()
                    if f.payee == name
                )
                gave = sum(
                    float(f.money[market, place].sum()) for f in flows.values() if f.payer == name
                )
                assert float(after.net[market, where.start + place]) == pytest.approx(
                    got - gave, abs=1e-12 * scale
                )
    assert torch.allclose(
        net(dense(flows, ROWS, before.cash)), after.net, rtol=0, atol=1e-12 * scale
    )


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.lists(st.floats(0, 1e5), min_size=4, max_size=4))
def test_nobody_falls_below_its_credit(cash, credit, paid):
    """Two buyers pay the pot and the seller, in two flows of one phase."""
    ledger = books([0, cash, cash, 0], (0, credit, credit, 0))
    flows = (("buyer", "pot", [[paid[0]], [paid[1]]]), ("buyer", "seller", [[paid[2]], [paid[3]]]))
    purse, most = cash + credit, max(paid[0] + paid[2], paid[1] + paid[3])
    beyond = most > purse * (1 + 1e-9) + 1e-9
    assume(beyond or most <= purse)  # by less than that a payer may go beyond its purse, or not
    if beyond:
        with pytest.raises(ValueError, match="No money moved"):
            booked(ledger, *flows)
    else:
        after, _ = booked(ledger, *flows)
        assert bool((after.cash >= -after.credit - 1e-6 * (1 + cash + credit)).all())
    assert ledger.cash.tolist() == [[0, cash, cash, 0]]


# --- by hand --------------------------------------------------------------------------------------


def test_net_is_received_less_paid():
    # 0 pays 2 to 1 and 3 to 2; 1 pays 1 to 0: net 0: 1 - 5 = -4, net 1: 2 - 1 = 1, net 2: 3
    assert net(money([[[0, 2, 3], [1, 0, 0], [0, 0, 0]]])).tolist() == [[-4, 1, 3]]


def test_a_flow_has_payers_and_payees_of_its_own_sizes():
    flow = Flow("buyer", "seller", torch.ones(1, 1000, 1, dtype=torch.float64))
    assert flow.paid.shape == (1, 1000) and flow.received.tolist() == [[1000]]
    assert flow.money.numel() == 1000  # and not a matrix of 1001 x 1001


def test_all_flows_stand_in_one_matrix_for_who_asks():
    _, flows = booked(
        books([1, 5, 5, 0]),
        ("buyer", "seller", [[1], [2]]),
        ("buyer", "pot", [[0], [1]]),
        ("buyer", "seller", [[1], [0]]),
    )
    # 1 + 1, 2 + 0
    assert dense(flows, ROWS, money([[0] * 4])).tolist() == [
        [[0] * 4, [2, 0, 0, 0], [2, 0, 0, 1], [0] * 4]
    ]


def test_a_new_round_keeps_the_cash_and_counts_from_0():
    after, _ = booked(books([1, 5, 5, 0]), ("buyer", "seller", [[1], [2]]))
    assert after.net.tolist() == [[3, -1, -2, 0]] and after.cash.tolist() == [[4, 4, 3, 0]]
    fresh = after.new_round()
    assert fresh.cash.tolist() == after.cash.tolist() and not fresh.net.any()


def test_the_purse_is_cash_and_credit_but_never_negative():
    # -3 + 1 < 0: an empty purse
    assert books([1, -3, 0, 0], (2, 1, torch.inf, 0)).purse.tolist() == [[3, 0, torch.inf, 0]]


def test_credit_lets_cash_fall_below_zero_to_its_limit():
    ledger = books([1, 0, 0, 0], (2, 0, 0, 0))
    assert booked(ledger, ("seller", "pot", [[3]]))[0].cash.tolist() == [[-2, 0, 0, 3]]
    with pytest.raises(
        ValueError,
        match=(
            r"seller_0 of market 0 would pay 3\.5 \(flow 0\) from a purse of 3: more than its cash"
            r" and credit"
        ),
    ):
        booked(ledger, ("seller", "pot", [[3.5]]))


def test_only_rounding_may_overdraw_a_purse():
    ledger = books([3, 0, 0, 0])
    assert booked(ledger, ("seller", "pot", [[3 + 1e-12]]))[0].cash[0, 0].item() == pytest.approx(
        0, abs=1e-11
    )
    with pytest.raises(ValueError, match="from a purse of 3"):
        booked(ledger, ("seller", "pot", [[3 + 1e-6]]))


def test_the_flows_of_a_phase_are_checked_together():
    """Each of the two could be paid alone; a payer has one purse for both, and the message
    names both.
    """
    ledger = books([0, 3, 0, 0])
    booked(ledger, ("buyer", "pot", [[2], [0]]))
    with pytest.raises(
        ValueError, match=r"buyer_0 of market 0 would pay 4 \(flow 0, flow 1\) from a purse of 3"
    ):
        booked(ledger, ("buyer", "pot", [[2], [0]]), ("buyer", "seller", [[2], [0]]))


def test_what_an_agent_is_paid_it_cannot_spend_in_the_same_phase():
    ledger = books([5, 0, 0, 0])
    with pytest.raises(ValueError, match=r"buyer_0 of market 0 would pay 5 .* from a purse of 0"):
        booked(ledger, ("seller", "buyer", [[5, 0]]), ("buyer", "pot", [[5], [0]]))


def test_an_account_may_pass_on_what_it_is_paid_but_no_more():
    ledger = books([5, 0, 0, 1])
    after, _ = booked(ledger, ("seller", "pot", [[5]]), ("pot", "buyer", [[2, 4]]))
    assert after.cash.tolist() == [[0, 2, 4, 0]]
    with pytest.raises(
        ValueError, match=r"pot_0 of market 0 would pay 7 \(flow 1\) from a purse of 1"
    ):
        booked(ledger, ("seller", "pot", [[5]]), ("pot", "buyer", [[2, 5]]))


def test_an_operators_account_may_pay_whatever_it_likes():
    after, _ = booked(books([0, 0, 0, 0], (0, 0, 0, torch.inf)), ("pot", "seller", [[1e9]]))
    assert after.cash.tolist() == [[1e9, 0, 0, -1e9]]


@pytest.mark.parametrize("amount", [-1.0, torch.nan, torch.inf, -torch.inf])
def test_impossible_amounts_are_refused_whoever_pays(amount):
    said = f"a payment 'flow 0' is {amount}, wanted a finite amount >= 0: "
    unlimited = (torch.inf,) * 4
    with pytest.raises(
        ValueError, match=said + r"buyer_1 of market 0 would pay it to seller_0\. No money moved"
    ):
        booked(books([9, 9, 9, 9], unlimited), ("buyer", "seller", [[1], [amount]]))
    with pytest.raises(ValueError, match=said + "pot_0 of market 0 would pay it to buyer_1"):
        booked(books([9, 9, 9, 9], unlimited), ("pot", "buyer", [[0, amount]]))


def test_a_payment_below_0_does_not_hide_behind_a_larger_one():
    with pytest.raises(ValueError, match=r"a payment 'flow 0' is -1\.0"):
        booked(books([9, 9, 9, 9]), ("buyer", "seller", [[2], [-1]]))


def test_without_payments_there_is_nothing_to_refuse():
    broke = books([-5, 0, 0, 0])
    assert check(broke, broke, {}, ROWS, AGENTS) is None


# --- accounts in a market -------------------------------------------------------------------------


class Deposit(Phase):
    """Every buyer puts what it says into its own row of the escrow."""

    name = "deposit"
    moves = {  # noqa: RUF012
        "buyer": Move(Fields((Field("cash", 1, 0.0, 99.0),)), Fields((Money("deposit", most=8.0),)))
    }

    def show(self, floor, own, quotes):
        return {"buyer": {"cash": floor.cash("buyer")}}

    def act(self, floor, own, quotes, actions):
        held = self.moves["buyer"].action.read(actions["buyer"])["deposit"][..., 0]
        return floor.pay("deposit", "buyer", "escrow", torch.diag_embed(held)), own, Outcome()


class Return(Phase):
    """The escrow pays the seller a part of its balance, the rest back to whom it belongs;
    ``kept`` stays in it.
    """

    name = "return"

    def __init__(self, part=0.5, kept=0.0):
        self.part, self.kept = part, kept

    def act(self, floor, own, quotes, actions):
        balance = floor.cash("escrow")
        floor = floor.pay("price", "escrow", "seller", (balance * self.part)[..., None])
        left = (floor.cash("escrow") - self.kept).clamp(min=0)
        return floor.pay("refund", "escrow", "buyer", torch.diag_embed(left)), own, Outcome()


class Wait(Deposit):
    """The seller moves too, for nothing."""

    name = "wait"
    moves = {  # noqa: RUF012
        "seller": Move(
            Fields((Field("cash", 1, 0.0, 99.0),)), Fields((Money("deposit", most=8.0),))
        )
    }

    def show(self, floor, own, quotes):
        return {"seller": {"cash": floor.cash("seller")}}

    def act(self, floor, own, quotes, actions):
        return floor, own, Outcome()


def escrow_market(*back, empty=("escrow",), cash=4.0):
    people = People(
        roles={"seller": 1, "buyer": 2}, accounts={"escrow": 2}, empty=empty, cash=cash, credit=0.0
    )
    return Market(people, (Wait(), Deposit(), *back), horizon=2, name="escrows")


def deposits(market, *held):
    """Play a round in which the buyers of one market deposit this."""
    now = rounds.begin(market, torch.tensor([0]))
    now, _ = rounds.advance(market, now, {"seller": torch.zeros(1, 1, 1)})
    return rounds.advance(market, now, {"buyer": (torch.tensor(held) / 4 - 1)[None, :, None]})


def test_what_is_held_comes_back_and_the_account_ends_at_exactly_0():
    now, report = deposits(escrow_market(Return()), 3.0, 1.0)
    # the seller gets half of 3 and of 1
    assert report.ledger.cash.tolist() == [[6, 2.5, 3.5, 0, 0]]
    assert report.rewards.tolist() == [[2, -1.5, -0.5]] and now.floor.cash("escrow").tolist() == [
        [0, 0]
    ]
    assert report.paid.tolist() == [[0, 3, 1]] and report.received.tolist() == [[2, 1.5, 0.5]]
    assert report.names == [
        "seller_0",
        "buyer_0",
        "buyer_1",
        "account escrow_0",
        "account escrow_1",
    ]


@given(st.floats(0, 4, width=32), st.floats(0, 4, width=32), st.floats(0, 1))
def test_an_account_declared_empty_ends_at_exactly_0_for_all_amounts(one, two, part):
    now, report = deposits(escrow_market(Return(part)), one, two)
    # to the bit: what is left is paid back by the balance
    assert now.floor.cash("escrow").tolist() == [[0, 0]]
    assert float(report.ledger.cash.sum()) == pytest.approx(12, abs=1e-12)


def test_money_that_stays_in_an_account_declared_empty_is_refused():
    market = escrow_market(Return(kept=0.25))
    now = rounds.begin(market, torch.tensor([0, 1]))
    now, _ = rounds.advance(market, now, {"seller": torch.zeros(2, 1, 1)})
    # buyer_1 of market 1 deposits 4
    actions = {"buyer": torch.tensor([[[-1.0], [-1.0]], [[-1.0], [0.0]]])}
    with pytest.raises(
        ValueError,
        match=(
            r"account escrow_1 of market 1 ends the round with 0\.25, wanted exactly 0: pay the"
            r" rest back by its balance, "
            r"floor\.cash\('escrow'\)"
        ),
    ):
        rounds.advance(market, now, actions)
    kept, _ = deposits(escrow_market(Return(kept=0.25), empty=()), 4.0, 0.0)
    # not declared: it stays there for the next round
    assert kept.floor.cash("escrow").tolist() == [[0.25, 0]]


def test_nobodys_escrow_pays_anothers_bill():
    class Robbery(Return):
        def act(self, floor, own, quotes, actions):
            return floor.pay("loot", "escrow", "seller", money([[[0.0], [3.0]]])), own, Outcome()

    with pytest.raises(
        ValueError, match=r"escrow_1 of market 0 would pay 3 \(loot\) from a purse of 0"
    ):
        deposits(escrow_market(Robbery()), 4.0, 0.0)


def test_what_is_received_in_one_phase_may_be_spent_in_the_next():
    class Spend(Return):
        name = "spend"

        def act(self, floor, own, quotes, actions):
            return floor.pay("dinner", "seller", "escrow", money([[[5.0, 0.0]]])), own, Outcome()

    market = escrow_market(Return(1.0), Spend(), empty=())
    now, _ = deposits(market, 1.0, 0.0)
    # 4 of its own and the 1 of the phase before
    assert now.floor.ledger.cash.tolist() == [[0, 3, 4, 5, 0]]
    late = escrow_market(Spend(), Return(1.0), empty=())
    with pytest.raises(
        ValueError, match=r"seller_0 of market 0 would pay 5 \(dinner\) from a purse of 4"
    ):
        deposits(late, 1.0, 0.0)


def test_a_refused_payment_moves_nothing_and_the_stage_can_be_played_again():
    market = escrow_market(Return())
    now = rounds.begin(market, torch.tensor([0]))
    now, _ = rounds.advance(market, now, {"seller": torch.zeros(1, 1, 1)})
    before = dataclasses.replace(now.floor.ledger, cash=now.floor.ledger.cash.clone())
    with pytest.raises(
        ValueError, match=r"buyer_0 of market 0 would pay 8 \(deposit\) from a purse of 4"
    ):
        rounds.advance(market, now, {"buyer": torch.ones(1, 2, 1)})
    assert torch.equal(now.floor.ledger.cash, before.cash) and not now.floor.flows
    _, report = rounds.advance(market, now, {"buyer": torch.zeros(1, 2, 1)})
    assert report.paid.tolist() == [[0, 4, 4]]
