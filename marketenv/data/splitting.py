"""Cut a data set into training, broker-validation and test rows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int, Num
from torch import Tensor

from marketenv.core import draws
from marketenv.core.checks import choice, number, refused, whole
from marketenv.data.dataset import Dataset
from marketenv.data.federation import BROKER_DATA

SHARE = 0.2  # of a data set's rows, the default for each of validation and test


@dataclass(frozen=True, eq=False)
class Split:
    """A pool of examples, and its rows for training, validation and test.

    x, y:       all examples, an official test part behind the others   [rows, *features], [rows]
    labels:     class of every row, all 0 for a regression              int64 [rows]
    train, validation, test: row numbers; the three share none, except that validation is test where
                the broker has the test data
    groups:     group of each row, -1 for rows of an official test part; None: there are no groups
                                                                        int64 [rows]
    """

    x: Float32[Tensor, "rows *features"]
    y: Num[Tensor, "rows"]
    labels: Int[Tensor, "rows"]
    train: Int[Tensor, "trains"]
    validation: Int[Tensor, "validations"]
    test: Int[Tensor, "tests"]
    groups: Int[Tensor, "rows"] | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """How many rows each part has."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "test": len(self.test),
        }


def split(
    data: Dataset,
    *,
    validation_size: int | float | None = None,
    test_size: int | float | None = None,
    broker_data: str = "validation",
    max_examples: int | None = None,
    seed: int = 0,
) -> Split:
    """Cut a data set by a seed; every part has the classes in their proportions.

    max_examples:    so many rows of x are used, as equal in their classes as can be; None: all
    test_size:       rows of the test part: a count, or a fraction in (0, 1) of the rows in use;
                     with an official test part, a count or fraction of that part. None: 0.2, or the
                     whole official part
    validation_size: rows for the broker: a count or fraction of the same rows. None: 0.2
    broker_data:     "test" gives the broker the test rows, and the agents those that validation
                     would take: the leak of the parameter market's published setup, only to replay
                     its tables

    Raises ValueError for sizes that leave a part empty.

    >>> data = Dataset("mine", torch.rand(100, 2), torch.arange(100) % 2, n_classes=2)
    >>> split(data, test_size=10).sizes
    {'train': 70, 'validation': 20, 'test': 10}
    """
    choice(broker_data, "broker_data", BROKER_DATA)
    seed = whole(seed, "seed")
    x, y, official = _pool(data)
    labels = y if data.n_classes else torch.zeros(len(y), dtype=torch.int64, device=y.device)
    groups = data.groups
    if groups is not None:
        groups = torch.nn.functional.pad(groups, (0, len(official)), value=-1)
    key = draws.fold(torch.tensor(seed, device=y.device), "split")
    rows = torch.arange(len(data.x), device=y.device)
    if max_examples is not None:
        count = _count("max_examples", max_examples, len(rows))
        rows, _ = _pick(labels, rows, count, draws.fold(key, "subset"), equal=True)
    total = len(rows)
    test, rows = _test_rows(labels, rows, official, test_size, key)
    if broker_data == "test":
        _refuse_validation(validation_size)
        return _checked(Split(x, y, labels, rows, test, test, groups), data.name)
    size = SHARE if validation_size is None else validation_size
    count = min(_count("validation_size", size, total), len(rows))
    validation, rows = _pick(labels, rows, count, draws.fold(key, "validation"))
    return _checked(Split(x, y, labels, rows, validation, test, groups), data.name)


def _test_rows(
    labels: Tensor, rows: Tensor, official: Tensor, size: int | float | None, key: Tensor
) -> tuple[Tensor, Tensor]:
    """The rows of the test part, of the official one where there is one, and the remaining rows."""
    if not len(official):
        count = _count("test_size", SHARE if size is None else size, len(rows))
        return _pick(labels, rows, count, key)
    count = len(official) if size is None else _count("test_size", size, len(official))
    test, _ = _pick(labels, official, count, draws.fold(key, "test"))
    return test, rows


def _pool(data: Dataset) -> tuple[Tensor, Tensor, Tensor]:
    """All examples in one pool, and the rows of the official test part.

    The pool is a copy, so a later change of the data set's tensors changes no market.
    """
    if data.x_test is None or data.y_test is None:
        none = torch.arange(0, device=data.y.device)
        return data.x.detach().clone(), data.y.detach().clone(), none
    x, y = torch.cat([data.x, data.x_test]).detach(), torch.cat([data.y, data.y_test]).detach()
    return x, y, torch.arange(len(data.x), len(x), device=y.device)


def _count(name: str, size: int | float, total: int) -> int:
    """The count of a size, which is a count or a fraction of the total; at least 1."""
    with suppress(ValueError):
        return whole(size, name, 1, total)
    with suppress(ValueError):
        return max(1, round(number(size, name, above=0.0, below=1.0) * total))
    raise refused(name, size, f"a count 1..{total} or a fraction between 0 and 1")


def _pick(
    labels: Tensor, rows: Tensor, count: int, key: Tensor, *, equal: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw rows at random, by class, and return them and the others, both in rising order.

    The row of rank r among the n_c of its class comes at place (r + 1/2) / n_c, so the first rows
    have the classes in their proportions; with ``equal`` it comes at place r, so they have them in
    equal numbers until a class is used up.
    """
    mixed = rows[draws.permutation(key, len(rows))]
    mixed = mixed[labels[mixed].argsort(stable=True)]
    label = labels[mixed]
    counts = torch.bincount(label)
    start = counts.cumsum(0) - counts
    rank = (torch.arange(len(mixed), device=rows.device) - start[label]).double()
    order = (rank if equal else (rank + 0.5) / counts[label]).argsort(stable=True)
    return mixed[order[:count]].sort().values, mixed[order[count:]].sort().values


def _refuse_validation(validation_size: int | float | None) -> None:
    """Refuse a size that would be ignored."""
    if validation_size is not None:
        raise ValueError(
            f"validation_size is {validation_size!r} but broker_data is 'test', so there are no"
            " validation rows; leave it out."
        )


def _checked(parts: Split, name: str) -> Split:
    """The split, or ValueError where a part is empty."""
    if 0 in parts.sizes.values():
        raise ValueError(
            f"data {name!r} would be cut into {parts.sizes}; choose smaller validation_size and"
            " test_size."
        )
    return parts
