"""Distances of mixtures: a worked example of every method, POT as the oracle, the gradient by
convexity and by differences.
"""

import math

import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_sellers import GRID, problem, skewed_digits

from marketenv.valuation import (
    COMBINATIONS,
    agg_wad,
    combine,
    combine_gradient,
    combine_wad,
    fast,
    wasserstein2,
)

# one seller has 0, the other 4; wanted are 0 and 4, half each
SELLERS, WANTED = torch.tensor([[[0.0]], [[4.0]]]), torch.tensor([[0.0], [4.0]])
SHARES = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]])
MOVED = [math.sqrt(8), 0.0, 2.0]
WORKED = {  # name: (W2 of the three mixtures, how near, where they come from)
    "fast": (MOVED, 0.01, "as exact, to 1 %"),
    "exact": (MOVED, 1e-12, "weight 1/2, 0, 1/4 moves by 4: 8, 0, 4"),
    "sliced": (MOVED, 1e-12, "a line has one direction, so as exact: 8, 0, 4"),
    "bures": (
        [math.sqrt(8), 0.0, math.sqrt(1 + (2 - math.sqrt(3)) ** 2)],
        1e-12,
        "means 0, 2, 3 and variances 0, 4, 3; 2 and 4",
    ),
}
EVERY = pytest.mark.parametrize("name", sorted(COMBINATIONS))


def by_pot(parts, p, target):
    """W2 of every mixture, one problem at a time."""
    costs, b = (
        ot.dist(parts.flatten(0, 1).numpy(), target.numpy()),
        torch.full((len(target),), 1 / len(target)).double().numpy(),
    )
    weights = (
        (p[:, :, None] / parts.shape[1]).expand(-1, -1, parts.shape[1]).flatten(1).double().numpy()
    )
    return torch.tensor(
        [math.sqrt(ot.emd2(a / a.sum(), b, costs)) for a in weights], dtype=torch.float64
    )


def test_every_combination_has_a_worked_example():
    assert WORKED.keys() == COMBINATIONS.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_worked_example(name, dtype):
    wanted, near, reason = WORKED[name]
    found = combine_wad(SELLERS.to(dtype), SHARES.to(dtype), WANTED.to(dtype), method=name)
    assert found.dtype == torch.float64 and found.tolist() == pytest.approx(wanted, rel=near), (
        reason
    )
    assert found[1] == 0.0  # to the bit


@EVERY
@settings(max_examples=8)
@given(seed=st.integers(0, 2**40))
def test_a_mixture_is_the_weighted_union(name, seed):
    parts, p, target, weights, target_weights = problem(seed, 2)
    p[:, 0] = torch.tensor([1.0, 0.0, 0.0])
    found = combine_wad(parts, p, target, weights, target_weights, method=name)
    shares = weights / weights.sum(-1, keepdim=True)
    method, near = ("exact", 0.01) if name == "fast" else (name, 1e-9)
    for k in range(5):
        union = (p[:, k, :, None] * shares).flatten(-2)
        wanted = wasserstein2(parts.flatten(-3, -2), target, union, target_weights, method)
        assert torch.allclose(found[:, k], wanted, rtol=near, atol=0)


@EVERY
def test_a_batch_is_its_singles(name):
    args = problem(0, 2, 2)
    whole = combine_wad(*args, method=name)
    assert whole.shape == (2, 2, 5)
    for i in range(2):
        for j in range(2):
            alone = combine_wad(*(x[i, j] for x in args), method=name)
            # a batch refines as many mixtures as its worst market needs, all within 1 % of the
            # exact distance
            assert torch.allclose(alone, whole[i, j], rtol=0.02 if name == "fast" else 1e-9)


@EVERY
def test_padding_holds_anything_and_sizes_may_differ(name):
    parts, p, target, *_ = problem(1)
    weights = torch.ones(3, 8)
    weights[0, 5:] = 0.0
    padded = parts.clone()
    padded[0, 5:] = math.nan
    found = combine_wad(padded, p, target, weights, method=name)
    # five points of seller 0 in place of eight: the union of their copies, eight of each five
    shares = (p[:, :, None] * (weights / weights.sum(-1, keepdim=True))).flatten(-2)
    method = "exact" if name == "fast" else name
    wanted = wasserstein2(parts.flatten(0, 1).expand(5, -1, -1), target, shares, method=method)
    assert torch.allclose(found, wanted, rtol=0.01 if name == "fast" else 1e-9)
    twice = combine_wad(
        parts,
        p,
        torch.cat([target, 1e9 * target]),
        None,
        torch.tensor([1.0] * 6 + [0.0] * 6),
        method=name,
    )
    assert torch.allclose(
        twice, combine_wad(parts, p, target, method=name), rtol=0.02 if name == "fast" else 1e-9
    )


@pytest.mark.usefixtures("as_for_a_user")
def test_bad_arguments_are_refused():
    parts, p, target, weights, _ = problem(0)
    with pytest.raises(ValueError, match=r"no method 'fats'. Did you mean 'fast'"):
        combine_wad(parts, p, target, method="fats")
    with pytest.raises(ValueError, match="no entry of options of 'bures' 'eps'"):
        combine_wad(parts, p, target, method="bures", eps=1)
    with pytest.raises(ValueError, match=r"no method of combine 'sliced'. .*Known: exact, fast"):
        combine(parts, p, target, method="sliced")
    for bad in ([0.5, 0.6, 0.0], [1.5, -0.5, 0.0]):
        with pytest.raises(ValueError, match="wanted shares >= 0 that sum to 1"):
            combine_wad(parts, torch.tensor([bad]), target)
    with pytest.raises(ValueError, match="p holds nan; wanted finite numbers"):
        combine_wad(parts, torch.tensor([[math.nan, 0.5, 0.5]]), target)
    even = torch.full((1, 3), 1 / 3).double()
    # within the rounding of 1e-5
    rounded = combine_wad(parts, even + torch.tensor([5e-6, -5e-6, 4e-6]), target, method="exact")
    assert torch.allclose(rounded, combine_wad(parts, even, target, method="exact"), rtol=1e-4)
    with pytest.raises(
        ValueError,
        match=r"wanted \[..., sellers, points, coordinates\] and \[..., mixtures, sellers\]",
    ):
        combine_wad(parts, p[:, :2], target)
    with pytest.raises(ValueError, match="differ in their leading axes or coordinates"):
        combine_wad(parts, p, target[:, :2])
    with pytest.raises(ValueError, match="parts has 1 coordinates that are NaN"):
        combine_wad(torch.where(parts == parts[0, 0, 0], math.nan, parts), p, target)
    with pytest.raises(
        ValueError, match="weights of parts must be finite, >= 0 and not all 0 in any cloud"
    ):
        combine_wad(parts, p, target, weights * torch.tensor([[1.0], [0.0], [1.0]]))
    for bad in (0.0, math.nan, -1.0):
        for function in (combine, combine_wad):
            with pytest.raises(ValueError, match="tolerance is"):
                function(parts, p, target, tolerance=bad)
    with pytest.raises(ValueError, match=r"start has potentials \[5, 6\], wanted \[2, 6\]"):
        combine(parts, p[:2], target, start=combine(parts, p, target).g)


# --- fast -----------------------------------------------------------------------------------------


def test_fast_is_within_its_bounds_and_one_percent_of_pot():
    parts, target = skewed_digits()
    exact = by_pot(parts, GRID.double(), target)
    found = combine(parts, GRID, target)
    assert ((found.wad / exact - 1).abs() <= 0.01).all()
    assert (found.low <= exact * (1 + 1e-9)).all() and (exact <= found.high * (1 + 1e-9)).all()
    assert ((found.high - found.low) / 2 <= 0.01 * found.low).all() and (
        found.high > found.low
    ).any()
    own = combine_wad(parts, torch.eye(3), target, method="exact")  # buying one seller's data only
    assert torch.allclose(own, torch.stack([wasserstein2(part, target) for part in parts]))


@pytest.mark.parametrize(
    "schedules", [(((0.5, 1),),), (((0.5, 1),), ((0.02, 30), (0.005, 100), (0.0025, 100)))]
)
def test_what_scaling_does_not_know_is_solved_exactly(schedules, monkeypatch):
    args = problem(2, 2, n=20, m=20)
    exact = combine_wad(*args, method="exact")
    monkeypatch.setattr(fast, "SCHEDULES", schedules)
    found = combine(*args)
    assert ((found.wad / exact - 1).abs() <= 0.01).all()
    settled = (found.low == found.high) & torch.isclose(found.wad, exact, rtol=1e-12)
    assert settled.all() if len(schedules) == 1 else not settled.all()
    loose = combine(*args, tolerance=math.inf)  # bounds of one coarse iteration are bounds
    assert (loose.low <= exact).all() and (exact <= loose.high).all()
    assert ((combine(*args, tolerance=1e-5).wad / exact - 1).abs() <= 1e-5).all()


def test_a_second_schedule_goes_on_with_what_is_not_known(monkeypatch):
    args = problem(3, 2, n=20, m=20, mixtures=7)
    first = combine(*args, tolerance=math.inf)
    gap = (first.high - first.low) / 2 / first.low
    tolerance = float(gap.flatten().sort().values[4])  # five of fourteen mixtures are known
    monkeypatch.setattr(fast, "SCHEDULES", (fast.SCHEDULES[0], ((0.01, 30), (0.0025, 200))))
    found = combine(*args, tolerance=tolerance)
    changed = found.low != first.low
    # at most as many a market as the worst one has
    assert changed[gap > tolerance].all() and not changed.all()
    # the schedule went on with the right ones: none is left to be solved exactly
    assert (found.low < found.high).all()
    assert ((found.wad / combine_wad(*args, method="exact") - 1).abs() <= tolerance).all()


def test_a_far_outlier_does_not_hide_the_rest():
    parts, p, target, *_ = problem(4)
    # it makes the largest cost 1e5 times the others
    target = torch.cat([target, torch.full((1, 3), 1e3)])
    exact = combine_wad(parts, p, target, method="exact")
    assert ((combine_wad(parts, p, target) / exact - 1).abs() <= 0.01).all()


@EVERY
def test_an_outlier_of_a_seller_who_is_left_out_changes_nothing(name):
    parts, _, target, *_ = problem(4)
    p = torch.tensor([[0.0, 0.5, 0.5]])
    clean = combine_wad(parts[:3], p, target, method=name)
    parts = parts[:3].clone()
    parts[0, 0] = 1e8
    assert float(clean) > 0.1
    assert torch.allclose(combine_wad(parts, p, target, method=name), clean, rtol=0.01)


@pytest.mark.parametrize("start", [1e8, math.nan, math.inf])
def test_equal_points_are_at_distance_exactly_0_and_a_wild_start_misleads_nobody(start):
    parts, p, target, *_ = problem(4)
    exact = combine_wad(parts, p, target, method="exact")
    wild = torch.full((*p.shape[:-1], target.shape[-2]), start, dtype=torch.float64)
    wild[..., ::2] = -start
    assert ((combine(parts, p, target, start=wild).wad / exact - 1).abs() <= 0.01).all()
    assert not combine_wad(torch.zeros_like(parts), p, torch.zeros_like(target)).any()


def test_scaling_that_leaves_float64_is_no_answer(monkeypatch):
    parts, p, target, *_ = problem(4)
    exact = combine_wad(parts, p, target, method="exact")
    # exp(-1e4) is 0
    monkeypatch.setattr(fast, "SCHEDULES", (((1e-4, 3),), ((0.02, 30), (0.005, 200))))
    lost = fast.SCHEDULES[:1]
    assert ((combine_wad(parts, p, target) / exact - 1).abs() <= 0.01).all()
    # the second schedule began anew
    assert (combine(parts, p, target).low < combine(parts, p, target).high).any()
    monkeypatch.setattr(fast, "SCHEDULES", lost)
    assert torch.allclose(combine_wad(parts, p, target, tolerance=math.inf), exact)


@pytest.fixture
def scaled(monkeypatch):
    """Iterations, and mixtures that they are done for, of every stage of every call."""
    stages, fitted = [], fast._fitted

    def counted(kernel, a, b, v, iterations):
        stages.append((iterations, a.shape[:-1].numel()))
        return fitted(kernel, a, b, v, iterations)

    monkeypatch.setattr(fast, "_fitted", counted)
    return stages


def test_a_start_from_the_last_round_keeps_what_is_promised():
    parts, p, target, *_ = problem(5, n=20, m=20)
    cold = combine(parts, p, target)
    exact = combine_wad(parts + 0.01, p, target, method="exact")
    for start in (
        cold.g,
        combine(parts, p, target, method="exact").g,
        100 * cold.g,
        torch.full_like(cold.g, math.nan),
    ):
        assert ((combine(parts + 0.01, p, target, start=start).wad / exact - 1).abs() <= 0.01).all()


def test_a_start_does_without_the_first_steps(scaled):
    """Where little has changed 8 + 10 iterations do for each of 21 mixtures; without a start 8
    + 8 come before them.
    """
    parts, target = skewed_digits()
    cold = combine(parts, GRID, target)
    assert scaled == [(8, 21), (8, 21), (8, 21), (10, 21)]
    scaled.clear()
    moved = 0.99 * parts + 0.01 * parts[:, :1]
    found = combine(moved, GRID, target, start=cold.g)
    assert scaled == [(8, 21), (10, 21)]
    assert ((found.wad / by_pot(moved, GRID.double(), target) - 1).abs() <= 0.01).all()


def test_a_start_of_zeros_is_none_and_that_of_others_is_no_matter(scaled):
    """Of two problems one has a start: the other one takes the first steps, and is what it is
    alone, to the bit.
    """
    parts, target = (torch.stack([x, 2 * x]) for x in skewed_digits())
    mixtures = GRID.expand(2, -1, -1)
    cold = combine(parts, mixtures, target)
    scaled.clear()
    found = combine(
        parts, mixtures, target, start=torch.stack([torch.zeros_like(cold.g[0]), cold.g[1]])
    )
    assert [iterations for iterations, _ in scaled] == [8, 8, 8, 10]
    assert torch.equal(found.wad[0], cold.wad[0]) and torch.equal(found.g[0], cold.g[0])
    warm = combine(parts, mixtures, target, start=cold.g)
    assert torch.equal(found.wad[1], warm.wad[1]) and torch.equal(found.g[1], warm.g[1])
    assert not torch.equal(warm.g[1], cold.g[1]) and torch.allclose(warm.wad, cold.wad, rtol=0.02)
    assert torch.equal(
        combine(parts, mixtures, target, start=torch.zeros_like(cold.g)).wad, cold.wad
    )


# --- gradient -------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(seed=st.integers(0, 2**40), method=st.sampled_from(["fast", "exact"]))
def test_the_gradient_lies_below_all_other_mixtures(seed, method):
    """W2^2 is convex in p, so a subgradient s has W2^2(q) >= W2^2(p) + s (q - p); the fast one
    from the lower bound.
    """
    parts, p, target, weights, target_weights = problem(seed)
    p = torch.cat([p, torch.eye(3).double()])
    found = combine(parts, p, target, weights, target_weights, method)
    exact = combine_wad(parts, p, target, weights, target_weights, "exact") ** 2
    slopes = 2 * found.wad[:, None] * found.gradient
    below = found.low[:, None] ** 2 + (slopes[:, None] * (p[None, :] - p[:, None])).sum(-1)
    assert (exact[None, :] >= below - 1e-9 * exact.max()).all()
    assert torch.allclose(found.gradient.sum(-1), torch.zeros(8).double(), atol=1e-9)


def test_the_gradient_is_that_of_exact_differences():
    # of general weights: no kink at p
    parts, p, target, weights, target_weights = problem(7, n=30, m=20)
    step = 1e-6
    differences = []
    for direction in torch.eye(3).double() - 1 / 3:  # within the simplex
        ends = [
            combine_wad(
                parts, p + sign * step * direction, target, weights, target_weights, "exact"
            )
            for sign in (1, -1)
        ]
        differences.append((ends[0] - ends[1]) / (2 * step))
    wanted = torch.stack(differences, -1)
    assert torch.allclose(
        combine_gradient(parts, p, target, weights, target_weights, "exact"), wanted, atol=1e-5
    )
    fast_gradient = combine_gradient(parts, p, target, weights, target_weights)
    # potentials of a cost known to 1 %
    assert torch.allclose(fast_gradient, wanted, atol=0.15 * float(wanted.abs().max()))


def test_the_gradient_worked_by_hand():
    # sellers at 0 and 3, wanted 1: W^2 = p_1 + 4 p_2, slopes 1 and 4, centred -1.5 and 1.5, over 2
    # sqrt(2.5)
    found = combine_gradient(
        torch.tensor([[[0.0]], [[3.0]]]),
        torch.tensor([[0.5, 0.5]]),
        torch.tensor([[1.0]]),
        method="exact",
    )
    assert found[0].tolist() == pytest.approx(
        [-1.5 / (2 * math.sqrt(2.5)), 1.5 / (2 * math.sqrt(2.5))]
    )
    # 0 at distance 0
    assert not combine_gradient(SELLERS, torch.tensor([[0.5, 0.5]]), WANTED).any()


# --- AggWad ---------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(seed=st.integers(0, 2**40))
def test_the_mean_of_own_distances_ignores_what_sellers_are_worth_together(seed):
    parts, p, target, weights, target_weights = problem(seed, 2)
    own = torch.stack(
        [wasserstein2(parts[:, i], target, weights[:, i], target_weights) for i in range(3)], -1
    )
    found = agg_wad(parts, p, target, weights, target_weights)
    assert torch.allclose(found, (p * own[:, None]).sum(-1))
    together = combine_wad(parts, p, target, weights, target_weights, "exact")
    assert (together**2 <= (p * own[:, None] ** 2).sum(-1) + 1e-9).all()  # W2^2 is convex


def test_the_mean_of_own_distances_by_hand():
    # sqrt(8) each, in every mixture; together they are what is wanted
    assert agg_wad(SELLERS, SHARES, WANTED).tolist() == pytest.approx([math.sqrt(8)] * 3)
    assert agg_wad(SELLERS, SHARES, WANTED, method="bures").tolist() == pytest.approx(
        [math.sqrt(8)] * 3
    )
