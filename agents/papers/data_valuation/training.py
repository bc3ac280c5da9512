"""Realised accuracy: models of all mixtures and seeds, trained in one stacked call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.markets.federated import Federated, quotas

from .sellers_data import mixed_rows
from .settings import MixtureSetting

STRENGTHS = {"fedavg": 0.0, "fedprox": 0.1}
AT_ONCE = 4000  # owners that train in one call; bounds the memory


def accuracies(
    setting: MixtureSetting,
    owned: Shards,
    test: Shards,
    p: Float64[Tensor, "mixtures sellers"],
    points: int,
    seeds: Sequence[int],
) -> Float64[Tensor, "seeds mixtures"]:
    """Test accuracy of every mixture at so many points, in every seed: [seeds, mixtures].

    All mixtures of a seed start from one model.
    """
    per_seed = int((p > 0).sum())
    step = max(1, AT_ONCE // per_seed)
    quota = quotas(p[None], points, torch.full((1, p.shape[-1]), points)).expand(len(seeds), -1, -1)
    parts = []
    for some in torch.arange(len(seeds)).split(step):
        rows = Shards(owned.x, owned.y, owned.index[some], owned.size[some])
        keys = torch.tensor([seeds[k] for k in some.tolist()])
        parts.append(_trained(setting, rows, test, quota[: len(some)], keys))
    return torch.cat(parts)


def _trained(
    setting: MixtureSetting,
    owned: Shards,
    test: Shards,
    quota: Int[Tensor, "seeds mixtures sellers"],
    keys: Int[Tensor, "seeds"],
) -> Float64[Tensor, "seeds mixtures"]:
    learner, (rows, seller, model, count) = setting.learner(), mixed_rows(owned, quota)
    n_seeds, n_mixtures, _ = quota.shape
    start = learner.init(draws.fold(keys, "start")).repeat_interleave(n_mixtures, 0)
    by = Federated(learner, setting.communications, STRENGTHS[setting.algorithm], aligned=False)
    # of minibatches: as alike between mixtures as can be
    order = draws.fold(keys[model // n_mixtures], "order", seller)
    models = by.train(start, rows, model, count, order)
    return (
        learner.scores(models[None], learner.exam(test))
        .accuracy[0]
        .double()
        .reshape(n_seeds, n_mixtures)
    )
