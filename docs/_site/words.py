"""Words of docstrings as Markdown that shows them as they are."""

from __future__ import annotations

import re

CODE = re.compile(r"(``.+?``|`.+?`|docs/[\w/]+\.md|(?<!\S)\[[a-z][\w, ()+-]*\])")


def plain(text: str) -> str:
    """Words in which Markdown finds nothing but code, shapes and the pages that they name."""
    parts = CODE.split(" ".join(text.split()))
    parts[::2] = [re.sub(r"([*_<\[\]])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [_code(part) for part in parts[1::2]]
    return "".join(parts)


def _code(text: str) -> str:
    """A shape as code, and a page's path as a link."""
    if text.startswith("docs/"):
        return f"[`{text}`](../{text[5:]})"
    return text if text.startswith("`") else f"`{text}`"
