"""Label-aware embedding: features beside the mean and spread of the point's class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import one_hot

from marketenv.core.checks import number, whole
from marketenv.core.lookup import lookup
from marketenv.valuation.clouds import cloud

Moment = Float64[Tensor, "*batch classes _"]


def label_aware(
    features: Float[Tensor, "*batch n d"],
    labels: Int[Tensor, "*batch n"] | None,
    n_classes: int,
    covariance: str = "diagonal",
    vocabulary: float = 0.0,
    weights: Float[Tensor, "*batch n"] | None = None,
) -> Float64[Tensor, "*batch n e"]:
    """Embed labelled points so that their squared distance counts features and labels.

    x_hat = [x, mean_y, sqrt(cov_y)]; with the vocabulary also sqrt(lambda / 2) onehot(y), which
    adds lambda 1{y != y'}

    features: x, or a feature map of it             [*batch, n, d]
    labels: y in 0..n_classes-1, None with "none"   [*batch, n]
    covariance: "diagonal" (e = 3d, standard deviations), "full" (e = 2d + d^2, the matrix root) or
        "none" (e = d)
    vocabulary: lambda >= 0, in squared units of the features; above 0 it adds n_classes coordinates
    weights: >= 0; a row of weight 0 is padding: it may hold anything, counts in no moment and is
        embedded as 0 [*batch, n]

    Each leading row is one data set: its class moments are its own (weighted, divided by the total
    weight, so that a class of one point has spread 0). Without the vocabulary a label that is
    renamed everywhere changes nothing. Raises ValueError for what is not finite, labels outside the
    classes, and unknown names. Source: Alvarez-Melis and Fusi, NeurIPS 2020; this form as in the
    public code of arXiv 2404.06787. The vocabulary is ours.

    >>> label_aware(
    ...     torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1]), n_classes=2
    ... ).tolist()
    [[0.0, 1.0, 1.0], [2.0, 1.0, 1.0], [5.0, 5.0, 0.0]]
    """
    root = lookup(COVARIANCES, covariance, "covariance")
    n_classes = whole(n_classes, "n_classes", 1)
    vocabulary = number(vocabulary, "vocabulary", 0)
    points, shares = cloud(features, weights, "features")
    if root is None and vocabulary == 0:
        return points
    member = _membership(labels, shares, n_classes)
    columns = [points]
    if root is not None:
        columns += [
            member @ moment for moment in _moments(points, member * shares[..., None], root)
        ]
    if vocabulary > 0:
        columns.append(member * (vocabulary / 2) ** 0.5)
    return torch.cat(columns, -1)


def _membership(labels: Tensor | None, shares: Tensor, n_classes: int) -> Tensor:
    """One row a point, 1 at its class; 0 everywhere for padding   [*batch, n, classes]."""
    if labels is None:
        raise ValueError(
            "labels is None; wanted one a point, or covariance='none' with vocabulary=0 for"
            " unlabeled data."
        )
    if labels.shape != shares.shape:
        raise ValueError(
            f"labels are {list(labels.shape)}, wanted {list(shares.shape)}: one a point."
        )
    counted = shares > 0
    labels = torch.where(counted, labels, 0)
    if bool(((labels < 0) | (labels >= n_classes)).any()):
        raise ValueError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, wanted 0 to"
            f" {n_classes - 1} (n_classes={n_classes})."
        )
    return one_hot(labels.long(), n_classes).double() * counted[..., None]


def _moments(
    points: Tensor, mass: Tensor, root: Callable[[Tensor, Tensor], Moment]
) -> tuple[Moment, Moment]:
    """Mean and root of the covariance of every class; 0 for a class without points."""
    totals = mass.sum(-2)
    # the weights of each class sum to 1
    part = mass / torch.where(totals > 0, totals, 1.0)[..., None, :]
    means = part.mT @ points
    return means, root(points - (mass > 0).double() @ means, part)


def _deviations(centred: Tensor, part: Tensor) -> Moment:
    return (part.mT @ centred**2).sqrt()


def _matrix_roots(centred: Tensor, part: Tensor) -> Moment:
    weighted = part.mT[..., :, None, :] * centred.mT[..., None, :, :]  # [*batch, classes, d, n]
    return matrix_root(weighted @ centred[..., None, :, :]).flatten(-2)


def matrix_root(covariance: Float64[Tensor, "*batch d d"]) -> Float64[Tensor, "*batch d d"]:
    """Symmetric root of positive semidefinite matrices; eigenvalues below 0 count as 0.

    >>> matrix_root(torch.tensor([[4.0, 0.0], [0.0, 9.0]]).double()).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT


COVARIANCES: dict[str, Callable[[Tensor, Tensor], Moment] | None] = {
    "diagonal": _deviations,
    "full": _matrix_roots,
    "none": None,
}
