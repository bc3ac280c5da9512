"""A page that stands alone: tables and pictures in one HTML file that opens offline."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from html import escape

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: .87rem; } .wide { overflow-x: auto; }
td, th { padding: .28rem .7rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap; }
td.long { white-space: normal; min-width: 18rem; }
td.long, .words, td:first-child, th:first-child { text-align: left; }
thead th { border-bottom: 2px solid #888; }
img { max-width: 100%; } .note { color: #555; font-size: .9rem; }
"""

# how a cell with a number begins
NUMBER = re.compile(r"\s*[-+\u2212±~≈<>≤≥]?\s*(\.?\d|∞|(nan|inf)\b)")


class Html(str):
    """Text that is HTML already: ``table`` shows it as it is."""


def png(fig: Figure) -> bytes:
    """The figure as PNG bytes, equal for equal figures; a $ in a name begins no formula."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"text.parse_math": False}):  # of labels that are made while drawing
        for text in fig.findobj(Text):
            text.set_parse_math(False)
        fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def image(content: bytes, words: str) -> str:
    """A PNG file's bytes as an HTML image that holds its own data.

    words: what is shown, for those who do not see it
    """
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'


def picture(fig: Figure, caption: str) -> str:
    """The figure as an HTML image that holds its own data, with a caption."""
    words = f'<figcaption class="note">{escape(caption)}</figcaption>'
    return f"<figure>{image(png(fig), caption)}{words}</figure>"


def notes(texts: Iterable[str]) -> str:
    """Texts as small paragraphs; each is escaped.

    >>> notes(["1 < 2."])
    '<p class="note">1 &lt; 2.</p>'
    """
    return "".join(f'<p class="note">{escape(text)}</p>' for text in texts)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table; every cell is escaped that is not ``Html``, and words stand on the left."""
    words = [_words(column) for column in zip(*rows, strict=True)] or [False] * len(head)
    top = "".join(_tag("th", h, column) for h, column in zip(head, words, strict=True))
    body = "".join("<tr>" + "".join(map(_cell, row, words)) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _words(column: Sequence[object]) -> bool:
    """Whether no cell of a column begins with a number."""
    return not any(NUMBER.match(re.sub(r"<[^>]*>", "", str(cell))) for cell in column)


def _cell(value: object, words: bool) -> str:
    return _tag("td", value, words, long=not isinstance(value, Html) and len(str(value)) > 40)


def _tag(tag: str, value: object, words: bool, long: bool = False) -> str:
    """A cell with the classes that its style goes by."""
    marks = {"mark": isinstance(value, Html), "long": long, "words": words}
    names = " ".join(name for name, holds in marks.items() if holds)
    shown = value if isinstance(value, Html) else escape(str(value))
    return f'<{tag} class="{names}">{shown}</{tag}>' if names else f"<{tag}>{shown}</{tag}>"


def anchor(heading: str) -> str:
    """The id of the section with this heading, for links within a page.

    >>> anchor("second_price/truth: best?")
    'second_price-truth-best'
    """
    return re.sub(r"[^\w]+", "-", heading).strip("-")


def page(
    title: str,
    intro: str,
    sections: Sequence[tuple[str, str]],
    style: str = "",
    front: str = "",
) -> str:
    """One HTML document from (heading, inner HTML) sections; title, intro and headings are escaped.

    style: rules of CSS beside the page's own;   front: HTML between the intro and the sections
    """
    parts = "".join(
        f'<section id="{anchor(heading)}"><h2>{escape(heading)}</h2>{inner}</section>'
        for heading, inner in sections
    )
    name, rules = escape(title), STYLE + style
    head = (
        '<meta charset="utf-8"><meta name="viewport"'
        f' content="width=device-width"><title>{name}</title><style>{rules}</style>'
    )
    body = f"<h1>{name}</h1><p>{escape(intro)}</p>{front}{parts}"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'
