"""Checks of declared types (jaxtyping with beartype) that pass once for calls of one kind.

A check takes longer than most functions do, and was half of the suite's time. Whether a call passes
depends only on the kinds of its arguments and of its answer: their classes, and the shapes and
dtypes of tensors. So a call is checked unless one of the same kind has passed before. Where a kind
does not suffice, each call is checked: shapes that depend on a value (``{width}``), lists of mixed
items, containers of other classes. Of a function that is called very often only some calls are.

The name of this module begins with jaxtyping because ``marketenv.core.words`` looks through
jaxtyping's wrappers by that name.
"""

import functools
import inspect
import itertools
import math
import threading
from collections import deque
from collections.abc import Collection
from types import FunctionType

import jaxtyping
import jaxtyping._decorator
import numpy as np
import torch

# annotations for which the kind of an argument does not suffice
BY_VALUE = ("{", "Literal", "Annotated")
MANY, PART = 256, 8  # after so many calls of a function, one in PART is checked
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
        self.calls = threading.local()  # what this thread calls under the full check

    def around(self, function):
        """The function with these checks."""
        passed, first, again, count = self.passed, self.first, self.again, itertools.count()
        config, read = jaxtyping.config, READERS
        # what a dataclass holds is checked whenever one is made
        many = math.inf if function.__name__ == "__init__" else MANY
        declared = [hint for name, hint in function.__annotations__.items() if name != "return"]
        any_arguments = all(map(unchecked, declared))

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            __tracebackhide__ = True
            if config.jaxtyping_disable:
                return function(*args, **kwargs)
            call = next(count)
            if call > many and call % PART:
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
                again(answer, answered, answers, args, kwargs)
            return answer

        return wrapper

    def first(self, function, kinds, args, kwargs):
        """The answer to arguments of kinds that have not passed yet."""
        __tracebackhide__ = True
        answer = self.in_full(function, args, kwargs)
        answered = kind(answer)
        if not self.by_value and known((*kinds, answered)):
            self.passed.setdefault(kinds, set()).add(answered)
        return answer

    def again(self, answer, answered, answers, args, kwargs):
        """Check an answer of another kind than those that have passed."""
        __tracebackhide__ = True
        self.in_full(lambda *_, **__: answer, args, kwargs)
        if known((answered,)):
            answers.add(answered)

    def in_full(self, function, args, kwargs):
        """What a function answers, under the full check."""
        __tracebackhide__ = True
        self.calls.function = function
        return self.check(*args, **kwargs)

    @functools.cached_property
    def by_value(self):
        text = " ".join(map(str, inspect.get_annotations(self.function).values()))
        return any(mark in text for mark in BY_VALUE)

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
