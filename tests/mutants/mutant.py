"""A mutant: one place of the code made wrong on purpose, and the tests that should notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One wrong version of one file.

    name: what is wrong, in words;   old: text that stands in the file exactly once;
        new: what stands there instead
    tests: files or single tests, as pytest takes them; the examples of the file itself are run with
        them
    equivalent: why no test can tell it from the code, where that is so
    """

    file: str
    name: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""

    @property
    def label(self) -> str:
        """File and name: what a pattern is matched with, and results are kept by."""
        return f"{self.file}: {self.name}"

    def apply(self, text: str) -> str:
        """The file's text made wrong; ValueError where the old text is not there exactly once.

        >>> Mutant("a.py", "a sum is a difference", "x + y", "x - y", ()).apply("z = x + y")
        'z = x - y'
        """
        count = text.count(self.old)
        if count != 1:
            raise ValueError(
                f"{self.label}: {self.old!r} is there {count} times, wanted once; mend it in"
                " tests/mutants."
            )
        return text.replace(self.old, self.new)


def of(file: str, tests: str, *rows: tuple[str, ...]) -> tuple[Mutant, ...]:
    """Mutants of one file that the same tests should notice.

    tests: separated by blanks;   rows: (name, old, new), or (name, old, new, why it is equivalent)
    """
    return tuple(
        Mutant(file, name, old, new, tuple(tests.split()), *why) for name, old, new, *why in rows
    )


def some(file: str, *tests: str) -> str:
    """Single tests of a file that takes long, as ``of`` takes them; every name without its
    ``test_``.

    >>> some("tests/test_a.py", "one", "two")
    'tests/test_a.py::test_one tests/test_a.py::test_two'
    """
    return " ".join(f"{file}::test_{test}" for test in tests)
