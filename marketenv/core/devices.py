"""The device that a market runs on, by its name."""

from __future__ import annotations

import torch


def device_of(name: str | torch.device) -> torch.device:
    """Return a device that this machine has; ValueError for another name, and where torch cannot
    make a tensor on it.

    >>> device_of("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (
        RuntimeError,
        AssertionError,
        TypeError,
        ValueError,
    ) as error:  # an unknown name; a build or a machine without the device
        reason, wanted = (
            str(error).partition("\n")[0],
            "wanted cpu, or cuda on a machine that has it",
        )
        raise ValueError(
            f"device is {name!r}, which cannot be used here; {wanted}. {reason}"
        ) from error
    return device
