"""Read what the tests need of a Markdown page: code blocks, links, sections, tables."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(text):
    """Python blocks as (number of lines before the code, code)."""
    return [
        (text[: m.start(2)].count("\n"), m[2]) for m in FENCED.finditer(text) if m[1] == "python"
    ]


def links(text):
    """Relative links outside code as (path, anchor)."""
    prose = re.sub(r"`[^`]*`", "", FENCED.sub("", re.sub(r"`([^`]*)`\]\(", r"\1](", text)))
    found = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target]
    return [tuple((*target.split("#"), "")[:2]) for target in found]


def section(text, title):
    """What stands under a heading, up to the next heading of its level or above."""
    start = re.search(rf"^(#+) {re.escape(title)}\n", text, re.M)
    assert start, f"no heading {title!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.M)
    return rest[: end.start()] if end else rest


def cells(text):
    """All table lines as lists of cells; rules like |---|---| are left out."""
    lines = [
        line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|- ")
    ]
    return [
        [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        for line in lines
    ]


def table(text, first):
    """Rows of the table whose head begins with ``first``."""
    for part in re.split(r"\n\s*\n", text):
        lines = cells(part)
        if lines and lines[0][0] == first:
            return lines[1:]
    raise AssertionError(f"no table that begins with {first!r}")
