"""Save and restore states of markets: tensors as safetensors, facts as JSON in the file's header.

Nothing is unpickled, so a file from a stranger can do no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from marketenv.core import tree

FORMAT = "marketenv-state-3"


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield another path to write to; what is written there takes the file's place at the end.

    After an error the file is as it was. The other path lies in the same folder under a name that
    no file has. A link stays, and the file that it names is replaced; a file keeps its permissions,
    and a new one gets those of any new file. Raises ValueError where no file can be written.
    """
    target = Path(path).resolve()
    part = target.with_name(f".{target.name[:50]}.{secrets.token_hex(8)}.part")
    try:
        if target.exists() and not target.is_file():
            raise OSError(0, "it is a folder or a device")
        part.touch(exist_ok=False)
    except OSError as error:
        raise ValueError(
            f"cannot write {path}: {error.strerror}. Wanted the path of a file, in a folder that"
            " exists and can be written."
        ) from error
    # some writers make a file that only its owner may read
    mode = (target if target.exists() else part).stat().st_mode
    try:
        yield part
        part.chmod(mode)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def save(
    path: str | Path, state: Any, about: dict[str, Any], extra: dict[str, Tensor] | None = None
) -> None:
    """Write a state (a tree of tensors), further tensors, and facts about them, or nothing.

    about: the facts, as JSON can hold them
    """
    tensors = {f"state.{n}": t for n, t in tree.leaves(state).items()}
    tensors |= {f"extra.{n}": t for n, t in (extra or {}).items()}
    write(path, tensors, about, FORMAT)


def write(path: str | Path, tensors: dict[str, Tensor], about: dict[str, Any], kind: str) -> None:
    """Write tensors and facts about them with a checksum, or nothing.

    about: the facts, as JSON can hold them
    kind:  of the file, with the version of its format
    """
    # a tensor of one number may have any strides, which only this form of clone makes plain
    plain = torch.contiguous_format
    copies = {n: t.detach().cpu().clone(memory_format=plain) for n, t in tensors.items()}
    text = json.dumps(about)
    header = {"format": kind, "about": text, "sha256": _fingerprint(copies, text)}
    with whole_file(path) as part:
        save_file(copies, str(part), header)


def _fingerprint(tensors: dict[str, Tensor], about: str) -> str:
    """Checksum of everything in a file, by which a flipped bit is noticed."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load(
    path: str | Path,
    like: Any,
    device: torch.device,
    check: Callable[[dict[str, Any]], None] | None = None,
    n_markets: int | None = None,
) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    """Read a file that ``save`` wrote: (state shaped as ``like``, facts, further tensors).

    n_markets: how many there are in the file; None: as many as in ``like``
    check: looks at the facts before the state is compared, and raises ValueError where they are
        those of another market

    Raises ValueError for a missing, damaged or foreign file, and for a state of another market or
    number of markets.
    """
    about, content = read(path, FORMAT)
    if check is not None:
        check(about)
    tensors = {name: tensor.to(device) for name, tensor in content.items()}
    state = {n.removeprefix("state."): t for n, t in tensors.items() if n.startswith("state.")}
    extra = {n.removeprefix("extra."): t for n, t in tensors.items() if n.startswith("extra.")}
    _check_state(path, state, tree.leaves(like), n_markets)
    if len(state) + len(extra) != len(tensors):
        raise ValueError(
            f"{path} holds tensors that save() does not write. Use a file as save() wrote it."
        )
    return tree.replaced(like, state), about, extra


def read(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and tensors of a file that ``write`` wrote.

    Raises ValueError for a missing or damaged file, and for another kind of file.
    """
    header, content = _read(path)
    _check_header(path, header, content, kind)
    return _facts(path, header.get("about", "")), content


def _check_header(
    path: str | Path, header: dict[str, str], tensors: dict[str, Tensor], kind: str
) -> None:
    """Refuse another format, and a content that does not match its checksum."""
    if header.get("format") != kind:
        raise ValueError(
            f"{path} has format {header.get('format')!r}, wanted {kind!r}: it was not written by"
            " this library's save(), or by another release of it. Save it anew."
        )
    if header.get("sha256") != _fingerprint(tensors, header.get("about", "")):
        raise ValueError(
            f"{path} is damaged: its content does not match its checksum. Use another copy of the"
            " file."
        )


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The header's words and all tensors of a file."""
    try:
        with safe_open(str(path), "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"cannot read {path}: {error}. Wanted a file written by save(); it may be damaged or"
            " cut short."
        ) from error


def _facts(path: str | Path, text: str) -> dict[str, Any]:
    """The facts of a header; ValueError where they are no JSON object."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise ValueError(
            f"{path} holds no facts about its state in its header. Use a file as save() wrote it."
        )
    return about


def _check_state(
    path: str | Path, state: dict[str, Tensor], models: dict[str, Tensor], n_markets: int | None
) -> None:
    """Refuse a state with other tensors, types, shapes or numbers of markets than the models."""
    fix = "Build the market with the arguments that it was saved with."
    for name, model in models.items():
        tensor, count = state.get(name), len(model) if n_markets is None else n_markets
        if tensor is None or not _alike(tensor, model):
            content = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
            raise ValueError(
                f"{path} does not fit this market: {name} is {content}, wanted {model.dtype}"
                f" {[count, *model.shape[1:]]}. {fix}"
            )
        if len(tensor) != count:
            raise ValueError(f"{path} holds {len(tensor)} markets, wanted {count}. {fix}")
    if state.keys() != models.keys():
        others = ", ".join(sorted(state.keys() - models.keys()))
        raise ValueError(f"{path} does not fit this market: it has {others}. {fix}")


def _alike(tensor: Tensor, model: Tensor) -> bool:
    """Whether both have one type and, after the market axis, one shape."""
    same_axes = tensor.dim() == model.dim() and tensor.shape[1:] == model.shape[1:]
    return tensor.dtype == model.dtype and same_axes
