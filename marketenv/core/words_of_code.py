"""Words for code: functions, classes and modules.

Code of Python, of this library and of installed packages is known by its name; other code by its
bytecode and all that it reads. Every function takes a value and ``describe``, which gives the words
of a part of it.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from marketenv.core.words_of_data import ATOMS, Describe, Incomparable, digest, sequence

# other versions write other bytecode
PYTHON = f"py{sys.version_info.major}.{sys.version_info.minor}"
DESCRIPTORS = (property, classmethod, staticmethod, functools.cached_property)


def in_library(module: str | None) -> bool:
    """Whether a module comes with Python, with this library or with an installed package."""
    if module is None:
        return False
    top = module.partition(".")[0]
    files = [getattr(sys.modules.get(name), "__file__", None) or "" for name in (module, top)]
    installed = any({"site-packages", "dist-packages"} & set(Path(file).parts) for file in files)
    return installed or top in (*sys.stdlib_module_names, "marketenv")


def full_name(part: Any) -> str:
    """Module and name of a function or class; Python's own stand without a module."""
    if part.__module__ == "builtins":
        return str(part.__qualname__)
    return f"{part.__module__}.{part.__qualname__}"


def known_by_name(part: Any) -> bool:
    """Whether a library has this very part under its name.

    ``functools.wraps`` gives another part's name to a function.
    """
    if not in_library(part.__module__):
        return False
    home: Any = sys.modules.get(part.__module__)
    for name in part.__qualname__.split("."):
        home = getattr(home, name, None)
    return home is part


def global_name(value: Any, name: str) -> str:
    """A compiled part, or one that pickle keeps by its name; it needs a library that has it."""
    own = getattr(value, "__module__", None) or ""
    for home in (own, type(value).__module__, "torch", "numpy"):
        if in_library(home) and getattr(sys.modules.get(home), name, None) is value:
            return name if home == "builtins" else f"{home}.{name}"
    raise Incomparable


def function(value: FunctionType, describe: Describe) -> str:
    """A library's function by name; one's own by its code and all that it reads."""
    if known_by_name(value):
        return full_name(value)
    home = value.__globals__.get("__name__", "")
    if home.startswith("jaxtyping") and hasattr(value, "__wrapped__"):
        return describe(value.__wrapped__)  # a check of types changes no result of a function
    cells = [_cell(cell, describe) for cell in value.__closure__ or ()]
    names = [name for name in _globals(value.__code__) if name in value.__globals__]
    reads = {name: value.__globals__[name] for name in names}
    parts = (value.__code__, value.__defaults__, value.__kwdefaults__, reads, vars(value))
    return f"{value.__qualname__}[{PYTHON} {digest(sequence(parts, describe) + str(cells))}]"


def _cell(cell: Any, describe: Describe) -> str:
    try:
        return describe(cell.cell_contents)
    except ValueError:
        return "empty"


def _globals(code: CodeType) -> list[str]:
    """Names of the globals that code reads, also in the functions within it."""
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    own = {step.argval for step in dis.get_instructions(code) if step.opname in loads}
    within = (_globals(part) for part in code.co_consts if isinstance(part, CodeType))
    return sorted(own.union(*within))


def bytecode(value: CodeType, describe: Describe) -> str:
    """Instructions, constants, names and facts; no line numbers."""
    names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
    facts = (
        value.co_argcount,
        value.co_posonlyargcount,
        value.co_kwonlyargcount,
        value.co_flags,
        value.co_exceptiontable,
    )
    return sequence((value.co_code, value.co_consts, names, facts), describe)


def builtin(value: BuiltinFunctionType, describe: Describe) -> str:
    """A compiled function by name; a method by its object and its name."""
    owner = value.__self__
    if owner is None or isinstance(owner, ModuleType):
        return global_name(value, value.__name__)
    return f"{describe(owner)}.{value.__name__}"


def method(value: MethodType, describe: Describe) -> str:
    """A method by its object and its function."""
    return f"{describe(value.__self__)}.{describe(value.__func__)}"


def partial(value: functools.partial[Any], describe: Describe) -> str:
    """A function with the arguments that it has already."""
    arguments = ", ".join(map(describe, value.args))
    return f"{describe(value.func)}({arguments}; {describe(value.keywords)})"


def wrapper(value: Any, describe: Describe) -> str:
    """A wrapper by its class and the function in it."""
    return f"{type(value).__qualname__}({describe(value.__wrapped__)})"


def descriptor(value: Any, describe: Describe) -> str:
    """A property or a like one by its class and its functions."""
    names = ("__func__", "func", "fget", "fset", "fdel")
    parts = [getattr(value, name, None) for name in names]
    return f"{type(value).__qualname__}{sequence(parts, describe)}"


def module(value: ModuleType, describe: Describe) -> str:
    """A library by its name; one's own module by its file and its plain numbers and texts."""
    file = getattr(value, "__file__", None)
    if in_library(value.__name__) or not file:
        return value.__name__
    content = {
        name: part
        for name, part in vars(value).items()
        if type(part) in ATOMS and not name.startswith("__")
    }
    return f"{value.__name__}[{digest(Path(file).read_bytes())} {digest(describe(content))}]"


def class_(value: type, describe: Describe) -> str:
    """A library's class by name; one's own by its bases, methods and plain attributes."""
    if known_by_name(value):
        return full_name(value)
    content = {name: part for name, part in vars(value).items() if _counts(name, part)}
    return (
        f"{value.__qualname__}[{PYTHON} {digest(sequence((value.__bases__, content), describe))}]"
    )


def _counts(name: str, part: Any) -> bool:
    """Whether an attribute of a class is part of its words."""
    if name in ("__repr__", "_abc_impl"):
        return False
    if inspect.ismemberdescriptor(part) or inspect.isgetsetdescriptor(part):
        return False
    return isinstance(part, (FunctionType, *DESCRIPTORS)) or not name.startswith("__")
