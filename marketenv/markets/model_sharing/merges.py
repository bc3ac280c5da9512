"""Shared models that are not finite: who would get one gets nobody's, and no money moves for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core.axes import Parameters
from marketenv.markets.model_sharing.schemes import Settled


def sound(
    done: Settled,
    trained: Parameters,
    second: Float[Tensor, "markets clients second"],
    world: Any,
    rounds: Int[Tensor, "markets"],
) -> tuple[Settled, Bool[Tensor, "markets clients"]]:
    """What was shared, and who would have got a model that is not finite: it keeps its own.

    done:    what a scheme decided;   trained, second: models from before it;
             world, rounds: what models are judged by
    The next training starts from ``params`` and ``second``, so their losses have to be finite too;
    a centre only pulls.
    """
    broken = torch.zeros_like(done.broke)
    for models, own, starts in (
        (done.params, trained, True),
        (done.second, second, True),
        (done.centre, trained, False),
    ):
        changed = torch.zeros_like(broken) if models is own else (models != own).any(-1)
        if bool(changed.any()):
            finite = models.isfinite().all(-1)
            if starts:
                finite &= world.score(models, rounds).loss.isfinite()
            broken |= changed & ~finite
    if not bool(broken.any()):
        return done, broken
    row = broken[..., None]
    kept = {"params": trained, "centre": trained, "second": second}
    kept = {name: torch.where(row, models, getattr(done, name)) for name, models in kept.items()}
    free = {"prices": done.prices.masked_fill(row, 0.0), "pull": done.pull.masked_fill(broken, 0.0)}
    return dataclasses.replace(done, bought=done.bought & ~row, **kept, **free), broken
