"""Strategies of the reference markets earn what theory says, U[0, 1] types unless told
otherwise.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scripted_cases import MANY, assert_mean, play_once, policy

from agents.markets import shade
from agents.scripted.reference import NamedPrice
from marketenv import make_market
from marketenv.markets.reference import Auctioned

DOUBLE = make_market("reference_v0", game="double_auction")
# the seller's cost is as good as 0
FREE = make_market("reference_v0", game="double_auction", costs=(0.0, 1e-9))


def line(slope, intercept):
    return lambda types: slope * types + intercept


def test_claim_truthful():
    """Second price: truth is weakly dominant (Vickrey 1961), so it is best market by market,
    not only in the mean.
    """
    market = make_market("reference_v0", game="second_price", n_buyers=3, reserve=0.1)
    truth = policy("truthful", market)
    for others in (truth, policy("random", market), policy("shade", market)):
        best = play_once(market, [truth, others, others], 4096).rewards[:, 0]
        for slope, intercept in [
            (f, d) for f in (0.0, 0.5, 0.8, 0.95, 1.05, 1.3, 2.0) for d in (0.0, 0.05, 0.3)
        ]:
            deviant = NamedPrice(bid=line(slope, intercept))
            found = play_once(market, [deviant, others, others], 4096).rewards[:, 0]
            assert bool((found <= best + 1e-6).all())  # 1e-6: actions are float32
    # and it is not a matter of indifference: half the value loses (1/12 (1 - 1/4) or so of a
    # payoff; far beyond noise)
    half = play_once(market, [policy("shade", market), truth, truth], 4096).rewards[:, 0]
    best = play_once(market, [truth, truth, truth], 4096).rewards[:, 0]
    assert float(half.mean()) < 0.9 * float(best.mean())


def test_truthful_double_auction_pays_a_twelfth_each():
    """E[(v - c)^+] = 1/6, halved by the midpoint."""
    report = play_once(DOUBLE, policy("truthful", DOUBLE))
    for k in (0, 1):
        assert_mean(report.rewards[:, k], 1 / 12)


def test_claim_random():
    """Uniform on [-1, 1]: mean 0, variance 1/3."""
    market = make_market("reference_v0", game="first_price", n_buyers=3)
    draw = policy("random", market)
    role = market.moves[0]
    actions = draw(torch.zeros(MANY, role.observation.dim), role, torch.arange(MANY))[:, 0].double()
    assert float(actions.min()) >= -1 and float(actions.max()) <= 1
    assert_mean(actions, 0.0)
    assert_mean(actions.square(), 1 / 3)


def test_random_bids_pay_what_uniform_prices_pay():
    """Both prices are U[0, 1] and know nothing of the types: P(bid >= ask) = 1/2, and the price
    of a trade is 1/2 in mean.
    """
    report = play_once(DOUBLE, policy("random", DOUBLE))
    assert_mean(report.of(Auctioned).traded[:, 0], 1 / 2)
    assert_mean(report.rewards[:, 0], 0.0)  # 1/2 (E[v] - 1/2)


def test_claim_never_trade():
    for game in ("double_auction", "first_price", "second_price"):
        market = make_market("reference_v0", game=game)
        report = play_once(market, policy("never_trade", market), 4096)
        assert (
            float(report.transfers.abs().sum()) == 0
            and float(report.of(Auctioned).traded.sum()) == 0
        )
    # a lone one does not trade with truthful partners either: no value reaches the largest price
    for pair in (["never_trade", "truthful"], ["truthful", "never_trade"]):
        assert (
            float(
                play_once(DOUBLE, [policy(name, DOUBLE) for name in pair], 4096)
                .of(Auctioned)
                .traded.sum()
            )
            == 0
        )


def test_claim_shade():
    """Against ask = c a buyer that bids f v earns E over v of int_0^{f v} (v - (f v + c) / 2) dc =
    v^2 (f - 3 f^2 / 4).

    The mean over v is (f - 3 f^2 / 4) / 3: 1/9 at the best f = 2/3, and 1/12 at f = 1: a third
    more.
    """
    truth = policy("truthful", DOUBLE)
    shaded = play_once(DOUBLE, [policy("shade", DOUBLE), truth]).rewards[:, 0]
    honest = play_once(DOUBLE, [truth, truth]).rewards[:, 0]
    assert_mean(shaded, 1 / 9)
    assert_mean(honest, 1 / 12)
    assert_mean(shaded - honest, 1 / 36)  # paired: the same types
    for factor in (0.3, 0.5, 0.8):
        assert_mean(
            play_once(DOUBLE, [shade(factor).build(DOUBLE), truth]).rewards[:, 0],
            (factor - 0.75 * factor**2) / 3,
        )


@given(st.floats(0, 1), st.floats(0, 1))
def test_shaded_bid_is_the_factor_times_the_value(factor, value):
    """With price_max 1 the money of an action is (1 + a) / 2."""
    buyer = DOUBLE.moves[0]
    seen = buyer.observation.pack(
        type=torch.tensor([[value]]), last_price=torch.zeros(1, 1), round=torch.zeros(1, 1)
    )
    action = shade(factor).build(DOUBLE)(seen, buyer, torch.zeros(1, dtype=torch.int64))
    assert float((1 + action.double()) / 2) == pytest.approx(factor * value, abs=1e-6)


def test_claim_linear_equilibrium():
    """Chatterjee and Samuelson (1983), example 1: trade iff v - c >= 1/4, so P = (3/4)^2 / 2 =
    9/32 and 9/128 each.
    """
    plays = policy("linear_equilibrium", DOUBLE)
    report = play_once(DOUBLE, plays)
    assert_mean(report.of(Auctioned).traded[:, 0], 9 / 32)
    for k in (0, 1):
        assert_mean(report.rewards[:, k], 9 / 128)
    bids = [(s, d) for s in (0.5, 2 / 3, 0.8, 1.0) for d in (0.0, 1 / 12, 0.15)]
    # and nobody gains by another line; the grid holds the equilibrium lines themselves
    for slope, intercept in bids:
        bidder = NamedPrice(bid=line(slope, intercept))
        asker = NamedPrice(ask=line(slope, 1 / 3 - intercept))
        for k, pair in ((0, [bidder, plays]), (1, [plays, asker])):
            gain = play_once(DOUBLE, pair).rewards[:, k] - report.rewards[:, k]
            assert float(gain.mean()) <= 4.5 * float(gain.std()) / MANY**0.5 + 1e-7


def test_linear_equilibrium_scales_with_money_and_refuses_priors_without_one():
    market = make_market("reference_v0", values=(0.0, 8.0), costs=(0.0, 8.0))
    for k in (0, 1):
        assert_mean(
            play_once(market, policy("linear_equilibrium", market)).rewards[:, k], 8 * 9 / 128
        )
    with pytest.raises(ValueError, match="no exact linear equilibrium"):
        play_once(FREE, policy("linear_equilibrium", FREE), 4)  # cost 0: c1 >= B fails


@pytest.mark.parametrize("n", [2, 3, 5])
def test_first_price_equilibrium_earns_its_share_with_any_number_of_buyers(n):
    """The winner keeps v - v (n - 1) / n = v / n; E[max v] = n / (n + 1), and each wins one
    time in n: 1 / (n (n + 1)).
    """
    market = make_market("reference_v0", game="first_price", n_buyers=n)
    report = play_once(market, policy("first_price_equilibrium", market))
    for k in range(n):
        assert_mean(report.rewards[:, k], 1 / (n * (n + 1)))


def test_claim_first_price_equilibrium():
    """Two buyers: 1/6 each, and no bid f v earns more against v / 2.

    With f <= 1/2 it wins when the other's v < 2 f v: mean of (1 - f) v * 2 f v = 2 f (1 - f) / 3,
    at most 1/6 at f = 1/2; with f > 1/2 it wins more often than that but pays more.
    """
    market = make_market("reference_v0", game="first_price", n_buyers=2)
    plays = policy("first_price_equilibrium", market)
    best = play_once(market, plays).rewards[:, 0]
    assert_mean(best, 1 / 6)
    assert_mean(
        play_once(market, [shade(0.25).build(market), plays]).rewards[:, 0], 2 * 0.25 * 0.75 / 3
    )
    for factor in (0.3, 0.45, 0.55, 0.7, 0.9):
        gain = play_once(market, [shade(factor).build(market), plays]).rewards[:, 0] - best
        assert float(gain.mean()) < 0


def test_first_price_equilibrium_shifts_with_the_least_value():
    """Values U[1, 3], n = 2: bid 1 + (v - 1) / 2, so each earns 2 / (2 * 3), as if the values
    were U[0, 2].
    """
    market = make_market("reference_v0", game="first_price", n_buyers=2, values=(1.0, 3.0))
    assert_mean(play_once(market, policy("first_price_equilibrium", market)).rewards[:, 0], 1 / 3)


def check_seller(name, ask, revenue):
    report = play_once(FREE, policy(name, FREE))
    torch.testing.assert_close(
        report.of(Auctioned).offers[:, 1], torch.full((MANY,), ask).double(), rtol=0, atol=1e-6
    )
    assert_mean(report.received[:, 1], revenue)
    return report


def test_claim_myerson_seller():
    """Ask 1/2 sells half the time at (3/4 + 1/2) / 2 = 5/8 in mean: 5/16."""
    check_seller("myerson_seller", 1 / 2, 0.3125)


def test_claim_best_midpoint_seller():
    """Ask 1/3 sells 2/3 of the time at (2/3 + 1/3) / 2 = 1/2 in mean: 1/3, the most of the
    three (paired).
    """
    best = check_seller("best_midpoint_seller", 1 / 3, 1 / 3).received[:, 1]
    for name, less in (("myerson_seller", 1 / 3 - 0.3125), ("lower_bound_seller", 1 / 3 - 0.25)):
        assert_mean(best - play_once(FREE, policy(name, FREE)).received[:, 1], less)


def test_claim_lower_bound_seller():
    """Ask 0 always sells, at half the value: 1/4."""
    report = check_seller("lower_bound_seller", 0.0, 0.25)
    assert float(report.of(Auctioned).traded.min()) == 1


def test_ask_rules_take_the_cost_into_account():
    """Uniform prior on [0, 1]: Myerson (1 + c) / 2, best midpoint max(c, (1 + 2c) / 3), lower
    bound max(0, c).
    """
    forms = {
        "myerson_seller": lambda c: (1 + c) / 2,
        "best_midpoint_seller": lambda c: (1 + 2 * c) / 3,
        "lower_bound_seller": lambda c: c,
    }
    for name, form in forms.items():
        report = play_once(DOUBLE, policy(name, DOUBLE), 512)
        torch.testing.assert_close(
            report.of(Auctioned).offers[:, 1],
            form(report.of(Auctioned).types[:, 1]),
            rtol=0,
            atol=1e-6,
        )
        torch.testing.assert_close(
            report.of(Auctioned).offers[:, 0], report.of(Auctioned).types[:, 0], rtol=0, atol=1e-6
        )  # as a buyer: the truth
