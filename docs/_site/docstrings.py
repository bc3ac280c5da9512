"""The house's docstrings as sections: tables of arguments, errors, formulas, source, examples.

A docstring here is one sentence, then formulas, lines ``name: meaning   [shape]``, ``Returns``,
``Raises ValueError``, ``Source:`` and an example; docs/design.md tells why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import griffe
from formulas import is_formula, mathml
from words import plain

NAMES = re.compile(r"^((?:\*{0,2}\w+)(?:, \w+)*):\s+(\S.*)$")
SEVERAL = re.compile(
    r"(?<=[^:\s])\s{2,}(?=\w+(?:, \w+)*:\s)"
)  # ``k: of gains;   lam, rho: of costs``
SHAPE = re.compile(r"\s*(\[[^\]]+\])\s*$")
STARTS = re.compile(r"^(Returns?|Yields|Raises|Source)\b:?")


class HouseStyle(griffe.Extension):
    """Gives every docstring of the package its sections."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Parse the docstring of a module, class, function or attribute."""
        if obj.docstring:
            known = _arguments(obj)
            obj.docstring.parsed = [*sections(obj.docstring.value, known), *_fields(obj, known)]


def sections(text: str, known: dict[str, Any]) -> list[griffe.DocstringSection]:
    """The sections of a docstring, in its own order; ``known`` has the arguments' annotations."""
    made: list[griffe.DocstringSection] = []
    for kind, lines in _items(text, known):
        section = BUILDERS[kind](lines, known)
        if made and kind == "argument" and made[-1].kind is section.kind:
            made[-1].value.extend(section.value)
        else:
            made.append(section)
    return made


def _items(text: str, known: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Runs of lines of one kind: a new one begins at a blank line or at a line of another kind."""
    kind, run = "text", []
    for line in [*text.split("\n"), ""]:
        follows = (line.startswith(" ") and bool(run)) or (kind == "example" and bool(line))
        fresh = kind if follows else _kind(line, known)
        if kind in ("returns", "raises", "source") and fresh in ("text", "formula") and line:
            fresh, follows = kind, True
        if run and (not line or fresh != kind or (fresh == "argument" and not follows)):
            yield kind, run
            run = []
        kind = fresh
        run += [line] if line else []


def _kind(line: str, known: dict[str, Any]) -> str:
    """What a line begins."""
    names, start = NAMES.match(line), STARTS.match(line)
    if line.startswith(">>>"):
        return "example"
    if names and all(name.strip("* ") in known for name in names[1].split(",")):
        return "argument"
    if start and not line.startswith("Returns whether"):
        return {"Raises": "raises", "Source": "source"}.get(start[1], "returns")
    return "formula" if is_formula(line) else "text"


def _arguments(obj: griffe.Object) -> dict[str, Any]:
    """Annotations and defaults by the name of the argument or, in a class, of the field."""
    if obj.is_function:
        return {part.name.strip("*"): part for part in obj.parameters}
    if obj.is_class:
        fields = {name: part for name, part in obj.members.items() if part.is_attribute}
        return {part.name: part for part in obj.parameters} | fields
    return {}


def _fields(obj: griffe.Object, known: dict[str, Any]) -> list[griffe.DocstringSection]:
    """The fields of a class whose signature does not show them, such as a named tuple."""
    if not obj.is_class or "dataclass" in obj.labels or obj.parameters:
        return []
    rows = [_parameter(name, "", known) for name, part in known.items() if part.annotation]
    return [griffe.DocstringSectionParameters(rows, title="Fields:")] if rows else []


def _prose(lines: list[str], known: dict[str, Any]) -> griffe.DocstringSection:
    return griffe.DocstringSectionText(plain(" ".join(lines)))


def _formula(lines: list[str], known: dict[str, Any]) -> griffe.DocstringSection:
    return griffe.DocstringSectionText(mathml(lines))


def _argument(lines: list[str], known: dict[str, Any]) -> griffe.DocstringSection:
    rows, entries = [], SEVERAL.split(lines[0])
    if any(_kind(entry, known) != "argument" for entry in entries):
        entries = lines[:1]
    for entry in entries:
        names, meaning = NAMES.match(entry).groups()
        rest = lines[1:] if entry is entries[-1] else []
        shapes = [m[1] for line in (meaning, *rest) if (m := SHAPE.search(line))]
        words = " ".join(SHAPE.sub("", line).strip() for line in (meaning, *rest)).rstrip(";")
        meaning = plain(words) + "".join(f" `{shape}`" for shape in shapes)
        rows += [_parameter(name.strip("* "), meaning, known) for name in names.split(",")]
    return griffe.DocstringSectionParameters(rows)


def _parameter(name: str, meaning: str, known: dict[str, Any]) -> griffe.DocstringParameter:
    part = known.get(name)
    default = getattr(part, "default", None) or getattr(part, "value", None)
    annotation = getattr(part, "annotation", None)
    return griffe.DocstringParameter(
        name, description=meaning, annotation=annotation, value=default and str(default)
    )


def _raises(lines: list[str], known: dict[str, Any]) -> griffe.DocstringSection:
    error, words = re.match(r"Raises:? +(\w+):? *(.*)$", " ".join(lines), re.S).groups()
    return griffe.DocstringSectionRaises(
        [griffe.DocstringRaise(annotation=error, description=plain(words))]
    )


def _titled(title: str) -> Callable[..., griffe.DocstringSection]:
    def build(lines: list[str], known: dict[str, Any]) -> griffe.DocstringSection:
        words = plain(STARTS.sub("", " ".join(lines)).strip())
        return griffe.DocstringSectionText(f"**{title}:** {words}")

    return build


def _example(lines: list[str], known: dict[str, Any]) -> griffe.DocstringSection:
    code = (griffe.DocstringSectionKind.examples, "\n".join(lines))
    return griffe.DocstringSectionExamples([code], title="Example:")


BUILDERS: dict[str, Callable[..., griffe.DocstringSection]] = {
    "text": _prose,
    "formula": _formula,
    "argument": _argument,
    "returns": _titled("Returns"),
    "raises": _raises,
    "source": _titled("Source"),
    "example": _example,
}
