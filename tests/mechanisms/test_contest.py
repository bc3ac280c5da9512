"""Proportional-share contests: worked rows, the equilibrium by brute force, and that nobody
gains by another effort.
"""

import math

import mpmath
import pytest
import torch
from data_cases import money
from hypothesis import given, settings
from hypothesis import strategies as st
from resource_cases import gains_by_efforts, random_contests

from marketenv.core import draws
from marketenv.mechanisms import (
    active_set,
    contest,
    contest_response,
    contest_utilities,
    proportional_payments,
    proportional_shares,
)
from marketenv.mechanisms.contest import intensity

INF = math.inf

WORKED = {  # name: (prize, costs, caps, efforts, where they come from)
    "one is too expensive": (
        1,
        [1, 1, 3],
        None,
        [0.25, 0.25, 0],
        "3 (3 - 2) >= 1 + 1; K = 1/2; 1/2 (1 - 1/2)",
    ),
    "a tie stays out": (1, [1, 2, 1], None, [0.25, 0, 0.25], "2 (3 - 2) >= 1 + 1; K = 1/2"),
    "ten equal owners": (
        25 / 18,
        [1] * 10,
        None,
        [0.125] * 10,
        "design page, N = 10: x = .125 at eta* = 1.3888889",
    ),
    "two unlike ones": (9, [1, 2], None, [2, 1], "K = 1/3; 3 (1 - 1/3), 3 (1 - 2/3)"),
    "one cap binds": (
        1,
        [1, 1],
        [0.1, INF],
        [0.1, math.sqrt(0.1) - 0.1],
        "sqrt(P R / c) - R with R = .1",
    ),
    "all caps bind": (1, [1, 1], [0.1, 0.1], [0.1, 0.1], "sqrt(.1) - .1 = .216 > .1 for both"),
    "a cap lets another in": (
        1,
        [1, 1, 3],
        [0.1, 0.1, INF],
        [0.1, 0.1, math.sqrt(0.2 / 3) - 0.2],
        "R = .2: sqrt(.2 / 3) - .2 = .058; without caps the third stays out",
    ),
    "a cap that does not bind": (1, [1, 1, 3], [1, 1, 1], [0.25, 0.25, 0], "as without caps"),
    "a cap of 0": (1, [1, 1, 1], [INF, 0, INF], [0.25, 0, 0.25], "K = 1/2 of the other two"),
    "an infinite cost": (1, [1, INF, 1], None, [0.25, 0, 0.25], "K = 1/2 of the other two"),
    "a single one": (1, [1], None, [0], "no equilibrium: half the effort wins the whole prize too"),
    "a single one with a cap above 0": (1, [1, 1], [1, 0], [0, 0], "as if it were alone"),
    "no prize": (0, [1, 1], [1, 1], [0, 0], "K P = 0"),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_example(name):
    prize, costs, caps, efforts, reason = WORKED[name]
    found = contest(money([prize]), money([costs]), None if caps is None else money([caps]))
    assert found[0].tolist() == pytest.approx(efforts, rel=1e-14, abs=1e-16), reason
    assert caps is not None or active_set(money([costs]))[0].tolist() == [
        effort > 0 for effort in efforts
    ], reason


# --- the equilibrium ------------------------------------------------------------------------------


def by_share_functions(prize, costs, caps):
    """The only root of the sum of shares, by bisection with 40 digits: Cornes and Hartley 2005."""
    with mpmath.workdps(40):
        cost, cap, prize = (
            [mpmath.mpf(c) for c in costs],
            [mpmath.mpf(c) for c in caps],
            mpmath.mpf(prize),
        )

        def efforts(total):
            return [
                max(mpmath.mpf(0), min(total * (1 - c * total / prize), k))
                for c, k in zip(cost, cap, strict=True)
            ]

        low, high = mpmath.mpf(10) ** -30, prize / min(cost)
        for _ in range(220):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(efforts(middle)) > middle else (low, middle)
        return [float(q) for q in efforts(low)]


@pytest.mark.parametrize("contestants", [2, 3, 6])
def test_the_equilibrium_is_the_root_of_the_share_functions(contestants):
    prize, costs, caps = random_contests(contestants, 40, contestants)
    efforts = contest(prize, costs, caps)
    able = (caps > 0).sum(-1) >= 2
    assert int(able.sum()) > 25
    for m in able.nonzero().flatten().tolist():
        wanted = by_share_functions(float(prize[m]), costs[m].tolist(), caps[m].tolist())
        assert efforts[m].tolist() == pytest.approx(wanted, rel=1e-11, abs=1e-13 * sum(wanted))


@pytest.mark.parametrize("contestants", [2, 5, 11])
@pytest.mark.parametrize("capped", [False, True])
def test_no_other_effort_gains(contestants, capped):
    prize, costs, caps = random_contests(5, 10_000, contestants)
    limits = caps if capped else None
    efforts = contest(prize, costs, limits)
    able = ((caps > 0) | (not capped)).sum(-1) >= 2
    assert float(gains_by_efforts(prize, costs, efforts, limits)[able].max()) <= 1e-9
    assert (efforts >= 0).all() and (efforts <= caps).all() | (not capped)
    assert float((efforts > 0).any(-1)[able].double().mean()) == 1.0
    at_cap = (efforts == caps) & (caps > 0)
    # caps bind for some and not for others
    assert not capped or 0.05 < float(at_cap.double().mean()) < 0.95


def test_the_search_finds_a_gain_where_there_is_one():
    prize, costs, caps = random_contests(6, 1000, 4)
    efforts = contest(prize, costs, caps)
    gains = gains_by_efforts(prize, costs, efforts * 0.7, caps).amax(-1)
    assert float((gains > 1e-4).double().mean()) > 0.7


def random_start(prize, costs, caps):
    return (
        torch.minimum(caps, prize[:, None] / costs)
        * torch.rand(costs.shape, generator=torch.Generator().manual_seed(1)).double()
    )


def test_no_effort_of_a_grid_beats_the_best_response():
    prize, costs, caps = random_contests(7, 200, 4)
    most = torch.minimum(caps, prize[:, None] / costs)  # a larger effort costs more than the prize
    efforts = most * draws.uniform(torch.tensor(1), *costs.shape)
    response = contest_response(prize, costs, efforts, caps)
    best = efforts.clone()
    for i in range(4):
        best[:, i] = response[:, i]
        reached = contest_utilities(prize, costs, best)[:, i]
        for part in torch.linspace(0, 1, 301).tolist():
            best[:, i] = part * most[:, i]
            others = efforts.sum(-1) - efforts[:, i]
            tried = contest_utilities(prize, costs, best)[:, i]
            assert ((tried <= reached + 1e-12 * prize) | (others <= 1e-12)).all()
        best[:, i] = efforts[:, i]


@settings(max_examples=50)
@given(
    costs=st.lists(st.floats(-6, 6).map(lambda e: 10.0**e), min_size=2, max_size=7),
    caps=st.lists(st.floats(-8, 8).map(lambda e: 10.0**e), min_size=7, max_size=7),
    prize=st.floats(-6, 6).map(lambda e: 10.0**e),
)
def test_nobody_gains_whatever_the_sizes(costs, caps, prize):
    prize, caps, costs = money([prize]), money([caps[: len(costs)]]), money([costs])
    for limits in (caps, None):
        efforts = contest(prize, costs, limits)
        assert float(gains_by_efforts(prize, costs, efforts, limits).max()) <= 1e-9
        assert int((efforts > 0).sum()) >= 2
    huge = contest(prize, costs, torch.full_like(caps, 1e200))
    assert torch.allclose(huge, efforts, rtol=0, atol=1e-14 * float(efforts.max()))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**40), scale=st.integers(-60, 60))
def test_money_and_efforts_have_no_unit(seed, scale):
    prize, costs, caps = random_contests(seed, 10, 5)
    plain, factor = contest(prize, costs, caps), 2.0**scale
    assert torch.allclose(contest(prize * factor, costs * factor, caps), plain, rtol=1e-12, atol=0)
    assert torch.allclose(
        contest(prize * factor, costs, caps * factor), plain * factor, rtol=1e-12, atol=0
    )


@settings(max_examples=20)
@given(seed=st.integers(0, 2**40))
def test_a_contest_is_solved_alike_alone_in_another_order_and_with_others_who_take_no_part(seed):
    prize, costs, caps = random_contests(seed, 6, 5)
    batch, order = contest(prize, costs, caps), torch.tensor([3, 1, 4, 0, 2])
    assert torch.allclose(
        contest(prize, costs[:, order], caps[:, order]), batch[:, order], rtol=1e-12, atol=0
    )
    for m in range(6):
        longer = (
            torch.nn.functional.pad(costs[m : m + 1], (0, 2), value=INF),
            torch.nn.functional.pad(caps[m : m + 1], (0, 2), value=1.0),
        )
        assert torch.allclose(
            contest(prize[m : m + 1], *longer)[0, :5], batch[m], rtol=1e-13, atol=0
        )


@settings(max_examples=30)
@given(seed=st.integers(0, 2**40))
def test_a_larger_prize_makes_nobody_lazier(seed):
    prize, costs, caps = random_contests(seed, 20, 5)
    assert (contest(prize * 1.3, costs, caps) >= contest(prize, costs, caps) * (1 - 1e-12)).all()


def test_equal_costs_are_all_active_or_none():
    costs = money([[1.0, 1.0, 0.1 + 0.2, 0.3, 0.3, 0.1 * 3], [0.1] * 6])
    assert active_set(costs).tolist() == [[False, False, True, True, True, True], [True] * 6]


def test_who_is_active_is_who_is_good_enough():
    # design page: active iff f_n > (|A| - 1) / sum_A (1 / f), whatever eta, lambda, rho
    quality = torch.rand(2000, 8, generator=torch.Generator().manual_seed(0)).double()
    active = active_set(3.0 / quality)
    least = (active.sum(-1) - 1) / torch.where(active, 1 / quality, 0.0).sum(-1)
    assert torch.equal(active, quality > least[:, None])
    assert torch.equal(active, contest(torch.full((2000,), 0.01).double(), 3.0 / quality) > 0)
    assert 0.2 < float(active.double().mean()) < 0.8


def test_rounding_at_the_margin_of_the_active_set_fills_no_cap():
    costs = 0.5 + draws.uniform(torch.tensor(12), 3000, 4)
    margin = 1 / intensity(costs, active_set(costs))  # the cost at which a fifth just stays out
    for away in (0.0, 0.0, math.inf):
        wide = torch.cat([costs, margin[:, None]], -1)
        one = torch.ones(3000).double()
        assert torch.allclose(
            contest(one, wide, torch.ones_like(wide)), contest(one, wide), rtol=0, atol=1e-14
        )
        margin = torch.nextafter(margin, torch.full_like(margin, away))


def test_a_thousand_contestants_with_caps():
    prize, costs, caps = random_contests(9, 2, 1000)
    efforts = contest(prize, costs, caps)
    response = contest_response(prize, costs, efforts, caps)
    assert torch.allclose(response, efforts, rtol=1e-9, atol=1e-12)


# --- best responses as dynamics -------------------------------------------------------------------


def after_responses(contestants, start, steps):
    prize, costs = money([1.0]), torch.ones(1, contestants).double()
    efforts = contest(prize, costs) * money(start)
    for _ in range(steps):
        efforts = contest_response(prize, costs, efforts, least=1e-6)
    return float((efforts / contest(prize, costs) - 1).abs().max())


def test_best_responses_converge_for_three_and_cycle_for_five():
    # design page: simultaneous best response converges for N <= 3, and cycles or diverges for N >=
    # 5
    assert after_responses(2, 1.2, 60) < 1e-9 and after_responses(3, 1.2, 60) < 1e-9
    assert after_responses(5, 1.001, 60) > 0.2 and after_responses(10, 1.001, 60) > 0.2


@pytest.mark.parametrize("contestants", [2, 3, 4, 5, 10])
def test_the_eigenvalue_of_the_responses(contestants):
    # d q / d R = N / (2 (N - 1)) - 1 and R = (N - 1) q, so all together move by -(N - 2) / 2
    prize, costs, h = money([1.0]), torch.ones(1, contestants).double(), 1e-6
    at = contest(prize, costs)
    moved = contest_response(prize, costs, at * (1 + h)) - contest_response(
        prize, costs, at * (1 - h)
    )
    assert float((moved / (2 * h * at))[0, 0]) == pytest.approx(-(contestants - 2) / 2, abs=1e-6)


def test_no_effort_of_anybody_is_a_trap():
    prize, costs, nothing = money([1.0]), torch.ones(1, 3).double(), torch.zeros(1, 3).double()
    assert torch.equal(contest_response(prize, costs, nothing), nothing)
    assert contest_response(prize, costs, nothing, least=0.01).tolist() == [[0.01] * 3]
    assert contest_response(
        prize, costs, nothing, caps=money([[0.005, 1, 0]]), least=0.01
    ).tolist() == [[0.005, 0.01, 0]]
    assert contest_response(money([0.0]), costs, nothing, least=0.01).tolist() == [[0.0] * 3]
    # it wins the whole prize, and half of it would too: it gains by the least effort
    alone = money([[0.001, 0.0, 0.0]])
    assert float(contest_response(prize, costs, alone, least=1e-9)[0, 0]) == 1e-9


# --- parts, and refusals --------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    efforts=st.lists(st.just(0.0) | st.floats(1e-290, 1e12), min_size=1, max_size=9),
    prize=st.just(0.0) | st.floats(1e-290, 1e12),
)
def test_payments_never_sum_to_more_than_the_prize(efforts, prize):
    paid = proportional_payments(money([prize]), money([efforts]))
    assert float(paid.sum()) <= prize and (paid >= 0).all()  # to the bit
    if sum(efforts):
        assert float(paid.sum()) == pytest.approx(prize, rel=1e-13)
        assert paid[0].tolist() == pytest.approx(
            [prize * (q / sum(efforts)) for q in efforts], rel=1e-13, abs=1e-300
        )


def test_who_contributes_nothing_is_paid_nothing():
    assert proportional_payments(
        money([8.0, 8.0]), money([[0.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    ).tolist() == [[0, 6, 2], [0, 0, 0]]


def test_shares_of_nothing_are_nothing():
    assert proportional_shares(money([[0.0, 0.0]])).tolist() == [[0, 0]]
    assert contest_utilities(money([1.0]), money([[1.0, INF]]), money([[0.0, 0.0]])).tolist() == [
        [0, 0]
    ]


ONE, TWO = money([1.0]), money([[1.0, 1.0]])
BAD = {
    "prize -1 at index \\[0\\]; wanted a finite amount >= 0": (money([-1.0]), TWO),
    "prize nan at index": (money([math.nan]), TWO),
    "cost 0 at index \\[0, 1\\]; wanted money per unit of effort > 0": (ONE, money([[1.0, 0.0]])),
    "cost nan at index": (ONE, money([[math.nan, 1.0]])),
    "cap -1 at index": (ONE, TWO, -TWO),
    "prize \\[2\\], costs \\[1, 2\\] do not fit": (money([1.0, 1.0]), TWO),
    "costs \\[1, 2\\] and caps \\[1, 1\\] do not fit": (ONE, TWO, money([[1.0]])),
    "costs is torch.float32; wanted torch.float64": (ONE, TWO.float()),
}


@pytest.mark.usefixtures("as_for_a_user")
@pytest.mark.parametrize("message", BAD)
def test_what_is_no_contest_is_refused(message):
    prize, costs, *caps = BAD[message]
    with pytest.raises(ValueError, match=message):
        contest(prize, costs, *caps)
    with pytest.raises(ValueError, match=message):
        contest_response(prize, costs, TWO, *caps)


@pytest.mark.usefixtures("as_for_a_user")
def test_efforts_that_are_none_are_refused():
    for efforts, message in (
        (money([[1.0, -1.0]]), "effort -1 at index \\[0, 1\\]; wanted a finite number >= 0"),
        (money([[1.0]]), "efforts \\[1, 1\\] and costs \\[1, 2\\] do not fit"),
        (TWO.float(), "efforts is torch.float32"),
    ):
        with pytest.raises(ValueError, match=message):
            contest_response(ONE, TWO, efforts)
    with pytest.raises(
        ValueError,
        match=r"least is -1, wanted a finite number >= 0: the effort against no effort of others",
    ):
        contest_response(ONE, TWO, TWO, least=-1)
