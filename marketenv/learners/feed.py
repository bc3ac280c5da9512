"""The examples of each model in each step of a round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.learners.training import Augment, Step


def shuffled(shards: Shards, keys: Int[Tensor, "models"]) -> Int[Tensor, "models width"]:
    """Each owner's rows in a random order of their own, padding last: argsort of uniform draws.

    The draws are counted from the shard's start, so padding changes nothing: a model has the same
    order beside any other models.
    """
    chance = draws.uniform(draws.fold(keys, "minibatches"), shards.index.shape[-1])
    order = torch.where(shards.mask, chance, 2.0).argsort(-1)
    return shards.index.gather(-1, order)


@dataclass(frozen=True)
class Feed:
    """Examples of a round, models sorted by effort; ``batch`` overwrites its last workspace.

    rows:   rows of the pool in the order of use                  [models, width]
    share:  weight of each example in the mean loss of a step     [models or 1, batch or 1]
    x, y:   the step's examples; the whole shards, gathered once, where ``full``
    change: makes the x of a step [active, batch, *features] from which models learn: it augments
            x, or leaves it as it is
    """

    pool: Shards
    rows: Int[Tensor, "models width"]
    size: Int[Tensor, "models"]
    share: Float[Tensor, "shared batches"]
    x: Float[Tensor, "models batch *features"]
    y: Num[Tensor, "models batch"]
    full: bool
    change: Callable[[Tensor, Step], Tensor]

    def batch(self, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """The step's examples of the models that take part: x, y, and their shares.

        x: [active, batch, *features];   y: [active, batch]
        Step s takes places (s * batch + j) mod size: without replacement until the end of the
        shard.
        """
        x, y = self.x[: step.active], self.y[: step.active]
        if self.full:
            return self.change(x, step), y, self.share[: step.active]
        places = step.number * x.shape[1] + torch.arange(x.shape[1], device=x.device)
        rows = self.rows[: step.active].gather(1, places % self.size[: step.active, None]).flatten()
        torch.index_select(self.pool.x, 0, rows, out=x.view(-1, *x.shape[2:]))
        torch.index_select(self.pool.y, 0, rows, out=y.view(-1))
        return self.change(x, step), y, self.share


def _as_it_is(x: Tensor, step: Step) -> Tensor:
    return x


def _augmented(
    augment: Augment,
    shape: tuple[int, ...],
    keys: Int[Tensor, "models"],
    models: Int[Tensor, "models"],
) -> Callable[[Tensor, Step], Tensor]:
    """The change of a step's examples by an augmentation.

    The keys of a step depend on the model's own key and the step's number alone.
    """

    def _change(x: Tensor, step: Step) -> Tensor:
        own = draws.fold(keys[: step.active], "augment", step.number)
        # a copy: the function may write into it
        whole = x.reshape(*x.shape[:2], *shape).clone()
        new = augment(whole, own, models[: step.active])
        if new.shape != whole.shape or new.dtype != x.dtype:
            raise ValueError(
                f"augment made {new.dtype} {list(new.shape)} of {x.dtype} {list(whole.shape)},"
                " wanted the same: [models, batch, *features]."
            )
        return new.reshape(x.shape)

    return _change


def open_feed(
    shards: Shards,
    batch_size: int | None,
    order: Int[Tensor, "some"] | None,
    keys: Int[Tensor, "models"],
    augment: Augment | None = None,
    shape: tuple[int, ...] | None = None,
) -> Feed:
    """Order the examples of a round for the models of ``order`` (None: for all, as they are).

    augment: see ``Training``; it takes features in ``shape`` (None: as they lie in the pool)
    """
    models = torch.arange(len(keys), device=keys.device) if order is None else order
    if order is not None:
        shards = Shards(shards.x, shards.y, shards.index[order], shards.size[order])
        keys = keys[order]
    change: Callable[[Tensor, Step], Tensor] = _as_it_is
    if augment is not None:
        change = _augmented(augment, shape or tuple(shards.x.shape[1:]), keys, models)
    if batch_size is None:
        x, y, mask = shards.padded()
        share = mask.float() / shards.size[:, None]
        return Feed(shards, shards.index, shards.size, share, x, y, True, change)
    places = (shards.index.shape[0], batch_size)
    x, y = shards.x.new_empty(*places, *shards.x.shape[1:]), shards.y.new_empty(places)
    share, rows = x.new_full((1, 1), 1.0 / batch_size), shuffled(shards, keys)
    return Feed(shards, rows, shards.size, share, x, y, False, change)
