"""Wide residual networks, with the permutations and layers by which they are aligned."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from marketenv.core.checks import choice, whole
from marketenv.learners.image_parts import NORMS, Layers, check_images, filled
from marketenv.learners.module import ModuleLearner
from marketenv.learners.protocol import Permutations
from marketenv.learners.training import DEFAULT, Training

STEM = 16  # channels of the first convolution
# channels of each group of blocks at width 1 (Zagoruyko, Komodakis, 2016, table 1)
GROUPS = (16, 32, 64)


class Block(NamedTuple):
    """One residual block of a wide ResNet: its sizes, and the permutations of its channels.

    source, stream: permutation of the channels that come in and go out; equal where the block adds
                    to its input
    """

    name: str
    inputs: int
    outputs: int
    stride: int
    source: str
    stream: str

    @property
    def shortcut(self) -> bool:
        """Whether shapes change, so that a 1x1 convolution stands in for the identity."""
        return self.source != self.stream


def resnet_blocks(depth: int = 22, width: int = 1) -> tuple[Block, ...]:
    """List the blocks of a wide ResNet, input first; module and permutations follow from the list.

    depth = 6 n + 4 with n blocks in each of three groups of 16, 32, 64 times width channels,
    strides 1, 2, 2

    Raises ValueError for other depths and widths below 1.

    >>> resnet_blocks(10, 2)[1]
    Block(name='group2_block1', inputs=32, outputs=64, stride=2, source='group1', stream='group2')
    """
    depth = whole(depth, "depth", 10, fix=": 6 n + 4 (10, 16, 22, ...)")
    width = whole(width, "width", 1)
    n, rest = divmod(depth - 4, 6)
    if rest:
        raise ValueError(f"depth is {depth}, wanted depth = 6 n + 4 (10, 16, 22, ...).")
    blocks: list[Block] = []
    # at width 1 the first group adds to the stem's own channels: one order for both
    inputs, source = STEM, "group1" if GROUPS[0] * width == STEM else "stem"
    for group, base in enumerate(GROUPS, 1):
        outputs, stream = base * width, f"group{group}"
        for block in range(1, n + 1):
            name, stride = f"{stream}_block{block}", 2 if group > 1 and block == 1 else 1
            blocks.append(Block(name, inputs, outputs, stride, source, stream))
            inputs, source = outputs, stream
    return tuple(blocks)


class PreActivation(nn.Module):
    """A residual block that normalises before its convolutions.

    a = max(norm1(x), 0);  out = conv2(max(norm2(conv1(a)), 0)) + (shortcut(a), or x where shapes
    stay)

    norm: a name of NORMS

    Source: He et al., "Identity mappings in deep residual networks" (ECCV 2016), figure 4e.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        shortcut: bool = False,
        norm: str = "group",
    ) -> None:
        super().__init__()
        self.norm1 = NORMS[norm](inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = NORMS[norm](outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if shortcut else None

    def forward(
        self, x: Float[Tensor, "batch inputs high wide"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        """Add the result of the two convolutions to the input, or to its 1x1 convolution."""
        active = self.norm1(x).relu()
        change = self.conv2(self.norm2(self.conv1(active)).relu())
        return change + (x if self.shortcut is None else self.shortcut(active))


def wide_resnet(
    feature_shape: tuple[int, ...],
    n_outputs: int,
    *,
    depth: int = 22,
    width: int = 1,
    norm: str = "group",
) -> nn.Module:
    """Build a pre-activation wide ResNet.

    images -> conv 3x3 (16) -> blocks of ``resnet_blocks`` -> norm -> ReLU -> global average ->
    linear

    feature_shape: (channels, height, width);   norm: "group" or "batch", see NORMS
    Returns a module [batch, *features] -> [batch, n_outputs].

    Raises ValueError for other feature shapes, depths other than 6 n + 4, widths below 1 and other
    norms.

    Source: Zagoruyko, Komodakis, "Wide residual networks" (2016), whose norm is "batch"; with depth
    22, width 6 and "group" (one group, which a merge does not break) the model of Train 'n Trade
    (NeurIPS 2023). We differ: no dropout.

    >>> sum(p.numel() for p in wide_resnet((3, 32, 32), 10).parameters())
    272282
    """
    channels, blocks = check_images(feature_shape, 1), resnet_blocks(depth, width)
    choice(norm, "norm", [name for name in NORMS if name != "none"])
    last = blocks[-1].outputs
    with torch.device("meta"):  # no values: torch's own would come from the global generator
        parts: dict[str, nn.Module] = {"stem": nn.Conv2d(channels, STEM, 3, padding=1, bias=False)}
        for b in blocks:
            parts[b.name] = PreActivation(b.inputs, b.outputs, b.stride, b.shortcut, norm)
        parts |= {"norm": NORMS[norm](last), "relu": nn.ReLU(), "average": nn.AdaptiveAvgPool2d(1)}
        parts |= {"flatten": nn.Flatten(), "linear": nn.Linear(last, n_outputs)}
    return filled(nn.Sequential(OrderedDict(parts)))


def wide_resnet_permutations(depth: int = 22, width: int = 1) -> Permutations:
    """List the permutations of ``wide_resnet``'s channels: name -> (tensor name, axis) pairs.

    One permutation for the stream of each group, whose blocks add to the same channels, one for the
    channels inside each block, and one for the stem where width is above 1.

    >>> wide_resnet_permutations(10)["group1_block1"]  # inside the block
    (('group1_block1.conv1.weight', 0), ('group1_block1.norm2.weight', 0),
    ('group1_block1.norm2.bias', 0), ('group1_block1.conv2.weight', 1))
    """
    blocks = resnet_blocks(depth, width)
    places: dict[str, list[tuple[str, int]]] = {blocks[0].source: [("stem.weight", 0)]}
    inside = (("conv1.weight", 0), ("norm2.weight", 0), ("norm2.bias", 0), ("conv2.weight", 1))
    for b in blocks:
        inputs = [("norm1.weight", 0), ("norm1.bias", 0), ("conv1.weight", 1)]
        outputs = [("conv2.weight", 0)]
        if b.shortcut:
            inputs.append(("shortcut.weight", 1))
            outputs.append(("shortcut.weight", 0))
        places[b.source] += [(f"{b.name}.{tensor}", axis) for tensor, axis in inputs]
        places[b.name] = [(f"{b.name}.{tensor}", axis) for tensor, axis in inside]
        own = places.setdefault(b.stream, [])
        own += [(f"{b.name}.{tensor}", axis) for tensor, axis in outputs]
    places[blocks[-1].stream] += [("norm.weight", 0), ("norm.bias", 0), ("linear.weight", 1)]
    return {name: tuple(pairs) for name, pairs in places.items()}


def wide_resnet_layers(depth: int = 22, width: int = 1) -> Layers:
    """List the tensor names of each layer of ``wide_resnet``, input first.

    The layers are the stem, every block, and the last norm with the linear one.

    >>> len(wide_resnet_layers(22))
    11
    """
    before = ("norm1.weight", "norm1.bias", "conv1.weight")
    after = ("norm2.weight", "norm2.bias", "conv2.weight")
    layers: list[tuple[str, ...]] = [("stem.weight",)]
    for b in resnet_blocks(depth, width):
        names = (*before, *after, *(("shortcut.weight",) * b.shortcut))
        layers.append(tuple(f"{b.name}.{name}" for name in names))
    return (*layers, ("norm.weight", "norm.bias", "linear.weight", "linear.bias"))


def resnet(
    feature_shape: tuple[int, ...],
    n_outputs: int,
    task: str,
    training: Training = DEFAULT,
    *,
    depth: int = 22,
    width: int = 1,
    norm: str = "group",
    engine: str = "auto",
    memory: int = 2**28,
) -> ModuleLearner:
    """Make a learner of ``wide_resnet`` that can be aligned.

    engine, memory: as in ``ModuleLearner``

    Raises ValueError as ``wide_resnet`` and ``ModuleLearner`` do.

    >>> resnet((1, 8, 8), 2, "classification", depth=10).layers[0]
    ('stem.weight',)
    """
    return ModuleLearner(
        feature_shape,
        n_outputs,
        task,
        training,
        module=wide_resnet(feature_shape, n_outputs, depth=depth, width=width, norm=norm),
        permutations=wide_resnet_permutations(depth, width),
        layers=wide_resnet_layers(depth, width),
        engine=engine,
        memory=memory,
    )
