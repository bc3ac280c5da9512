"""The versions that a report of a fault should name."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

import marketenv

NEEDED = ("torch", "numpy", "scipy", "gymnasium", "pettingzoo", "pot")
OPTIONAL = ("stable-baselines3", "torchvision", "moviepy", "tyro")


def list_versions() -> Iterator[str]:
    """One line for each version, for the platform and for the device."""
    yield f"marketenv {marketenv.__version__}"
    for name in (*NEEDED, *OPTIONAL):
        yield f"{name} {installed(name)}"
    yield f"python {platform.python_version()}"
    yield f"platform {platform.platform()}"
    yield f"device {device()}"


def installed(name: str) -> str:
    """The version of a package.

    >>> installed("no-such-package")
    'is not installed'
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


def device() -> str:
    """The device on which torch computes fastest here, in words."""
    threads = torch.get_num_threads()
    cpu = f"cpu with {threads} thread{'s' * (threads > 1)}"
    if not torch.cuda.is_available():
        return f"{cpu}; no cuda"
    return f"{cpu}; cuda: {torch.cuda.get_device_name()} (cuda {torch.version.cuda})"
