"""Arguments in words that are the same in every process: what saved files are told apart by.

Plain data are written out, and whatever else a part is made of is hashed: arrays by their bytes,
files by theirs, functions by their bytecode with the constants, defaults, closures and globals that
they read, objects by their class and what pickle would keep of them. Parts of Python and of
installed packages stand for themselves by name.
"""

from __future__ import annotations

import copyreg
import dataclasses
import dis
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ATOMS = (type(None), str, int, float, bool, complex, bytes)
# other versions write other bytecode
PYTHON = f"py{sys.version_info.major}.{sys.version_info.minor}"
# beside its parts, what a module's own state says of its outputs
HOOKS = ("_forward_hooks", "_forward_pre_hooks")

Tell = Callable[[Any], str]


def plain(value: Any) -> str | None:
    """Say what a value is without any address, in words that differ where values do; None where it
    cannot be compared.

    What can be pickled can be compared, and functions can, lambdas and closures included. A lock, a
    generator or a function of one's own compiled module cannot; nor can anything that holds one. Of
    installed packages only names are told, no versions.

    >>> plain((1.5, {"part": functools.partial(max, 2)}))
    '(1.5, {part: max(2; {})})'
    >>> plain(lambda price: 2 * price) == plain(lambda price: 3 * price)
    False
    """
    try:
        return _Teller()(value)
    except (_Unknown, RecursionError):
        return None


class _Unknown(Exception):
    """A part that cannot be told from others."""


class _Teller:
    """Tells values; what was told once is known, and what holds itself is told by its type
    there.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}

    def __call__(self, value: Any) -> str:
        if type(value) in ATOMS:
            return repr(value)
        if id(value) not in self._known:
            self._known[id(value)] = value, f"^{type(value).__qualname__}"
            words = next((words for kinds, words in _WORDS if isinstance(value, kinds)), _object)
            self._known[id(value)] = value, words(value, self)
        return self._known[id(value)][1]


def _hash(content: Any) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[
        :16
    ]


def _library(module: str | None) -> bool:
    """Whether a module comes with Python, with this library or with an installed package: it is
    known by its name.
    """
    if module is None:
        return False
    top = module.partition(".")[0]
    files = [getattr(sys.modules.get(name), "__file__", None) or "" for name in (module, top)]
    installed = any({"site-packages", "dist-packages"} & set(Path(file).parts) for file in files)
    return installed or top in (*sys.stdlib_module_names, "marketenv")


def _name(part: Any) -> str:
    """Module and name of a function or class; Python's own stand without a module."""
    return (
        part.__qualname__
        if part.__module__ == "builtins"
        else f"{part.__module__}.{part.__qualname__}"
    )


def _named(part: Any) -> bool:
    """Whether a library has this very part under its name; ``functools.wraps`` gives a name to
    what is another's.
    """
    if not _library(part.__module__):
        return False
    home: Any = sys.modules.get(part.__module__)
    for name in part.__qualname__.split("."):
        home = getattr(home, name, None)
    return home is part


# --- data -----------------------------------------------------------------------------------------


def _scalar(value: np.generic, tell: Tell) -> str:
    single = value.item()
    return tell(np.asarray(value) if isinstance(single, np.generic) else single)


def _sequence(value: Any, tell: Tell) -> str:
    return f"({', '.join(map(tell, value))})"


def _set(value: Any, tell: Tell) -> str:
    return f"{{{', '.join(sorted(map(tell, value)))}}}"


def _mapping(value: Mapping[Any, Any], tell: Tell) -> str:
    keys = {key: key if isinstance(key, str) and key.isidentifier() else tell(key) for key in value}
    return "{" + ", ".join(sorted(f"{keys[key]}: {tell(one)}" for key, one in value.items())) + "}"


def _path(value: Path, tell: Tell) -> str:
    """A file by its content, wherever it lies."""
    return f"file {_hash(value.read_bytes())}" if value.is_file() else repr(str(value))


def _array(value: np.ndarray, tell: Tell) -> str:
    if isinstance(value, np.ma.MaskedArray):
        return f"masked{_sequence((value.filled(0), np.ma.getmaskarray(value)), tell)}"
    if value.dtype.hasobject:
        return f"{value.dtype}{list(value.shape)}{_sequence(value.ravel().tolist(), tell)}"
    return (
        f"{value.dtype}{list(value.shape)}"
        f" {_hash(np.ascontiguousarray(value).reshape(-1).view(np.uint8))}"
    )


def _tensor(value: Tensor, tell: Tell) -> str:
    try:
        held = (
            value.detach().cpu().to_dense()
            if value.layout != torch.strided
            else value.detach().cpu()
        )
        flat = held.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()
    except Exception as error:  # a tensor without data, or of a kind of its own
        raise _Unknown from error
    return f"{value.dtype}{list(value.shape)} {_hash(flat)}"


def _device(value: torch.device, tell: Tell) -> str:
    return "device"  # where it runs does not count


# --- code -----------------------------------------------------------------------------------------


def _function(value: FunctionType, tell: Tell) -> str:
    if _named(value):
        return _name(value)
    if value.__globals__.get("__name__", "").startswith("jaxtyping") and hasattr(
        value, "__wrapped__"
    ):
        return tell(value.__wrapped__)  # a check of types changes nothing that a function returns
    cells = [_cell(cell, tell) for cell in value.__closure__ or ()]
    reads = {
        name: value.__globals__[name]
        for name in _globals(value.__code__)
        if name in value.__globals__
    }
    parts = (value.__code__, value.__defaults__, value.__kwdefaults__, reads, vars(value))
    return f"{value.__qualname__}[{PYTHON} {_hash(_sequence(parts, tell) + str(cells))}]"


def _cell(cell: Any, tell: Tell) -> str:
    try:
        return tell(cell.cell_contents)
    except ValueError:
        return "empty"


def _globals(code: CodeType) -> list[str]:
    """Names of the globals that code reads, that of the functions within it included."""
    own = {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    within = (_globals(part) for part in code.co_consts if isinstance(part, CodeType))
    return sorted(own.union(*within))


def _code(value: CodeType, tell: Tell) -> str:
    names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
    facts = (
        value.co_argcount,
        value.co_posonlyargcount,
        value.co_kwonlyargcount,
        value.co_flags,
        value.co_exceptiontable,
    )
    return _sequence((value.co_code, value.co_consts, names, facts), tell)


def _builtin(value: BuiltinFunctionType, tell: Tell) -> str:
    """A compiled function by name; one that is bound to an object by that object and its name."""
    owner = value.__self__
    if owner is None or isinstance(owner, ModuleType):
        return _global(value, value.__name__)
    return f"{tell(owner)}.{value.__name__}"


def _method(value: MethodType, tell: Tell) -> str:
    return f"{tell(value.__self__)}.{tell(value.__func__)}"


def _partial(value: functools.partial[Any], tell: Tell) -> str:
    return f"{tell(value.func)}({', '.join(map(tell, value.args))}; {tell(value.keywords)})"


def _wrapped(value: Any, tell: Tell) -> str:
    return f"{type(value).__qualname__}({tell(value.__wrapped__)})"


def _descriptor(value: Any, tell: Tell) -> str:
    names = ("__func__", "func", "fget", "fset", "fdel")
    parts = [getattr(value, name, None) for name in names]
    return f"{type(value).__qualname__}{_sequence(parts, tell)}"


def _module(value: ModuleType, tell: Tell) -> str:
    """A library by its name, and a module of one's own by its file and the plain numbers and
    words that it holds now.
    """
    file = getattr(value, "__file__", None)
    if _library(value.__name__) or not file:
        return value.__name__
    held = {
        name: one
        for name, one in vars(value).items()
        if type(one) in ATOMS and not name.startswith("__")
    }
    return f"{value.__name__}[{_hash(Path(file).read_bytes())} {_hash(tell(held))}]"


def _class(value: type, tell: Tell) -> str:
    """A library's class by name; one's own by its bases, methods and plain attributes."""
    if _named(value):
        return _name(value)
    code = (FunctionType, *DESCRIPTORS)
    held = {
        name: one
        for name, one in vars(value).items()
        if isinstance(one, code) or not name.startswith("__")
    }
    held = {
        name: one
        for name, one in held.items()
        if name not in ("__repr__", "_abc_impl") and not _slot(one)
    }
    return f"{value.__qualname__}[{PYTHON} {_hash(_sequence((value.__bases__, held), tell))}]"


def _slot(part: Any) -> bool:
    return inspect.ismemberdescriptor(part) or inspect.isgetsetdescriptor(part)


# --- objects --------------------------------------------------------------------------------------


def _dataclass(value: Any, tell: Tell) -> str:
    facts = ", ".join(f"{f.name}={tell(getattr(value, f.name))}" for f in dataclasses.fields(value))
    return f"{_name(type(value))}({facts})"


def _network(value: nn.Module, tell: Tell) -> str:
    """A module by class, parameters, buffers, parts and own attributes; what torch keeps beside
    them does not count.
    """
    if isinstance(value, torch.jit.ScriptModule):
        raise _Unknown
    internal = vars(nn.Module()).keys() - {
        "training",
        "_parameters",
        "_buffers",
        "_modules",
        *HOOKS,
    }
    held = {name: one for name, one in vars(value).items() if name not in internal}
    return f"{type(value).__qualname__} {_hash(_sequence((type(value), held), tell))}"


def _object(value: Any, tell: Tell) -> str:
    """Any other object by what pickle would keep of it, without cached properties; a dataclass
    of a library by its fields.
    """
    if dataclasses.is_dataclass(value) and _named(type(value)):
        return _dataclass(value, tell)
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        kept = reduce(value) if reduce else value.__reduce_ex__(2)
    except Exception as error:  # locks, generators, sockets: whatever refuses to be pickled
        raise _Unknown from error
    if isinstance(kept, str):
        return _global(value, kept)
    made, given, state, items, pairs = (*kept, None, None, None)[:5]
    if isinstance(state, dict):
        state = {
            name: one
            for name, one in state.items()
            if not isinstance(_of(type(value), name), functools.cached_property)
        }
    parts = (made, given, state, list(items or ()), list(pairs or ()))
    return f"{type(value).__qualname__} {_hash(_sequence(parts, tell))}"


def _of(kind: type, name: Any) -> Any:
    return inspect.getattr_static(kind, name, None) if isinstance(name, str) else None


def _global(value: Any, name: str) -> str:
    """What is compiled, or what pickle keeps by its name: known where a library has it under
    that name.
    """
    for home in (
        getattr(value, "__module__", None) or "",
        type(value).__module__,
        "torch",
        "numpy",
    ):
        if _library(home) and getattr(sys.modules.get(home), name, None) is value:
            return name if home == "builtins" else f"{home}.{name}"
    raise _Unknown


DESCRIPTORS = (property, classmethod, staticmethod, functools.cached_property)

_WORDS: tuple[tuple[Any, Callable[[Any, Tell], str]], ...] = (  # the first that fits
    (np.generic, _scalar),
    ((tuple, list), _sequence),
    ((set, frozenset), _set),
    (Mapping, _mapping),
    (Path, _path),
    (np.ndarray, _array),
    (Tensor, _tensor),
    (torch.device, _device),
    (FunctionType, _function),
    (CodeType, _code),
    (BuiltinFunctionType, _builtin),
    (MethodType, _method),
    (functools.partial, _partial),
    (functools._lru_cache_wrapper, _wrapped),
    (DESCRIPTORS, _descriptor),
    (ModuleType, _module),
    (type, _class),
    (nn.Module, _network),
)
