"""Make a source of data from a name, a file or a user's own arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from marketenv.core.checks import callable_with, flag, keywords, named_part, path, refused, whole
from marketenv.core.lookup import lookup, unknown
from marketenv.data.corruptions import CORRUPTIONS, CorruptedSource
from marketenv.data.dataset import Dataset, from_arrays
from marketenv.data.datasets import DATASETS
from marketenv.data.federation import Source
from marketenv.data.linear import SyntheticLinear
from marketenv.data.npz import read_npz
from marketenv.data.partitioned import PartitionedSource
from marketenv.data.partitions import PARTITIONS
from marketenv.data.splitting import split

LINEAR = "linear"  # the name under which SyntheticLinear is made
CORRUPTION = ("corruption", "corruption_options")
_LINEAR_OPTIONS = ("dimension", "examples", "noise", "distance")


def make_source(
    data: Any,
    partition: Any,
    n_agents: int,
    *,
    root: str | Path | None = None,
    download: bool = False,
    validation_size: int | float | None = None,
    test_size: int | float | None = None,
    broker_data: str = "validation",
    max_examples: int | None = None,
    seed: int = 0,
    corruption: str | None = None,
    corruption_options: Mapping[str, Any] | None = None,
    **partition_options: Any,
) -> Source:
    """Make the source that a market draws its data from.

    data:      a name in ``DATASETS``; a path that ends in ``.npz``; a ``Dataset``; a pair of arrays
               (x, y); ``"linear"``, for ``SyntheticLinear``, whose options then stand in place of
               the partition's; or a finished ``Source``
    partition: a name in ``PARTITIONS`` or a function like them. Generated data and finished sources
               have their own owners and do not use it
    n_agents:  agents of a market
    root:      folder with the files of a named data set
    download:  torchvision may fetch these files
    validation_size, test_size, broker_data, max_examples, seed: see ``splitting.split``; for
               ``"linear"`` the sizes are counts, and nothing depends on ``seed``
    corruption: a name in ``CORRUPTIONS``: how the training data of any source are bad; None leaves
               them clean
    corruption_options: its ``rate``, one number or one for each agent, and its ``kind``, such as
               ``{"rate": (0, 0.2, 0.5), "kind": "pairwise"}``
    partition_options: keywords of the partition, such as ``alpha=0.1`` for ``"dirichlet"``

    Raises ValueError for unknown names and options, with those that are known.

    >>> source = make_source("digits", "class_imbalance", n_agents=2, keep=0.2)
    >>> source.feature_shape, source.n_outputs, source.task
    ((64,), 10, 'classification')
    """
    sizes: dict[str, Any] = {"validation_size": validation_size, "test_size": test_size}
    sizes |= {"broker_data": broker_data, "max_examples": max_examples}
    deal = named_part(partition, "partition", PARTITIONS, "a function like them")
    n_agents, seed = whole(n_agents, "n_agents", 1), whole(seed, "seed")
    folder, fetch = _folder(root), flag(download, "download")
    source: Source
    if isinstance(data, Source):
        source = _finished(data, n_agents, sizes | partition_options)
    elif isinstance(data, str) and data == LINEAR:
        source = _linear(n_agents, sizes, partition_options)
    else:
        _check_options(deal, partition_options, tuple(sizes))
        examples = find_dataset(data, root=folder, download=fetch)
        source = PartitionedSource(
            split=split(examples, **sizes, seed=seed),
            n_agents=n_agents,
            n_classes=examples.n_classes,
            partition=deal,
            options=dict(partition_options),
        )
    return _corrupted(source, corruption, corruption_options)


def find_dataset(data: Any, *, root: str | Path | None = None, download: bool = False) -> Dataset:
    """Find a data set by name or path, or make it of a pair of arrays.

    Raises ValueError for an unknown name, unreadable files, and arrays that make no data set.

    >>> find_dataset("breast_cancer").x.shape
    torch.Size([569, 30])
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Path) or (isinstance(data, str) and data.endswith(".npz")):
        return read_npz(Path(data).expanduser())
    if isinstance(data, str):
        loaders = {**DATASETS, LINEAR: None}  # so that the error names it too
        load = lookup(loaders, data, "data set (names; or a path ending in .npz)")
        return load(_folder(root), flag(download, "download"))
    if isinstance(data, tuple | list) and len(data) == 2:
        return from_arrays(*data)
    names = f"a name ({', '.join(DATASETS)}, {LINEAR})"
    others = "a path ending in .npz, a Dataset, a pair (x, y) of arrays, or a source"
    raise refused("data", data, f"{names}, {others}")


def _folder(root: str | Path | None) -> Path | None:
    return None if root is None else Path(path(root, "root")).expanduser()


def _corrupted(source: Source, corruption: Any, options: Any) -> Source:
    """The source as it is, or with bad training data."""
    options = {} if options is None else options
    if corruption is not None:
        return CorruptedSource(source=source, corruption=corruption, options=options)
    if options:
        wanted = f"nothing without corruption=, one of {', '.join(CORRUPTIONS)}"
        raise refused("corruption_options", options, wanted)
    return source


def _finished(source: Source, n_agents: int, options: Mapping[str, Any]) -> Source:
    """A finished source as it is; ValueError for options that it would ignore."""
    if source.n_agents != n_agents:
        raise ValueError(
            f"the source has {source.n_agents} agents but n_agents is {n_agents}; give both the"
            " same number."
        )
    ignored = sorted(name for name, value in options.items() if value not in (None, "validation"))
    if ignored:
        raise ValueError(
            f"a finished source takes no {', '.join(ignored)}; give them where the source is made."
        )
    return source


def _linear(n_agents: int, sizes: Mapping[str, Any], options: Mapping[str, Any]) -> SyntheticLinear:
    """SyntheticLinear with the sizes under its own names."""
    others = ("validation_size", "test_size", "broker_data", *CORRUPTION)
    for name in options:
        if name not in _LINEAR_OPTIONS:
            raise unknown("option of data 'linear'", name, (*_LINEAR_OPTIONS, *others))
    if sizes["max_examples"] is not None:
        raise ValueError(
            "data 'linear' takes no max_examples; say how many to draw with examples=."
        )
    why = ", a count: data 'linear' is drawn, there is no whole to share"
    counts: dict[str, Any] = {}
    for name in ("validation", "test"):
        count = sizes[f"{name}_size"]
        if count is not None:
            counts[name] = whole(count, f"{name}_size", 1, fix=why)
    return SyntheticLinear(n_agents=n_agents, broker_data=sizes["broker_data"], **counts, **options)


def _check_options(
    deal: Callable[..., Any], options: Mapping[str, Any], others: tuple[str, ...]
) -> None:
    """Refuse options that a partition does not have, and a function that is no partition."""
    names = keywords(deal, 4)
    # ``groups`` come from the data set
    known = tuple(options) if names is None else tuple(name for name in names if name != "groups")
    for name in options:
        if name not in known:
            kind = f"option of partition {getattr(deal, '__name__', deal)!r}"
            raise unknown(kind, name, (*known, "root", "download", *others, "seed", *CORRUPTION))
    groups = ("groups",) if names and "groups" in names else ()
    if not callable_with(deal, 4, *options, *groups):
        arguments = f"labels, rows, n_agents, keys, *, {', '.join((*options, *groups)) or '...'}"
        raise refused("partition", deal, f"a function ({arguments}) -> (index, size)")
