"""Every transport of the table: a worked example, POT as its oracle, and what must hold for all
clouds.
"""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import (
    TRANSPORTS,
    exact,
    exact_transport,
    random_directions,
    sinkhorn,
    wasserstein2,
)

# on a line: 0, 0, 3 against 0, 3, 3. One point of three moves by 3; both variances are 2, the means
# 1 and 2
WORKED_A, WORKED_B = torch.tensor([[0.0], [0.0], [3.0]]), torch.tensor([[0.0], [3.0], [3.0]])
WORKED = {  # name: (W2, how near, where it comes from)
    "exact": (math.sqrt(3), 1e-12, "a third of the weight moves by 3: 9 / 3 = 3"),
    "sinkhorn": (math.sqrt(3), 0.01, "as exact, 3, and a little for the smoothing"),
    "sliced": (math.sqrt(3), 1e-12, "a line has one direction, so as exact: 3"),
    "bures": (1.0, 1e-12, "the means differ by 1, the variances are both 2"),
}
EVERY = pytest.mark.parametrize("name", sorted(TRANSPORTS))
AT_MOST_W2 = ("sliced", "bures")


def clouds(seed, *batch, n=9, m=7, e=3):
    key = torch.tensor(seed)
    a, b = draws.normal(key, *batch, n, e), draws.normal(draws.fold(key, "b"), *batch, m, e) + 0.5
    return (
        a,
        b,
        draws.uniform(draws.fold(key, "wa"), *batch, n),
        draws.uniform(draws.fold(key, "wb"), *batch, m),
    )


def arrays(a, b, wa, wb):
    return a.numpy(), b.numpy(), (wa / wa.sum()).numpy(), (wb / wb.sum()).numpy()


def test_every_transport_has_a_worked_example():
    assert WORKED.keys() == TRANSPORTS.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_worked_example(name, dtype):
    wanted, near, reason = WORKED[name]
    found = wasserstein2(WORKED_A.to(dtype), WORKED_B.to(dtype), method=name)
    assert found.dtype == torch.float64 and float(found) == pytest.approx(wanted, rel=near), reason


# --- what POT says --------------------------------------------------------------------------------


def by_pot(name, a, b, wa, wb):
    if name == "exact":
        return math.sqrt(ot.emd2(wa, wb, ot.dist(a, b)))
    if name == "sliced":
        projections = random_directions(torch.tensor(0), 200, a.shape[1]).numpy().T
        return float(ot.sliced_wasserstein_distance(a, b, wa, wb, projections=projections))
    if name == "bures":
        mean_a, mean_b = wa @ a, wb @ b
        return float(
            ot.gaussian.bures_wasserstein_distance(
                mean_a,
                mean_b,
                (a - mean_a).T @ ((a - mean_a) * wa[:, None]),
                (b - mean_b).T @ ((b - mean_b) * wb[:, None]),
            )
        )
    cost = ot.dist(a, b)
    return math.sqrt(
        float(ot.sinkhorn2(wa, wb, cost, 0.01 * cost.max(), method="sinkhorn_log", numItermax=5000))
    )


@EVERY
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_pot_has_it(name, seed):
    found = wasserstein2(*clouds(seed), method=name)
    # sinkhorn ends at column sums right to 1e-3
    assert float(found) == pytest.approx(
        by_pot(name, *arrays(*clouds(seed))), rel=1e-3 if name == "sinkhorn" else 1e-9
    )


# --- what holds for all clouds --------------------------------------------------------------------


@settings(max_examples=20)
@given(seed=st.integers(0, 2**40), n=st.integers(1, 8), m=st.integers(1, 8), e=st.integers(1, 4))
def test_which_lie_below_and_above_the_exact_distance(seed, n, m, e):
    args = clouds(seed, n=n, m=m, e=e)
    least = wasserstein2(*args)
    for name in AT_MOST_W2:
        assert wasserstein2(*args, method=name) <= least * (1 + 1e-9)
    assert wasserstein2(*args, method="sinkhorn") >= least * (1 - 1e-9)


@EVERY
@settings(max_examples=5)
@given(seed=st.integers(0, 2**40))
def test_a_distance(name, seed):
    a, b, wa, wb = clouds(seed)
    found = wasserstein2(a, b, wa, wb, method=name)
    near = 0.02 if name == "sinkhorn" else 1e-9  # its rows are exact, its columns nearly
    assert torch.allclose(wasserstein2(b, a, wb, wa, method=name), found, rtol=near)
    # cost grows by 9
    assert torch.allclose(wasserstein2(3 * a, 3 * b, wa, wb, method=name), 3 * found, rtol=1e-6)
    # moved together
    assert torch.allclose(wasserstein2(a + 1e4, b + 1e4, wa, wb, method=name), found, rtol=1e-6)


@EVERY
def test_equal_clouds_have_distance_exactly_0(name):
    for seed in range(5):
        a, _, wa, _ = clouds(seed, 2, n=30, e=20)
        flat = a * (torch.arange(20) < 4)  # constant coordinates
        for x in (a, flat, a + 1e3, 1e-6 * a):
            assert not wasserstein2(x, x, wa, wa, method=name).any()
            order = draws.permutation(torch.tensor(seed), 30)
            assert (
                name == "sinkhorn"
                or not wasserstein2(x, x[:, order], wa, wa[:, order], method=name).any()
            )


@EVERY
def test_a_small_shift_is_not_0(name):
    x = draws.normal(torch.tensor(0), 20, 1)
    assert float(wasserstein2(x, x + 1e-4, method=name)) >= 0.99e-4


@EVERY
def test_a_batch_is_its_singles_and_leading_axes_broadcast(name):
    a, b, wa, wb = clouds(5, 2, 3)
    whole = wasserstein2(a, b, wa, wb, method=name)
    assert whole.shape == (2, 3)
    near = 1e-3 if name == "sinkhorn" else 1e-9  # a batch ends with its slowest problem
    for i in range(2):
        for j in range(3):
            alone = wasserstein2(a[i, j], b[i, j], wa[i, j], wb[i, j], method=name)
            assert torch.allclose(alone, whole[i, j], rtol=near)
    assert torch.allclose(
        wasserstein2(a, b[0, 0], wa, wb[0, 0], method=name)[0, 0], whole[0, 0], rtol=near
    )


@EVERY
def test_padding_holds_anything_and_a_weight_is_a_count(name):
    a, b, *_ = clouds(6)
    counts = torch.tensor([1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 0.0, 1.0, 1.0])
    padded = a.clone()
    padded[counts == 0] = torch.tensor([math.nan, math.inf, 1e30]).double()
    found = wasserstein2(padded, b, counts, method=name)
    repeated = wasserstein2(a.repeat_interleave(counts.long(), 0), b, method=name)
    assert torch.allclose(found, repeated, rtol=1e-3 if name == "sinkhorn" else 1e-9)
    turned = wasserstein2(b, padded, None, counts, method=name)
    assert torch.allclose(turned, found, rtol=0.02 if name == "sinkhorn" else 1e-9)


@EVERY
def test_padding_costs_nothing_where_clouds_lie_far_from_0(name):
    """A point of weight 0 is read as 0, which here is 1e7 away; distances are about 1."""
    a, b, *_ = clouds(7)
    counts = torch.ones(len(a))
    counts[-1] = 0
    padded = wasserstein2(a + 1e7, b + 1e7, counts, method=name)
    alone = wasserstein2(a[:-1] + 1e7, b + 1e7, method=name)
    assert float(alone) > 0.1
    assert torch.allclose(padded, alone, rtol=1e-3 if name == "sinkhorn" else 1e-9)


@pytest.mark.parametrize("unit", [1e-5, 1e-9, 1e-30])
def test_the_exact_solver_knows_small_distances(unit):
    a, b, *_ = clouds(8)
    of_one, small = exact_transport(a, b), exact_transport(a * unit, b * unit)
    assert torch.allclose(small.cost / unit**2, of_one.cost, rtol=1e-12)
    assert torch.allclose(small.g / unit**2, of_one.g, rtol=1e-9, atol=1e-9)


@EVERY
def test_single_points(name):
    a, b = torch.tensor([[1.0]]), torch.tensor([[4.0]])
    assert float(wasserstein2(a, b, method=name)) == pytest.approx(3.0)
    # one point against 2 and 6: (1 + 9) / 2 = 5; of moments: the means differ by 1, the variances
    # by (0 - 2)^2
    assert float(
        wasserstein2(torch.tensor([[3.0]]), torch.tensor([[2.0], [6.0]]), method=name)
    ) == pytest.approx(math.sqrt(5))


@pytest.mark.usefixtures("as_for_a_user")
def test_bad_arguments_are_refused():
    a, b, wa, wb = clouds(0)
    with pytest.raises(ValueError, match=r"no method 'sinkhorm'. Did you mean 'sinkhorn'"):
        wasserstein2(a, b, method="sinkhorm")
    with pytest.raises(
        ValueError, match=r"no entry of options of 'sinkhorn' 'epz'. Did you mean 'eps'"
    ):
        wasserstein2(a, b, method="sinkhorn", epz=0.1)
    with pytest.raises(ValueError, match="a has 1 coordinates that are NaN or infinite"):
        wasserstein2(torch.tensor([[math.nan]]), torch.ones(1, 1))
    with pytest.raises(ValueError, match="differ in their last axis"):
        wasserstein2(a, b[:, :2])
    with pytest.raises(ValueError, match="do not broadcast"):
        wasserstein2(a.expand(2, -1, -1), b.expand(3, -1, -1))
    for bad in (torch.ones(0, 3), torch.ones(3), torch.ones(3, 0)):
        with pytest.raises(ValueError, match=r"wanted \[..., points, coordinates\]"):
            wasserstein2(bad, b)
    with pytest.raises(ValueError, match="weights of b must be finite, >= 0 and not all 0"):
        wasserstein2(a, b, wa, 0 * wb)
    with pytest.raises(ValueError, match=r"weights of a are \[7\], wanted \[9\]"):
        wasserstein2(a, b, wb)


# --- exact ----------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_potentials_prove_the_cost(seed):
    a, b, wa, wb = clouds(seed, 2)
    wa[:, 0] = 0.0  # a point of weight 0 has a price too
    found = exact_transport(a, b, wa, wb)
    costs = torch.cdist(a, b) ** 2
    costs[:, 0] = torch.where(torch.zeros(7).bool(), 0.0, (b**2).sum(-1))  # it lies at 0
    assert (found.f[..., :, None] + found.g[..., None, :] <= costs + 1e-9).all()
    wa, wb = wa / wa.sum(-1, keepdim=True), wb / wb.sum(-1, keepdim=True)
    assert torch.allclose((wa * found.f).sum(-1) + (wb * found.g).sum(-1), found.cost)


def test_a_solver_that_gives_up_says_so(monkeypatch):
    monkeypatch.setattr(exact, "PIVOTS", 1)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="the exact solver gave up"):
        wasserstein2(*clouds(0, n=40, m=40)[:2])


# --- sinkhorn -------------------------------------------------------------------------------------


def test_less_smoothing_is_nearer():
    args = clouds(1, n=30, m=20)
    least = wasserstein2(*args)
    found = [
        float(wasserstein2(*args, method="sinkhorn", eps=eps, iterations=5000) / least - 1)
        for eps in (0.1, 0.03, 0.01, 0.002)
    ]
    assert found == sorted(found, reverse=True) and found[0] > 0.1 and found[-1] < 0.01


def test_a_warm_start_needs_no_iterations():
    a, b, wa, wb = clouds(2, 2, n=30, m=20)
    cold = sinkhorn(a, b, wa, wb, iterations=2000, tolerance=1e-6)
    warm = sinkhorn(a, b, wa, wb, iterations=1, start=cold)
    blind = sinkhorn(
        a, b, wa, wb, iterations=1, start=type(cold)(cold.cost, cold.f, torch.zeros_like(cold.g))
    )
    assert torch.allclose(warm.cost, cold.cost, rtol=1e-5) and not torch.allclose(
        blind.cost, cold.cost, rtol=0.01
    )
    # a like problem has the solution that it has alone
    again = sinkhorn(a + 0.01, b, wa, wb, iterations=2000, tolerance=1e-6)
    assert torch.allclose(
        sinkhorn(a + 0.01, b, wa, wb, tolerance=1e-6, start=cold).cost, again.cost, rtol=1e-5
    )


def test_smooth_potentials_are_worth_the_cost_and_an_entropy():
    a, b, wa, wb = clouds(3, n=30, m=20)
    wa, wb = wa / wa.sum(), wb / wb.sum()
    eps = 0.01 * float((torch.cdist(a, b) ** 2).max())
    found = sinkhorn(a, b, wa, wb, iterations=5000, tolerance=1e-9)
    # <C, P> + eps KL(P | w_a w_b), and 0 <= KL <= entropy of w_b
    worth = float((wa * found.f).sum() + (wb * found.g).sum())
    assert float(found.cost) < worth < float(found.cost) - eps * float((wb * wb.log()).sum())


def test_an_early_end_is_still_an_upper_bound():
    args = clouds(4, 3, n=20, m=20)
    for iterations in (1, 2, 5):
        assert (
            wasserstein2(*args, method="sinkhorn", iterations=iterations) >= wasserstein2(*args)
        ).all()


@pytest.mark.usefixtures("as_for_a_user")
def test_sinkhorns_options_are_checked():
    a, b, *_ = clouds(0)
    for bad in ({"eps": 0.0}, {"eps": 2.0}, {"iterations": 0}, {"tolerance": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} is"):
            sinkhorn(a, b, **bad)
    start = sinkhorn(a, b)
    with pytest.raises(ValueError, match=r"start.g is \[7\], wanted finite potentials \[9\]"):
        sinkhorn(b, a, start=start)


# --- sliced ---------------------------------------------------------------------------------------


def test_given_directions_are_used():
    a, b = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    axes = torch.eye(2)
    # along x: 0, 2 against 0, 0: 4 / 2 = 2; along y the same: the mean is 2
    assert float(wasserstein2(a, b, method="sliced", directions=axes)) == pytest.approx(
        math.sqrt(2)
    )
    assert float(wasserstein2(a, b, method="sliced", directions=axes[:1])) == pytest.approx(
        math.sqrt(2)
    )
    one, two = (
        wasserstein2(a, b, method="sliced", keys=torch.tensor(k), n_directions=3) for k in (1, 2)
    )
    assert one != two


def test_unequal_sizes_have_their_quantiles():
    # 0 and 6 against 0, 3, 6: thirds of the mass. Levels 1/3, 1/2, 2/3, 1: gaps 0, 3, 3, 0 of
    # widths 1/3, 1/6, 1/6, 1/3
    a, b = torch.tensor([[0.0], [6.0]]), torch.tensor([[0.0], [3.0], [6.0]])
    assert float(wasserstein2(a, b, method="sliced")) == pytest.approx(math.sqrt(3))
    assert np.isclose(ot.wasserstein_1d(a.numpy(), b.numpy(), p=2), 3.0)


@pytest.mark.usefixtures("as_for_a_user")
def test_bad_directions_are_refused():
    a, b, *_ = clouds(0)
    with pytest.raises(ValueError, match=r"directions are \[2, 2\], wanted \[directions, 3\]"):
        wasserstein2(a, b, method="sliced", directions=torch.eye(2))
    with pytest.raises(ValueError, match="not of length 1"):
        wasserstein2(a, b, method="sliced", directions=2 * torch.eye(3))
    with pytest.raises(ValueError, match=r"keys are \[2\], wanted one key"):
        wasserstein2(a, b, method="sliced", keys=torch.arange(2))
    with pytest.raises(ValueError, match="n_directions is 0"):
        random_directions(torch.tensor(0), 0, 3)
