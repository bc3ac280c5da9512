"""Common parts of image networks: norms, the shape of an image, and first values."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from marketenv.core import draws
from marketenv.core.checks import each, whole

Layers = tuple[tuple[str, ...], ...]  # tensor names of each layer

NORMS: dict[str, Callable[[int], nn.Module]] = {  # name -> norm of so many channels
    "none": lambda channels: nn.Identity(),
    # mean and variance of one example, over channels and pixels together
    "group": lambda channels: nn.GroupNorm(1, channels),
    # of one channel, over examples and pixels; as a learner it keeps none: see ModuleLearner
    "batch": nn.BatchNorm2d,
}


def check_images(feature_shape: tuple[int, ...], least: int) -> int:
    """Return an image's channels; ValueError for other shapes and sides below ``least`` pixels."""
    each(feature_shape, "feature_shape", partial(whole, least=1), wanted="sizes")
    if len(feature_shape) != 3 or min(feature_shape[1:]) < least:
        raise ValueError(
            f"feature_shape is {feature_shape}, wanted (channels, height, width) with sides >="
            f" {least}; reshape the images, or use learner 'mlp', which takes flat features."
        )
    return feature_shape[0]


def filled(module: nn.Module) -> nn.Module:
    """Give a module its first values: norms 1, biases 0, weights of mean 0 and variance 2 / inputs.

    They are keyed draws, so that no global generator moves and equal settings give equal modules.
    """
    module = module.to_empty(device="cpu").float()  # whatever type torch makes by default
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.dim() == 1:
                p.fill_(float(name.endswith("weight")))
                continue
            key = draws.fold(torch.tensor(0, device="cpu"), "networks", name)
            noise = draws.normal(key, *p.shape)
            # exact: ModuleLearner.init draws by these two moments
            noise = (noise - noise.mean()) / noise.std(correction=0)
            p.copy_(math.sqrt(2.0 / p[0].numel()) * noise)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
    return module
