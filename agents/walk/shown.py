"""Which functions of a round the page shows, and what their docstrings say."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from marketenv.alignment import ALIGNMENTS
from marketenv.core import rounds
from marketenv.core.phase import Phase
from marketenv.learners import LEARNERS, Learner
from marketenv.markets.parameter_trading.exchanges import EXCHANGES
from marketenv.markets.parameter_trading.weights import WEIGHTS
from marketenv.mechanisms import MECHANISMS
from marketenv.valuation import VALUATIONS

from .trace import Call, Name

# the tables from which a market of parameter trading takes its parts
PARTS: tuple[Mapping[str, Any], ...] = (ALIGNMENTS, WEIGHTS, VALUATIONS, EXCHANGES, MECHANISMS)
OPENING = Name(rounds.__name__, "opened")  # what it calls belongs to the episode, not to a round
ENGINE = ""  # the phase of a function that runs outside all phases
FORMULA = re.compile(r"^[\w.\[\], ]*?[\w\]] +(=|<=|>=) \S")


@dataclass(frozen=True)
class Row:
    """A function that the page shows.

    phase: the class of the phase in which it runs, "" outside all phases;   depth: of its call
    """

    name: Name
    phase: str
    depth: int
    sentence: str
    formulas: tuple[str, ...]


def rows(calls: Sequence[Call]) -> list[Row]:
    """The functions that are shown, in order of their first call in each phase."""
    rule, described, shown = Rule.of(calls), set[type](), {}
    for call in calls:
        key = (phase_of(call), call[-1])
        if key not in shown and rule.shows(call):
            depth = sum(rule.shows(call[: k + 1]) for k in range(len(call) - 1))
            shown[key] = _row(call, depth, described)
    return list(shown.values())


def phase_of(call: Call) -> str:
    """The class of the phase that a call belongs to."""
    inside = (_class(name) for name in call)
    return next((c.__name__ for c in inside if c is not None and issubclass(c, Phase)), ENGINE)


# --- the rule -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """Which calls the page shows: those of public functions that belong to one of these.

    The engine, where the page's code calls it; the phases; the files of the market's parts, the
    entries of ``PARTS`` that ran; a learner's methods on models; and what a room exports, where its
    docstring has a formula.

    parts: the files of those parts
    """

    parts: frozenset[str]

    @classmethod
    def of(cls, calls: Sequence[Call]) -> Rule:
        """The rule with the parts that ran in these calls."""
        names = set(_part_names())
        return cls(frozenset(call[-1].module for call in calls if call[-1] in names))

    def shows(self, call: Call) -> bool:
        """Whether a call is shown; what runs outside a round, as the opening does, is not."""
        name, function = call[-1], _function(call[-1])
        engine = [outer for outer in call if outer.module == rounds.__name__]
        if not engine or OPENING in call:
            return False
        if not name.public or not inspect.isfunction(function):
            return False
        if name.module == rounds.__name__:
            return engine == [name]
        if (owner := _class(name)) is not None:
            return _is_phase(owner) or (owner in LEARNERS.values() and _takes_models(function))
        return name.module in self.parts or (_is_exported(name) and bool(_equations(function)))


def _is_phase(owner: type) -> bool:
    return issubclass(owner, Phase) and owner is not Phase


def _takes_models(method: Callable[..., Any]) -> bool:
    """Whether a learner's method takes parameters, and the protocol of learners asks for it."""
    return method.__name__ in vars(Learner) and "params" in inspect.signature(method).parameters


def _is_exported(name: Name) -> bool:
    """Whether the room of a function exports it, as ``marketenv.alignment`` does ``permute``."""
    room = sys.modules[".".join(name.module.split(".")[:2])]
    return name.qualname in getattr(room, "__all__", ())


def _part_names() -> Iterator[Name]:
    for table in PARTS:
        for part in table.values():
            function = part.func if isinstance(part, partial) else part
            yield Name(function.__module__, function.__qualname__)


def _function(name: Name) -> Any:
    """The function of that name; None for one inside another, which has no name of its own."""
    here: Any = sys.modules[name.module]
    for part in name.qualname.split("."):
        here = inspect.getattr_static(here, part, None)
    return here


def _class(name: Name) -> type | None:
    owner, _, _ = name.qualname.rpartition(".")
    here = _function(Name(name.module, owner)) if owner else None
    return here if inspect.isclass(here) else None


# --- docstrings -----------------------------------------------------------------------------------


def _row(call: Call, depth: int, described: set[type]) -> Row:
    """The row of a call.

    The formulas of a class stand with the first of its methods; described: classes whose formulas
    stand already.
    """
    function, owner = _function(call[-1]), _class(call[-1])
    lines = formulas(function)
    if owner is not None and owner not in described:
        described.add(owner)
        lines += formulas(owner)
    return Row(call[-1], phase_of(call), depth, sentence(function), lines)


def sentence(documented: Callable[..., Any]) -> str:
    """The first sentence of a docstring.

    >>> sentence(sentence)
    'The first sentence of a docstring.'
    """
    first = " ".join(_paragraphs(documented)[0])
    return re.split(r"(?<=\.) ", first)[0]


def formulas(documented: Any) -> tuple[str, ...]:
    """The formulas of a docstring: in its first sentence, and paragraphs that begin with one.

    >>> from marketenv.valuation import loss_difference
    >>> formulas(loss_difference)
    ('shown = worth = L(before) - L(after) [markets, buyers, sellers], in units of loss',)
    """
    first = " ".join((_paragraphs(documented) or [[]])[0])
    inside = re.search(r": ([^:]* = [^:]*)\.$", first)
    return ((inside[1],) if inside else ()) + _equations(documented)


def _equations(documented: Any) -> tuple[str, ...]:
    """Formulas that stand on lines of their own."""
    others = _paragraphs(documented)[1:]
    lines = []
    for part in others:
        if FORMULA.match(part[0]):
            # a line goes on in the next one unless it ends with a semicolon
            whole = " ".join(" ".join(part).split())
            lines += re.split(r"(?<=;) ", whole)
    return tuple(lines)


def _paragraphs(documented: Any) -> list[list[str]]:
    text = (inspect.getdoc(documented) or "").partition(">>>")[0]
    return [part.splitlines() for part in re.split(r"\n\s*\n", text) if part.strip()]
