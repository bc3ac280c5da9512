"""Batch norms as pure functions of parameters and examples, and back again for use elsewhere."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from marketenv.core.shards import Shards


def pooled(module: nn.Module) -> bool:
    """Whether batch norms make the answer to one example depend on the other examples."""
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def without_statistics(module: nn.Module, kind: type[nn.Module] = _NormBase) -> nn.Module:
    """Copy the module with norms of this kind that keep no running statistics.

    They take the statistics of the present examples.
    """
    module = copy.deepcopy(module)
    for part in module.modules():
        if isinstance(part, kind) and isinstance(part, _NormBase):
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
    return module


def with_statistics(
    module: nn.Module, x: Float[Tensor, "rows *features"] | None, shape: tuple[int, ...]
) -> nn.Module:
    """Copy the module, and set the running statistics of its batch norms from all of x at once.

    They are the mean and biased variance (sum of squares / n) of a norm's inputs, averaged over its
    calls. Instance norms lose theirs.

    Raises ValueError where x is wanted and missing, is of other features than ``shape``, or holds a
    single example.
    """
    module, norms = without_statistics(module, _InstanceNorm), {}
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm) and part.track_running_stats:
            norms[name] = part
    if not norms:
        return module
    if x is None or tuple(x.shape[1:]) != shape or len(x) < 2:
        got = None if x is None else list(x.shape)
        raise ValueError(
            f"x is {got}, wanted at least 2 examples {shape}: the running statistics of batch norms"
            " need them."
        )
    for name, calls in _moments(module, x, tuple(norms)).items():
        if calls:  # a norm that is never called keeps its statistics
            variance, mean = (torch.stack(part).mean(0) for part in zip(*calls, strict=True))
            norms[name].running_var, norms[name].running_mean = variance, mean
    return module


def _moments(
    module: nn.Module, x: Tensor, names: tuple[str, ...]
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Biased variance and mean [channels] of each named part's inputs, call by call.

    x goes through the module as in scoring.
    """
    pure = without_statistics(module)
    moments: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in names}

    def _listen(name: str) -> None:
        def _record(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
            moments[name].append(torch.var_mean(inputs[0], axes, correction=0))

        pure.get_submodule(name).register_forward_hook(_record)

    for name in names:
        _listen(name)
    with torch.no_grad():
        pure(x)
    return moments


def unpadded(shards: Shards, why: str) -> Shards:
    """The shards without padding; ValueError for unequal sizes, and for single examples."""
    width = int(shards.size.max())
    if width > 1 and bool((shards.size == width).all()):
        return Shards(shards.x, shards.y, shards.index[:, :width], shards.size)
    raise ValueError(
        f"{why}, and owners have {sorted(set(shards.size.tolist()))} examples, but the module has"
        " batch norms: wanted one size for all, at least 2, as padding would enter their"
        ' statistics. Train in minibatches, take equal shards, or norm "group".'
    )


def trainable(shards: Shards, batch_size: int | None) -> Shards:
    """The shards in the form that batch norms need; ValueError for single examples.

    Raises ValueError for padding too, where models train on whole shards.
    """
    if batch_size is None:
        return unpadded(shards, "batch_size is None")
    if int(shards.size.min()) < 2:
        raise ValueError(
            "an owner has a single example, but the module has batch norms, which need 2 examples"
            " or more."
        )
    return shards
