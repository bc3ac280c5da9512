"""Every graph of the table: a worked row, brute force, and what must hold for all reports."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sharing_cases import alone, money, random_market, random_terms, terms_of

from marketenv.core import draws
from marketenv.mechanisms import (
    GAINS,
    GRAPHS,
    ClientTypes,
    SharingTerms,
    distance_discounts,
    never_bought,
)
from marketenv.mechanisms.collaboration_graph import break_graph, continue_graph, exact_graph

# Buyer 0: N = 1, K = 100; sellers' (N, c); without distance. Alone, g(1 + N) - g(1) = 10 - 10 /
# sqrt(1 + N).
# Thresholds: (4, 6): 6 > 10 - 10 / sqrt(5) = 5.53, so over 4 but under 5;  (1, 1): 3.46;  (1, 1.5):
# 2.78 (1 + the root y of 1 / sqrt(y) - 1 / sqrt(y + 1) = c / 10).
# In that order the first is not worth 6, the others are: 10 - 10 / sqrt(2) = 2.93 > 1, and then
# 10 / sqrt(2) - 10 / sqrt(3) = 1.30 > 1 but not > 1.5.
SELLERS = [(4.0, 6.0), (1.0, 1.5), (1.0, 1.0)]
WORKED = {  # name: (what buyer 0 buys, why)
    "break": (
        [],
        (
            "Algorithm 2, arXiv 2505.02462: seller 1 has the largest threshold, 4.x, and fails:"
            " 5.53 < 6"
        ),
    ),
    "continue": ([3], "after seller 1 failed: 2.93 > 1 buys seller 3, 1.30 < 1.5 leaves seller 2"),
    "exact": (
        [3],
        (
            "surplus 2.93 - 1 = 1.93 of seller 3 is the best of the 8 sets; both small ones: 4.23 -"
            " 2.5 = 1.73"
        ),
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(GRAPHS))


def small_market(sellers=SELLERS):
    sizes, costs = (money([[own, *(s[k] for s in sellers)]]) for k, own in enumerate((1.0, 0.0)))
    needs = torch.zeros_like(sizes)
    needs[0, 0] = 100.0
    return terms_of(ClientTypes(sizes, costs, needs), torch.zeros(1, 4, 4).double())


def test_every_graph_has_a_worked_example():
    assert WORKED.keys() == GRAPHS.keys()
    assert all(any(ch.isdigit() for ch in reason) for _, reason in WORKED.values())


@EVERY
def test_worked_example(name):
    wanted, reason = WORKED[name]
    trades = GRAPHS[name](small_market())[0]
    assert trades[0].nonzero().flatten().tolist() == wanted, reason
    assert not trades[1:].any()  # K = 0: pure sellers


def surplus(terms, trades):
    """g(T) - g(N_i) - sum_j a_ij C_ij of every row: what a graph is to maximise."""
    received = (trades.double() @ terms.reported.sizes[..., None]).squeeze(-1)
    spent = torch.where(trades, terms.hurdles, 0.0).sum(-1)
    return terms.gain.marginal(terms.reported.sizes, received, terms.reported.needs) - spent


def best_by_hand(terms, market, buyer):
    """The best surplus of one row over all sets, by the gain's values."""
    sizes, need = terms.reported.sizes[market], terms.reported.needs[market, buyer]
    others = [
        j
        for j in range(len(sizes))
        if j != buyer and math.isfinite(terms.hurdles[market, buyer, j])
    ]
    best = 0.0
    for count in range(1, len(others) + 1):
        for chosen in map(list, itertools.combinations(others, count)):
            ends = torch.stack([sizes[buyer], sizes[buyer] + sizes[chosen].sum()])
            worth = terms.gain.value(ends, need).diff()
            best = max(best, float(worth - terms.hurdles[market, buyer, chosen].sum()))
    return best


@settings(max_examples=40)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 6))
def test_with_equal_sizes_the_paper_is_brute_force(seed, clients):
    terms = random_terms(seed, 2, clients, spread=0.0)
    found = surplus(terms, break_graph(terms))
    for market, buyer in itertools.product(range(2), range(clients)):
        assert float(found[market, buyer]) == pytest.approx(
            best_by_hand(terms, market, buyer), abs=1e-9
        )
    assert torch.equal(break_graph(terms), exact_graph(terms))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 6), gain=st.sampled_from(sorted(GAINS)))
def test_exact_is_brute_force_and_nothing_beats_it(seed, clients, gain):
    types, distance = random_market(seed, 2, clients)
    needs = types.needs if gain == "inverse_sqrt" else 1e-5 * types.needs  # there K is in money
    terms = terms_of(ClientTypes(types.sizes, types.costs, needs), distance, gain=GAINS[gain]())
    rows = {name: surplus(terms, graph(terms)) for name, graph in GRAPHS.items()}
    for market, buyer in itertools.product(range(2), range(clients)):
        assert float(rows["exact"][market, buyer]) == pytest.approx(
            best_by_hand(terms, market, buyer), abs=1e-9
        )
    assert (rows["continue"] >= rows["break"] - 1e-9).all() and (
        rows["exact"] >= rows["continue"] - 1e-9
    ).all()


def walked(terms, market, buyer, stop):
    """Algorithm 2 for one row by plain Python, with thresholds by a search of its own."""
    size, need = terms.reported.sizes[market].tolist(), float(terms.reported.needs[market, buyer])
    hurdle = terms.hurdles[market, buyer].tolist()

    def adds(total, n):
        return math.sqrt(need / total) - math.sqrt(need / (total + n))

    def threshold(j):
        low, high = -40.0, 60.0  # of log(x - N_j)
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if adds(math.exp(middle), size[j]) > hurdle[j] else (low, middle)
            )
        return size[j] + math.exp(low)

    total, bought = size[buyer], []
    for j in sorted((j for j in range(len(size)) if j != buyer), key=threshold, reverse=True):
        if adds(total, size[j]) > hurdle[j]:
            total, bought = total + size[j], [*bought, j]
        elif stop:
            break
    return sorted(bought)


@pytest.mark.parametrize(("name", "stop"), [("break", True), ("continue", False)])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 8))
def test_the_batched_pass_is_the_algorithm_row_by_row(name, stop, seed, clients):
    terms = random_terms(seed, 2, clients)
    trades = GRAPHS[name](terms)
    for market, buyer in itertools.product(range(2), range(clients)):
        assert trades[market, buyer].nonzero().flatten().tolist() == walked(
            terms, market, buyer, stop
        )


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 7))
def test_a_batch_is_its_singles(name, seed, clients):
    present = draws.uniform(torch.tensor(seed), 3, clients) < 0.8
    terms = random_terms(seed, 3, clients, present=present)
    whole = GRAPHS[name](terms)
    for m in range(3):
        assert torch.equal(GRAPHS[name](alone(terms, m))[0], whole[m])


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), clients=st.integers(3, 7))
def test_who_has_left_is_as_if_never_there(name, seed, clients):
    types, distance = random_market(seed, 1, clients)
    distance[:, 0] = distance[:, :, 0] = 0.0  # the most attractive one leaves
    present = torch.ones(1, clients, dtype=torch.bool)
    present[0, 0] = False
    trades = GRAPHS[name](terms_of(types, distance, present=present))
    rest = ClientTypes(types.sizes[:, 1:], types.costs[:, 1:], types.needs[:, 1:])
    assert not trades[:, 0].any() and not trades[:, :, 0].any()
    assert torch.equal(trades[:, 1:, 1:], GRAPHS[name](terms_of(rest, distance[:, 1:, 1:])))


@EVERY
@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 7))
def test_names_do_not_matter(name, seed, clients):
    types, distance = random_market(seed, 2, clients)
    order = draws.permutation(torch.tensor(seed), clients)
    renamed = ClientTypes(types.sizes[:, order], types.costs[:, order], types.needs[:, order])
    plain = GRAPHS[name](terms_of(types, distance))
    assert torch.equal(
        GRAPHS[name](terms_of(renamed, distance[:, order][:, :, order])),
        plain[:, order][:, :, order],
    )


@EVERY
def test_ties_keep_index_order(name):
    # sellers 1 to 3 are alike at c = 2: the first adds 2.93 > 2, a second only 1.30
    terms = small_market([(1.0, 2.0)] * 3)
    assert GRAPHS[name](terms)[0, 0].tolist() == [False, True, False, False]


@EVERY
def test_what_adds_exactly_its_hurdle_is_not_bought(name):
    # N = 1 to 4 at K = 100 adds 10 - 5 = 5 to the bit; the acceptance is strict
    for cost, bought in ((5.0, False), (math.nextafter(5.0, 0.0), True)):
        terms = small_market([(3.0, cost), (1.0, math.inf), (1.0, math.inf)])
        assert bool(GRAPHS[name](terms)[0, 0, 1]) is bought


@EVERY
def test_free_models_are_bought_and_what_is_not_for_sale_is_not(name):
    for needs in (100.0, 0.0):
        terms = small_market([(1.0, 0.0), (2.0, math.inf), (3.0, 0.0)])
        terms.reported.needs[0, 0] = needs
        assert GRAPHS[name](terms)[0, 0].tolist() == [False, needs > 0, False, needs > 0]


@EVERY
def test_an_unusable_model_is_not_bought_even_for_nothing(name):
    distance = torch.zeros(1, 4, 4).double()
    distance[0, :, 2] = math.inf
    sizes = torch.ones(1, 4).double()
    terms = terms_of(ClientTypes(sizes, 0 * sizes, 100 * sizes), distance, strength=0.0)
    assert GRAPHS[name](terms)[0, 0].tolist() == [False, True, False, True]


def test_one_oversized_report_ends_a_row_of_the_paper():
    # seller 1 with N = 9 at lambda d = 1 costs .2 + 9 and adds only 10 - 10 / sqrt(10) = 6.84, yet
    # its threshold is above 9 and so comes first: Algorithm 2 stops there and the honest seller 2
    # (2.93 > 2) sells nothing
    reported = ClientTypes(
        money([[1.0, 9.0, 1.0]]), money([[0.0, 0.2, 2.0]]), money([[100.0, 0.0, 0.0]])
    )
    distance = torch.zeros(1, 3, 3).double()
    distance[0, 0, 1] = 1.0
    found = {
        name: graph(terms_of(reported, distance))[0, 0].nonzero().flatten().tolist()
        for name, graph in GRAPHS.items()
    }
    assert found == {"break": [], "continue": [2], "exact": [2]}


@EVERY
@settings(max_examples=30)
@given(seed=st.integers(0, 2**40), clients=st.integers(2, 7), strength=st.floats(0.1, 10.0))
def test_who_is_isolated_is_bought_by_nobody(name, seed, clients, strength):
    terms = terms_of(*random_market(seed, 4, clients), strength)
    assert not (GRAPHS[name](terms) & never_bought(terms)).any()


@EVERY
def test_two_alone_trade_unless_isolated(name):
    types, distance = random_market(3, 500, 2)
    terms = terms_of(types, distance, strength=2.0)
    trades = GRAPHS[name](terms)
    assert torch.equal(trades, ~never_bought(terms))
    assert trades.any() and never_bought(terms)[:, 0, 1].any()


def test_isolation_by_hand():
    # theorem 3: 10 - 10 / sqrt(2) = 2.9289 against c + lambda d = 1.5 + 1.42 and 1.5 + 1.43
    reported = ClientTypes(money([[1.0, 1.0]]), money([[0.0, 1.5]]), money([[100.0, 0.0]]))
    for distance, isolated in ((1.42, False), (1.43, True)):
        assert (
            bool(
                never_bought(terms_of(reported, torch.full((1, 2, 2), distance).double()))[0, 0, 1]
            )
            is isolated
        )


def test_dearer_means_bought_no_more_often():
    for name, graph in GRAPHS.items():
        types, distance = random_market(5, 300, 6)
        before = graph(terms_of(types, distance))
        dearer = types.costs.clone()
        dearer[:, 0] *= 1.3
        after = graph(terms_of(ClientTypes(types.sizes, dearer, types.needs), distance))
        assert not (after[..., 0] & ~before[..., 0]).any(), name
        assert (before[..., 0] & ~after[..., 0]).any()


def test_the_exact_graph_has_its_limit():
    assert exact_graph(random_terms(1, 1, 12)).any()
    with pytest.raises(ValueError, match=r"13 clients.*at most 12.*graph='continue'"):
        exact_graph(random_terms(1, 1, 13))


def test_a_thousand_clients():
    terms = random_terms(2, 1, 1000)
    a, b = break_graph(terms), continue_graph(terms)
    assert (a & ~b).sum() == 0 and b.any(-1).all()  # everybody finds something among so many


BAD = {  # message: what is wrong, as (name of the field, value) of client 1 in market 0
    "size nan at index \\[0, 1\\]": ("sizes", math.nan),
    "size 0 at index": ("sizes", 0.0),
    "size -5 at index": ("sizes", -5.0),
    "cost -1 at index": ("costs", -1.0),
    "cost nan at index": ("costs", math.nan),
    "need -1 at index": ("needs", -1.0),
    "need inf at index": ("needs", math.inf),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_types_are_refused(message):
    field, value = BAD[message]
    numbers = {name: torch.ones(2, 3).double() for name in ("sizes", "costs", "needs")}
    numbers[field][0, 1] = value
    with pytest.raises(ValueError, match=message):
        ClientTypes(**numbers)


@pytest.mark.parametrize("value", [math.nan, -0.5])
def test_bad_distances_are_refused(value):
    sizes, distance = torch.ones(1, 2).double(), torch.zeros(1, 2, 2).double()
    distance[0, 0, 1] = value
    with pytest.raises(ValueError, match=r"distance .* at index \[0, 0, 1\]"):
        distance_discounts(sizes, distance, 1.0)
    with pytest.raises(ValueError, match=r"discount .* at index \[0, 0, 1\]"):
        SharingTerms(ClientTypes(sizes, sizes, sizes), distance)
    gone = torch.tensor([[True, False]])
    # nobody reads it
    assert not break_graph(
        SharingTerms(ClientTypes(sizes, sizes, sizes), distance, present=gone)
    ).any()


@pytest.mark.parametrize("strength", [-1.0, math.nan, math.inf])
def test_bad_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="strength is"):
        distance_discounts(torch.ones(1, 2).double(), torch.zeros(1, 2, 2).double(), strength)


def test_shapes_and_dtypes_that_disagree_are_refused():
    ones = torch.ones(2, 3).double()
    # jaxtyping's own error is a TypeError; without it the class refuses
    with pytest.raises((ValueError, TypeError)):
        ClientTypes(ones, ones[:, :2], ones)
    with pytest.raises((ValueError, TypeError)):
        ClientTypes(ones.float(), ones.float(), ones.float())
    with pytest.raises(ValueError, match="at least two clients"):
        ClientTypes(ones[:, :1], ones[:, :1], ones[:, :1])
    types = ClientTypes(ones, ones, ones)
    with pytest.raises(ValueError, match=r"discounts \[2, 2, 2\].*do not fit sizes \[2, 3\]"):
        SharingTerms(types, torch.zeros(2, 2, 2).double())
    with pytest.raises(ValueError, match="present"):
        SharingTerms(
            types, torch.zeros(2, 3, 3).double(), present=torch.ones(2, 2, dtype=torch.bool)
        )


@EVERY
def test_who_needs_nothing_buys_nothing_even_where_it_is_free(name):
    """At K = 0 and hurdle 0 every set of sellers is worth 0, as much as none at all: nothing is
    bought for nothing.
    """
    ones = torch.ones(1, 3).double()
    free = SharingTerms(ClientTypes(ones, 0 * ones, 0 * ones), torch.zeros(1, 3, 3).double())
    assert not GRAPHS[name](free).any() and bool(never_bought(free).all())
