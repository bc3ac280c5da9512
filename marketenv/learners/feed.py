"""Which examples each model sees in each step of a round."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.learners.training import Step


def shuffled(shards: Shards, keys: Int[Tensor, "models"]) -> Int[Tensor, "models width"]:
    """Each owner's rows in a random order of their own, padding last: argsort of uniform draws.

    The draws are counted from the shard's start, so padding changes nothing: a model has one order whatever its company.
    """
    chance = torch.where(shards.mask, draws.uniform(draws.fold(keys, "minibatches"), shards.index.shape[-1]), 2.0)
    return shards.index.gather(-1, chance.argsort(-1))


@dataclass(frozen=True)
class Feed:
    """Examples of a round, models sorted by effort; ``batch`` overwrites the workspace that it returned before.

    rows:  rows of the pool in the order of use                  [models, width]
    share: weight of each example in the mean loss of a step     [models or 1, batch or 1]
    x, y:  the step's examples; the whole shards, gathered once, where ``full``
    """

    pool: Shards
    rows: Int[Tensor, "models width"]
    size: Int[Tensor, "models"]
    share: Float[Tensor, "shared batches"]
    x: Float[Tensor, "models batch *features"]
    y: Num[Tensor, "models batch"]
    full: bool

    def batch(self, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """The step's examples of the models that take part: x [active, batch, *features], y [active, batch], shares.

        Step s takes places (s * batch + j) mod size: without replacement until the shard is used up.
        """
        x, y = self.x[: step.active], self.y[: step.active]
        if self.full:
            return x, y, self.share[: step.active]
        places = step.number * x.shape[1] + torch.arange(x.shape[1], device=x.device)
        rows = self.rows[: step.active].gather(1, places % self.size[: step.active, None]).flatten()
        torch.index_select(self.pool.x, 0, rows, out=x.view(-1, *x.shape[2:]))
        torch.index_select(self.pool.y, 0, rows, out=y.view(-1))
        return x, y, self.share


def open_feed(shards: Shards, batch_size: int | None, order: Int[Tensor, "models"] | None, keys: Int[Tensor, "models"]) -> Feed:
    """Order the examples of a round; models stand in ``order`` (None: as they are)."""
    if order is not None:
        shards, keys = Shards(shards.x, shards.y, shards.index[order], shards.size[order]), keys[order]
    if batch_size is None:
        x, y, mask = shards.padded()
        return Feed(shards, shards.index, shards.size, mask / shards.size[:, None], x, y, True)
    shape = (shards.index.shape[0], batch_size)
    x, y = shards.x.new_empty(*shape, *shards.x.shape[1:]), shards.y.new_empty(shape)
    return Feed(shards, shuffled(shards, keys), shards.size, x.new_full((1, 1), 1.0 / batch_size), x, y, False)
