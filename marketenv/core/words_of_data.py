"""Words for plain data: numbers, sequences, mappings, files, arrays and tensors.

Every function takes a value and ``describe``, which gives the words of a part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ATOMS = (type(None), str, int, float, bool, complex, bytes)
Describe = Callable[[Any], str]


class Incomparable(Exception):
    """A part for which there are no words that differ from those of other parts."""


def digest(content: Any) -> str:
    """The first 16 letters of a checksum of text or bytes."""
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:16]


def scalar(value: np.generic, describe: Describe) -> str:
    """A NumPy number as Python's, or as an array where Python has none for it."""
    number = value.item()
    return describe(np.asarray(value) if isinstance(number, np.generic) else number)


def sequence(value: Any, describe: Describe) -> str:
    """Entries in their order."""
    return f"({', '.join(map(describe, value))})"


def unordered(value: Any, describe: Describe) -> str:
    """Entries of a set, sorted by their words."""
    return f"{{{', '.join(sorted(map(describe, value)))}}}"


def mapping(value: Mapping[Any, Any], describe: Describe) -> str:
    """Entries of a mapping, sorted by their words."""
    entries = []
    for key, entry in value.items():
        simple = isinstance(key, str) and key.isidentifier()
        entries.append(f"{key if simple else describe(key)}: {describe(entry)}")
    return "{" + ", ".join(sorted(entries)) + "}"


def path(value: Path, describe: Describe) -> str:
    """A file by its content, wherever it lies."""
    return f"file {digest(value.read_bytes())}" if value.is_file() else repr(str(value))


def array(value: np.ndarray, describe: Describe) -> str:
    """Type, shape and a checksum of the bytes; of objects their own words."""
    if isinstance(value, np.ma.MaskedArray):
        return f"masked{sequence((value.filled(0), np.ma.getmaskarray(value)), describe)}"
    head = f"{value.dtype}{list(value.shape)}"
    if value.dtype.hasobject:
        return f"{head}{sequence(value.ravel().tolist(), describe)}"
    return f"{head} {digest(np.ascontiguousarray(value).reshape(-1).view(np.uint8))}"


def tensor(value: Tensor, describe: Describe) -> str:
    """Type, shape and a checksum of the bytes; a sparse tensor as a dense one."""
    try:
        plain = value.detach().cpu()
        plain = plain if value.layout == torch.strided else plain.to_dense()
        flat = plain.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()
    except Exception as error:  # a tensor without data, or of a kind of its own
        raise Incomparable from error
    return f"{value.dtype}{list(value.shape)} {digest(flat)}"


def device(value: torch.device, describe: Describe) -> str:
    """The same word for every device: where something runs does not count."""
    return "device"
