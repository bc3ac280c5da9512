"""Small convolutional networks, with the permutations and layers by which they are aligned."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from marketenv.core.checks import choice, whole
from marketenv.learners.image_parts import NORMS, Layers, check_images, filled
from marketenv.learners.module import ModuleLearner
from marketenv.learners.protocol import Permutations
from marketenv.learners.training import DEFAULT, Training


def small_cnn(
    feature_shape: tuple[int, ...], n_outputs: int, width: int = 8, *, norm: str = "none"
) -> nn.Module:
    """Build a small image network: two convolutions and a global average.

    images -> conv 3x3 (width) -> norm -> ReLU -> 2x2 average -> conv 3x3 (2 width) -> norm -> ReLU
    -> global average -> linear

    feature_shape: (channels, height, width), sides >= 2;   norm: a name of NORMS
    Returns a module [batch, *features] -> [batch, n_outputs].

    Raises ValueError for other feature shapes, widths below 1 and unknown norms.

    >>> small_cnn((3, 12, 12), 10)(torch.zeros(5, 3, 12, 12)).shape
    torch.Size([5, 10])
    """
    channels = check_images(feature_shape, 2)
    width = whole(width, "width", 1, fix=": channels of the first convolution")
    norm_of = NORMS[choice(norm, "norm", NORMS)]
    with torch.device("meta"):  # no values: torch's own would come from the global generator
        parts: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(channels, width, 3, padding=1),
            "norm1": norm_of(width),
            "relu1": nn.ReLU(),
            # a mean, since the gradient of a maximum has no fixed order of sums on a GPU
            "pool": nn.AvgPool2d(2),
            "conv2": nn.Conv2d(width, 2 * width, 3, padding=1),
            "norm2": norm_of(2 * width),
            "relu2": nn.ReLU(),
            # one feature per channel: the linear layer then has one axis to permute
            "average": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            "linear": nn.Linear(2 * width, n_outputs),
        }
    named = {name: part for name, part in parts.items() if not isinstance(part, nn.Identity)}
    return filled(nn.Sequential(OrderedDict(named)))


def small_cnn_permutations(norm: str = "none") -> Permutations:
    """List the permutations of ``small_cnn``'s channels: name -> (tensor name, axis) pairs.

    >>> small_cnn_permutations()["hidden1"]
    (('conv2.weight', 0), ('conv2.bias', 0), ('linear.weight', 1))
    """
    rows = [tuple((tensor, 0) for tensor in layer) for layer in small_cnn_layers(norm)]
    return {
        "hidden0": (*rows[0], ("conv2.weight", 1)),
        "hidden1": (*rows[1], ("linear.weight", 1)),
    }


def small_cnn_layers(norm: str = "none") -> Layers:
    """List the tensor names of each layer of ``small_cnn``, input first.

    The layers are two convolutions, each with its norm, and the linear one.

    >>> small_cnn_layers("group")[0]
    ('conv1.weight', 'conv1.bias', 'norm1.weight', 'norm1.bias')
    """
    choice(norm, "norm", NORMS)
    layers: list[tuple[str, ...]] = [("conv1",), ("conv2",), ("linear",)]
    if norm != "none":
        layers = [("conv1", "norm1"), ("conv2", "norm2"), ("linear",)]
    names = ("weight", "bias")
    return tuple(tuple(f"{part}.{name}" for part in layer for name in names) for layer in layers)


def cnn(
    feature_shape: tuple[int, ...],
    n_outputs: int,
    task: str,
    training: Training = DEFAULT,
    *,
    width: int = 8,
    norm: str = "none",
    engine: str = "auto",
    memory: int = 2**28,
) -> ModuleLearner:
    """Make a learner of ``small_cnn`` that can be aligned.

    norm: a name of NORMS;   engine, memory: as in ``ModuleLearner``

    Raises ValueError as ``small_cnn`` and ``ModuleLearner`` do.

    >>> cnn((1, 8, 8), 2, "classification", width=4).layers[0]
    ('conv1.weight', 'conv1.bias')
    """
    return ModuleLearner(
        feature_shape,
        n_outputs,
        task,
        training,
        module=small_cnn(feature_shape, n_outputs, width, norm=norm),
        permutations=small_cnn_permutations(norm),
        layers=small_cnn_layers(norm),
        engine=engine,
        memory=memory,
    )
