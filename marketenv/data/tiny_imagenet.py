"""Tiny ImageNet from the folder that its archive unpacks to."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from marketenv.data.dataset import Dataset, pixels

NAME, FOLDER, SIDE = "tiny_imagenet", "tiny-imagenet-200", 64
WANTED = (
    f"give root=<the unpacked {FOLDER} folder, or its parent>, with train/<class>/images/*.JPEG,"
    " val/images/*.JPEG and val/val_annotations.txt; download it yourself, as described in Le and"
    ' Yang, "Tiny ImageNet visual recognition challenge" (Stanford CS 231N, 2015)'
)


def tiny_imagenet(root: Path | None = None, download: bool = False) -> Dataset:
    """Tiny ImageNet: 100,000 pictures of 200 classes, x [rows, 3, 64, 64] in [0, 1].

    The test part are the 10,000 pictures of ``val``. Labels number the class names (WordNet's, such
    as n01443537) in rising order; grey pictures get three equal channels. Memory: the bytes are
    1.2 GB, as float32 5.4 GB with the test part, and as much again while examples are dealt out.

    Raises ValueError where Pillow or files are missing or damaged, naming the file, and for
    download=True. Source: Le, Yang, "Tiny ImageNet visual recognition challenge", Stanford CS 231N,
    2015.
    """
    if download:
        raise ValueError(f"data {NAME!r} is not downloaded for you: {WANTED}.")
    if root is None:
        raise ValueError(f"data {NAME!r} lies in files: {WANTED}.")
    folders = [place for place in (Path(root), Path(root) / FOLDER) if (place / "train").is_dir()]
    folder = folders[0] if folders else Path(root)
    names = sorted(place.parent.name for place in (folder / "train").glob("*/images"))
    if not names:
        raise ValueError(f"data {NAME!r}: {root} holds no folder train with classes: {WANTED}.")
    x, y = _read(_training(folder, names), folder)
    x_test, y_test = _read(_validation(folder, names), folder)
    return Dataset(NAME, pixels(x), y, len(names), pixels(x_test), y_test)


def _training(folder: Path, names: list[str]) -> list[tuple[Path, int]]:
    """Pictures of ``train`` and their labels; ValueError for a class without pictures."""
    pictures: list[tuple[Path, int]] = []
    for label, name in enumerate(names):
        paths = sorted((folder / "train" / name / "images").glob("*.JPEG"))
        if not paths:
            raise ValueError(
                f"data {NAME!r}: {folder / 'train' / name} holds no pictures; unpack the archive"
                " again."
            )
        pictures += [(path, label) for path in paths]
    return pictures


def _validation(folder: Path, names: list[str]) -> list[tuple[Path, int]]:
    """Pictures of ``val`` and their labels, from lines of a file, a class and an unused box."""
    notes, pictures = folder / "val" / "val_annotations.txt", []
    label = {name: k for k, name in enumerate(names)}
    if not notes.is_file():
        raise ValueError(f"data {NAME!r}: no file {notes}; {WANTED}.")
    for line in notes.read_text("utf8").splitlines():
        file, kind, *_ = [*line.split("\t"), ""]
        if kind not in label:
            raise ValueError(
                f"data {NAME!r}: {notes} has the line {line!r}, wanted a file, a tab and a class of"
                " train."
            )
        if file in ("", "..") or Path(file).name != file or "\\" in file:
            raise ValueError(
                f"data {NAME!r}: {notes} names the file {file!r}, wanted one in"
                f" {folder / 'val' / 'images'} by its name."
            )
        pictures.append((folder / "val" / "images" / file, label[kind]))
    return pictures


def _read(
    files: Sequence[tuple[Path, int]], folder: Path
) -> tuple[UInt8[Tensor, "rows 3 64 64"], Tensor]:
    """Read pictures into one array of bytes, channels first, and their labels."""
    if not files:
        raise ValueError(f"data {NAME!r}: {folder} holds no pictures; {WANTED}.")
    library, x = _pillow(), np.empty((len(files), 3, SIDE, SIDE), dtype=np.uint8)
    for row, (path, _) in enumerate(files):
        try:
            with library.open(path) as picture:
                bytes_of = np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(
                f"data {NAME!r}: cannot read {path} ({error}); unpack the archive again."
            ) from error
        if bytes_of.shape != (SIDE, SIDE, 3):
            raise ValueError(
                f"data {NAME!r}: {path} is {bytes_of.shape[1]} x {bytes_of.shape[0]}, wanted {SIDE}"
                f" x {SIDE}."
            )
        x[row] = bytes_of.transpose(2, 0, 1)
    return torch.from_numpy(x), torch.tensor([label for _, label in files], device="cpu")


def _pillow() -> Any:
    """Import Pillow's Image, which comes with torchvision."""
    try:
        return import_module("PIL.Image")
    except ImportError as error:
        raise ValueError(
            f"Pillow cannot be imported ({error}): pip install 'marketenv[vision]' brings it."
        ) from error
