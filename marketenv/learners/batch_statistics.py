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
    """Whether batch norms make the module's answer to one example depend on the others beside
    it.
    """
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def without_statistics(module: nn.Module, kind: type[nn.Module] = _NormBase) -> nn.Module:
    """Copy the module, its norms of this kind keeping no running statistics: they take those of
    the examples at hand.
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
    """Copy the module, the running statistics of its batch norms being those of x, all of it at
    once.

    Mean and biased variance (sum of squares / n) of what a norm sees, averaged over its calls.
    Instance norms lose theirs.

    Raises ValueError where x is wanted and missing, is of other features than ``shape``, or holds a
    single example.
    """
    module = without_statistics(module, _InstanceNorm)
    kept = {
        name: part
        for name, part in module.named_modules()
        if isinstance(part, _BatchNorm) and part.track_running_stats
    }
    if not kept:
        return module
    if x is None or tuple(x.shape[1:]) != shape or len(x) < 2:
        got = None if x is None else list(x.shape)
        raise ValueError(
            f"x is {got}, wanted at least 2 examples {shape}: the running statistics of batch norms"
            " need them."
        )
    for name, calls in _moments(module, x, tuple(kept)).items():
        if calls:  # a norm that is never asked keeps what it has
            kept[name].running_var, kept[name].running_mean = (
                torch.stack(part).mean(0) for part in zip(*calls, strict=True)
            )
    return module


def _moments(
    module: nn.Module, x: Tensor, names: tuple[str, ...]
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Biased variance and mean [channels] of what each named part is shown, call by call, when
    x goes through as in scoring.
    """
    pure, found = (
        without_statistics(module),
        {name: list[tuple[Tensor, Tensor]]() for name in names},
    )

    def _listen(name: str) -> None:
        def _told(part: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            axes = [axis for axis in range(given[0].dim()) if axis != 1]
            found[name].append(torch.var_mean(given[0], axes, correction=0))

        pure.get_submodule(name).register_forward_hook(_told)

    for name in names:
        _listen(name)
    with torch.no_grad():
        pure(x)
    return found


def unpadded(shards: Shards, why: str) -> Shards:
    """The shards without padding; ValueError where a batch norm would see padding or a single
    example.
    """
    width = int(shards.size.max())
    if width > 1 and bool((shards.size == width).all()):
        return Shards(shards.x, shards.y, shards.index[:, :width], shards.size)
    raise ValueError(
        f"{why}, and owners have {sorted(set(shards.size.tolist()))} examples, but the module has"
        " batch norms: wanted one size for all, at least 2, as padding would enter their"
        ' statistics. Train in minibatches, take equal shards, or norm "group".'
    )


def trainable(shards: Shards, batch_size: int | None) -> Shards:
    """The shards as batch norms can be trained on them; ValueError for padding in whole shards,
    and single examples.
    """
    if batch_size is None:
        return unpadded(shards, "batch_size is None")
    if int(shards.size.min()) < 2:
        raise ValueError(
            "an owner has a single example, but the module has batch norms, which need 2 examples"
            " or more."
        )
    return shards
