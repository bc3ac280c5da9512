"""Federated training of many models at once, each on the rows of some owners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from marketenv.alignment import match, permute
from marketenv.core import draws
from marketenv.core.bank import finite
from marketenv.core.shards import Shards
from marketenv.learners import Learner, Pull
from marketenv.markets import own_parts

ALGORITHMS = {"fedavg": 0.0, "fedprox": 0.1}  # strength of the pull to the shared model
ALIGNMENTS = ("auto", "weight_matching", "none")


@dataclass(frozen=True)
class Federated:
    """How models are trained on data that stay with their owners.

    learner:  of all models;   communications: times that owners train and send their models
    strength: of the pull of an owner's training to the shared model: 0 is FedAvg, above it FedProx
    aligned:  whether the owners' models are matched to the shared one before they are averaged

    Source: McMahan et al., "Communication-efficient learning of deep networks from decentralized
    data" (AISTATS 2017), algorithm 1; Li et al., "Federated optimization in heterogeneous networks"
    (MLSys 2020), eq. 2; Ainsworth et al., "Git Re-Basin" (2022), algorithm 1, for the matching.
    """

    learner: Learner
    communications: int
    strength: float
    aligned: bool

    def train(
        self,
        params: Float[Tensor, "models params"],
        rows: Shards,
        owner: Int[Tensor, "owners"],
        weight: Num[Tensor, "owners"],
        keys: Int[Tensor, "owners"],
    ) -> Float[Tensor, "models params"]:
        """Train each model on the rows of its owners; a model without owners stays as it is.

        theta <- sum_o w_o theta_o,
        w_o an owner's share of the model's weights, theta_o trained from theta

        rows:   of every owner   owners [owners];   owner: the model that each owner belongs to
        weight: of each owner, > 0, such as its number of rows
        keys:   of the owners' minibatches
        """
        if not len(owner):
            return params
        material = own_parts.prepare(self.learner, rows)
        total = torch.zeros(len(params), dtype=torch.float64, device=params.device)
        total.index_add_(0, owner, weight.double())
        share = (weight / total[owner]).to(params)[:, None]
        for turn in range(self.communications):
            local = self.local(params[owner], material, draws.fold(keys, turn))
            mean = torch.zeros_like(params).index_add_(0, owner, share * local)
            # a model that diverges stays at its last finite parameters
            sound = finite(mean) & (total > 0)
            params = torch.where(sound[:, None], mean, params)
        return params

    def local(
        self, shared: Float[Tensor, "owners params"], material: Any, keys: Int[Tensor, "owners"]
    ) -> Tensor:
        """Every owner's model after its own training, on the units of the shared one."""
        slots = own_parts.fresh_slots(self.learner, len(shared), shared.device)
        pull = Pull(shared, torch.full_like(shared[:, 0], self.strength)) if self.strength else None
        effort = torch.ones_like(shared[:, 0])
        local, _ = own_parts.train(self.learner, shared, slots, material, effort, keys, pull)
        if not self.aligned:
            return local
        layout, permutations = self.learner.layout, self.learner.permutations or {}
        orders = match(layout, permutations, shared, local, keys)
        return permute(layout, permutations, local, orders)


def federated_training(
    learner: Learner, communications: int, algorithm: str, alignment: str
) -> Federated:
    """Federated training by names; ``auto`` aligns where the learner has permutations."""
    aligned = bool(learner.permutations) if alignment == "auto" else alignment == "weight_matching"
    return Federated(learner, communications, ALGORITHMS[algorithm], aligned)


def quotas(
    mixtures: Float[Tensor, "markets mixtures sellers"],
    total: int,
    most: Int[Tensor, "markets sellers"],
) -> Int[Tensor, "markets mixtures sellers"]:
    """Whole points of each seller near total * p, at most what it has; largest remainders first.

    >>> quotas(torch.tensor([[[0.5, 0.25, 0.25]]]), 5, torch.tensor([[9, 9, 9]]))
    tensor([[[3, 1, 1]]])
    """
    wanted = mixtures.double() * total
    whole = (wanted + 1e-9).floor()
    left = (mixtures.sum(-1) * total).round() - whole.sum(-1)
    rank = (wanted - whole).argsort(dim=-1, descending=True, stable=True).argsort(-1)
    return (whole + (rank < left[..., None])).long().minimum(most[:, None])
