"""MNIST, Fashion-MNIST and CIFAR-10: from local files, or downloaded by torchvision."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from marketenv.data.dataset import Dataset, pixels
from marketenv.data.vision import import_datasets

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_idx(path: Path) -> Tensor:
    """Read an idx file of bytes, plain or gzipped: uint8 of the shape in its header.

    Header: 2 zero bytes, type 0x08 (unsigned byte), number of axes, then each length as a
    big-endian 32-bit number. Raises ValueError where the file is no such file, or is cut short.
    Source: the format's note by LeCun and Cortes.
    """
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as file:
            raw = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot read {path} ({error}); fetch the file again.") from error
    n_axes = raw[3] if len(raw) >= 4 and raw[:3] == b"\0\0\x08" else 0
    start, shape = 4 + 4 * n_axes, [0]
    if n_axes and len(raw) >= start:
        shape = np.frombuffer(raw, ">u4", n_axes, 4).tolist()
    if not n_axes or len(raw) - start != math.prod(shape):
        raise ValueError(
            f"{path} is no whole idx file of bytes ({len(raw)} bytes, header {raw[:4]!r}); fetch it"
            " again."
        )
    return torch.tensor(np.frombuffer(raw, np.uint8, offset=start).reshape(shape), device="cpu")


def _idx_folders(root: Path, name: str, folder: str) -> tuple[Path, ...]:
    """Where idx files may lie: torchvision's folder, one of the set's name, or the root."""
    return root / folder / "raw", root / name, root


def _idx_paths(folder: Path) -> dict[str, Path | None]:
    """Each idx file of a folder, plain before gzipped, or None where it is missing."""
    paths: dict[str, Path | None] = {}
    for stem in IDX_FILES:
        both = folder / stem, folder / f"{stem}.gz"
        paths[stem] = next((path for path in both if path.is_file()), None)
    return paths


def _need_root(name: str, root: Path | None) -> Path:
    """The root, or ValueError where the user gave none."""
    if root is None:
        raise ValueError(
            f"data {name!r} lies in files: give root=<folder>, with download=True to fetch it there"
            " once."
        )
    return Path(root)


def _idx_dataset(name: str, folder: str, root: Path | None, download: bool) -> Dataset:
    """Read four idx files under the root; torchvision fetches them where one is missing."""
    root = _need_root(name, root)
    folders = _idx_folders(root, name, folder)
    for paths in map(_idx_paths, folders):
        whole = [path for path in paths.values() if path]
        if len(whole) == len(IDX_FILES):
            x, y, x_test, y_test = (read_idx(path) for path in whole)
            return Dataset(name, pixels(x), y.long(), 10, pixels(x_test), y_test.long())
    if download:
        return from_torchvision(name, folder, root, download=True)
    best = max(folders, key=lambda place: sum(p is not None for p in _idx_paths(place).values()))
    missing = ", ".join(stem for stem, path in _idx_paths(best).items() if path is None)
    raise ValueError(
        f"data {name!r}: {best} lacks {missing} (plain or .gz; {folders[0]}, {folders[1]} and"
        f" {root} were searched). Put them there, or give download=True, which needs torchvision."
    )


def from_torchvision(name: str, folder: str, root: Path, *, download: bool) -> Dataset:
    """Load a data set through torchvision's class ``folder`` (MNIST, FashionMNIST, CIFAR10).

    Raises ValueError where torchvision or the files are absent or damaged.
    """
    maker = getattr(import_datasets(), folder)
    try:
        train, test = (maker(str(root), train=part, download=download) for part in (True, False))
    except (RuntimeError, OSError) as error:
        fix = "give download=True to fetch it"
        if download:
            fix = "check the connection, or fetch the files by hand"
        raise ValueError(f"data {name!r} cannot be read from {root} ({error}); {fix}.") from error
    x, x_test = (pixels(torch.as_tensor(part.data, device="cpu")) for part in (train, test))
    y, y_test = (torch.as_tensor(part.targets, device="cpu").long() for part in (train, test))
    return Dataset(name, x, y, 10, x_test, y_test)


def mnist(root: Path | None = None, download: bool = False) -> Dataset:
    """MNIST: 60,000 and 10,000 digits, x [rows, 1, 28, 28] in [0, 1].

    The four idx files (plain or .gz) may lie in root/MNIST/raw as torchvision leaves them, in
    root/mnist, or in root. Source: LeCun, Cortes, Burges, 1998.
    """
    return _idx_dataset("mnist", "MNIST", root, download)


def fashion_mnist(root: Path | None = None, download: bool = False) -> Dataset:
    """Fashion-MNIST: 60,000 and 10,000 pictures of clothes, x [rows, 1, 28, 28] in [0, 1].

    The four idx files (plain or .gz) may lie in root/FashionMNIST/raw, in root/fashion_mnist, or in
    root. Source: Xiao, Rasul, Vollgraf, arXiv:1708.07747.
    """
    return _idx_dataset("fashion_mnist", "FashionMNIST", root, download)


def cifar10(root: Path | None = None, download: bool = False) -> Dataset:
    """CIFAR-10: 50,000 and 10,000 pictures, x [rows, 3, 32, 32] in [0, 1].

    torchvision reads them from root/cifar-10-batches-py. Source: Krizhevsky, "Learning multiple
    layers of features from tiny images", 2009.
    """
    return from_torchvision("cifar10", "CIFAR10", _need_root("cifar10", root), download=download)
