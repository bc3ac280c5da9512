"""Every payment for shared models: worked rows, the counterexamples, who gains by which lie,
and brute force.
"""

import dataclasses
import functools
import math

import mpmath
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sharing_cases import alone, money, random_market, random_terms, terms_of, three

from marketenv.core import draws
from marketenv.core.ledger import Ledger, net
from marketenv.mechanisms import (
    GAINS,
    GRAPHS,
    SHARING_PAYMENTS,
    ClientTypes,
    SharingTerms,
    share_models,
    utilities,
)
from marketenv.mechanisms.gain_families import InverseSqrt
from marketenv.mechanisms.sharing_payments import critical_value, marginal_value

# Buyer 0: N = 1, K = 100; sellers N = 1, c = 1.5 and 2; no distance. Seller 1 is bought: 10 - 10 /
# sqrt(2) = 2.9289.
WORKED = {  # name: (graph, what buyer 0 pays, where it comes from)
    "marginal": (
        "break",
        [0, 10 - 10 / math.sqrt(2), 0],
        "arXiv 2505.02462, r_ij = g(2) - g(1) = 2.9289",
    ),
    "critical": (
        "break",
        [0, 2.0, 0],
        "Myerson 1981: above the other seller's cost 2 it would come second and add 1.2976",
    ),
    "vcg": ("exact", [0, 2.0, 0], "Clarke 1971: 1.5 + (2.9289 - 1.5) - (2.9289 - 2) = 2"),
}
MODES = [
    ("break", "marginal"),
    ("continue", "marginal"),
    ("exact", "marginal"),
    ("break", "critical"),
    ("continue", "critical"),
    ("exact", "critical"),
    ("exact", "vcg"),
]
TRUTHFUL = MODES[3:]
EVERY = pytest.mark.parametrize(("graph", "payment"), MODES)


def test_every_payment_has_a_worked_example():
    assert WORKED.keys() == SHARING_PAYMENTS.keys() == {payment for _, payment in MODES}
    assert GRAPHS.keys() == {graph for graph, _ in MODES}
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@pytest.mark.parametrize("name", WORKED)
def test_worked_example(name):
    graph, prices, reason = WORKED[name]
    outcome = share_models(
        terms_of(three(), torch.zeros(1, 3, 3).double()), graph=graph, payment=name
    )
    assert outcome.prices[0, 0].tolist() == pytest.approx(prices, abs=1e-12), reason
    assert not outcome.prices[0, 1:].any()


# --- the counterexamples to truth under the paper's payment ---------------------------------------


def played(truth=None, distance=(0.0, 0.0), **lies):
    """(what buyer 0 pays each seller, everybody's true utility) when some report other types;
    lambda = 1.
    """
    truth = truth or three()
    reported = dataclasses.replace(
        truth, **{name: money([[float(x) for x in row]]) for name, row in lies.items()}
    )
    between = torch.zeros(1, 3, 3).double()
    between[0, 0, 1:] = money(distance)
    outcome = share_models(terms_of(reported, between))
    return (
        outcome.prices[0, 0].tolist()[1:],
        utilities(truth, InverseSqrt(), outcome.allocation, outcome.prices)[0].tolist(),
    )


def printed(found, prices, left):
    """Equal to the four digits printed with the example."""
    return found[0] == pytest.approx(prices, abs=6e-5) and found[1] == pytest.approx(left, abs=6e-5)


def test_understating_a_cost():
    # 10 - 10 / sqrt(2) = 2.9289 for one model, 10 / sqrt(2) - 10 / sqrt(3) = 1.2976 for each of two
    assert printed(played(), [2.9289, 0], [0, 1.4289, 0])
    assert printed(played(costs=(0, 1.5, 1.4)), [0, 2.9289], [0, 0, 0.9289])
    assert printed(played(costs=(0, 1.2, 1.2)), [1.2976, 1.2976], [1.6314, -0.2024, -0.7024])
    edge = 10 / math.sqrt(2) - 10 / math.sqrt(3)
    assert edge == pytest.approx(1.297565, abs=5e-7)
    assert (
        played(costs=(0, edge - 1e-9, edge - 1e-9))[0][1]
        > 0
        == played(costs=(0, edge + 1e-9, edge + 1e-9))[0][1]
    )


def test_understating_a_need():
    # sqrt(26.3) (1 - 1 / sqrt(2)) = 1.50206 is still above the cost 1.5, U_0 = 2.92893 - 1.50206;
    # the edge is K = (1.5 / (1 - 1 / sqrt(2)))^2 = 26.2279
    assert printed(played(needs=(26.3, 0, 0)), [1.5021, 0], [1.4269, 0.0021, 0])
    assert printed(played(needs=(26.2, 0, 0)), [0, 0], [0, 0, 0])
    edge = (1.5 / (1 - 1 / math.sqrt(2))) ** 2
    assert edge == pytest.approx(26.23, abs=5e-3)
    assert played(needs=(edge + 1e-6, 0, 0))[0][0] > 0 == played(needs=(edge - 1e-6, 0, 0))[0][0]


def test_overstating_the_data_on_sale():
    # reported N = 3: r = 10 - 10 / sqrt(4) = 5, but the buyer's gain is of one true sample: 2.9289
    # - 5
    assert printed(played(sizes=(1, 3, 1)), [5, 0], [-2.0711, 3.5, 0])
    # with distance 1 each reported sample also costs 1: r(N) = 10 - 10 / sqrt(1 + N) - N has its
    # maximum where dr/dN = 10 / (2 (1 + N)^1.5) - 1 = 0, N = 5^(2/3) - 1 = 1.9240
    truth = three(costs=(0, 0.2, 2))
    assert printed(played(truth, (1.0, 0.0)), [1.9289, 0], [1, 1.7289, 0])
    best = 5 ** (2 / 3) - 1
    assert best == pytest.approx(1.924, abs=5e-5)
    prices = [
        played(truth, (1.0, 0.0), sizes=(1, n, 1))[0][0] for n in (best - 0.05, best, best + 0.05)
    ]
    assert prices[1] == pytest.approx(2.2279, abs=6e-5) and max(prices) == prices[1]
    # .2 + 9 > 10 - 10 / sqrt(10): isolated
    assert played(truth, (1.0, 0.0), sizes=(1, 9, 1))[0] == [0, 0]


@settings(max_examples=30)
@given(size=st.floats(0.5, 4.0), distance=st.floats(0.05, 1.5))
def test_the_price_moves_with_the_reported_size_as_its_derivative_says(size, distance):
    # the sign of dr / dN_j is that of sqrt(K_i) / (2 T^1.5) - lambda d / N_i
    slope = 10 / (2 * (1 + size) ** 1.5) - distance
    truth = three(costs=(0, 0, 50))
    low, high = (played(truth, (distance, 0.0), sizes=(1, n, 1))[0][0] for n in (size, size + 1e-4))
    assume(low > 0 and high > 0 and abs(slope) > 1e-3)
    assert (high - low) * slope > 0


def test_overstating_ones_own_data():
    # reported N_0 = 1.5: sqrt(100 / 1.5) - sqrt(100 / 2.5) = 8.1650 - 6.3246 = 1.8404, gain by the
    # truth 2.9289
    assert printed(played(sizes=(1.5, 1, 1)), [1.8404, 0], [1.0885, 0.3404, 0])


def test_uploading_a_distant_model():
    # lambda d = 1.4 to both sellers takes 1.4 off the price and nothing off the buyer's gain
    assert printed(played(distance=(1.4, 1.4)), [1.5289, 0], [1.4, 0.0289, 0])


# --- for all markets ------------------------------------------------------------------------------


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 7))
def test_nobody_loses_by_the_truth_and_money_is_conserved(graph, payment, seed, clients):
    types, distance = random_market(seed, 20, clients)
    outcome = share_models(terms_of(types, distance), graph=graph, payment=payment)
    left = utilities(types, InverseSqrt(), outcome.allocation, outcome.prices)
    assert (left >= -1e-9).all()
    # theorem 1: r >= c
    assert (
        outcome.prices >= torch.where(outcome.allocation, types.costs[:, None], 0.0) - 1e-9
    ).all()
    assert (outcome.prices[~outcome.allocation] == 0).all() and (outcome.transfers >= 0).all()
    start = torch.full_like(types.costs, 1e3)
    cash = (
        Ledger.of(start, torch.zeros_like(start))
        .book(slice(None), slice(None), outcome.transfers)
        .cash
    )
    assert torch.allclose(cash.sum(-1), start.sum(-1), rtol=0, atol=1e-9)
    # U_i = G_i - c_i exports - p_i
    gains = left - net(outcome.transfers) + types.costs * outcome.allocation.sum(-2)
    received = (outcome.allocation * types.sizes[:, None]).sum(-1)
    values = [InverseSqrt().value(x, types.needs) for x in (types.sizes, types.sizes + received)]
    assert torch.allclose(gains, values[1] - values[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", sorted(GAINS))
@pytest.mark.parametrize(("graph", "payment"), MODES[:6])
def test_the_same_holds_for_the_other_gains(name, graph, payment):
    types, distance = random_market(7, 200, 5)
    needs = types.needs if name == "inverse_sqrt" else 3e-5 * types.needs  # there K is in money
    types, gain = ClientTypes(types.sizes, types.costs, needs), GAINS[name]()
    outcome = share_models(terms_of(types, distance, gain=gain), graph=graph, payment=payment)
    assert outcome.allocation.any()
    assert (utilities(types, gain, outcome.allocation, outcome.prices) >= -1e-9).all()
    assert (outcome.prices - types.costs[:, None])[outcome.allocation].min() >= -1e-9


@pytest.mark.parametrize("graph", sorted(GRAPHS))
def test_the_critical_value_is_at_most_the_marginal_one(graph):
    terms = random_terms(1, 2000, 7)
    trades = GRAPHS[graph](terms)
    marginal, critical = marginal_value(terms, trades, graph), critical_value(terms, trades, graph)
    assert (critical <= marginal + 1e-9).all() and (critical < marginal - 1e-3).any()


@EVERY
@settings(max_examples=10)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 6))
def test_a_batch_is_its_singles(graph, payment, seed, clients):
    present = draws.uniform(torch.tensor(seed), 3, clients) < 0.8
    terms = random_terms(seed, 3, clients, present=present)
    whole = share_models(terms, graph=graph, payment=payment).prices
    for m in range(3):
        assert torch.allclose(
            share_models(alone(terms, m), graph=graph, payment=payment).prices[0],
            whole[m],
            rtol=0,
            atol=1e-12,
        )


# --- lies about the cost --------------------------------------------------------------------------


def gains_of_cost_lies(graph, payment, markets, clients, powers, seed=0):
    """How much client 0 of each market gains by reporting 10^power times its cost, by its true
    type.
    """
    types, distance = random_market(seed, markets, clients)
    lie = types.costs.clone()
    lie[:, 0] *= 10 ** (
        powers[0] + (powers[1] - powers[0]) * draws.uniform(torch.tensor(seed + 1), markets)
    )
    left = []
    for costs in (types.costs, lie):
        outcome = share_models(
            terms_of(ClientTypes(types.sizes, costs, types.needs), distance),
            graph=graph,
            payment=payment,
        )
        left.append(utilities(types, InverseSqrt(), outcome.allocation, outcome.prices)[:, 0])
    return left[1] - left[0]


@pytest.mark.parametrize(("graph", "payment"), MODES[:3])
def test_overstating_a_cost_never_gains(graph, payment):
    gained = gains_of_cost_lies(graph, payment, 10_000, 6, (0, 1))
    assert gained.max() <= 1e-9 and gained.min() < -0.1


@pytest.mark.parametrize(("graph", "payment"), TRUTHFUL)
def test_no_lie_about_a_cost_gains_under_critical_payments(graph, payment):
    gained = gains_of_cost_lies(graph, payment, 10_000, 6, (-1, 1))
    assert gained.max() <= 1e-9 and gained.min() < -0.1


def test_understating_a_cost_gains_under_the_papers_payment():
    # 47 % of clients gain by the best of a grid of such lies with 10 clients; one random lie each
    # finds fewer
    share = float(
        (gains_of_cost_lies("break", "marginal", 2000, 10, (-1, 0)) > 1e-9).double().mean()
    )
    assert 0.2 < share < 0.5


# --- brute force ----------------------------------------------------------------------------------


def searched(terms, graph, edges):
    """The largest cost at which the seller of each edge is still bought by that buyer, by
    bisection on its report.
    """
    market, buyer, seller = edges.unbind(-1)
    each = torch.arange(len(edges))
    types = terms.reported
    low, high = types.costs[market, seller], torch.full((len(edges),), 100.0).double()
    for _ in range(38):  # 100 / 2^38 = 4e-10, of the 1e-9 that are allowed
        middle, costs = (low + high) / 2, types.costs[market].clone()
        costs[each, seller] = middle
        asked = ClientTypes(types.sizes[market], costs, types.needs[market])
        kept = GRAPHS[graph](SharingTerms(asked, terms.discounts[market]))[each, buyer, seller]
        low, high = torch.where(kept, middle, low), torch.where(kept, high, middle)
    return low


@pytest.mark.long
@pytest.mark.parametrize(
    ("graph", "markets", "clients"), [("break", 80, 10), ("continue", 80, 10), ("exact", 120, 6)]
)
def test_the_critical_value_is_the_largest_cost_that_sells(graph, markets, clients):
    types, distance = random_market(11, markets, clients)
    needs = types.needs.clone()
    needs[::3] *= 10  # some markets buy much
    terms = terms_of(ClientTypes(types.sizes, types.costs, needs), distance)
    trades = GRAPHS[graph](terms)
    edges = trades.nonzero()
    assert len(edges) > 1000
    assert torch.allclose(
        critical_value(terms, trades, graph)[trades],
        searched(terms, graph, edges),
        rtol=0,
        atol=1e-9,
    )


def by_places(terms, market, buyer, seller, stop):
    """The total at the critical value: min over places p of max(threshold of the next, T after
    p others + N_j).
    """
    queue, size = terms.queue, float(terms.reported.sizes[market, seller])
    others = [
        k for k, j in enumerate(queue.order[market, buyer].tolist()) if j not in (seller, buyer)
    ]
    total, least = float(queue.own[market, buyer]), math.inf
    for k in others:
        n, hurdle, threshold = (
            float(x[market, buyer, k]) for x in (queue.sizes, queue.hurdles, queue.thresholds)
        )
        least = min(least, max(threshold, total + size))
        worth = terms.gain.marginal(money(total), money(n), queue.need[market, buyer, 0])
        if float(worth) > hurdle:
            total += n
        elif stop:
            return least
    return min(least, total + size)


@pytest.mark.parametrize(("graph", "stop"), [("break", True), ("continue", False)])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 8))
def test_the_shortcut_is_the_minimum_over_places(graph, stop, seed, clients):
    terms = random_terms(seed, 2, clients)
    trades = GRAPHS[graph](terms)
    prices = critical_value(terms, trades, graph)
    for m, i, j in trades.nonzero().tolist():
        total, size = by_places(terms, m, i, j, stop), float(terms.reported.sizes[m, j])
        worth = terms.gain.marginal(money(total - size), money(size), terms.reported.needs[m, i])
        assert float(prices[m, i, j]) == pytest.approx(
            float(worth - terms.discounts[m, i, j]), abs=1e-9
        )


def exact_before(sizes, need, hurdles, buyer, seller, stop, stretch):
    """What the buyer has without the seller where its price is taken, to 60 digits; see
    ``by_places``.

    stretch: factor of what lies beyond every threshold, which float64 knows to some 1e-15 only
    """
    others = [k for k in range(len(sizes)) if k not in (buyer, seller)]
    beyond = {k: root(sizes[k], hurdles[k], need) * stretch for k in others}
    total, least = sizes[buyer], mpmath.inf
    for k in sorted(others, key=lambda k: sizes[k] + beyond[k], reverse=True):
        least = min(least, max(sizes[k] - sizes[seller] + beyond[k], total))
        if mpmath.sqrt(need / total) - mpmath.sqrt(need / (total + sizes[k])) > hurdles[k]:
            total += sizes[k]
        elif stop:
            return least
    return min(least, total)


@functools.cache  # every edge of a buyer asks for the same ones
def root(size, worth, need):
    """y with sqrt(K / y) - sqrt(K / (y + n)) = worth, by halving log y."""
    low, high = mpmath.mpf(-300), mpmath.mpf(300)
    for _ in range(100):  # 600 / 2^100 = 5e-28
        middle = (low + high) / 2
        y = mpmath.exp(middle)
        low, high = (
            (middle, high)
            if mpmath.sqrt(need / y) - mpmath.sqrt(need / (y + size)) > worth
            else (low, middle)
        )
    return mpmath.exp(low)


@pytest.mark.parametrize("decades", [0, 6, 10, 16])
@pytest.mark.parametrize(
    ("graph", "payment"), [("break", "marginal"), ("break", "critical"), ("continue", "critical")]
)
def test_prices_keep_their_digits_however_far_sizes_are_apart(graph, payment, decades):
    """With sizes 1e6 apart, T - N_j of two totals had an error of 6e-11 of the price, at 1e10
    of 5e-7, and at 1e16 it was inf.
    """
    sizes = 10 ** (decades * draws.uniform(torch.tensor(decades), 2, 6)) * (
        1 + draws.uniform(torch.tensor(1), 2, 6)
    )
    costs, needs = (
        0.1 * draws.uniform(torch.tensor(2), 2, 6) + 1e-3,
        50 * sizes.mean(1, keepdim=True).expand_as(sizes),
    )
    terms = terms_of(ClientTypes(sizes, costs, needs.contiguous()), torch.zeros(2, 6, 6).double())
    outcome, tested = share_models(terms, graph=graph, payment=payment), 0
    with mpmath.workdps(60):
        for m, i, j in outcome.allocation.nonzero().tolist():
            n, need = [mpmath.mpf(x) for x in sizes[m].tolist()], mpmath.mpf(float(needs[m, i]))
            before = [
                n[i]
                + sum(n[k] for k in outcome.allocation[m, i].nonzero()[:, 0].tolist() if k != j)
            ] * 2
            if payment == "critical":
                hurdles, stop = terms.hurdles[m, i].tolist(), graph == "break"
                before = [
                    exact_before(n, need, hurdles, i, j, stop, 1 + sign * mpmath.mpf(1e-13))
                    for sign in (-1, 1)
                ]
            high, low = (
                float(mpmath.sqrt(need / x) - mpmath.sqrt(need / (x + n[j]))) for x in before
            )
            assert low * (1 - 1e-13) <= float(outcome.prices[m, i, j]) <= high * (1 + 1e-13)
            tested += 1
    assert tested >= 10


def test_clarke_is_the_critical_value_of_the_exact_graph():
    terms = random_terms(4, 50, 6)
    prices = [share_models(terms, graph="exact", payment=p).prices for p in ("critical", "vcg")]
    assert torch.equal(*prices)


# --- other graphs, and refusals -------------------------------------------------------------------


def everybody(terms):
    return terms.pairs.clone()


def test_a_negative_price_runs_the_other_way():
    # the buyer takes both sellers' models, as federated averaging does: each adds 1.2976, less a
    # discount of 1 and of 2
    truth = three()
    discounts = torch.zeros(1, 3, 3).double()
    discounts[0, 0] = money([0.0, 1.0, 2.0])
    outcome = share_models(SharingTerms(truth, discounts), graph=everybody)
    assert outcome.prices[0, 0].tolist() == pytest.approx([0, 0.2976, -0.7024], abs=6e-5)
    assert (outcome.transfers >= 0).all() and outcome.transfers[0, 2, 0] == pytest.approx(
        0.7024, abs=6e-5
    )
    paid = outcome.prices.sum(-1) - outcome.prices.sum(-2)
    assert torch.allclose(net(outcome.transfers), -paid, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "graph", ["break", "continue", GRAPHS["exact"]], ids=["break", "continue", "a function"]
)
def test_clarke_wants_the_exact_graph(graph):
    with pytest.raises(
        ValueError, match=r"'vcg' got graph .* only on graph='exact'.*payment='critical'"
    ):
        share_models(random_terms(0, 1, 3), graph=graph, payment="vcg")


def test_unknown_names_are_refused():
    terms = random_terms(0, 1, 3)
    with pytest.raises(ValueError, match="Did you mean 'break'"):
        share_models(terms, graph="brake")
    with pytest.raises(ValueError, match="Did you mean 'critical'"):
        share_models(terms, payment="critcal")
    with pytest.raises(ValueError, match="no critical value for the graph"):
        share_models(terms, graph=everybody, payment="critical")


def test_who_has_left_neither_pays_nor_earns():
    types, distance = random_market(6, 50, 5)
    present = torch.ones(50, 5, dtype=torch.bool)
    present[:, 2] = False
    for graph, payment in MODES:
        outcome = share_models(
            terms_of(types, distance, present=present), graph=graph, payment=payment
        )
        left = utilities(types, InverseSqrt(), outcome.allocation, outcome.prices)
        assert (left[:, 2] == 0).all() and (left[:, 1] > 0).any()


def test_what_is_never_sold_costs_nothing_even_at_an_infinite_cost():
    truth = three(costs=(math.inf, 1.5, math.inf))
    outcome = share_models(terms_of(truth, torch.zeros(1, 3, 3).double()))
    assert utilities(truth, InverseSqrt(), outcome.allocation, outcome.prices)[
        0
    ].tolist() == pytest.approx([0, 1.4289, 0], abs=6e-5)


def test_tensors_follow_their_inputs():
    # torch's default device is "meta" here: a tensor made without a device would land there and
    # fail
    terms = functools.partial(random_terms, 2, 3, 5)
    wanted = [share_models(terms(), graph=g, payment=p).prices for g, p in MODES]
    given_terms = [terms() for _ in MODES]
    with torch.device("meta"):
        found = [
            share_models(t, graph=g, payment=p).prices
            for t, (g, p) in zip(given_terms, MODES, strict=True)
        ]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
