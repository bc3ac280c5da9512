"""The floor that phases share: who is where, what was done, money that moves at once, and what
is worth something.
"""

import dataclasses

import pytest
import torch
from relay_market import Drawn, Offered, a_round, moves, relay_market

from marketenv.core import draws, rounds
from marketenv.core.market import Outcome, People

SEEDS = torch.tensor([4, 5])


def money(rows):
    return torch.tensor(rows, dtype=torch.float64)


def floor_of(cash=5.0, **options):
    """Two markets of a seller, two buyers and no carrier; an escrow of a row a buyer."""
    roles = {"seller": 1, "buyer": 2, "carrier": 0}
    return People(roles=roles, accounts={"escrow": 2}, cash=cash, credit=0.0, **options).open(
        SEEDS, horizon=4, cut=False
    )


def test_who_lies_where():
    floor = floor_of()
    assert (
        floor.where("buyer") == slice(1, 3)
        and floor.where("carrier") == slice(3, 3)
        and floor.where("escrow") == slice(3, 5)
    )
    assert [floor.count(who) for who in ("seller", "buyer", "carrier", "escrow")] == [1, 2, 0, 2]
    assert (
        floor.cash("buyer").tolist() == [[5, 5]] * 2
        and floor.cash("escrow").tolist() == [[0, 0]] * 2
    )
    for ask in (floor.where, floor.count, floor.cash, floor.purse):
        with pytest.raises(
            ValueError,
            match=(
                r"no role or account 'buyers'\. Did you mean 'buyer'\? Known: buyer, carrier,"
                r" escrow, seller"
            ),
        ):
            ask("buyers")


def test_the_purse_is_cash_and_credit_and_never_below_0():
    floor = floor_of()
    ledger = dataclasses.replace(
        floor.ledger,
        cash=money([[-3, 1, 2, 0, 0]] * 2),
        credit=money([[2, 0.5, torch.inf, 0, 0]] * 2),
    )
    floor = dataclasses.replace(floor, ledger=ledger)
    assert floor.purse("seller").tolist() == [[0]] * 2  # -3 + 2 < 0 is an empty purse
    assert floor.purse("buyer").tolist() == [[1.5, torch.inf]] * 2


def test_a_payment_moves_money_at_once_and_is_kept_by_its_name():
    floor = floor_of()
    paid = floor.pay("hold", "buyer", "escrow", torch.diag_embed(money([[1, 2]] * 2)))
    assert (
        paid.cash("buyer").tolist() == [[4, 3]] * 2 and paid.cash("escrow").tolist() == [[1, 2]] * 2
    )
    assert paid.ledger.net.tolist() == [[0, -1, -2, 1, 2]] * 2
    # the floor before is as it was
    assert floor.cash("buyer").tolist() == [[5, 5]] * 2 and not floor.flows
    back = paid.pay("release", "escrow", "seller", paid.cash("escrow")[..., None])
    assert (
        back.cash("seller").tolist() == [[8]] * 2 and back.cash("escrow").tolist() == [[0, 0]] * 2
    )
    flow = back.flows["release"]
    assert list(back.flows) == ["hold", "release"] and (flow.payer, flow.payee) == (
        "escrow",
        "seller",
    )
    assert flow.paid.tolist() == [[1, 2]] * 2 and flow.received.tolist() == [[3]] * 2


def test_a_role_may_pay_its_own_and_one_of_nobody_moves_nothing():
    floor = floor_of().pay("gift", "buyer", "buyer", money([[[0, 2], [0.5, 0]]] * 2))
    assert floor.cash("buyer").tolist() == [[3.5, 6.5]] * 2  # 5 - 2 + 1/2, 5 + 2 - 1/2
    assert (
        floor.pay("fee", "seller", "carrier", torch.zeros(2, 1, 0)).ledger.cash.tolist()
        == floor.ledger.cash.tolist()
    )


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("name", "payer", "payee", "amount", "said"),
    [
        (
            "hold",
            "buyer",
            "escrow",
            torch.zeros(2, 2, 2),
            "payments 'hold' are booked already in this round, wanted a name once",
        ),
        (
            "fee",
            "bayer",
            "escrow",
            torch.zeros(2, 2, 2),
            r"no role or account 'bayer'\. Did you mean 'buyer'",
        ),
        (
            "fee",
            "buyer",
            "escrows",
            torch.zeros(2, 2, 2),
            r"no role or account 'escrows'\. Did you mean 'escrow'",
        ),
        (
            "fee",
            "buyer",
            "seller",
            torch.zeros(2, 2, 2),
            r"payments 'fee' came of shape \[2, 2, 2\] float32, wanted \[2, 2, 1\] float64 ",
        ),
        (
            "fee",
            "buyer",
            "seller",
            torch.zeros(2, 1),
            r"\(markets, buyer, seller\): the first axis is missing",
        ),
        ("fee", "seller", "buyer", torch.zeros(2, 2, 1), "its axes stand in another order"),
        ("fee", "buyer", "seller", [[0.0]], "payments 'fee' came as a list, wanted"),
        (
            "fee",
            "buyer",
            "seller",
            torch.zeros(2, 2, 1, dtype=torch.bool),
            "bool is not converted; compute it as float64",
        ),
        (
            "fee",
            "buyer",
            "seller",
            torch.zeros(2, 2, 1, device="meta"),
            "it lies on meta, wanted cpu",
        ),
    ],
)
def test_payments_that_cannot_be_are_refused_by_their_name(name, payer, payee, amount, said):
    floor = floor_of().pay("hold", "buyer", "escrow", torch.zeros(2, 2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=said):
        floor.pay(name, payer, payee, amount)


def test_terms_are_kept_by_name_and_role():
    floor = (
        floor_of()
        .term("value", "buyer", money([[1, 2]] * 2))
        .term("cost", "seller", money([[-1]] * 2))
    )
    # another role's part of the same name, in float32
    floor = floor.term("value", "seller", torch.ones(2, 1))
    assert list(floor.terms) == ["value", "cost"] and list(floor.terms["value"]) == [
        "buyer",
        "seller",
    ]
    assert floor.terms["value"]["seller"].dtype == torch.float64
    assert floor.ledger.net.tolist() == [[0] * 5] * 2  # a value is no money


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize(
    ("name", "role", "value", "said"),
    [
        (
            "value",
            "buyer",
            torch.zeros(2, 2),
            "the term 'value' of buyer stands already in this round, wanted it once",
        ),
        (
            "value",
            "sellers",
            torch.zeros(2, 1),
            r"no role or account 'sellers'\. Did you mean 'seller'",
        ),
        (
            "value",
            "seller",
            torch.zeros(2),
            (
                r"the term 'value' came of shape \[2\] float32, wanted \[2, 1\] float64 \(markets,"
                r" seller\)"
            ),
        ),
        ("value", "seller", 1.0, "the term 'value' came as a float"),
    ],
)
def test_terms_that_cannot_be_are_refused(name, role, value, said):
    with pytest.raises(ValueError, match=said):
        floor_of().term("value", "buyer", money([[1, 2]] * 2)).term(name, role, value)


def test_numbers_of_some_roles_over_everyone():
    floor = floor_of()
    all_of_them = floor.everyone(buyer=money([[1, 2]] * 2))
    assert all_of_them.tolist() == [[0, 1, 2]] * 2 and all_of_them.dtype == torch.float64
    assert (
        floor.everyone(buyer=money([[1, 2]] * 2), seller=money([[7]] * 2)).tolist()
        == [[7, 1, 2]] * 2
    )
    yes = floor.everyone(seller=torch.tensor([[True], [False]]))
    assert yes.tolist() == [[True, False, False], [False] * 3]  # of their type


def test_what_earlier_phases_came_to_is_found_by_its_class_the_latest_first():
    market = relay_market()
    now = rounds.begin(market, SEEDS)
    assert now.floor.of(Drawn) is now.floor.outcomes["draw"]
    with pytest.raises(
        ValueError,
        match=(
            r"no phase of this round has given a Offered yet, wanted one before this"
            r" phase; outcomes are there of: draw\. Put the phase"
        ),
    ):
        now.floor.of(Offered)
    after, _ = rounds.advance(market, now, moves(market, now, price=0.25))
    assert (
        after.floor.of(Offered).price.tolist() == [[0.25]] * 2
        and after.floor.of(Outcome) is after.floor.outcomes["offer"]
    )


def test_a_new_round_forgets_flows_terms_and_what_was_done_and_keeps_cash():
    market = relay_market()
    now, report = a_round(market, rounds.begin(market, SEEDS))
    assert list(report.flows) == ["hold", "price", "refund", "fee"] and list(report.terms) == [
        "value",
        "cost",
    ]
    assert list(report.outcomes) == ["draw", "offer", "reply", "ship"]
    assert not now.floor.flows and not now.floor.terms and list(now.floor.outcomes) == ["draw"]
    assert not now.floor.ledger.net.any() and torch.equal(now.floor.ledger.cash, report.ledger.cash)


def test_keys_are_of_the_seed_the_round_and_the_purpose():
    floor = floor_of()
    later = dataclasses.replace(floor, round=floor.round + 1)
    assert torch.equal(
        floor.keys("noise", 3), draws.fold(SEEDS, torch.zeros_like(SEEDS), "noise", 3)
    )
    keys = [floor.keys("noise"), floor.keys("other"), floor.keys("noise", 0), later.keys("noise")]
    assert len(torch.cat(keys).unique()) == 8  # two markets, four purposes: all differ


@pytest.mark.parametrize(("cut", "shares"), [(False, [0, 0.75]), (True, [0, 0])])
def test_how_much_is_played_as_agents_may_see_it(cut, shares):
    floor = dataclasses.replace(floor_of(), cut=cut, round=torch.tensor([0, 3]))
    assert floor.played.tolist() == shares and floor.played.dtype == torch.float64
