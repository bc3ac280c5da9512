"""The distance from one upload a seller: sliced W2 as the oracle, and what binning loses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_sellers import GRID, problem, skewed_digits

from marketenv.core import draws
from marketenv.valuation import (
    additive,
    additive_wad,
    combine_wad,
    sliced_grid,
    sliced_upload,
    wasserstein2,
)


def added(parts, p, target, weights=None, target_weights=None, **options):
    grid = sliced_grid(target, target_weights, **options)
    uploads = sliced_upload(parts, on_sellers(grid), weights)
    return additive_wad(uploads, p, sliced_upload(target, grid, target_weights), grid)


def on_sellers(grid):
    return type(grid)(grid.directions, grid.centres[..., None, :, :])


def test_worked_example():
    # bins of width 1 with centres .5, 1.5, 2.5, 3.5 over the target's range 0 to 4
    grid = sliced_grid(
        torch.tensor([[0.0], [4.0]]), n_bins=4, margin=0.0, directions=torch.ones(1, 1)
    )
    assert grid.centres.tolist() == [[0.5, 1.5, 2.5, 3.5]]
    target = sliced_upload(torch.tensor([[0.0], [4.0]]), grid)
    assert target.tolist() == [[0.5, 0.5, 0.5, 1.0]]
    uploads = sliced_upload(
        torch.tensor([[[0.7], [1.2], [9.0]], [[-5.0], [2.1], [3.9]]]),
        grid,
        torch.tensor([[1.0, 3.0, 0.0]] * 2),
    )
    # -5 counts in the first bin
    assert uploads.tolist() == [[[0.25, 1.0, 1.0, 1.0]], [[0.25, 0.25, 1.0, 1.0]]]
    # seller 0: .5 and 1.5 in quarters against .5 and 3.5 in halves: 1/4 moves by 1, 1/2 by 2: 2.25
    # both, half each: levels .25 at .5, .625 at 1.5, 1 at 2.5: 1/4 by 1, 1/8 by 2, 3/8 by 1: 1.125
    found = additive_wad(uploads, torch.tensor([[1.0, 0.0], [0.5, 0.5]]), target, grid)
    assert found.tolist() == pytest.approx([1.5, math.sqrt(1.125)])


@settings(max_examples=4)
@given(seed=st.integers(0, 2**40))
def test_many_bins_are_the_sliced_distance(seed):
    parts, p, target, weights, _ = problem(seed)
    # the bins reach beyond all sellers in each direction
    target = torch.cat([target, 20 * torch.eye(3), -20 * torch.eye(3)])
    grid = sliced_grid(target, n_bins=2048, n_directions=20)
    found = additive_wad(sliced_upload(parts, grid, weights), p, sliced_upload(target, grid), grid)
    wanted = combine_wad(parts, p, target, weights, method="sliced", directions=grid.directions)
    width = float((grid.centres[:, 1] - grid.centres[:, 0]).max())
    assert torch.allclose(found, wanted, rtol=0, atol=width)  # each place is known to half a bin


def test_a_mixture_needs_no_more_than_the_sum_of_uploads():
    parts, p, target, *_ = problem(0)
    grid = sliced_grid(target)
    uploads = sliced_upload(parts, grid)
    union = sliced_upload(parts.flatten(0, 1).expand(5, -1, -1), grid, p.repeat_interleave(8, -1))
    assert torch.allclose((p @ uploads.flatten(-2)).unflatten(-1, uploads.shape[-2:]), union)


def test_a_batch_is_its_singles_and_padding_holds_anything():
    parts, p, target, weights, target_weights = problem(1, 2)
    weights[..., 3], target_weights[..., 2] = 0.0, 0.0
    parts[..., 3, :], target[..., 2, :] = math.nan, math.inf
    whole = added(parts, p, target, weights, target_weights)
    for k in range(2):
        alone = added(parts[k], p[k], target[k], weights[k], target_weights[k])
        assert torch.allclose(whole[k], alone)


def test_equal_data_are_at_distance_exactly_0():
    target = draws.normal(torch.tensor(0), 50, 4)
    assert added(
        torch.stack([target, target + 1]), torch.tensor([[1.0, 0.0]]), target
    ).tolist() == [0.0]


def test_it_ranks_mixtures_as_the_exact_distance_does():
    parts, target = skewed_digits()
    grid = sliced_grid(target)
    found = additive_wad(sliced_upload(parts, grid), GRID, sliced_upload(target, grid), grid)
    exact = combine_wad(parts, GRID, target, method="exact")
    # .974 with 3 x 200 points and 66 mixtures
    assert float(torch.corrcoef(torch.stack([found, exact]))[0, 1]) > 0.95
    assert (found < exact).all()


def test_mixtures_are_valued_in_blocks(monkeypatch):
    parts, p, target, *_ = problem(2)
    whole = added(parts, p, target)
    monkeypatch.setattr(additive, "BLOCK", 1)
    assert torch.allclose(added(parts, p, target), whole)


def test_a_constant_feature_has_a_grid():
    parts, target = torch.zeros(2, 5, 2), torch.zeros(6, 2)
    parts[..., 0], target[:, 0] = torch.arange(5.0), torch.arange(6.0)
    axes = torch.eye(2)
    found = added(parts, torch.tensor([[0.5, 0.5]]), target, directions=axes, n_bins=1024)
    wanted = wasserstein2(parts[0], target, method="sliced", directions=axes)
    assert float(found) == pytest.approx(float(wanted), rel=0.01)


@pytest.mark.usefixtures("as_for_a_user")
def test_bad_arguments_are_refused():
    parts, p, target, *_ = problem(0)
    grid = sliced_grid(target, n_directions=5, n_bins=8)
    uploads, own = sliced_upload(parts, grid), sliced_upload(target, grid)
    with pytest.raises(ValueError, match=r"do not fit the grid's \[5, 8\]"):
        additive_wad(uploads[..., :7], p, own, grid)
    with pytest.raises(ValueError, match="do not fit the grid's"):
        additive_wad(uploads, p[:, :2] / p[:, :2].sum(-1, keepdim=True), own, grid)
    with pytest.raises(ValueError, match="wanted shares >= 0 that sum to 1"):
        additive_wad(uploads, 2 * p, own, grid)
    with pytest.raises(ValueError, match="all points of the target are one"):
        sliced_grid(torch.ones(3, 2))
    with pytest.raises(ValueError, match="n_bins is 1"):
        sliced_grid(target, n_bins=1)
    with pytest.raises(ValueError, match="margin is -1"):
        sliced_grid(target, margin=-1)
    with pytest.raises(ValueError, match="points has 1 coordinates that are NaN"):
        sliced_upload(torch.where(parts == parts[0, 0, 0], math.nan, parts), grid)
