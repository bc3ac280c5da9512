"""Labelled points as plain ones: class moments worked by hand, each data set its own, and what
padding must not change.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from marketenv.core import draws
from marketenv.valuation import COVARIANCES, label_aware, pca, standardised, wasserstein2

# class 0: (0, 0) and (2, 4), mean (1, 2), covariance [[1, 2], [2, 4]]; class 1: the one point (5,
# 5), covariance 0
X = torch.tensor([[0.0, 0.0], [2.0, 4.0], [5.0, 5.0]])
Y = torch.tensor([0, 0, 1])
# [[1, 2], [2, 4]] = 5 v v^T with v = (1, 2) / sqrt 5, so its root is itself / sqrt 5
ROOT = 1 / math.sqrt(5)
WORKED = {  # name: (the first and the last row, where they come from)
    "diagonal": (
        [0, 0, 1, 2, 1, 2],
        [5, 5, 5, 5, 0, 0],
        "[x, mean_y, standard deviations 1 and 2]; one point has spread 0",
    ),
    "full": (
        [0, 0, 1, 2, ROOT, 2 * ROOT, 2 * ROOT, 4 * ROOT],
        [5, 5, 5, 5, 0, 0, 0, 0],
        "the root of [[1, 2], [2, 4]]",
    ),
    "none": ([0, 0], [5, 5], "features only: 2 coordinates"),
}
EVERY = pytest.mark.parametrize("name", sorted(COVARIANCES))


def labelled(seed, *batch, n=12, d=3, classes=4):
    key = torch.tensor(seed)
    return draws.normal(key, *batch, n, d), draws.integers(draws.fold(key, "y"), classes, *batch, n)


def test_every_covariance_has_a_worked_example():
    assert WORKED.keys() == COVARIANCES.keys()
    assert all(any(ch.isdigit() for ch in reason) for *_, reason in WORKED.values())


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_worked_example(name, dtype):
    first, last, reason = WORKED[name]
    found = label_aware(X.to(dtype), Y, 2, name)
    assert found.dtype == torch.float64
    assert found[0].tolist() == pytest.approx(first, abs=1e-7) and found[
        2
    ].tolist() == pytest.approx(last, abs=1e-7), reason


@EVERY
def test_every_leading_row_has_its_own_moments(name):
    x, y = labelled(0, 2, 3)
    whole = label_aware(x, y, 4, name, vocabulary=1.0)
    for i in range(2):
        for j in range(3):
            assert torch.allclose(
                whole[i, j], label_aware(x[i, j], y[i, j], 4, name, 1.0), atol=1e-12
            )
    pooled = label_aware(x.flatten(0, 2), y.flatten(), 4, name, 1.0)
    assert name == "none" or not torch.allclose(pooled, whole.flatten(0, 2))


@EVERY
@settings(max_examples=10)
@given(seed=st.integers(0, 2**40), vocabulary=st.sampled_from([0.0, 2.0]))
def test_padding_holds_anything_and_a_weight_is_a_count(name, seed, vocabulary):
    x, y = labelled(seed)
    counts = draws.integers(draws.fold(torch.tensor(seed), "w"), 3, 12)
    counts[0] = 1  # one row at least
    padded, labels = x.clone(), y.clone()
    padded[counts == 0], labels[counts == 0] = math.nan, 99
    found = label_aware(padded, labels, 4, name, vocabulary, weights=counts.double())
    repeated = label_aware(
        x.repeat_interleave(counts, 0), y.repeat_interleave(counts), 4, name, vocabulary
    )
    # roots know 1e-8 of the largest eigenvalue
    assert torch.allclose(found.repeat_interleave(counts, 0), repeated, atol=1e-6)
    assert not found[counts == 0].any()


def test_the_full_root_is_a_root():
    x, y = labelled(1, n=40, d=3, classes=2)
    roots = label_aware(x, y, 2, "full")[:, 6:].reshape(-1, 3, 3)
    mine = x[y == 0]
    wanted = torch.cov(mine.T, correction=0)
    assert torch.allclose(roots[y == 0][0] @ roots[y == 0][0], wanted, atol=1e-12)


def test_the_vocabulary_adds_lambda_to_the_cost_of_other_labels():
    x, y = labelled(2)
    plain, named = label_aware(x, y, 4), label_aware(x, y, 4, vocabulary=3.0)
    added = torch.cdist(named, named) ** 2 - torch.cdist(plain, plain) ** 2
    assert torch.allclose(added, 3.0 * (y[:, None] != y).double(), atol=1e-9)


def test_only_the_vocabulary_sees_that_labels_are_renamed():
    x, y = labelled(3)
    renamed = (y + 1) % 4
    assert torch.allclose(label_aware(x, renamed, 4), label_aware(x, y, 4), atol=1e-12)
    assert not torch.allclose(
        label_aware(x, renamed, 4, vocabulary=1.0), label_aware(x, y, 4, vocabulary=1.0)
    )


def test_data_without_a_common_label_have_a_distance():
    # one point each at 0 and of label 0 or 1: features and moments agree, only the vocabulary keeps
    # them apart, by 9
    mine, theirs = (
        label_aware(torch.zeros(1, 2), torch.tensor([y]), 2, vocabulary=9.0) for y in (0, 1)
    )
    assert float(wasserstein2(mine, theirs)) == pytest.approx(3.0)
    # a class that only one side has adds its own moments: at 2 both feature and mean differ, 4 + 4,
    # for half the weight
    both = label_aware(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), 2)
    assert float(
        wasserstein2(both, label_aware(torch.zeros(1, 1), torch.tensor([0]), 2))
    ) == pytest.approx(2.0)


def test_unlabeled_data_have_features_only():
    assert torch.equal(label_aware(X, None, 2, "none"), X.double())
    with pytest.raises(ValueError, match="covariance='none' with vocabulary=0"):
        label_aware(X, None, 2)
    with pytest.raises(ValueError, match="covariance='none' with vocabulary=0"):
        label_aware(X, None, 2, "none", vocabulary=1.0)


@pytest.mark.usefixtures("as_for_a_user")
def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"no covariance 'diagonl'. Did you mean 'diagonal'"):
        label_aware(X, Y, 2, "diagonl")
    with pytest.raises(ValueError, match=r"labels go from 0 to 2, wanted 0 to 1 \(n_classes=2\)"):
        label_aware(X, torch.tensor([0, 1, 2]), 2)
    with pytest.raises(ValueError, match=r"labels go from -1 to 1"):
        label_aware(X, torch.tensor([-1, 0, 1]), 2)
    with pytest.raises(ValueError, match=r"labels are \[2\], wanted \[3\]"):
        label_aware(X, Y[:2], 2)
    with pytest.raises(ValueError, match="features has 1 coordinates that are NaN"):
        label_aware(torch.tensor([[0.0, math.nan]]), Y[:1], 2)
    with pytest.raises(ValueError, match=r"weights of features are \[2\], wanted \[3\]"):
        label_aware(X, Y, 2, weights=torch.ones(2))
    for bad in ([-1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [math.nan, 1.0, 1.0], [math.inf, 1.0, 1.0]):
        with pytest.raises(ValueError, match="weights of features must be finite"):
            label_aware(X, Y, 2, weights=torch.tensor(bad))
    with pytest.raises(ValueError, match="vocabulary is -1"):
        label_aware(X, Y, 2, vocabulary=-1.0)


# --- feature maps ---------------------------------------------------------------------------------


def test_pca_keeps_what_varies_most():
    x = draws.normal(torch.tensor(0), 2, 50, 5) * torch.tensor([1.0, 5.0, 2.0, 4.0, 3.0])
    found = pca(x, 2)(x)
    for k in range(2):
        _, _, directions = torch.linalg.svd(x[k] - x[k].mean(0), full_matrices=False)
        wanted = (x[k] - x[k].mean(0)) @ directions[:2].T
        assert torch.allclose(found[k].abs(), wanted.abs())  # up to the sign
    matrix = pca(x, 2).matrix
    # which is that of the largest entry
    assert (matrix.gather(-2, matrix.abs().argmax(-2, keepdim=True)) > 0).all()


def test_padding_and_weights_of_pca():
    """A row of weight 2 counts as two rows; one of weight 0, which may hold anything, as none."""
    x = draws.normal(torch.tensor(2), 9, 4)
    weights = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    padded = x.clone()
    padded[8] = math.nan
    found, wanted = pca(padded, 3, weights), pca(torch.cat([x[:1], x[:8]]), 3)
    assert torch.allclose(found.shift, wanted.shift) and torch.allclose(found.matrix, wanted.matrix)
    # equal weights are none
    assert torch.equal(pca(x, 3, torch.full((9,), 0.3)).matrix, pca(x, 3).matrix)


def test_all_directions_of_pca_keep_every_distance():
    x = draws.normal(torch.tensor(1), 20, 4)
    assert torch.allclose(torch.cdist(pca(x, 4)(x), pca(x, 4)(x)), torch.cdist(x, x))


def test_standardised_features_and_constant_ones():
    x = torch.tensor([[1.0, 7.0, 0.0], [3.0, 7.0, 0.0]])
    fitted = standardised(x)
    assert fitted(x).tolist() == [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    # (5 - 2) / 1, and constant ones only moved
    assert fitted(torch.tensor([[5.0, 8.0, 2.0]])).tolist() == [[3.0, 1.0, 2.0]]
    tenths = torch.full((7, 1), 0.1).double()  # their mean is no tenth, to the last digit
    assert standardised(tenths)(tenths + 1).tolist() == [pytest.approx([1.0])] * 7


@pytest.mark.usefixtures("as_for_a_user")
def test_feature_maps_refuse_what_they_cannot_map():
    with pytest.raises(ValueError, match="k is 3, wanted a whole number from 1 to 2"):
        pca(X, 3)
    with pytest.raises(ValueError, match=r"features \[1, 3\] have not the 2 columns"):
        pca(X, 1)(torch.ones(1, 3))
    with pytest.raises(ValueError, match="NaN or infinite"):
        standardised(torch.tensor([[math.inf]]))
