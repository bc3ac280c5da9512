"""Checks of declared types (jaxtyping with beartype) that pass once for calls of one kind.

A check takes longer than most functions do, and was half of the suite's time. Whether a call passes
depends only on the kinds of its arguments and of its answer: their classes, and the shapes and
dtypes of tensors; of sizes that the annotations do not name by number, only which are equal. So a
call is checked unless one of the same kind has passed before. Where a kind does not suffice, each
call is checked: shapes that depend on a value (``{width}``), lists of mixed items, containers of
other classes. The more calls of a function have passed in a row, the fewer of the next ones are
looked at, until a call of a new kind comes or the next file of tests begins.

The name of this module begins with jaxtyping because ``marketenv.core.words`` looks through
jaxtyping's wrappers by that name.
"""

import functools
import inspect
import re
import threading
import weakref
from collections import deque
from collections.abc import Collection
from types import FunctionType, ModuleType

import jaxtyping
import jaxtyping._decorator
import numpy as np
import torch

# annotations for which the kind of an argument does not suffice
BY_VALUE = ("{", "Literal", "Annotated")
# after n calls in a row that passed, so many of the next ones are not looked at: FIRST * RARER**n,
# none for n < 32; at most LONGEST
FIRST, RARER, LONGEST = 0.05, 1.1, 64
NO_KIND = object()
full_check = jaxtyping.jaxtyped


def install(modules):
    """From now on, the modules are imported with checks of declared types."""
    jaxtyping.jaxtyped = jaxtyping._decorator.jaxtyped = jaxtyped
    jaxtyping.install_import_hook(modules, "beartype.beartype")


def jaxtyped(fn=jaxtyping._decorator._sentinel, *, typechecker):
    """As jaxtyping's, but a plain function is checked once for each kind of call."""
    if not isinstance(fn, FunctionType) or typechecker is None:
        return full_check(fn, typechecker=typechecker)
    if fn.__globals__ is globals() or all(map(unchecked, fn.__annotations__.values())):
        return fn
    return shared(fn, typechecker).around(fn)


def unchecked(annotation):
    """Whether every value passes."""
    return annotation in ("Any", "object")


SHARED = {}
EVERY = weakref.WeakSet()  # Checked


def look_at_all():
    """From now on, the next calls of every function are looked at."""
    for checked in EVERY:
        checked.often()


def shared(function, typechecker):
    """The checks of a function, which all functions made by one nested ``def`` have in common.

    jaxtyping reads annotations that are text by the names of the module alone, so those functions
    declare the same. Annotations that are no text may differ between them.
    """
    if not all(type(annotation) is str for annotation in function.__annotations__.values()):
        return Checked(function, typechecker)
    code = id(function.__code__)  # a Checked keeps its code, so no other code gets this id
    if code not in SHARED:
        SHARED[code] = Checked(function, typechecker)
    return SHARED[code]


class Checked:
    """The checks of a function, which are built at its first call."""

    def __init__(self, function, typechecker):
        self.function, self.typechecker = function, typechecker
        self.passed = {}  # kinds of the arguments -> the kinds of answers that have passed
        self.alike = {}  # the same without the sizes: -> those of arguments and answer together
        self.calls = threading.local()  # what this thread calls under the full check
        self.turn = [0, FIRST]  # calls not to be looked at: how many are left, and after a check
        EVERY.add(self)

    def around(self, function):
        """The function with these checks."""
        passed, turn = self.passed, self.turn
        first, again, rarer = self.first, self.again, self.rarer
        config, read = jaxtyping.config, READERS
        declared = [hint for name, hint in function.__annotations__.items() if name != "return"]
        any_arguments = all(map(unchecked, declared))

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            __tracebackhide__ = True
            if config.jaxtyping_disable:
                return function(*args, **kwargs)
            if turn[0]:
                turn[0] -= 1
                return function(*args, **kwargs)
            kinds = () if any_arguments else tuple([read[type(value)](value) for value in args])
            if kwargs and not any_arguments:
                kinds += (*kwargs, *map(kind, kwargs.values()))
            answers = passed.get(kinds)
            if answers is None:
                return first(function, kinds, args, kwargs)
            answer = function(*args, **kwargs)
            answered = read[type(answer)](answer)
            if answered not in answers:
                again(answer, answered, kinds, args, kwargs)
            else:
                rarer()
            return answer

        return wrapper

    def often(self):
        """The next calls are looked at."""
        self.turn[:] = 0, FIRST

    def rarer(self):
        """A call has passed: some more of the next ones are not looked at.

        What a dataclass holds is checked whenever one is made.
        """
        if self.function.__name__ != "__init__":
            longer = min(self.turn[1] * RARER, LONGEST)
            self.turn[:] = int(longer), longer

    def first(self, function, kinds, args, kwargs):
        """The answer to arguments of kinds that have not passed yet."""
        __tracebackhide__ = True
        if self.without_sizes(kinds) in self.alike:
            answer = function(*args, **kwargs)
            self.again(answer, kind(answer), kinds, args, kwargs)
            return answer
        answer = self.in_full(function, args, kwargs)
        self.passes(kinds, kind(answer))
        return answer

    def again(self, answer, answered, kinds, args, kwargs):
        """Check an answer of another kind than those that have passed."""
        __tracebackhide__ = True
        both = self.without_sizes((*kinds, answered))
        if both not in self.alike.get(self.without_sizes(kinds), ()):
            self.in_full(lambda *_, **__: answer, args, kwargs)
        self.passes(kinds, answered)

    def passes(self, kinds, answered):
        """Keep what has passed."""
        if self.by_value or not known((*kinds, answered)):
            return self.rarer()
        self.passed.setdefault(kinds, set()).add(answered)
        alike = self.alike.setdefault(self.without_sizes(kinds), set())
        both = self.without_sizes((*kinds, answered))
        if both in alike:
            return self.rarer()
        alike.add(both)
        return self.often()

    def without_sizes(self, kinds):
        """The kinds with a letter for each size, the same one for equal sizes."""
        return kinds if self.numbers is None else lettered(kinds, self.numbers, {})

    @functools.cached_property
    def numbers(self):
        """The sizes that count as such: 0, 1 and those of the annotations; None: all of them."""
        if re.search("[-+/]", self.text):  # a size may be computed
            return None
        return {0, 1, *map(int, re.findall(r"\d+", self.text))}

    @functools.cached_property
    def text(self):
        """The annotations, and those that names in them stand for, such as ``Keys``."""
        text = " ".join(map(str, inspect.get_annotations(self.function).values()))
        names = set(re.findall(r"\w+", re.sub(r"""(["']).*?\1""", "", text)))
        places = self.function.__globals__
        aliases = [places[name] for name in sorted(names & places.keys())]
        return " ".join([text, *(str(one) for one in aliases if not isinstance(one, ModuleType))])

    def in_full(self, function, args, kwargs):
        """What a function answers, under the full check."""
        __tracebackhide__ = True
        self.calls.function = function
        return self.check(*args, **kwargs)

    @functools.cached_property
    def by_value(self):
        return any(mark in self.text for mark in BY_VALUE)

    @functools.cached_property
    def check(self):
        """The full check around a function that calls another, which ``calls`` names."""
        calls = self.calls

        def called(*args, **kwargs):
            __tracebackhide__ = True
            return calls.function(*args, **kwargs)

        names = self.function.__globals__, self.function.__name__
        twin = FunctionType(called.__code__, *names, None, called.__closure__)
        return full_check(functools.wraps(self.function)(twin), typechecker=self.typechecker)


def known(kinds):
    """Whether no part of the kinds is unknown."""
    return all(part is not NO_KIND and (type(part) is not tuple or known(part)) for part in kinds)


def lettered(kinds, numbers, letters):
    """Kinds, in which only sizes are numbers, with a letter for each that is none of these."""
    parts = []
    for part in kinds:
        if isinstance(part, tuple):
            parts.append(lettered(part, numbers, letters))
        elif type(part) is int and part not in numbers:
            parts.append(letters.setdefault(part, f"{len(letters)}"))
        else:
            parts.append(part)
    return tuple(parts)


def kind(value):
    """What a check of a value depends on."""
    return READERS[type(value)](value)


class Readers(dict):
    """How the kind of a class's values is read; ``type``: the class is all that counts."""

    def __missing__(self, cls):
        self[cls] = reader(cls)
        return self[cls]


READERS = Readers()


def reader(cls):
    """How the kind of a class's values is read."""
    if issubclass(cls, (torch.Tensor, np.ndarray)):
        return lambda value: (cls, value.shape, value.dtype)
    if issubclass(cls, type):
        return lambda value: value
    if issubclass(cls, tuple):
        return lambda value: (cls, *map(kind, value))
    if issubclass(cls, dict):
        return lambda value: (cls, tuple(map(kind, value)), tuple(map(kind, value.values())))
    if issubclass(cls, (list, set, frozenset, deque)):
        return lambda value: (cls, alike(value))
    if issubclass(cls, Collection) and not issubclass(cls, (str, bytes, range)):
        return lambda value: NO_KIND
    return type


def alike(values):
    """The one kind of all values, which none of them need be; beartype reads one by chance, so
    mixed ones have no kind.
    """
    kinds = {kind(value) for value in values}
    return NO_KIND if len(kinds) > 1 else (*kinds,)
