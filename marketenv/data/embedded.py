"""Small real data sets in the package; sources and licences are in ``embedded/README.md``."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from marketenv.data.dataset import Dataset


def _arrays(name: str) -> dict[str, Tensor]:
    """All arrays of an embedded file, on the CPU whatever torch's default device is."""
    return {part: torch.from_numpy(array.copy()) for part, array in _file(name).items()}


@functools.cache  # unpacking takes longer than all the rest of a data set
def _file(name: str) -> dict[str, np.ndarray]:
    with (
        files("marketenv.data").joinpath("embedded", f"{name}.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as box,
    ):
        return dict(box)


def standardise(x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Shift and scale every column to mean 0 and standard deviation 1; a constant column becomes 0.

    The mean and deviation are those of all rows, so later test rows have a (tiny) share in them.

    >>> standardise(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = x.std(0, correction=0)
    return (x - x.mean(0)) / torch.where(spread > 0, spread, 1.0)


def digits(root: Path | None = None, download: bool = False) -> Dataset:
    """Handwritten digits, 1,797 of 8x8 pixels, flat: x [1797, 64] in [0, 1], 10 classes.

    Source: Alpaydin and Kaynak, UCI 1998, as scikit-learn has it. ``root`` and ``download`` are not
    needed.
    """
    raw = _arrays("digits")
    return Dataset("digits", raw["x"].float() / 16.0, raw["y"].long(), n_classes=10)


def german_credit(root: Path | None = None, download: bool = False) -> Dataset:
    """Loans of a German bank: x [1000, 61], labels 0 good (700) and 1 bad (300).

    Columns: 7 standardised numbers, then 54 zeros and ones, one for each level of the 13
    categories. Source: Hofmann, UCI 1994. ``root`` and ``download`` are not needed.
    """
    raw = _arrays("german_credit")
    numeric = standardise(raw["numeric"].double()).float()
    levels = raw["levels"].long()
    columns = raw["categorical"].long() + levels.cumsum(0) - levels
    one_hot = numeric.new_zeros(len(numeric), int(levels.sum())).scatter_(1, columns, 1.0)
    return Dataset("german_credit", torch.cat([numeric, one_hot], 1), raw["y"].long(), n_classes=2)


def breast_cancer(root: Path | None = None, download: bool = False) -> Dataset:
    """Tumours: x [569, 30] standardised, labels 0 malignant (212) and 1 benign (357).

    Source: Wolberg, Mangasarian, Street, Street, UCI 1995, as scikit-learn has it. ``root`` and
    ``download`` are not needed.
    """
    raw = _arrays("breast_cancer")
    return Dataset("breast_cancer", standardise(raw["x"].double()).float(), raw["y"].long(), 2)
