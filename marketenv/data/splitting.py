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

SHARE = 0.2  # of a data set's rows, for each of validation and test, where the user says nothing


@dataclass(frozen=True, eq=False)
class Split:
    """A pool of examples and which of its rows are for what.

    x, y:       all examples, an official test part behind the others   [rows, *features], [rows]
    labels:     class of every row, all 0 for a regression              int64 [rows]
    train, validation, test: row numbers; the three share none, except that validation is test where
                the broker was given the test data
    groups:     whose each row is, -1 for rows of an official test part; None where
                nobody said   int64 [rows]
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

    max_examples:    first take so many rows of x, as equally from the classes as they last; None
                     takes all
    test_size:       rows held out: a count, or a fraction in (0, 1) of the rows left; with an
                     official test part, how much of that part. None: 0.2, or the whole official
                     part
    validation_size: rows for the broker: a count or fraction of the same rows. None: 0.2
    broker_data:     "test" gives the broker the test rows, and the agents those that validation
                     would take: the leak of the parameter market's published setup, for replaying
                     its tables only

    Raises ValueError for sizes that leave a part empty.

    >>> data = Dataset("mine", torch.rand(100, 2), torch.arange(100) % 2, n_classes=2)
    >>> split(data, test_size=10).sizes
    {'train': 70, 'validation': 20, 'test': 10}
    """
    choice(broker_data, "broker_data", BROKER_DATA)
    seed = whole(seed, "seed")
    x, y, official = _pool(data)
    labels = y if data.n_classes else torch.zeros(len(y), dtype=torch.int64, device=y.device)
    groups = (
        None
        if data.groups is None
        else torch.nn.functional.pad(data.groups, (0, len(official)), value=-1)
    )
    key = draws.fold(torch.tensor(seed, device=y.device), "split")
    rows = torch.arange(len(data.x), device=y.device)
    if max_examples is not None:
        rows, _ = _pick(
            labels,
            rows,
            _count("max_examples", max_examples, len(rows)),
            draws.fold(key, "subset"),
            equal=True,
        )
    total = len(rows)
    if len(official):
        tests = (
            len(official) if test_size is None else _count("test_size", test_size, len(official))
        )
        test, _ = _pick(labels, official, tests, draws.fold(key, "test"))
    else:
        test, rows = _pick(
            labels, rows, _count("test_size", SHARE if test_size is None else test_size, total), key
        )
    if broker_data == "test":
        _refuse_validation(validation_size)
        return _checked(Split(x, y, labels, rows, test, test, groups), data.name)
    wanted = _count("validation_size", SHARE if validation_size is None else validation_size, total)
    validation, rows = _pick(labels, rows, min(wanted, len(rows)), draws.fold(key, "validation"))
    return _checked(Split(x, y, labels, rows, validation, test, groups), data.name)


def _pool(data: Dataset) -> tuple[Tensor, Tensor, Tensor]:
    """All examples in one pool, and the rows of the official test part.

    The pool is a copy: what is written into the data set's tensors later changes no market.
    """
    if data.x_test is None or data.y_test is None:
        return (
            data.x.detach().clone(),
            data.y.detach().clone(),
            torch.arange(0, device=data.y.device),
        )
    x, y = torch.cat([data.x, data.x_test]).detach(), torch.cat([data.y, data.y_test]).detach()
    return x, y, torch.arange(len(data.x), len(x), device=y.device)


def _count(name: str, size: int | float, total: int) -> int:
    """A count given as such or as a fraction of the total, at least 1."""
    with suppress(ValueError):
        return whole(size, name, 1, total)
    with suppress(ValueError):
        return max(1, round(number(size, name, above=0.0, below=1.0) * total))
    raise refused(name, size, f"a count 1..{total} or a fraction between 0 and 1")


def _pick(
    labels: Tensor, rows: Tensor, count: int, key: Tensor, *, equal: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw rows at random, by class: those picked and those left, both in rising order.

    The row of rank r among the n_c of its class comes at place (r + 1/2) / n_c, so the first rows
    have the classes in their proportions; ``equal`` puts it at place r, so they have them in equal
    numbers until a class is used up.
    """
    mixed = rows[draws.permutation(key, len(rows))]
    mixed = mixed[labels[mixed].argsort(stable=True)]
    label = labels[mixed]
    counts = torch.bincount(label)
    rank = (
        torch.arange(len(mixed), device=rows.device) - (counts.cumsum(0) - counts)[label]
    ).double()
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
