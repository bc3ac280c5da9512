"""Data sets of the studies: embedded ones, files, and tables made into features."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from marketenv.data.dataset import Dataset, from_arrays
from marketenv.data.sources import find_dataset

from ..core.data_folder import data_folder


def large(place: str) -> Path:
    """A place in the folder of large data sets; ValueError where no folder is named."""
    folder = data_folder()
    if folder is None:
        raise ValueError(
            f"no data at {place}: give --data FILE.npz, or set MARKETENV_DATA to the folder of data"
            " sets."
        )
    return folder / place


@cache
def dataset(place: str) -> Any:
    """What ``make_source`` takes: a name, a file of images, or a table that is read.

    Raises ValueError where there is no such file.
    """
    if place == "shakespeare":
        return find_dataset(place, root=large("text"))
    if not place.endswith(".npz"):
        return place
    if not Path(place).is_file():
        raise ValueError(
            f"no data at {place}: give --data FILE.npz, or set MARKETENV_DATA to the folder of data"
            " sets."
        )
    with np.load(place, allow_pickle=False) as box:
        if "x_num" not in box.files:
            return place
        return of_table(box["x_num"], box["x_cat"], box["y"], Path(place).name)


def of_table(numbers: np.ndarray, categories: np.ndarray, y: np.ndarray, name: str) -> Dataset:
    """A table as features: numbers standardised, and a column of 0 and 1 for each category.

    A column names its category by a number >= 0; a negative number is a missing value and gives
    zeros.
    """
    scaled = (numbers - numbers.mean(0)) / np.maximum(numbers.std(0), 1e-9)
    hot = [column[:, None] == np.unique(column[column >= 0]) for column in categories.T]
    features = np.concatenate([scaled, *hot], 1).astype(np.float32)
    return from_arrays(features, y.astype(np.int64), name=name)
