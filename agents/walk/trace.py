"""Which functions of ``marketenv`` run while a piece of code is run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import marketenv

PACKAGE = Path(marketenv.__file__).parent
ROOT = PACKAGE.parent


@dataclass(frozen=True)
class Name:
    """A function by its module and its name there."""

    module: str
    qualname: str

    @property
    def public(self) -> bool:
        """Whether no part of the name is private, a lambda or a comprehension."""
        return not any(part[:1] in "_<" for part in self.qualname.split("."))


Call = tuple[Name, ...]  # a call: the functions that were running, outermost first, and it


def traced(code: str, namespace: dict[str, Any]) -> list[Call]:
    """Run some code and return every call of a function of ``marketenv``, in order.

    namespace: of the code, which it changes
    """
    calls: list[Call] = []
    running: list[tuple[FrameType, Call]] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            outer = running[-1][1] if running else ()
            call = (*outer, _name(frame))
            running.append((frame, call))
            calls.append(call)
        elif event == "return" and running and running[-1][0] is frame:
            running.pop()

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        exec(compile(code, "round", "exec"), namespace)
    finally:
        sys.setprofile(before)
    return calls


def _name(frame: FrameType) -> Name:
    file = Path(frame.f_code.co_filename).relative_to(ROOT).with_suffix("")
    return Name(".".join(file.parts), frame.f_code.co_qualname)
