"""Data sets, and how a user's own arrays become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int, Num
from torch import Tensor

from marketenv.core.shards import LARGEST_TARGET

WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


@dataclass(frozen=True, eq=False)  # tensors have no single truth value to compare by
class Dataset:
    """Examples with labels or targets, in memory.

    name:      the word used in errors
    x:         features                                      float32 [rows, *features]
    y:         labels 0..n_classes-1 (int64), or targets (float32) where n_classes is 0   [rows]
    n_classes: number of classes; 0 means regression
    x_test, y_test: the official test part, where there is one: shaped as x and y, or None
    groups:    number >= 0 of the group of each row of x, such as a speaker: int64 [rows], or None

    Images are stored channels first: ``feature_shape`` is (channels, height, width), pixels lie in
    [0, 1].

    Raises ValueError for different lengths, no rows, other types, NaN or infinite numbers, targets
    beyond 1e18, labels outside 0..n_classes-1, negative groups, or only one half of a test part.

    >>> Dataset("mine", torch.zeros(3, 2), torch.tensor([0, 1, 1]), n_classes=2).feature_shape
    (2,)
    """

    name: str
    x: Float32[Tensor, "rows *features"]
    y: Num[Tensor, "rows"]
    n_classes: int
    x_test: Float32[Tensor, "tests *features"] | None = None
    y_test: Num[Tensor, "tests"] | None = None
    groups: Int[Tensor, "rows"] | None = None

    def __post_init__(self) -> None:
        _check(self.name, self.n_classes, self.x, self.y, self.x_test, self.y_test)
        _check_groups(self.name, self.groups, len(self.x))

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features."""
        return tuple(self.x.shape[1:])

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``."""
        return "classification" if self.n_classes else "regression"


def from_arrays(
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    groups: Any = None,
    name: str = "your arrays",
) -> Dataset:
    """Make a data set of a user's own arrays or tensors.

    x: [rows, *features], any number type; uint8 is read as pixels and becomes value/255, and uint8
       images [rows, height, width] or [rows, height, width, 1 or 3] become channels first; other
       types keep their numbers and shape
    y: integers 0..C-1 [rows] make a classification with C classes, each present; floats make a
       regression
    groups: number >= 0 of the group of each row of x, for the partition "by_group": integers [rows]

    The data set holds copies, so a later change of the arrays does not change it.

    Raises ValueError for anything that is no such array, masked and sparse arrays, NaN, numbers
    beyond float32, unequal lengths, and labels that skip a class. A data set in which a class may
    be absent is made with ``Dataset(..., n_classes=C)``.

    >>> data = from_arrays(np.array([[0, 255], [51, 0], [0, 0]], dtype=np.uint8), [0, 1, 0])
    >>> data.n_classes, [round(v, 3) for v in data.x[1].tolist()]
    (2, [0.2, 0.0])
    """
    features, targets = _features(x, "x", name), _targets(y, "y", name)
    features_test = None if x_test is None else _features(x_test, "x_test", name)
    targets_test = None if y_test is None else _targets(y_test, "y_test", name)
    every, floats = targets, targets.is_floating_point()
    if targets_test is not None:
        if targets_test.is_floating_point() != floats:
            raise ValueError(
                f"{name}: y is {targets.dtype} but y_test is {targets_test.dtype}; give both"
                " integers or both floats."
            )
        every = torch.cat([targets, targets_test])
    n_classes = 0 if floats else _count_classes(every, name)
    # before the shape types of test runs refuse them in other words
    _check(name, n_classes, features, targets, features_test, targets_test)
    owners = None if groups is None else _owners(groups, name)
    _check_groups(name, owners, len(features))
    return Dataset(name, features, targets, n_classes, features_test, targets_test, owners)


def _tensor(value: Any, what: str, name: str) -> Tensor:
    """Copy anything array-like to a tensor of real numbers, or refuse it."""
    if isinstance(value, Tensor) and value.layout != torch.strided:
        raise ValueError(
            f"{name}: {what} is a sparse tensor, wanted a dense one; use {what}.to_dense()."
        )
    if isinstance(value, Tensor) and value.is_complex():
        raise ValueError(
            f"{name}: {what} holds complex numbers, wanted real ones; take their real part or"
            " modulus."
        )
    if isinstance(value, Tensor) and value.dtype not in WIDE_UNSIGNED:
        return value.detach().clone()
    parts = (value, *value) if isinstance(value, list | tuple) else (value,)
    if any(np.ma.is_masked(part) for part in parts):
        raise ValueError(
            f"{name}: {what} is masked in places, wanted a number in every place; drop or fill the"
            " masked ones."
        )
    array = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
    return _from_array(array, what, name)


def _from_array(array: np.ndarray, what: str, name: str) -> Tensor:
    """Copy an array of real numbers of any type.

    Long floats and unsigned numbers become float64 and int64, since torch lacks the first and most
    operations of the second.
    """
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name}: {what} has type {array.dtype}, wanted an array of real numbers; convert it"
            " first."
        )
    if array.dtype.kind == "u" and array.dtype != np.uint8:
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(
                f"{name}: {what} has {array.max()}, wanted numbers below 2**63; convert it to"
                " floats."
            )
        return torch.tensor(array.astype(np.int64), device="cpu")
    long = array.dtype.kind == "f" and array.itemsize > 8
    kind = np.float64 if long else array.dtype.newbyteorder("=")
    return torch.tensor(array.astype(kind), device="cpu")


def _float32(values: Tensor, what: str, name: str) -> Tensor:
    """Round to float32, or refuse finite numbers that it cannot hold."""
    rounded = values.float()
    beyond = rounded.isinf() & ~values.isinf()
    if bool(beyond.any()):
        raise ValueError(
            f"{name}: {what} has {float(values[beyond][0]):g}, which float32 cannot hold; scale"
            f" {what}."
        )
    return rounded


def _features(value: Any, what: str, name: str) -> Tensor:
    """Features as float32 [rows, *features]; uint8 becomes [0, 1], images channels first."""
    x = _tensor(value, what, name)
    if x.dim() < 2:
        raise ValueError(
            f"{name}: {what} has shape {list(x.shape)}, wanted [rows, *features]; use"
            f" {what}.reshape(rows, -1)."
        )
    return pixels(x) if x.dtype == torch.uint8 else _float32(x, what, name)


def pixels(x: Tensor) -> Tensor:
    """Turn uint8 [rows, ...] into float32 in [0, 1].

    Images become [rows, channels, height, width].
    """
    if x.dim() == 3:
        x = x[:, None]
    elif x.dim() == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        x = x.permute(0, 3, 1, 2)
    # in place: float32 takes four times the bytes, which are not needed twice
    return x.contiguous().float().div_(255.0)


def _targets(value: Any, what: str, name: str) -> Tensor:
    """Labels as int64 or targets as float32, [rows]."""
    y = _tensor(value, what, name)
    if y.dim() != 1:
        raise ValueError(
            f"{name}: {what} has shape {list(y.shape)}, wanted [rows]: one label or target a row."
        )
    return _float32(y, what, name) if y.is_floating_point() else y.long()


def _owners(value: Any, name: str) -> Tensor:
    """Groups as int64."""
    groups = _tensor(value, "groups", name)
    if groups.is_floating_point():
        raise ValueError(
            f"{name}: groups are {groups.dtype}, wanted integers: number the owners 0, 1, 2, ..."
        )
    return groups.long()


def _check_groups(name: str, groups: Tensor | None, rows: int) -> None:
    """Refuse groups that are not one number >= 0 a row."""
    if groups is None:
        return
    if groups.shape != (rows,) or groups.dtype != torch.int64:
        raise ValueError(
            f"data {name!r}: groups are {groups.dtype} {list(groups.shape)}, wanted int64 [{rows}]:"
            " one a row of x."
        )
    if bool((groups < 0).any()):
        raise ValueError(f"data {name!r}: groups has {int(groups.min())}, wanted numbers >= 0.")


def _count_classes(labels: Tensor, name: str) -> int:
    """Number of classes C where the labels are exactly 0..C-1, else ValueError."""
    classes = labels.unique().tolist()
    if classes != list(range(len(classes))) or not classes:
        some = f"{classes[:8]}{' ...' if len(classes) > 8 else ''}"
        raise ValueError(
            f"{name}: labels are {some}, wanted integers 0..C-1 with every class present. Renumber"
            " them: np.unique(y, return_inverse=True)[1]; or say Dataset(name, x, y, n_classes=C)."
        )
    return len(classes)


def _check(
    name: str, n_classes: int, x: Tensor, y: Tensor, x_test: Tensor | None, y_test: Tensor | None
) -> None:
    """Refuse a data set without the properties that ``Dataset`` names."""
    if n_classes == 1 or n_classes < 0:
        raise ValueError(
            f"data {name!r}: n_classes is {n_classes}, wanted at least 2, or 0 for a regression."
        )
    if (x_test is None) != (y_test is None):
        raise ValueError(f"data {name!r} has one of x_test and y_test; give both or neither.")
    _check_part(name, "x and y", x, y, n_classes)
    if x_test is None or y_test is None:
        return
    _check_part(name, "x_test and y_test", x_test, y_test, n_classes)
    if x_test.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"data {name!r}: x has features {list(x.shape[1:])} but x_test has"
            f" {list(x_test.shape[1:])}; give both one shape."
        )


def _check_part(name: str, what: str, x: Tensor, y: Tensor, n_classes: int) -> None:
    """Refuse a part whose rows, types, numbers or labels are wrong."""
    if x.dim() < 2 or y.dim() != 1 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"data {name!r}: {what} have shapes {list(x.shape)} and {list(y.shape)}, wanted [rows,"
            " *features] and [rows] with the same number of rows, at least 1."
        )
    if x.dtype != torch.float32 or y.dtype != (torch.int64 if n_classes else torch.float32):
        wanted = "int64 labels" if n_classes else "float32 targets (n_classes is 0)"
        raise ValueError(
            f"data {name!r}: {what} are {x.dtype} and {y.dtype}, wanted float32 features and"
            f" {wanted}."
        )
    _check_finite(name, what.split()[0], x)
    _check_finite(name, what.split()[-1], y)
    _check_range(name, y, n_classes)


def _check_finite(name: str, what: str, values: Tensor) -> None:
    """Refuse NaN and infinite numbers."""
    bad = ~values.reshape(len(values), -1).isfinite().all(-1)
    if bool(bad.any()):
        raise ValueError(
            f"data {name!r}: {what} has NaN or infinite numbers in {int(bad.sum())} rows, the first"
            f" is row {int(bad.nonzero()[0])}; remove or fill them."
        )


def _check_range(name: str, y: Tensor, n_classes: int) -> None:
    """Refuse targets that are too large, and labels outside 0..n_classes-1."""
    if not n_classes and bool((y.abs() > LARGEST_TARGET).any()):
        raise ValueError(
            f"data {name!r}: targets reach {float(y.abs().max()):g}, wanted at most"
            f" {LARGEST_TARGET:g}: scale them."
        )
    if n_classes and bool(((y < 0) | (y >= n_classes)).any()):
        raise ValueError(
            f"data {name!r}: labels run from {int(y.min())} to {int(y.max())}, wanted"
            f" 0..{n_classes - 1}."
        )
