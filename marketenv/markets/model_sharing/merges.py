"""Purchases that merge to a model that is not finite do not take place, and no money moves."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from marketenv.core.axes import Parameters
from marketenv.core.bank import finite
from marketenv.markets.model_sharing.schemes import Settlement


def sound(
    settlement: Settlement,
    trained: Parameters,
    second: Float[Tensor, "markets clients second"],
    world: Any,
    rounds: Int[Tensor, "markets"],
) -> tuple[Settlement, Bool[Tensor, "markets clients"]]:
    """The sound part of a settlement, and the clients that would get a model that is not finite.

    Such a client keeps its own models.

    trained, second: the clients' models before the settlement
    world, rounds:   what models are judged by
    The next training starts from ``params`` and ``second``, so their losses must be finite too; a
    centre only pulls.
    """
    broken = torch.zeros_like(settlement.broke)
    for models, own, starts in (
        (settlement.params, trained, True),
        (settlement.second, second, True),
        (settlement.centre, trained, False),
    ):
        changed = torch.zeros_like(broken) if models is own else (models != own).any(-1)
        if bool(changed.any()):
            usable = finite(models)
            if starts:
                usable &= world.score(models, rounds).loss.isfinite()
            broken |= changed & ~usable
    if not bool(broken.any()):
        return settlement, broken
    row = broken[..., None]
    sound_part = dataclasses.replace(
        settlement,
        trades=settlement.trades & ~row,
        prices=settlement.prices.masked_fill(row, 0.0),
        params=torch.where(row, trained, settlement.params),
        centre=torch.where(row, trained, settlement.centre),
        pull=settlement.pull.masked_fill(broken, 0.0),
        second=torch.where(row, second, settlement.second),
    )
    return sound_part, broken
