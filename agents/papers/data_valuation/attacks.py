"""What seller 0 shows and delivers of its rows, and how often each counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from marketenv.core import draws
from marketenv.data.wrong_features import toward
from marketenv.data.wrong_labels import cycles, permuted_labels, symmetric_flips
from marketenv.data.wrong_rows import duplicated, noise_rows

from .sellers_data import Lots

UNIQUE = 20  # rows of which a seller makes all that it shows
COPIES = 5
RENAMED = 4  # classes 0 -> 1 -> 2 -> 3 -> 0


class Rows(NamedTuple):
    """Rows of one seller in every seed: x [seeds, n, inputs], y [seeds, n]."""

    x: Float[Tensor, "seeds n inputs"]
    y: Int[Tensor, "seeds n"]


Change = Callable[[Rows, Lots, Int[Tensor, "seeds"]], Rows]


@dataclass(frozen=True)
class SellerAttack:
    """A strategy of seller 0.

    shown, delivered: what it makes of its rows;   copies: how often every row of its counts
    """

    shown: Change
    delivered: Change
    copies: int = 1


def own(rows: Rows, sellers_data: Lots, keys: Int[Tensor, "seeds"]) -> Rows:
    """Its rows as they are."""
    return rows


def renamed(rows: Rows, sellers_data: Lots, keys: Int[Tensor, "seeds"]) -> Rows:
    """Its rows with the first classes renamed in a circle."""
    lengths = torch.full(keys.shape, min(RENAMED, sellers_data.n_classes))
    return Rows(rows.x, permuted_labels(rows.y, cycles(lengths, sellers_data.n_classes)))


def random_labels(rows: Rows, sellers_data: Lots, keys: Int[Tensor, "seeds"]) -> Rows:
    """Its rows with labels at random, the right one as often as any other."""
    rates = torch.full(keys.shape, 1 - 1 / sellers_data.n_classes, dtype=torch.float64)
    return Rows(rows.x, symmetric_flips(rows.y, rates, keys, sellers_data.n_classes))


def few(rows: Rows, sellers_data: Lots, keys: Int[Tensor, "seeds"]) -> Rows:
    """Its first rows, over and over."""
    return Rows(*duplicated(*rows, torch.full(keys.shape, min(UNIQUE, rows.y.shape[-1]))))


def noise(rows: Rows, sellers_data: Lots, keys: Int[Tensor, "seeds"]) -> Rows:
    """Noise in place of its rows."""
    return Rows(
        *noise_rows(
            *rows, torch.ones(keys.shape, dtype=torch.float64), keys, sellers_data.n_classes
        )
    )


def half_public(rows: Rows, sellers_data: Lots, keys: Int[Tensor, "seeds"]) -> Rows:
    """Its rows, each moved half of the way to a row of the buyer's, whatever its class."""
    return Rows(
        toward(rows.x, sellers_data.goal_x, torch.full(keys.shape, 0.5, dtype=torch.float64), keys),
        rows.y,
    )


def buyers(rows: Rows, sellers_data: Lots, keys: Int[Tensor, "seeds"]) -> Rows:
    """The buyer's own rows."""
    place = draws.permutation(draws.fold(keys, "spoof"), len(sellers_data.goal_y))
    place = place[:, torch.arange(rows.y.shape[-1]) % len(sellers_data.goal_y)]
    return Rows(sellers_data.goal_x[place], sellers_data.goal_y[place])


HONEST = "honest"
ATTACKS: dict[str, SellerAttack] = {
    HONEST: SellerAttack(own, own),
    "permutes its labels": SellerAttack(renamed, renamed),
    "random labels": SellerAttack(random_labels, random_labels),
    "duplicates x5": SellerAttack(own, own, copies=COPIES),
    "20 unique points": SellerAttack(few, few),
    "noise delivered": SellerAttack(own, noise),
    "half public": SellerAttack(half_public, half_public),
    "spoofs, random labels": SellerAttack(buyers, random_labels),
}
