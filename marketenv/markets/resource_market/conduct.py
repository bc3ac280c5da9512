"""Conduct: what an owner may do with the data that it contributes, and the resulting rows."""

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

    sound:  share of the contribution that is of use to the leader; the true quality is multiplied
            by it
    part:   share of the rows that differ
    copied: whether the rest of the rows are copies of these; else there is no rest
    change: labels, owners' rates 0 or 1, keys, number of classes -> wrong labels; None: labels stay
    noise:  whether rows are noise with random labels
    """

    sound: float
    part: float = 1.0
    copied: bool = False
    change: Callable[[Tensor, Tensor, Tensor, int], Tensor] | None = None
    noise: bool = False


def random_labels(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int) -> Tensor:
    """Each row of an owner of rate 1 gets a random label, its own included."""
    labels = draws.integers(draws.fold(keys, "random label"), n_classes, y.shape[-1])
    return torch.where(rates[..., None] > 0, labels, y)


def half_random(y: Tensor, rates: Tensor, keys: Tensor, n_classes: int) -> Tensor:
    """Every second row gets a random label."""
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
    """The rows that owners contribute by their conduct, drawn anew in every round.

    train:   what owners own   owners [markets, owners]
    conduct: numbers of ``names``, which are names of ``CONDUCTS``
    rows:    number that each owner says to contribute, at most what it owns
    keys:    of the round's draws
    text:    whether features are numbers of characters; then noise is made of an owner's characters
    """
    lots = draws.uniform(draws.fold(keys, "rows"), train.index.shape[-1])
    lots = torch.where(train.mask, lots, 2.0)  # padding comes last
    ways = [CONDUCTS[name] for name in names]
    part = lots.new_tensor([way.part for way in ways])[conduct]
    copied = lots.new_tensor([way.copied for way in ways])[conduct]
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
    shares = [CONDUCTS[name].sound for name in names]
    return torch.tensor(shares, dtype=torch.float64, device=conduct.device)[conduct]


def _characters(x: Tensor, train: Shards) -> Tensor:
    """The nearest whole numbers between an owner's first and last character, in the shape of x."""
    own = train.x[train.index].flatten(2)
    inside = train.mask.repeat_interleave(own.shape[-1] // train.mask.shape[-1], -1)
    first = own.masked_fill(~inside, torch.inf).amin(-1).view(*own.shape[:2], *(1,) * (x.dim() - 2))
    last = own.masked_fill(~inside, -torch.inf).amax(-1).view_as(first)
    return x.round().maximum(first).minimum(last)


def _moments(train: Shards) -> Moments:
    """Mean and deviation of each owner's rows; its noise has the same."""
    return moments(train.x[train.index], train.mask.to(train.x))
