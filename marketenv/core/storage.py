"""Save and restore a market's state: tensors as safetensors, the rest as JSON in the same file's header.

Nothing is unpickled, so a file from a stranger can do no harm beyond being refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from marketenv.core import tree

FORMAT = "marketenv-state-1"


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Another path to write to; what was written there takes the file's place at once, and after an error nothing does."""
    part = Path(f"{path}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save(path: str | Path, state: Any, about: dict[str, Any], extra: dict[str, Tensor] | None = None) -> None:
    """Write a state (a tree of tensors), further tensors, and facts about them that JSON can hold; whole or not at all."""
    tensors = {f"state.{n}": t for n, t in tree.leaves(state).items()} | {f"extra.{n}": t for n, t in (extra or {}).items()}
    held = {n: t.detach().cpu().clone().contiguous() for n, t in tensors.items()}
    text = json.dumps(about)
    with whole_file(path) as part:
        save_file(held, str(part), {"format": FORMAT, "about": text, "sha256": _fingerprint(held, text)})


def _fingerprint(tensors: dict[str, Tensor], about: str) -> str:
    """Checksum of everything in a file, so that a flipped bit makes no money."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def load(path: str | Path, like: Any, device: torch.device) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    """Read a file that ``save`` wrote: (state shaped as ``like``, facts, further tensors).

    Raises ValueError for a missing, damaged or foreign file, and for a state of another market or size; a state
    is returned whole or not at all.
    """
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open is no dict
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"cannot read {path}: {error}. Wanted a file written by save(); it may be damaged or cut short."
        ) from error
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {header.get('format')!r}, wanted {FORMAT!r}: it was not written by this library's save()."
        )
    if header.get("sha256") != _fingerprint(read, header.get("about", "")):
        raise ValueError(f"{path} is damaged: its content does not match its checksum. Use another copy of the file.")
    tensors = {name: tensor.to(device) for name, tensor in read.items()}
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
