"""How much memory a computation holds at once, counted while a small one runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# an operation's own temporaries are not seen: on a CPU they were at most a tenth of the rest
MARGIN = 1.25


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that operations inside have put out and that still live.

    most: bytes that lived at once, at most

    >>> with LiveMemory() as live:
    ...     _ = torch.ones(3, device="cpu") + torch.ones(3, device="cpu")
    >>> live.most
    36
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = self._total = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do the operation, and count what it returns."""
        outputs = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(outputs):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        if self._total > self.most:  # with what has died since the last look
            self._live = {k: v for k, v in self._live.items() if not v[0].expired()}
            self._total = sum(size for _, size in self._live.values())
            self.most = max(self.most, self._total)
        return outputs

    def _add(self, storage: torch.UntypedStorage) -> None:
        known = self._live.get(storage._cdata)
        if known is None or known[0].expired():
            self._total += storage.nbytes() - (0 if known is None else known[1])
            self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())


def bytes_of_one(call: Callable[[int], Any], count: int = 2) -> int:
    """Bytes that each of many equal parts needs, by a run of a few of them, and a margin.

    call: computes so many parts;   count: of the run; 2, as torch copies less for a single one
    """
    with LiveMemory() as live:
        call(count)
    return int(MARGIN * live.most / count) + 1
