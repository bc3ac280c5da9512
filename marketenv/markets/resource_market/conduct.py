"""What an owner may do with the data that it contributes, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.core.shards import Shards
from marketenv.data.wrong_features import Moments, moments
from marketenv.data.wrong_labels import cycles, permuted_labels, symmetric_flips
from marketenv.data.wrong_rows import noise_rows
from marketenv.markets.goods import Goods

PART = 1 / 6  # of an owner's rows that differ where it contributes copies or few


@dataclass(frozen=True)
class Conduct:
    """A way to contribute.

    sound:  share of the contribution that is of use to the leader: what its true quality is
            multiplied by
    part:   share of the rows that are contributed at all, as if they were all of them
    copied: the rest of the rows are copies of these
    change: labels, owners' rates 0 or 1, keys, number of classes -> wrong labels; None: labels stay
        as they are
    noise:  rows are noise with labels at random
    """

    sound: float
    part: float = 1.0
    copied: bool = False
    change: Callable[[Tensor, Tensor, Tensor, int], Tensor] | None = None
    noise: bool = False


def random_labels(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int) -> Tensor:
    """Each row of an owner of rate 1 gets a label at random, its own included."""
    return torch.where(
        rates[..., None] > 0,
        draws.integers(draws.fold(keys, "random label"), n_classes, y.shape[-1]),
        y,
    )


def half_random(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int) -> Tensor:
    """Every second row gets a label at random."""
    odd = torch.arange(y.shape[-1], device=y.device) % 2 > 0
    return torch.where(odd, random_labels(y, rates, keys, n_classes), y)


def wrong_labels(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int) -> Tensor:
    """Each row gets a wrong label, each other class equally often."""
    return symmetric_flips(y, rates, keys, n_classes)


def constant_label(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int) -> Tensor:
    """All rows get the label of the first class."""
    return torch.where(rates[..., None] > 0, 0, y)


def renamed_labels(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int) -> Tensor:
    """Classes are renamed, each by the next one."""
    return permuted_labels(y, cycles((rates > 0).long() * n_classes, n_classes))


CONDUCTS: dict[str, Conduct] = {
    "honest": Conduct(1.0),
    "junk": Conduct(0.0, noise=True),
    "random_labels": Conduct(0.0, change=random_labels),
    "half_random": Conduct(0.5, change=half_random),
    "wrong_labels": Conduct(0.0, change=wrong_labels),
    "constant_label": Conduct(0.0, change=constant_label),
    "permuted_labels": Conduct(0.0, change=renamed_labels),
    "copies": Conduct(PART, part=PART, copied=True),
    "few": Conduct(PART, part=PART),
}


def contributed(
    train: Shards,
    conduct: Int[Tensor, "markets owners"],
    names: tuple[str, ...],
    rows: Int[Tensor, "markets owners"],
    n_classes: int,
    keys: Int[Tensor, "markets owners"],
    text: bool = False,
) -> Goods:
    """The rows that owners contribute: so many of their own, drawn anew in every round, by their
    conduct.

    train:   what owners own   owners [markets, owners];
             conduct: numbers of ``names``, which are of ``CONDUCTS``
    rows:    how many each says to contribute, at most what it owns;   keys: of the round's draws
    text:    features are numbers of characters, so noise is made of an owner's characters
    """
    # padding comes last
    lots = torch.where(
        train.mask, draws.uniform(draws.fold(keys, "rows"), train.index.shape[-1]), 2.0
    )
    ways = [CONDUCTS[name] for name in names]
    part, copied = (
        lots.new_tensor([getattr(way, kind) for way in ways])[conduct]
        for kind in ("part", "copied")
    )
    unique = (part * rows).ceil().long().clamp(min=1)
    size = torch.where(copied > 0, rows, unique).minimum(rows)
    place = torch.arange(int(rows.max().clamp(min=1)), device=rows.device) % unique[..., None]
    row = train.index.gather(-1, lots.argsort(dim=-1, stable=True).gather(-1, place))
    x, y = train.x[row], train.y[row]
    for number, way in enumerate(ways):
        chosen = (conduct == number).double()
        if way.change is not None:
            y = way.change(y, chosen, keys, n_classes)
        if way.noise and bool(chosen.any()):
            x, y = noise_rows(x, y, chosen, keys, n_classes, _moments(train))
            x = _characters(x, train) if text else x
    return Goods(x, y, torch.ones_like(y, dtype=torch.bool), size)


def soundness(
    conduct: Int[Tensor, "markets owners"], names: tuple[str, ...]
) -> Float[Tensor, "markets owners"]:
    """Share of each contribution that is of use to the leader."""
    return torch.tensor(
        [CONDUCTS[name].sound for name in names], dtype=torch.float64, device=conduct.device
    )[conduct]


def _characters(x: Tensor, train: Shards) -> Tensor:
    """The nearest numbers of characters between an owner's first and last one: [markets,
    owners, width, *features].
    """
    own = train.x[train.index].flatten(2)
    inside = train.mask.repeat_interleave(own.shape[-1] // train.mask.shape[-1], -1)
    first = own.masked_fill(~inside, torch.inf).amin(-1).view(*own.shape[:2], *(1,) * (x.dim() - 2))
    last = own.masked_fill(~inside, -torch.inf).amax(-1).view_as(first)
    return x.round().maximum(first).minimum(last)


def _moments(train: Shards) -> Moments:
    """Mean and deviation of each owner's rows, which its noise is made to look like."""
    return moments(train.x[train.index], train.mask.to(train.x))
