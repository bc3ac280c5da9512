"""Checks of declared types (jaxtyping with beartype) that pass once for calls of one kind.

A check takes longer than most functions do, and was half of the suite's time. Whether a call passes
depends only on the kinds of its arguments and of its answer: their classes, and the shapes and
dtypes of tensors. So a call is checked unless one of the same kind has passed before. Where a kind
does not suffice, each call is checked: shapes that depend on a value (``{width}``), lists of mixed
items, containers of other classes.

The name of this module begins with jaxtyping because ``marketenv.core.words`` looks through
jaxtyping's wrappers by that name.
"""

import functools
import inspect
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
    return fn if fn.__globals__ is globals() else Checked(fn, typechecker).wrapper()


class Checked:
    """A function with its checks, which are built at its first call."""

    def __init__(self, function, typechecker):
        self.function, self.typechecker = function, typechecker
        self.passed = {}  # kinds of the arguments -> the kinds of answers that have passed
        self.lock = threading.Lock()

    def wrapper(self):
        function, passed, first, again, config = (
            self.function,
            self.passed,
            self.first,
            self.again,
            jaxtyping.config,
        )

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            __tracebackhide__ = True
            if config.jaxtyping_disable:
                return function(*args, **kwargs)
            kinds = tuple(map(kind, args))
            if kwargs:
                kinds += (*kwargs, *map(kind, kwargs.values()))
            answers = passed.get(kinds)
            if answers is None:
                return first(kinds, args, kwargs)
            answer = function(*args, **kwargs)
            answered = kind(answer)
            if answered not in answers:
                again(answer, answered, answers, args, kwargs)
            return answer

        return wrapper

    def first(self, kinds, args, kwargs):
        """The answer to arguments of kinds that have not passed yet."""
        __tracebackhide__ = True
        answer = self.in_full(*args, **kwargs)
        answered = kind(answer)
        if not self.by_value and known((*kinds, answered)):
            self.passed.setdefault(kinds, set()).add(answered)
        return answer

    def again(self, answer, answered, answers, args, kwargs):
        """Check an answer of another kind than those that have passed."""
        __tracebackhide__ = True
        with self.lock:
            self.given.append(answer)
            self.of_answer(*args, **kwargs)
        if known((answered,)):
            answers.add(answered)

    @functools.cached_property
    def by_value(self):
        text = " ".join(map(str, inspect.get_annotations(self.function).values()))
        return any(mark in text for mark in BY_VALUE)

    @functools.cached_property
    def in_full(self):
        return full_check(self.function, typechecker=self.typechecker)

    @functools.cached_property
    def given(self):
        return []

    @functools.cached_property
    def of_answer(self):
        """The same check around a function that answers what it is given to answer."""
        given = self.given

        def answer(*args, **kwargs):
            return given.pop()

        twin = FunctionType(
            answer.__code__,
            self.function.__globals__,
            self.function.__name__,
            None,
            answer.__closure__,
        )
        return full_check(functools.wraps(self.function)(twin), typechecker=self.typechecker)


def known(kinds):
    """Whether no part of the kinds is unknown."""
    return all(part is not NO_KIND and (type(part) is not tuple or known(part)) for part in kinds)


def kind(value):
    """What a check of a value depends on."""
    cls = type(value)
    try:
        read = READERS[cls]
    except KeyError:
        read = READERS[cls] = reader(cls)
    return cls if read is None else read(value)


READERS = {}


def reader(cls):
    """How the kind of a class's values is read; None: the class is all that counts."""
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
    return None


def alike(values):
    """The one kind of all values, which none of them need be; beartype reads one by chance, so
    mixed ones have no kind.
    """
    kinds = {kind(value) for value in values}
    return NO_KIND if len(kinds) > 1 else (*kinds,)
