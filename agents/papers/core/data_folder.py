"""Where large data sets lie."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MARKETENV_DATA"


def data_folder() -> Path | None:
    """The folder of large data sets: the one that the environment variable MARKETENV_DATA names.

    None where the variable is not set, or where there is no such folder.
    """
    name = os.environ.get(VARIABLE, "")
    return Path(name) if name and Path(name).is_dir() else None
