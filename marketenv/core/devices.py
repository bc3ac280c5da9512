"""The device that a market runs on, by its name."""

from __future__ import annotations

import torch

# of torch for an unknown name, and for a build or a machine without the device
FAILURES = (RuntimeError, AssertionError, TypeError, ValueError)


def device_of(name: str | torch.device) -> torch.device:
    """Return the device of a name; ValueError where torch cannot make a tensor on it.

    >>> device_of("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except FAILURES as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device is {name!r}, which cannot be used here; wanted cpu, or cuda on a machine that"
            f" has it. {reason}"
        ) from error
    return device
