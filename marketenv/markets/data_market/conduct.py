"""Conduct: what a seller may do with its data, and the resulting rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.fields import Choice, Field, Multiple, Share
from marketenv.core.shards import Shards
from marketenv.data.wrong_features import Moments, moments
from marketenv.data.wrong_labels import cycles, permuted_labels, symmetric_flips
from marketenv.data.wrong_rows import noise_rows
from marketenv.markets.data_worlds import Buyer
from marketenv.markets.goods import Goods

MOST_DECLARED = 5.0
# where classes are renamed: nowhere, in the delivery alone, in the pilot too
PERMUTES = ("never", "delivered", "always")

# by name: the field of the action; the truth is 1 for the first two, and 0 for the others
CONDUCT: dict[str, Field] = {
    "declared": Multiple(
        "declared", most=MOST_DECLARED, of="size", text="points that it says it has"
    ),
    "distinct": Share(
        "distinct", unit="of what it declares", text="rows that differ; the rest are copies of them"
    ),
    "flip": Share("flip", unit="of its rows", text="rows whose labels it replaces by wrong ones"),
    "permute": Choice(
        "permute", options=PERMUTES, text="when it renames its classes, one after another"
    ),
    "shift": Share("shift", unit="of the way", text="moves its features toward public examples"),
    "spoof": Share(
        "spoof", unit="of its pilot", text="pilot rows that it replaces by the buyer's own"
    ),
    "bait": Share(
        "bait",
        unit="of the delivery",
        text="delivered rows that are noise, which its pilot did not show",
    ),
}
TRUTH: dict[str, float] = {
    name: 1.0 if name in ("declared", "distinct") else 0.0 for name in CONDUCT
}


@dataclass(frozen=True)
class Conduct:
    """What each seller does: the meanings of ``CONDUCT``, [markets, sellers] each.

    declared: points that it offers, at least one; it repeats its rows if it has fewer
    """

    declared: Int[Tensor, "markets sellers"]
    distinct: Float[Tensor, "markets sellers"]
    flip: Float[Tensor, "markets sellers"]
    permute: Float[Tensor, "markets sellers"]
    shift: Float[Tensor, "markets sellers"]
    spoof: Float[Tensor, "markets sellers"]
    bait: Float[Tensor, "markets sellers"]

    @classmethod
    def of(
        cls,
        meaning: Mapping[str, Float[Tensor, "markets sellers"]],
        size: Int[Tensor, "markets sellers"],
    ) -> Conduct:
        """Conduct from the meanings of fields; the truth where there is no field.

        size: number of rows of each seller
        """
        truth = {name: torch.full_like(size, TRUTH[name], dtype=torch.float64) for name in CONDUCT}
        numbers = {name: meaning.get(name, truth[name]) for name in CONDUCT}
        declared = (numbers.pop("declared") * size).round().long().clamp(min=1)
        return cls(declared=declared, **numbers)

    @property
    def wrong(self) -> Float[Tensor, "markets sellers"]:
        """Share of the delivered rows with a label of another row, which costs no labelling."""
        return torch.where(self.permute > 0, 1.0, self.flip)

    def different(
        self, size: Int[Tensor, "markets sellers"], points: Int[Tensor, "markets sellers"]
    ) -> Tensor:
        """Number of different rows among the first ``points``; copies lie evenly among them."""
        return torch.where(points > 0, (points - 1) * self.unique(size) // self.declared + 1, 0)

    def unique(self, size: Int[Tensor, "markets sellers"]) -> Int[Tensor, "markets sellers"]:
        """Number of different rows among all that are offered."""
        return (self.declared * self.distinct - 1e-9).ceil().long().clamp(min=1).minimum(size)


def goods(
    train: Shards,
    labelled: Tensor | None,
    conduct: Conduct,
    width: int,
    buyer: Buyer,
    n_classes: int,
    keys: Int[Tensor, "markets sellers"],
    delivered: bool,
) -> Goods:
    """The first ``width`` rows that each seller shows as its pilot, or delivers.

    train:    what sellers own   owners [markets, sellers]
    labelled: whether each row has a label; None: all rows have
    buyer:    its examples are public;   keys: of the round's draws

    A pilot and a delivery use the same draws: they differ by the bait alone, and by labels that are
    renamed for the delivery alone.
    """
    unique, declared = conduct.unique(train.size)[..., None], conduct.declared[..., None]
    place = torch.arange(width, device=keys.device).minimum(declared - 1) * unique // declared
    row = train.index.gather(-1, place)
    x, y = train.x[row], train.y[row]
    known = torch.ones_like(y, dtype=torch.bool) if labelled is None else labelled.gather(-1, place)
    y = symmetric_flips(y, conduct.flip, keys, n_classes)
    permuted = conduct.permute >= PERMUTES.index("delivered" if delivered else "always")
    y = permuted_labels(y, cycles(permuted * n_classes, n_classes))
    if bool((conduct.shift > 0).any()):
        x = _shifted(x, buyer, conduct.shift, keys)
    if delivered and bool((conduct.bait > 0).any()):
        x, y = noise_rows(x, y, conduct.bait, keys, n_classes, _moments(buyer, x))
    return Goods(x, y, known, conduct.declared.clamp(max=width))


def _shifted(
    x: Float[Tensor, "markets sellers width *features"],
    buyer: Buyer,
    rates: Float[Tensor, "markets sellers"],
    keys: Int[Tensor, "markets sellers"],
) -> Tensor:
    """Each row, moved its seller's part of the way to a random example of the buyer."""
    size = buyer.size.expand(len(x))[:, None, None]
    aim = (draws.uniform(draws.fold(keys, "toward"), x.shape[2]) * size).long()
    market = torch.arange(len(x), device=x.device) % len(buyer.size)
    goal = buyer.x[market[:, None, None], aim]
    rates = rates.to(x).view(*rates.shape, *[1] * (x.dim() - 2))
    return torch.where(rates > 0, x + rates * (goal - x), x)


def _moments(buyer: Buyer, x: Float[Tensor, "markets sellers width *features"]) -> Moments:
    """Mean and deviation of the buyer's examples for every seller; noise has the same."""
    counted = torch.arange(buyer.y.shape[1], device=x.device) < buyer.size[:, None]
    mean, spread = (
        part[:, None].expand(*x.shape[:2], *x.shape[3:]) for part in moments(buyer.x, counted.to(x))
    )
    return Moments(mean, spread)
