"""Checks of declared types (jaxtyping with beartype) that pass once for calls of one kind.

A check takes longer than most functions do, and was half of the suite's time. Whether a call passes
depends only on the kinds of its arguments and of its answer: their classes, and the shapes and
dtypes of tensors; of sizes that the annotations do not name by number, only which are equal. So a
call is checked unless one of the same kind has passed before. Where a kind does not suffice, each
call is checked: shapes that depend on a value (``{width}``), lists of mixed items, containers of
other classes.

Calls of a function are looked at until some have passed in a row. From then on the function runs as
if it had no checks: until the next test begins, after the next such row for two tests, then four,
and so on, until a call of a new kind comes or the next file of tests begins.

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
# calls of a function in a row that pass before it rests, where each but the first of its kind is
# only compared with that one, and where each is checked in full
LOOKS, FULL_LOOKS = 12, 4
# the package whose functions marketenv.core.words knows by name: others it knows by their code,
# which must not change
NAMED = "marketenv"
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
    nested = fn.__code__.co_freevars or "<locals>" in fn.__qualname__
    if nested or fn.__module__.partition(".")[0] != NAMED:
        return around(fn, shared(fn, typechecker))
    return inside(fn, Checked(fn, typechecker))


def unchecked(annotation):
    """Whether every value passes."""
    return annotation in ("Any", "object")


class Schedule:
    """How many tests have begun, and which functions' calls they look at."""

    def __init__(self):
        self.tests, self.file = 0, None  # the file is that of the last test
        self.every = weakref.WeakSet()  # Checked
        self.resting = {}  # Checked -> the number of the test that looks at its calls again

    def begin_test(self, file):
        """Look at calls of functions that have rested, and in a new file of all functions."""
        self.tests += 1
        if file != self.file:
            self.file = file
            self.resting.clear()
            for checked in self.every:
                checked.begin_file()
        for checked in [one for one, due in self.resting.items() if due <= self.tests]:
            del self.resting[checked]
            checked.begin()


SCHEDULE = Schedule()
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


def around(function, checked):
    """A function that looks at calls of this one, as long as its checks want to."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        __tracebackhide__ = True
        if checked.left:
            return checked.look(function, args, kwargs)
        return function(*args, **kwargs)

    return wrapper


def inside(function, checked):
    """The function itself, whose code looks at its calls as long as its checks want to.

    Then it has its own code again, so that its calls take no longer than without checks.
    """
    own = FunctionType(function.__code__, function.__globals__, function.__name__)
    functools.update_wrapper(own, function).__defaults__ = function.__defaults__
    own.__kwdefaults__ = function.__kwdefaults__
    del own.__wrapped__
    look = functools.partial(checked.look, own)
    constants = tuple(look if one == LOOK else one for one in _looked_at.__code__.co_consts)
    checked.function, checked.live = own, function
    checked.code = _looked_at.__code__.replace(co_consts=constants, co_name=function.__name__)
    checked.begin()
    return function


LOOK = "the look at a call"


def _looked_at(*args, **kwargs):
    __tracebackhide__ = True
    look = "the look at a call"  # in place of which ``inside`` puts it: this code has no closure
    return look(args, kwargs)


class Checked:
    """The checks of a function, which are built at its first call."""

    live = None  # the function whose code is ``code`` while its calls are looked at

    def __init__(self, function, typechecker):
        self.function, self.typechecker = function, typechecker
        self.passed = {}  # kinds of the arguments -> the kinds of answers that have passed
        self.alike = {}  # the same without the sizes: -> those of arguments and answer together
        self.calls = threading.local()  # what this thread calls under the full check
        self.left = LOOKS  # calls to be looked at, as long as all pass
        self.rest = 1  # for how many tests it rests then
        SCHEDULE.every.add(self)
        declared = [hint for name, hint in function.__annotations__.items() if name != "return"]
        self.any_arguments = all(map(unchecked, declared))

    def begin_file(self):
        """From now on, calls are looked at as if there had been none."""
        self.rest = 1
        if self.left < LOOKS:
            self.begin()

    def begin(self):
        """From now on, calls are looked at."""
        self.left = LOOKS
        if self.live:
            self.live.__code__, self.live.__wrapped__ = self.code, self.function

    def passes_again(self, looks=1):
        """A call has passed as others before."""
        if self.left > 0:
            self.left = max(self.left - looks, 0)
            if not self.left:
                SCHEDULE.resting[self] = SCHEDULE.tests + self.rest
                self.rest *= 2
                if self.live:
                    self.live.__code__ = self.function.__code__
                    del self.live.__wrapped__

    def look(self, function, args, kwargs):
        """What the function answers, looked at."""
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        read = READERS
        kinds = () if self.any_arguments else tuple([read[type(value)](value) for value in args])
        if kwargs and not self.any_arguments:
            kinds += (*kwargs, *map(kind, kwargs.values()))
        answers = self.passed.get(kinds)
        if answers is None:
            return self.first(function, kinds, args, kwargs)
        answer = function(*args, **kwargs)
        answered = read[type(answer)](answer)
        if answered not in answers:
            self.again(answer, answered, kinds, args, kwargs)
        else:
            self.passes_again()
        return answer

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
            return self.passes_again(looks=LOOKS // FULL_LOOKS)
        self.passed.setdefault(kinds, set()).add(answered)
        alike = self.alike.setdefault(self.without_sizes(kinds), set())
        both = self.without_sizes((*kinds, answered))
        if both in alike:
            return self.passes_again()
        alike.add(both)
        SCHEDULE.resting.pop(self, None)
        self.rest = 1
        self.begin()

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
        same = FunctionType(called.__code__, *names, None, called.__closure__)
        return full_check(functools.wraps(self.function)(same), typechecker=self.typechecker)


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
