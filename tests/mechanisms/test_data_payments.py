"""Every data payment rule: a worked row, what it is truthful in and what not, and which rules
of a user's own are refused.
"""

import dataclasses
import itertools
import math

import pytest
import torch
from data_cases import (
    coarse_auctions,
    gains_by_asks,
    mixed_auctions,
    money,
    smooth_auctions,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.core.ledger import Ledger
from marketenv.mechanisms import DATA_RULES, DATA_VALUES, DataRule, Sales, apply_data_rule, posted

# name: (asks, values, budget, prices, where they come from)
WORKED = {
    "posted": (
        [3, 9, 1, 5, 2, 1],
        [4, 6, 11, 5, 2, 1],
        10,
        [4, 0, 0, 5, 0, 0],
        "9 > 6 declines, 11 > 10 is not asked, 4 + 5 = 9, and 9 + 2 > 10 ends it, also for 9 + 1",
    ),
    "procurement": (
        [2, 3, 8],
        [2, 2, 4],
        12,
        [4, 4, 0],
        "Singer 2010: 3 <= 12 * 2 / 4, 8 > 12 * 4 / 8; 2 min(12 / 4, 8 / 4)",
    ),
    "leave_one_out": (
        [5, 0, 3],
        [3, -1, 1],
        8,
        [6, 0, 0],
        "shares 8 * 3 / 4 = 6, none, 8 * 1 / 4 = 2 < 3",
    ),
    "shapley": (
        [4, 2, 3],
        [2, 1, 1],
        8,
        [4, 2, 0],
        "shares 8 * 2 / 4 = 4, 2 and 2; 3 > 2 is refused",
    ),
    "shadow_price": (
        [4, 3, 0],
        [6, 3, -2],
        6,
        [4, 0, 0],
        "6 + 3 > 6, so offers 6 * 6 / 9 = 4 and 2; 3 > 2",
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(DATA_RULES))


def test_every_rule_has_a_worked_row():
    assert WORKED.keys() == DATA_RULES.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())
    assert {rule.value for rule in DATA_RULES.values()} == DATA_VALUES.keys()


@EVERY
def test_worked_row(name):
    asks, values, budget, prices, reason = WORKED[name]
    outcome = DATA_RULES[name].pay(money([asks]), money([values]), money([budget]))
    assert outcome.prices[0, 0].tolist() == pytest.approx(prices, rel=1e-14), reason
    assert outcome.allocation[0, 0].tolist() == [p > 0 for p in prices]
    assert apply_data_rule(name, money([asks]), money([values]), money([budget])).prices.equal(
        outcome.prices
    )


def test_a_shadow_price_is_not_scaled_up():
    # 6 + 3 <= 20: the offers are the values
    outcome = DATA_RULES["shadow_price"].pay(money([[4, 3, 0]]), money([[6, 3, -2]]), money([20]))
    assert outcome.prices[0, 0].tolist() == [6, 3, 0]


def test_a_price_per_point():
    # 2 points at .5 are offered 1, 3 points 1.5 and 10 points 5
    outcome = posted(money([[1, 2, 5]]), money([[2, 3, 10]]), money([6]), price=0.5)
    assert outcome.prices[0, 0].tolist() == [1, 0, 5]
    for price in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"price is .* money per point"):
            posted(money([[1]]), money([[1]]), money([1]), price=price)


# --- for all reports ------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("sellers", [1, 3, 20])
def test_money_stays_between_the_asks_and_the_budget(name, sellers):
    asks, values, budget = mixed_auctions(1, 3000, sellers)
    outcome = DATA_RULES[name].pay(asks, values, budget)
    bought, prices = outcome.allocation[:, 0], outcome.prices[:, 0]
    assert outcome.prices.shape == (3000, 1, sellers)
    assert (outcome.prices.sum(-1)[:, 0] <= budget).all()  # to the bit
    assert (prices >= asks * (1 - 1e-12))[bought].all() and (prices[~bought] == 0).all()
    assert (
        not bought[(values <= 0) | asks.isinf()].any() and bought.any() and prices.isfinite().all()
    )


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_a_batch_is_its_singles(name, seed):
    auctions = coarse_auctions(seed, 4, 5)
    batch = DATA_RULES[name].pay(*auctions)
    for m in range(4):
        alone = DATA_RULES[name].pay(*(x[m : m + 1] for x in auctions))
        assert torch.equal(alone.allocation[0], batch.allocation[m]) and torch.equal(
            alone.prices[0], batch.prices[m]
        )


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), scale=st.integers(-200, 200))
def test_money_has_no_unit(name, seed, scale):
    asks, values, budget = coarse_auctions(seed, 10, 5)
    factor = 2.0**scale
    # these are money
    worth = values * factor if DATA_RULES[name].value in ("points", "shadow_price") else values
    plain = DATA_RULES[name].pay(asks, values, budget)
    scaled = DATA_RULES[name].pay(asks * factor, worth, budget * factor)
    assert torch.equal(scaled.allocation, plain.allocation) and torch.equal(
        scaled.prices, plain.prices * factor
    )


# a queue by number is one by name
@pytest.mark.parametrize("name", sorted(DATA_RULES.keys() - {"posted"}))
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_names_do_not_matter(name, seed):
    asks, values, budget = smooth_auctions(seed, 4, 5)
    order = draws.permutation(torch.tensor(seed), 5)
    plain = DATA_RULES[name].pay(asks, values, budget)
    renamed = DATA_RULES[name].pay(asks[:, order], values[:, order], budget)
    assert torch.equal(renamed.allocation, plain.allocation[..., order])
    assert torch.allclose(renamed.prices, plain.prices[..., order], rtol=1e-13, atol=0)


@EVERY
def test_a_hundred_thousand_sellers(name):
    # a table of all pairs would hold 1e10 numbers
    asks, values, budget = smooth_auctions(7, 1, 100_000)
    outcome = DATA_RULES[name].pay(asks, values, budget)
    assert int(outcome.allocation.sum()) > 500 and float(outcome.prices.sum()) <= float(budget)


@EVERY
def test_the_ledger_takes_its_prices(name):
    asks, values, budget = mixed_auctions(2, 3000, 7)
    prices = DATA_RULES[name].pay(asks, values, budget).prices
    cash = torch.cat([budget[:, None], torch.zeros_like(asks)], -1)
    after = Ledger.of(cash, torch.zeros_like(cash)).book(slice(0, 1), slice(1, 8), prices).cash
    assert (after >= 0).all()  # the buyer had no more than its budget


# --- what a rule is truthful in -------------------------------------------------------------------


@EVERY
def test_says_what_it_is_truthful_in(name):
    rule = DATA_RULES[name]
    assert rule.truthful.startswith("Truthful in the ask") and ". Not in" in rule.truthful
    assert rule.pay.__doc__.count("Truthful in the ask:") == 1 and "Not in" in rule.pay.__doc__


@EVERY
def test_no_other_ask_gains(name):
    gains = gains_by_asks(DATA_RULES[name].pay, *mixed_auctions(6, 10_000, 4))
    assert float(gains.max()) <= 1e-9


@EVERY
def test_no_ask_changes_what_another_is_offered(name):
    # but under procurement, where prices are the others' bids, and in a queue, where what is left
    # depends on who accepts
    asks, values, budget = smooth_auctions(3, 500, 4)
    other = asks.clone()
    other[:, 0] = 2 * draws.uniform(torch.tensor(1), 500)
    before, after = (
        DATA_RULES[name].pay(a, values, budget).prices[:, 0, 1:] for a in (asks, other)
    )
    assert torch.equal(before, after) == (name not in ("procurement", "posted"))


@pytest.mark.parametrize("name", ["posted", "procurement", "shadow_price"])
def test_a_higher_value_is_bought_sooner_and_paid_more(name):
    # "not in the points", "not in what the values are made of", "not in the quantity": twice of it,
    # for the same data
    asks, values, budget = smooth_auctions(4, 2000, 4)
    double = values.clone()
    double[:, 0] *= 2
    before, after = (DATA_RULES[name].pay(asks, v, budget) for v in (values, double))
    sold, then = (outcome.allocation[:, 0, 0] for outcome in (before, after))
    more = after.prices[:, 0, 0] > before.prices[:, 0, 0] * (1 + 1e-9)
    assert float(more.double().mean()) > 0.2 and (then & ~sold).any()
    if name == "procurement":
        assert not (sold & ~then).any()  # sooner


def test_sharing_out_what_is_refused_would_pay_for_asking_less():
    def shared_out(asks, values, budget):
        """Refuse who asks more than its share, and share its money out among the others, until
        nobody is refused.
        """
        left = values > 0
        for _ in range(asks.shape[1]):
            offers = DATA_RULES["shapley"].pay(
                torch.zeros_like(asks), torch.where(left, values, 0.0), budget
            )
            left = left & (asks <= offers.prices[:, 0])
        return offers

    # shares of 3 refuse both 3.5 and 4, so that seller 0 gets 9; who asks 3 instead of 3.5 gets 4.5
    # beside seller 0
    costs, equal, budget = money([[1, 3.5, 4]]), money([[1, 1, 1]]), money([9])
    assert shared_out(costs, equal, budget).prices[0, 0].tolist() == [9, 0, 0]
    assert shared_out(money([[1, 3, 4]]), equal, budget).prices[0, 0].tolist() == [4.5, 4.5, 0]
    kept = DATA_RULES["shapley"].pay(money([[1, 3, 4]]), equal, budget)
    assert kept.prices[0, 0].tolist() == [3, 3, 0]


def sources(held):
    """The game in which a set of sellers is worth the number of different sources that it holds."""
    return lambda members: float(len({held[i] for i in members}))


def leave_one_out(worth, n):
    everybody = set(range(n))
    return [worth(everybody) - worth(everybody - {i}) for i in range(n)]


def shapley(worth, n):
    orders = list(itertools.permutations(range(n)))
    added = [
        [worth(order[: order.index(i) + 1]) - worth(order[: order.index(i)]) for order in orders]
        for i in range(n)
    ]
    return [sum(row) / len(orders) for row in added]


def shares(name, value, held, budget=12):
    values = money([value(sources(held), len(held))])
    return (
        DATA_RULES[name]
        .pay(torch.zeros_like(values), values, money([budget]))
        .prices[0, 0]
        .tolist()
    )


def test_a_copy_under_a_second_name_takes_anothers_leave_one_out_value():
    assert shares("leave_one_out", leave_one_out, "xyz") == [4, 4, 4]  # each adds 1 of 3
    # the first also offers a copy of y: neither y is missed alone, so 12 is shared by x and z
    assert shares("leave_one_out", leave_one_out, "xyzy") == [6, 0, 6, 0]


def test_the_same_data_under_two_names_get_a_larger_shapley_share():
    assert shares("shapley", shapley, "xxx") == pytest.approx([4, 4, 4])  # 1 / 3 each
    # the first under two names: 1 / 4 each, so it gets 3 + 3
    assert shares("shapley", shapley, "xxxx") == pytest.approx([3, 3, 3, 3])


# --- rules of a user's own ------------------------------------------------------------------------


def own(pay):
    return DataRule("points", pay, "Not truthful in anything.")


def offers():
    """Three markets of two sellers."""
    return money([[1, 2]] * 3), money([[3, 4]] * 3), money([5, 5, 5])


def paying(prices, bought=None):
    prices = money([[row] for row in prices])
    return own(
        lambda asks, values, budget: Sales(
            prices > 0 if bought is None else torch.tensor(bought), prices
        )
    )


def test_a_rule_of_ones_own_is_applied():
    outcome = apply_data_rule(paying([[1, 2], [5, 0], [0, 0]]), *offers())
    assert outcome.prices[:, 0].tolist() == [[1, 2], [5, 0], [0, 0]]
    assert outcome.allocation[:, 0].tolist() == [[True, True], [True, False], [False, False]]
    assert apply_data_rule(DATA_RULES["posted"], *offers()).prices.equal(
        apply_data_rule("posted", *offers()).prices
    )


REFUSED = {  # words of the error: the rule
    r"price of 0.5 at index \[0, 0, 0\], wanted a finite amount, at least the ask of 1": paying(
        [[0.5, 0], [1, 0], [1, 0]]
    ),
    r"price of nan at index \[1, 0, 1\], wanted a finite": paying(
        [[1, 2], [1, math.nan], [1, 0]], [[[True, True]]] * 3
    ),
    r"price of inf at index \[1, 0, 1\], wanted a finite": paying([[1, 2], [1, math.inf], [1, 0]]),
    r"price of 2 at index \[2, 0, 1\], where nothing is bought": paying(
        [[0, 0], [0, 0], [0, 2]], [[[False, False]]] * 3
    ),
    "sum to 6 in market 2; wanted at most the budget of 5. No money moved": paying(
        [[1, 2], [1, 4], [2, 4]]
    ),
    r"rule returned allocation of shape \[3, 2\] bool": own(lambda a, v, b: Sales(a > 9, a)),
    r"rule returned prices of shape \[2\]": own(lambda a, v, b: Sales(a[:, None] > 0, b[:2])),
    "rule returned allocation .* float64, wanted": own(
        lambda a, v, b: Sales(a[:, None], a[:, None])
    ),
    "rule returned prices as None": own(lambda a, v, b: Sales(a[:, None] > 9, None)),
    "rule returned a Tensor, wanted Sales": own(lambda a, v, b: a),
    "no rule 'shaply'. Did you mean 'shapley'": "shaply",
    r"rule is 5, wanted a name \(posted, .*\) or a DataRule": 5,
    "rule is <function posted.*wanted a name .* or a DataRule": posted,
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_settled_is_refused(message):
    with pytest.raises(ValueError, match=message):
        apply_data_rule(REFUSED[message], *offers())


@pytest.mark.usefixtures("as_for_a_user")
def test_reports_are_checked_before_the_rule_is_asked():
    asked = []
    rule = own(lambda *given: asked.append(given))
    asks, values, budget = offers()
    for bad in (
        (asks, values, budget[:2]),
        (-asks, values, budget),
        (asks, values / 0 * 0, budget),
    ):
        with pytest.raises(ValueError, match="wanted"):
            apply_data_rule(rule, *bad)
    assert not asked


@pytest.mark.usefixtures("as_for_a_user")
def test_rounding_is_no_fault():
    def single(asks, values, budget):
        third = (budget / 3).float()[:, None, None].expand(-1, 1, 3)
        return Sales(third > 0, third)

    # a third of 1 in float32 is 1e-8 more than it should be, and more than that below an ask of
    # .33333335
    outcome = apply_data_rule(
        own(single), money([[1 / 3, 1 / 3 + 1e-8, 0]]), money([[1, 1, 1]]), money([1])
    )
    prices = outcome.prices[0, 0].tolist()
    assert prices == pytest.approx([1 / 3] * 3, abs=2e-8) and float(outcome.prices.sum(-1)) <= 1
    below = paying([[1 - 1e-10, 0], [1, 0], [5 + 1e-10, 0]])
    assert apply_data_rule(below, *offers()).prices[:, 0, 0].tolist() == pytest.approx(
        [1, 1, 5], rel=1e-15
    )
    assert float(apply_data_rule(below, *offers()).prices[2].sum()) <= 5


def test_a_rule_that_edits_its_arguments_changes_nothing():
    kept = offers()

    def careless(asks, values, budget):
        outcome = Sales(asks[:, None] > 9, 0 * asks[:, None])
        for given_tensor in (asks, values, budget):
            given_tensor.zero_()
        return outcome

    apply_data_rule(own(careless), *kept)
    assert all(torch.equal(a, b) for a, b in zip(kept, offers(), strict=True))


@pytest.mark.usefixtures("as_for_a_user")
def test_a_rule_says_which_values_it_wants():
    rule = DATA_RULES["posted"]
    for change, message in (
        ({"value": "shaply"}, "no value 'shaply'. Did you mean 'shapley'"),
        ({"pay": "posted"}, "pay is 'posted', wanted a callable"),
        (
            {"pay": lambda asks, values: None},
            "pay is .*wanted a callable \\(asks, values, budget\\)",
        ),
        ({"truthful": None}, "truthful is None, wanted text"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(rule, **change)
