"""Data sets from ``.npz`` files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from marketenv.data.dataset import Dataset, from_arrays

LAYOUTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("x_train", "y_train"),
    ("x", "y"),
    ("images", "labels"),
)


def read_npz(path: str | Path) -> Dataset:
    """Read a data set from an ``.npz`` file; nothing is unpickled.

    Arrays wanted: x_train and y_train, with or without x_test and y_test; or x and y; or images and
    labels; and groups beside them, where rows have owners. Other arrays are left alone. Types and
    shapes are those of ``from_arrays``: uint8 is scaled to [0, 1], other numbers stay as they are.

    Raises ValueError for a missing or damaged file, pickled objects, other names, and for arrays
    that ``from_arrays`` refuses.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no file {path}; give the path of an .npz file.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as box:
            names = set(box.files)
            layout = next((layout for layout in LAYOUTS if names.issuperset(layout)), None)
            arrays = None if layout is None else [box[name] for name in layout]
            groups = box["groups"] if layout and "groups" in names else None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"cannot read {path} ({error}). Wanted an .npz file of plain arrays, without objects."
        ) from error
    if arrays is None:
        wanted = "; ".join(", ".join(layout) for layout in LAYOUTS)
        raise ValueError(
            f"{path} holds {', '.join(sorted(names))}, wanted one of: {wanted}. Save it with these"
            " names."
        )
    return from_arrays(*arrays, groups=groups, name=path.name)
