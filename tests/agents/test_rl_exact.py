"""Exact payoffs of learned prices against closed forms and against the market itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.markets import STRATEGIES, shade
from agents.rl.exact import (
    SIDES,
    best_ask,
    best_bid,
    buyer_payoff,
    exact_payoff,
    first_price_gap,
    has_exact_payoff,
    has_first_price_gap,
    nodes,
    price_rule,
    seller_payoff,
)
from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names

UNIT = (0.0, 1.0)


def scaled(factor):
    return lambda types: factor * types


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.0, 1 / 12),  # v b - 3/4 b^2 = v^2 / 4
        # v^2 (2/3 - 1/3) = v^2 / 3: the best response (Chatterjee and Samuelson 1983)
        (2 / 3, 1 / 9),
        (0.0, 0.0),  # nothing is bought
        # v <= 1/2: -v^2, together -1/24; above, all sell: v - (2v + 1/2)/2 = -1/4 on half of the
        # values
        (2.0, -1 / 6),
    ],
)
def test_a_buyers_payoff_is_the_closed_form(factor, expected):
    assert buyer_payoff(scaled(factor), UNIT, UNIT) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (scaled(1.0), 1 / 12),  # (a/2 - c)(1 - a) + (1 - a^2)/4 at a = c is (1 - c)^2 / 4
        (lambda c: (1 + 2 * c) / 3, 1 / 9),  # the mirror image of the buyer's 2v/3
        (torch.ones_like, 0.0),  # nothing is sold
        (torch.zeros_like, -1 / 4),  # always sells: E v / 2 - E c = 1/4 - 1/2
    ],
)
def test_a_sellers_payoff_is_the_closed_form(rule, expected):
    assert seller_payoff(rule, UNIT, UNIT) == pytest.approx(expected, abs=1e-9)


def test_the_rule_of_quadrature_is_exact_for_cubics():
    x, weight = nodes(2.0, 5.0)
    assert float(weight.sum()) == pytest.approx(1, abs=1e-12)
    # mean of x^3 on U[2, 5]
    assert float((weight * x**3).sum()) == pytest.approx((5**4 - 2**4) / 4 / 3, rel=1e-12)


ranges = st.tuples(st.floats(0, 2), st.floats(0.2, 2)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


@settings(max_examples=40)
@given(values=ranges, costs=ranges, factor=st.floats(0.3, 1.5), shift=st.floats(-0.5, 0.5))
def test_no_price_beats_the_best_response(values, costs, factor, shift):
    for side, best in ((buyer_payoff, best_bid), (seller_payoff, best_ask)):
        other = side(lambda types: (factor * types + shift).clamp(min=0), values, costs)
        assert other <= side(best(values, costs), values, costs) + 1e-7


@pytest.mark.parametrize("agent", ["buyer_0", "seller_0"])
@pytest.mark.parametrize("arguments", [{}, {"values": (0.5, 2.0), "costs": (0.2, 1.0)}])
@pytest.mark.parametrize(
    "strategy", [shade(0.7), STRATEGIES["never_trade"], STRATEGIES["truthful"]]
)
def test_the_market_pays_what_the_integral_says(agent, arguments, strategy):
    market = make_market("reference_v0", **arguments)
    policy, truth = strategy.build(market), market.policies["truthful"]
    names = ("buyer_0", "seller_0")
    policies = {name: policy if name == agent else truth for name in names}
    _, _, report = next(rounds.play(market, policies, torch.arange(40_000)))
    sample = report.rewards[:, names.index(agent)]
    found = exact_payoff(market, policy, agent)
    error = float(sample.std()) / 200 + 1e-9  # sqrt(40,000) = 200
    # once in 150,000 seeds, and the seeds are fixed
    assert abs(float(sample.mean()) - found.payoff) < 4.5 * error
    assert found.payoff <= found.best + 1e-9 and found.truth <= found.best + 1e-9


def test_above_truth_is_a_share_of_truth():
    found = exact_payoff(
        make_market("reference_v0"), shade(2 / 3).build(make_market("reference_v0")), "buyer_0"
    )
    # (1/9) / (1/12) - 1; actions are float32
    assert found.above_truth == pytest.approx(1 / 3, abs=1e-5)


def test_exact_payoffs_are_refused_where_they_are_not_known():
    for arguments in (
        {"game": "first_price"},
        {"max_cycles": 2},
        {"mechanism": "posted_price"},
        {"costs": (1.0, 2.0)},
    ):
        market = make_market("reference_v0", **arguments)
        assert not has_exact_payoff(market)
        with pytest.raises(ValueError, match="double_auction"):
            exact_payoff(market, market.policies["truthful"], "buyer_0")
    assert has_exact_payoff(make_market("reference_v0")) and set(SIDES) == {"buyer", "seller"}


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_first_price_equilibrium_has_no_gap(n):
    gap = first_price_gap(scaled((n - 1) / n), n)
    assert gap.distance < 1e-12
    # E (v/n) v^(n-1); the grid has 1,001 values
    assert gap.payoff == pytest.approx(1 / (n * (n + 1)), abs=1e-3)
    assert 0 <= gap.exploitability < 1e-3


def test_truth_has_the_gap_that_the_closed_form_says():
    gap = first_price_gap(scaled(1.0), 2)
    assert gap.distance == pytest.approx(1 / 4, abs=1e-3)  # E |v - v/2|
    assert gap.payoff == pytest.approx(0, abs=1e-12)
    # the best b against U[0, 1] is v/2, worth E (v/2)^2
    assert gap.exploitability == pytest.approx(1 / 12, abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_of_n_equal_bids_each_wins_equally_often(n):
    gap = first_price_gap(lambda v: torch.full_like(v, 0.25), n)
    # E (v - 1/4) = 1/4, won with chance 1/n; a little more wins always: E max(v - 1/4, 0) = (3/4)^2
    # / 2 = 9/32
    assert gap.payoff == pytest.approx(1 / 4 / n, abs=1e-3)
    assert gap.exploitability == pytest.approx(9 / 32 - 1 / 4 / n, abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_auction_pays_what_the_gap_says_of_bids_that_tie(n):
    market = make_market("reference_v0", game="first_price", n_buyers=n)
    bid = lambda v: (4 * v).floor() / 5  # noqa: E731  many ties, and 0, which is no bid
    policy = lambda seen, role, keys: (  # noqa: E731
        2 * bid(role.observation.unpack(seen)["type"].double()) - 1
    ).float()
    _, _, report = next(
        rounds.play(market, dict.fromkeys(agent_names(market), policy), torch.arange(40_000))
    )
    sample = report.rewards.mean(1)
    error = float(sample.std()) / 200  # sqrt(40,000) = 200
    # and the grid's 1/2,000
    assert abs(float(sample.mean()) - first_price_gap(bid, n).payoff) < 4.5 * error + 5e-4


def test_the_gap_is_known_for_the_plain_auction_only():
    first = {"game": "first_price"}
    assert has_first_price_gap(
        make_market("reference_v0", **first, mechanism="first_price", n_buyers=3)
    )
    other = (
        {"reserve": 0.2},
        {"mechanism": "second_price"},
        {"max_cycles": 2},
        {"n_buyers": 1},
        {"values": (0.0, 2.0)},
    )
    for arguments in (*({**first, **more} for more in other), {}, {"game": "second_price"}):
        assert not has_first_price_gap(make_market("reference_v0", **arguments))


def test_price_rule_asks_the_policy():
    market = make_market("reference_v0", values=(0.0, 2.0))
    price = price_rule(shade(0.5).build(market), market, "buyer_0")
    types = torch.linspace(0, 2, 5, dtype=torch.float64)
    assert torch.allclose(price(types), types / 2, atol=1e-6)
