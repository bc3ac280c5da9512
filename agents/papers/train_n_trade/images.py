"""Data sets of images: where their files lie, and how their pixels are prepared."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marketenv.data.dataset import Dataset
from marketenv.data.sources import find_dataset

from ..core.data_folder import data_folder

# where a data set lies in the folder of large data sets
LOCAL = {"mnist": "mnist", "cifar10": "small/cifar10_8k_2k.npz"}


def local(name: str) -> Path | None:
    """A data set's place in the folder of large data sets; None where it is not there."""
    folder = data_folder()
    place = folder / LOCAL[name] if folder and name in LOCAL else None
    return place if place and place.exists() else None


def place(
    name: str, data: str, root: Path | None = None, download: bool = False, out: Path = Path()
) -> tuple[str, str | None]:
    """Where the images of a setting come from: (name or path of an .npz file, root).

    name: of the setting;   data: of its data set;   out: folder that downloads go to
    Raises ValueError where no argument says it and the folder of large data sets has none.
    """
    where = root or local(name) or (out / "data" if download else None)
    if where is None:
        raise ValueError(
            f"no data for {name!r}: give --root FOLDER (or an .npz file)"
            + ("." if name == "tinyimagenet" else ", or --download, which needs torchvision.")
        )
    return (str(where), None) if where.suffix == ".npz" else (data, str(where))


def ready(
    name: str, data: str, root: Path | None, download: bool, out: Path
) -> tuple[str, str | None]:
    """The same; what is missing is fetched first where ``download`` allows it."""
    where, folder = place(name, data, root, download, out)
    if download:
        find_dataset(where, root=folder, download=True)
    return where, folder


@cache
def read_images(data: str, root: str | None, shrink: int, pixels: Any) -> Dataset:
    """Load images once a process, average blocks of shrink x shrink pixels, and standardise each
    channel.

    pixels: mean and deviation of each channel; None leaves the pixels as they are
    Raises ValueError for data that are no images of so many channels.
    """
    found = find_dataset(data, root=root)
    if len(found.feature_shape) != 3 or (pixels and found.feature_shape[0] != len(pixels[0])):
        wanted = f"{len(pixels[0])} channels" if pixels else "channels"
        raise ValueError(
            f"{found.name} has examples of shape {found.feature_shape}, wanted images with {wanted}"
            " first."
        )
    x_test = None if found.x_test is None else _prepared(found.x_test, shrink, pixels)
    return dataclasses.replace(found, x=_prepared(found.x, shrink, pixels), x_test=x_test)


def _prepared(x: Tensor, shrink: int, pixels: Any) -> Tensor:
    x = torch.nn.functional.avg_pool2d(x, shrink) if shrink > 1 else x
    if not pixels:
        return x
    mean, deviation = (x.new_tensor(part)[:, None, None] for part in pixels)
    return (x - mean) / deviation
