"""Mixtures: grids counted by hand, and the nearest mixture within caps against its own
definition.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import enumerate_mixtures, project_to_simplex


def numbers(seed, *shape, scale=1.0):
    return scale * draws.normal(torch.tensor(seed), *shape)


def caps_of(seed, *shape):
    """Caps between 0 and 1 of which some mixture is left: raised towards 1 where their sum is
    below 1.05.
    """
    caps = draws.uniform(draws.fold(torch.tensor(seed), "caps"), *shape)
    lift = ((1.05 - caps.sum(-1, keepdim=True)) / (1 - caps).sum(-1, keepdim=True)).clamp(0, 1)
    return caps + lift * (1 - caps)


def test_the_grid_of_three_sellers_in_ten_steps_has_the_papers_66_mixtures():
    grid = enumerate_mixtures(3, 10)
    assert grid.shape == (66, 3) and grid.dtype == torch.float64  # C(12, 2)
    # all differ
    assert len({tuple(round(10 * share) for share in row) for row in grid.tolist()}) == 66
    assert (grid >= 0).all() and torch.allclose(grid.sum(-1), torch.ones(66).double(), atol=1e-15)


@pytest.mark.parametrize(
    ("sellers", "steps", "count"), [(1, 7, 1), (2, 4, 5), (4, 3, 20), (1000, 1, 1000)]
)
def test_grids_are_counted_by_stars_and_bars(sellers, steps, count):
    grid = enumerate_mixtures(sellers, steps)
    assert grid.shape == (count, sellers)  # C(steps + sellers - 1, sellers - 1)
    assert torch.equal(grid.sum(-1), torch.ones(count).double()) or sellers > 2
    assert torch.equal((grid * steps).round(), grid * steps) or steps == 3  # thirds are rounded


def test_a_grid_among_a_few_leaves_the_others_at_zero():
    among = torch.tensor([[4, 1], [0, 3]])
    grid = enumerate_mixtures(5, 2, among)
    assert grid.shape == (2, 3, 5)
    # (0, 1), (.5, .5), (1, 0) for sellers 4 and 1, then for sellers 0 and 3
    assert grid[0].tolist() == [[0, 1, 0, 0, 0], [0, 0.5, 0, 0, 0.5], [0, 0, 0, 0, 1]]
    assert grid[1].tolist() == [[0, 0, 0, 1, 0], [0.5, 0, 0, 0.5, 0], [1, 0, 0, 0, 0]]


def test_the_nearest_mixture_worked_by_hand():
    x = torch.tensor([1.0, 0.5, 0.0])
    # tau = .25, the third share stays at 0
    assert project_to_simplex(x).tolist() == [0.75, 0.25, 0.0]
    # tau = .1
    assert project_to_simplex(x, torch.tensor([0.6, 1.0, 1.0])).tolist() == pytest.approx(
        [0.6, 0.4, 0.0]
    )
    # caps .5, .3, .3: the first two are met, the third gets what is left
    assert project_to_simplex(x, torch.tensor([0.5, 0.3, 0.3])).tolist() == pytest.approx(
        [0.5, 0.3, 0.2]
    )
    # the only mixture
    assert project_to_simplex(x, torch.tensor([0.5, 0.25, 0.25])).tolist() == [0.5, 0.25, 0.25]
    assert project_to_simplex(torch.tensor([-7.0])).tolist() == [1.0]
    assert project_to_simplex(x, torch.tensor([0.0, math.inf, 0.0])).tolist() == [0.0, 1.0, 0.0]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**40),
    sellers=st.integers(1, 40),
    scale=st.sampled_from([1e-6, 0.3, 1.0, 1e4]),
    capped=st.booleans(),
)
def test_the_nearest_mixture_meets_its_definition(seed, sellers, scale, capped):
    """It is a mixture within the caps, and one tau explains every share: that is the optimum of
    a convex problem.
    """
    x, caps = numbers(seed, 3, sellers, scale=scale), caps_of(seed, 3, sellers) if capped else None
    p = project_to_simplex(x, caps)
    most = torch.ones_like(p) if caps is None else caps
    close = 1e-12 * max(1.0, scale)
    assert (p >= 0).all() and (p <= most).all() and ((p.sum(-1) - 1).abs() < close * sellers).all()
    # a share below its cap has x - p <= tau
    low = torch.where(p < most, x - p, -torch.inf).amax(-1)
    high = torch.where(p > 0, x - p, torch.inf).amin(-1)  # a share above 0 has x - p >= tau
    assert (low <= high + close).all()


@settings(max_examples=15)
@given(seed=st.integers(0, 2**40), sellers=st.integers(2, 8), shift=st.floats(-1e3, 1e3))
def test_a_projection_projects(seed, sellers, shift):
    x, caps = numbers(seed, 4, sellers), caps_of(seed, 4, sellers)
    p = project_to_simplex(x, caps)
    # a mixture is nearest to itself
    assert torch.allclose(project_to_simplex(p, caps), p, atol=1e-12)
    # tau takes up what all have in common
    assert torch.allclose(project_to_simplex(x + shift, caps), p, atol=1e-11)
    order = draws.permutation(torch.tensor(seed), sellers)
    assert torch.allclose(project_to_simplex(x[:, order], caps[:, order]), p[:, order], atol=1e-12)
    for row in range(4):
        assert torch.equal(project_to_simplex(x[row], caps[row]), p[row])
    # another mixture within the caps
    near = p + 0.1 * (project_to_simplex(numbers(seed + 1, 4, sellers), caps) - p)
    assert ((near - x).square().sum(-1) >= (p - x).square().sum(-1) - 1e-12).all()


def test_ties_are_shared_and_a_thousand_sellers_are_one_call():
    assert project_to_simplex(torch.zeros(4)).tolist() == [0.25] * 4
    p = project_to_simplex(numbers(0, 5, 1000), torch.full((1000,), 0.002, dtype=torch.float64))
    assert torch.allclose(p.sum(-1), torch.ones(5).double()) and (p <= 0.002).all()
    assert ((p > 0).sum(-1) >= 500).all()  # at .002 each, fewer cannot fill the whole


def test_what_is_no_grid_or_has_no_mixture_is_refused():
    x = torch.zeros(3)
    with pytest.raises(ValueError, match=r"1000 sellers in 10 steps .* use select_gradient"):
        enumerate_mixtures(1000, 10)
    with pytest.raises(ValueError, match="steps is 0"):
        enumerate_mixtures(3, 0)
    for among, told in (([0, 5], "0 to 5"), ([-1, 2], "-1 to 2"), ([2, 2], "named once")):
        with pytest.raises(ValueError, match=told):
            enumerate_mixtures(5, 2, torch.tensor(among))
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="x holds"):
            project_to_simplex(x + value)
    for caps, told in (
        ([0.3, 0.3, 0.3], "sum to 0.9"),
        ([-0.1, 1.0, 1.0], "hold -0.1"),
        ([math.nan, 1.0, 1.0], "hold nan"),
    ):
        with pytest.raises(ValueError, match=f"caps {told}"):
            project_to_simplex(x, torch.tensor(caps))
