"""Arguments in words that are the same in every process: what saved files are told apart by.

Plain data are written out, and everything else is hashed: arrays and files by their bytes,
functions by their bytecode with the constants, defaults, closures and globals that they read,
objects by their class and what pickle would keep of them. Parts of Python and of installed packages
stand for themselves by name.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from marketenv.core import words_of_code as code
from marketenv.core import words_of_data as data
from marketenv.core.words_of_data import ATOMS, Describe, Incomparable, digest, sequence

# parts of a module's own state that change its outputs, beside its parameters and modules
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
MODULE_STATE = ("training", "_parameters", "_buffers", "_modules", *HOOKS)


def plain(value: Any) -> str | None:
    """The words of a value, without any address; they differ where values do. None: no words.

    All values that pickle can keep have words, and so have functions, lambdas and closures
    included. A lock, a generator or a function of one's own compiled module has none, and neither
    has anything that holds one. Installed packages are known by name, without their versions.

    >>> plain((1.5, {"part": functools.partial(max, 2)}))
    '(1.5, {part: max(2; {})})'
    >>> plain(lambda price: 2 * price) == plain(lambda price: 3 * price)
    False
    """
    try:
        return _Describer()(value)
    except (Incomparable, RecursionError):
        return None


class _Describer:
    """Describes values, each once; inside its own words a value stands for its type."""

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


def _dataclass(value: Any, describe: Describe) -> str:
    fields = dataclasses.fields(value)
    facts = ", ".join(f"{f.name}={describe(getattr(value, f.name))}" for f in fields)
    return f"{code.full_name(type(value))}({facts})"


def _network(value: nn.Module, describe: Describe) -> str:
    """A module by class, parameters, buffers, parts and own attributes.

    Other attributes that torch keeps in every module do not count.
    """
    if isinstance(value, torch.jit.ScriptModule):
        raise Incomparable
    internal = vars(nn.Module()).keys() - set(MODULE_STATE)
    content = {name: part for name, part in vars(value).items() if name not in internal}
    return f"{type(value).__qualname__} {digest(sequence((type(value), content), describe))}"


def _object(value: Any, describe: Describe) -> str:
    """Any other object by what pickle would keep of it; a library's dataclass by its fields."""
    if dataclasses.is_dataclass(value) and code.known_by_name(type(value)):
        return _dataclass(value, describe)
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        pickled = reduce(value) if reduce else value.__reduce_ex__(2)
    except Exception as error:  # locks, generators, sockets: whatever refuses to be pickled
        raise Incomparable from error
    if isinstance(pickled, str):
        return code.global_name(value, pickled)
    maker, arguments, state, items, pairs = (*pickled, None, None, None)[:5]
    if isinstance(state, dict):
        state = {name: part for name, part in state.items() if not _cached(type(value), name)}
    parts = (maker, arguments, state, list(items or ()), list(pairs or ()))
    return f"{type(value).__qualname__} {digest(sequence(parts, describe))}"


def _cached(kind: type, name: Any) -> bool:
    """Whether a class computes the attribute of this name, and caches it."""
    attribute = inspect.getattr_static(kind, name, None) if isinstance(name, str) else None
    return isinstance(attribute, functools.cached_property)


_WORDS: tuple[tuple[Any, Callable[[Any, Describe], str]], ...] = (  # the first that fits
    (np.generic, data.scalar),
    ((tuple, list), data.sequence),
    ((set, frozenset), data.unordered),
    (Mapping, data.mapping),
    (Path, data.path),
    (np.ndarray, data.array),
    (Tensor, data.tensor),
    (torch.device, data.device),
    (FunctionType, code.function),
    (CodeType, code.bytecode),
    (BuiltinFunctionType, code.builtin),
    (MethodType, code.method),
    (functools.partial, code.partial),
    (functools._lru_cache_wrapper, code.wrapper),
    (code.DESCRIPTORS, code.descriptor),
    (ModuleType, code.module),
    (type, code.class_),
    (nn.Module, _network),
)
