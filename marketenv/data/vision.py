"""The one place that imports torchvision, which is optional.

A torchvision wheel built for a GPU fails to import next to a CPU build of torch: its compiled
operators do not load, and ``import torchvision`` ends in "operator torchvision::nms does not
exist", although data sets need no operator. Only where the import fails for that reason, the two
missing operators ``nms`` and ``qnms`` are declared (a signature, no code) and the import is tried
again. Calling either of them still fails, as it must.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def _declare_operators() -> torch.library.Library:
    """Declare the missing operators; they live as long as the returned object, so it is cached."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + _SIGNATURE)
    return library


def import_datasets() -> ModuleType:
    """Import ``torchvision.datasets``.

    Raises ValueError, with the package to install, where torchvision cannot be imported.
    """
    try:
        try:
            return importlib.import_module("torchvision.datasets")
        except RuntimeError as error:
            if "operator torchvision::nms does not exist" not in str(error):
                raise
            _declare_operators()
            return importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError) as error:
        raise ValueError(
            f"torchvision cannot be imported ({error}). Install the release that goes with torch"
            f" {torch.__version__}: pip install 'marketenv[vision]'."
        ) from error
