"""What sellers show and own in every seed, embedded for distances, and the rows of mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from marketenv.core.shards import Shards
from marketenv.valuation import FeatureMap, label_aware, pca

from .settings import MixtureSetting


class Mixed(NamedTuple):
    """Rows of mixtures [owners]: of each owner its seller, its model and its number of rows."""

    rows: Shards
    seller: Int[Tensor, "owners"]
    model: Int[Tensor, "owners"]
    number: Int[Tensor, "owners"]


@dataclass(frozen=True)
class Lots:
    """The sellers' rows and the buyer's, a market a seed.

    owned: sellers' training rows, in random order         owners [seeds, sellers]
    x, y:  the first rows of each, which are shown
           [seeds, sellers, shown, inputs], [seeds, sellers, shown]
    goal_x, goal_y: the buyer's validation rows             [targets, inputs], [targets]
    test:  rows that accuracy is measured on                owners [1]
    phi:   features, fitted to the buyer's rows
    """

    owned: Shards
    x: Float[Tensor, "seeds sellers shown inputs"]
    y: Int[Tensor, "seeds sellers shown"]
    goal_x: Float[Tensor, "targets inputs"]
    goal_y: Int[Tensor, "targets"]
    test: Shards
    phi: FeatureMap
    n_classes: int


def lots(setting: MixtureSetting, seeds: Sequence[int]) -> Lots:
    """Deal the data out anew in every seed; ValueError where the data set is not here."""
    source = setting.source()
    dealt = source.federation(torch.tensor(list(seeds)))
    row = dealt.train.index.gather(-1, _again(dealt.train.size, setting.shown))
    goal = dealt.validation.index[0, : setting.targets]
    goal_x = dealt.validation.x[goal].flatten(1)
    phi = pca(
        dealt.validation.x[dealt.validation.index[0]].flatten(1),
        min(setting.dimensions, goal_x.shape[-1]),
    )
    x, y = dealt.train.x[row].flatten(3), dealt.train.y[row]
    return Lots(
        dealt.train, x, y, goal_x, dealt.validation.y[goal], dealt.test, phi, source.n_outputs
    )


def embedded(
    sellers_data: Lots, x: Tensor, y: Tensor, labels: bool = True, vocabulary: float = 0.0
) -> tuple[Float64[Tensor, "*batch n e"], Float64[Tensor, "targets e"]]:
    """Sellers' rows [*batch, n, inputs] and the buyer's as points; without labels, features alone.

    vocabulary: what two labels that differ add to the squared distance, in units of the mean
        squared distance of the buyer's rows
    """
    rows, goal = sellers_data.phi(x), sellers_data.phi(sellers_data.goal_x)
    unit = float(2 * goal.var(0, correction=0).sum())
    options: dict[str, Any] = {
        "covariance": "diagonal" if labels else "none",
        "vocabulary": vocabulary * unit,
    }
    return label_aware(rows, y, sellers_data.n_classes, **options), label_aware(
        goal, sellers_data.goal_y, sellers_data.n_classes, **options
    )


def mixed_rows(owned: Shards, quota: Int[Tensor, "seeds mixtures sellers"]) -> Mixed:
    """The rows that every mixture takes of each of its sellers; model = seed * mixtures + mixture.

    A seller that is asked for more than it owns gives its rows again.
    """
    seed, mixture, seller = (quota > 0).nonzero(as_tuple=True)
    count, size = quota[seed, mixture, seller], owned.size[seed, seller]
    index = owned.index[seed, seller].gather(-1, _again(size, int(quota.max())))
    return Mixed(
        Shards(owned.x, owned.y, index, count), seller, seed * quota.shape[1] + mixture, count
    )


def _again(size: Int[Tensor, "*owners"], width: int) -> Int[Tensor, "*owners width"]:
    """Places 0, 1, 2, ... among an owner's rows, over and over: [*owners, width]."""
    return torch.arange(width) % size[..., None]
