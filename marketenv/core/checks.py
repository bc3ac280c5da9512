"""Checks of arguments: each takes a value and its name, and returns the value in its plain form.

A check refuses other values with a ValueError: what came, what was wanted and, in ``fix``, what to
do. Whole numbers of every kind become int, real ones float, lists and arrays tuples; text, NaN and
bools are no numbers. So configs of equal arguments are equal, and are pickled and saved alike.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from marketenv.core.lookup import lookup, unknown
from marketenv.core.plain_forms import entries, real_number, refused, scalar

__all__ = [
    "Check",
    "callable_with",
    "check_fields",
    "choice",
    "each",
    "flag",
    "interval",
    "keywords",
    "named_part",
    "number",
    "one_or_each",
    "options",
    "or_none",
    "path",
    "refused",
    "text",
    "whole",
]

Check = Callable[[Any, str], Any]  # (value, name) -> the value in its plain form
LARGEST = 2**63 - 1  # whole number that a tensor holds


def whole(value: Any, name: str, least: int = 0, most: int = LARGEST, fix: str = "") -> int:
    """Take a whole number from ``least`` to ``most``.

    It is an int, np.int64, or an integer array or tensor without axes.

    >>> import numpy as np
    >>> whole(np.int64(3), "n_agents", 2)
    3
    >>> whole("3", "n_agents", 2)
    Traceback (most recent call last):
    ValueError: n_agents is '3', wanted a whole number >= 2.
    """
    plain = scalar(value)
    try:
        count = least - 1 if isinstance(plain, bool) else operator.index(plain)
    except TypeError:
        count = least - 1
    if not least <= count <= most:
        power = most > 2**20 and most + 1 == 2 ** most.bit_length()
        top = f"2**{most.bit_length()} - 1" if power else most
        unbounded = most == LARGEST and count < least
        bounds = f">= {least}" if unbounded else f"from {least} to {top}"
        raise refused(name, value, f"a whole number {bounds}{fix}")
    return count


def number(
    value: Any,
    name: str,
    least: int | float = -math.inf,
    most: int | float = math.inf,
    *,
    above: int | float = -math.inf,
    below: int | float = math.inf,
    infinite: bool = False,
    fix: str = "",
) -> float:
    """Take a real number: least <= number <= most and above < number < below.

    It is finite, or with ``infinite`` perhaps not.

    >>> number(1, "cash", 0)
    1.0
    >>> number(float("nan"), "momentum", 0, below=1, fix="; 0 is plain SGD")
    Traceback (most recent call last):
    ValueError: momentum is nan, wanted a finite number >= 0 and < 1; 0 is plain SGD.
    """
    real = real_number(value)
    inside = above < real < below or (infinite and math.isinf(real))
    if not (least <= real <= most and inside):
        ends = ((">=", least), (">", above), ("<=", most), ("<", below))
        bounds = " and ".join(f"{sign} {end:g}" for sign, end in ends if math.isfinite(end))
        kind = "a number" if infinite else "a finite number"
        raise refused(name, value, f"{kind}{' ' if bounds else ''}{bounds}{fix}")
    return real


def flag(value: Any, name: str, fix: str = "") -> bool:
    """Take True or False, and NumPy's.

    >>> import numpy as np
    >>> flag(np.True_, "download")
    True
    """
    plain = scalar(value)
    if not isinstance(plain, bool):
        raise refused(name, value, f"True or False{fix}")
    return plain


def text(value: Any, name: str, fix: str = "") -> str:
    """Take text.

    >>> text("sgd", "optimizer")
    'sgd'
    """
    if not isinstance(value, str):
        raise refused(name, value, f"text{fix}")
    return str(value)


def path(value: Any, name: str) -> str | Path:
    """Take the path of a file or folder, which need not be there.

    >>> path("data", "root")
    'data'
    """
    if not isinstance(value, str | Path):
        raise refused(name, value, "a path, as text or a pathlib.Path")
    return value


def choice(value: Any, name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Take one of the known names; the error for another one names its nearest neighbour.

    >>> choice("resett", "after_purchase", ("keep", "reset"))
    Traceback (most recent call last):
    ValueError: no after_purchase 'resett'. Did you mean 'reset'? Known: keep, reset.
    """
    if not isinstance(value, str) or value not in known:
        raise unknown(name, value, known)
    return str(value)


def named_part(
    value: Any,
    name: str,
    table: Mapping[str, Any],
    wanted: str,
    *,
    kind: type | None = None,
    takes: int | None = None,
) -> Any:
    """Take a part by its name in a table, or the part itself.

    kind:   its class, None for any callable;   wanted: the words for such a part in an error
    takes:  how many arguments a callable is called with

    >>> named_part("total", "rule", {"total": sum}, "a callable numbers -> number", takes=1) is sum
    True
    >>> named_part(5, "rule", {"total": sum}, "a callable numbers -> number")
    Traceback (most recent call last):
    ValueError: rule is 5, wanted a name (total) or a callable numbers -> number.
    """
    if isinstance(value, str):
        return lookup(table, value, name)
    if isinstance(value, type):
        fix = f": this is the class {value.__name__}, make an object of it"
    elif not (callable(value) if kind is None else isinstance(value, kind)):
        fix = ""
    elif takes is not None and not callable_with(value, takes):
        fix = f": it is called with {takes} argument{'s' if takes > 1 else ''}"
    else:
        return value
    raise refused(name, value, f"a name ({', '.join(table)}) or {wanted}{fix}")


def interval(
    value: Any, name: str, least: int | float, most: int | float = math.inf, *, apart: bool = False
) -> tuple[float, float]:
    """Take two finite numbers in order, least <= low <= high <= most; ``apart``: low < high.

    >>> interval([0, 2], "costs", 0.0, 10.0)
    (0.0, 2.0)
    """
    ends = [real_number(end) for end in entries(value) or ()]
    finite = len(ends) == 2 and all(map(math.isfinite, ends))
    if not (finite and least <= ends[0] <= ends[1] <= most) or (apart and ends[0] == ends[1]):
        top = f" <= {most:g}" if math.isfinite(most) else ", both finite"
        floor = f"{least:g} <= " if math.isfinite(least) else ""
        bounds = f"{floor}low {'<' if apart else '<='} high{top}"
        raise refused(name, value, f"an interval (low, high), {bounds}")
    return ends[0], ends[1]


def each(
    value: Any,
    name: str,
    check: Check,
    n: int | None = None,
    wanted: str = "entries",
    fix: str = "",
) -> tuple[Any, ...]:
    """Take a tuple, list or array of one axis, and check every entry.

    n: how many entries, one for each agent; None: any number
    wanted: the word for the entries in an error

    >>> import numpy as np
    >>> each([0, np.int64(2)], "joins", whole, 2)
    (0, 2)
    """
    values = entries(value)
    if values is None or (n is not None and len(values) != n):
        count = wanted if n is None else f"{n} {wanted}, one for each agent"
        raise refused(name, value, f"a tuple of {count}{fix}")
    return tuple(check(entry, f"{name}[{k}]") for k, entry in enumerate(values))


def one_or_each(value: Any, name: str, check: Check, n: int, wanted: str) -> Any:
    """Take one value for all, or a tuple, list or array of one for each of n agents.

    >>> (
    ...     one_or_each(1, "noise", number, 2, "numbers"),
    ...     one_or_each([1, 2], "noise", number, 2, "numbers"),
    ... )
    (1.0, (1.0, 2.0))
    """
    if entries(value) is None:
        return check(value, name)
    return each(value, name, check, n, wanted, ", or one for all")


def options(value: Any, name: str, known: Sequence[str] | None = None) -> dict[str, Any]:
    """Take a mapping from names to values, as a copy.

    known: the names that are allowed; None: every name

    >>> options({"hiden": (32,)}, "learner_options", ("hidden", "memory"))
    Traceback (most recent call last):
    ValueError: no entry of learner_options 'hiden'. Did you mean 'hidden'? Known: hidden, memory.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise refused(name, value, "a mapping from names to values, such as a dict")
    for key in value:
        if known is not None and key not in known:
            raise unknown(f"entry of {name}", key, tuple(known))
    return dict(value)


def keywords(function: Callable[..., Any], after: int) -> tuple[str, ...] | None:
    """Names of a function's arguments after the first ones; None where it takes any keyword.

    >>> keywords(round, 1)
    ('ndigits',)
    """
    beyond = list(inspect.signature(function).parameters.values())[after:]
    return None if any(p.kind is p.VAR_KEYWORD for p in beyond) else tuple(p.name for p in beyond)


def callable_with(function: Callable[..., Any], count: int, *names: str) -> bool:
    """Whether a function takes so many arguments and these keywords; True where Python cannot say.

    >>> (
    ...     callable_with(lambda bids, asks: bids, 1),
    ...     callable_with(lambda bids, *, share: bids, 1, "share"),
    ... )
    (False, True)
    """
    try:
        inspect.signature(function).bind(*range(count), **dict.fromkeys(names))
    except TypeError:
        return False
    except ValueError:  # it has no signature, as some builtin functions
        return True
    return True


def or_none(check: Callable[..., Any], /, **bounds: Any) -> Check:
    """Make a check that lets None pass.

    >>> or_none(whole, least=1)(None, "batch_size") is None
    True
    """
    return lambda value, name: None if value is None else check(value, name, **bounds)


def check_fields(config: Any, checks: Mapping[str, Check]) -> None:
    """Give the fields of a frozen dataclass their plain forms, for use in ``__post_init__``."""
    for name, check in checks.items():
        object.__setattr__(config, name, check(getattr(config, name), name))
