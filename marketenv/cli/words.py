"""Arguments as words of a command line, such as ``n_agents=3``."""

from __future__ import annotations

import ast
from typing import Any


def key_and_text(word: str) -> tuple[str, str]:
    """The two sides of key=value; ValueError for a word of another form.

    >>> key_and_text("n_agents=3")
    ('n_agents', '3')
    """
    key, equals, text = word.partition("=")
    if not equals or not key.isidentifier():
        raise ValueError(f"arguments has {word!r}, wanted key=value, for instance n_agents=3.")
    return key, text


def value_of(text: str) -> Any:
    """A Python literal, an infinite number, or the text itself where it is neither.

    >>> value_of("(0, 1)"), value_of("inf"), value_of("first_price")
    ((0, 1), inf, 'first_price')
    """
    try:
        return float(text) if text.lstrip("+-") == "inf" else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def twice(word: str, key: str) -> ValueError:
    """Make the error for an argument that is given a second time."""
    return ValueError(f"arguments has {word!r} and another {key} before it; give it once.")
