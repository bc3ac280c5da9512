"""Save and restore a market's state: tensors as safetensors, the rest as JSON in the same file's header.

Nothing is unpickled, so a file from a stranger can do no harm beyond being refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from marketenv.core import tree

FORMAT = "marketenv-state-1"


def save(path: str | Path, state: Any, about: dict[str, Any], extra: dict[str, Tensor] | None = None) -> None:
    """Write a state (a tree of tensors), further tensors, and facts about them that JSON can hold."""
    tensors = {f"state.{n}": t for n, t in tree.leaves(state).items()} | {f"extra.{n}": t for n, t in (extra or {}).items()}
    save_file(
        {n: t.detach().cpu().clone().contiguous() for n, t in tensors.items()},
        str(path),
        {"format": FORMAT, "about": json.dumps(about)},
    )


def load(path: str | Path, like: Any, device: torch.device) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    """Read a file that ``save`` wrote: (state shaped as ``like``, facts, further tensors).

    Raises ValueError for a missing, damaged or foreign file, and for a state of another market or size; a state
    is returned whole or not at all.
    """
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118  safe_open is no dict
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"cannot read {path}: {error}. Wanted a file written by save(); it may be damaged or cut short."
        ) from error
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {header.get('format')!r}, wanted {FORMAT!r}: it was not written by this library's save()."
        )
    held = {n.removeprefix("state."): t for n, t in tensors.items() if n.startswith("state.")}
    for name, tensor in tree.leaves(like).items():
        if name not in held or held[name].shape[1:] != tensor.shape[1:] or held[name].dtype != tensor.dtype:
            got = f"{held[name].dtype} {list(held[name].shape)}" if name in held else "nothing"
            raise ValueError(
                f"{path} does not fit this market: {name} is {got}, wanted {tensor.dtype} {list(tensor.shape)}. "
                "Build the market with the arguments that it was saved with."
            )
    extra = {n.removeprefix("extra."): t for n, t in tensors.items() if n.startswith("extra.")}
    return tree.replaced(like, held), json.loads(header["about"]), extra
