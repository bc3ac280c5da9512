"""What stays in sight on the audit's page: the legend of verdicts, the contents and the filters.

The page holds no program: a filter is a rule of CSS that a chosen option switches on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from marketenv.render import anchor

from ...stress.attack import JUDGE, SELECT
from .audited import BROKEN, Audited
from .words import FAILS, HOLDS, INCONCLUSIVE, NO_GAIN, UNMET, UNTESTED

# by the word that a verdict, or a part of it, begins with: "fails as stated; holds under: a
# condition" has two parts
COLOURS = {
    HOLDS: "#17692f",
    NO_GAIN: "#0b6472",
    FAILS: "#b01020",
    INCONCLUSIVE: "#8a5200",
    UNMET: "#7a3e65",
    UNTESTED.removesuffix(" here"): "#5c6370",
    BROKEN: "#6f2da8",
}
MEANINGS = {  # what each word of COLOURS says about the claim
    HOLDS: "The measurements confirm the claim within its tolerance.",
    NO_GAIN: "A search found no deviation that pays. It could have missed one.",
    FAILS: "The measurements contradict the claim. A counterexample is shown.",
    INCONCLUSIVE: "The interval contains the tolerance, or there are too few samples.",
    UNMET: "The claim has a premise that fewer than a tenth of the cases meet.",
    UNTESTED.removesuffix(" here"): "The paper's own setting is not here; the claim says why.",
    BROKEN: "The experiment stopped with an error.",
}
HOW_TO_READ = (
    "A verdict can have two parts: “as stated” is the claim in the paper's own setting, “under” is"
    " the same claim under a condition that was listed before the audit. A gain that a search finds"
    " is a lower bound of what a deviation can bring. It is judged on other seeds than those on"
    f" which it was chosen: SELECT + k is seed {SELECT} + k, JUDGE + k is seed {JUDGE} + k."
    " Evidence is folded: select “evidence” to open it. A print holds the evidence that is open."
)
STYLE = """
.word span { color: #fff; border-radius: .3rem; padding: .1rem .5rem; font-weight: 600; }
.legend dl { grid-template-columns: max-content 1fr; } .legend dd { max-width: 44rem; }
summary { cursor: pointer; } .contents ul { list-style: none; margin: .2rem 0 .8rem;
  padding: 0; } .contents li { margin: .1rem 0; overflow-wrap: anywhere; }
.contents li a { color: inherit; text-decoration: none; } .contents a:hover {
  text-decoration: underline; }
.contents label { display: block; color: #555; font-size: .85rem; margin: .3rem 0; }
.contents select { display: block; width: 100%; font: inherit; }
.contents { background: #fff; font-size: .87rem; z-index: 1; } .dot { display: inline-block;
  width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
@media (max-width: 1099px) {
  .contents { position: sticky; top: 0; border-bottom: 1px solid #bbb; padding: .5rem 0; }
  .contents > details[open] { max-height: 70vh; overflow-y: auto; }
  section { scroll-margin-top: 3rem; }
  .word span { color: #fff; border-radius: .3rem; padding: .1rem .5rem; font-weight: 600; }
.legend dl { grid-template-columns: 1fr; }
}
@media (min-width: 1100px) {
  body { margin: 2rem 2rem 2rem 18rem; }
  .contents { position: fixed; inset: 0 auto 0 0; width: 15rem; overflow-y: auto;
    padding: 1rem; border-right: 1px solid #ccc; }
  .contents > details::details-content { content-visibility: visible; block-size: auto; }
  .contents > details > summary { display: none; }
}
@media print {
  body { margin: 0; } .contents { display: none; } section { break-inside: auto; }
  h2, h3, summary { break-after: avoid; } span { print-color-adjust: exact; }
}
"""


def parts(word: str) -> list[str]:
    """The words of a verdict, without conditions.

    >>> parts("fails as stated; no gain above eps found under: with patience")
    ['fails', 'no gain above eps found']
    """
    kinds = word.partition(": ")[0].split("; ")
    return [next(word for word in COLOURS if kind.startswith(word)) for kind in kinds]


def marks(one: Audited) -> str:
    """A claim's verdict, market and paper as attributes of an HTML element, for the filters."""
    values = {
        "verdict": " ".join(map(anchor, parts(one.word))),
        "market": anchor(one.claim.market),
        "paper": anchor(one.claim.paper),
    }
    return " ".join(f'data-{name}="{value}"' for name, value in values.items())


def front(audited: Sequence[Audited]) -> str:
    """The legend of verdicts, and the contents with the filters."""
    lists = "".join(
        _market(name, [one for one in audited if one.claim.market == name])
        for name in dict.fromkeys(one.claim.market for one in audited)
    )
    chosen = "".join(_select(name, labels) for name, labels in _options(audited).items())
    contents = f"<summary>Contents and filters</summary>{chosen}{lists}"
    return f'{legend()}<nav class="contents"><details>{contents}</details></nav>'


def style(audited: Sequence[Audited]) -> str:
    """The rules of CSS of the front: an option hides the claims that it does not name."""
    hidden = [
        f'body:has(option[value="{name}-{mark}"]:checked) :is(section, .summary tr, .contents ul,'
        f' .contents li):has([data-{name}]):not(:has([data-{name}~="{mark}"]))'
        for name, labels in _options(audited).items()
        for mark in labels
    ]
    return STYLE + f"{', '.join(hidden)} {{ display: none; }}\n"


def legend() -> str:
    """What every word of a verdict means."""
    rows = "".join(
        f'<dt class="word"><span style="background: {COLOURS[word]}">{escape(word)}</span></dt>'
        f"<dd>{escape(text)}</dd>"
        for word, text in MEANINGS.items()
    )
    title = "<summary><b>What the verdicts mean</b></summary>"
    return f'<details class="legend" open>{title}<dl>{rows}</dl><p>{HOW_TO_READ}</p></details>'


def _market(name: str, audited: Sequence[Audited]) -> str:
    """The claims of a market as links; a dot has the colour of the verdict's first word."""
    rows = "".join(
        f'<li><a href="#{anchor(one.claim.id)}" title="{escape(one.word)}" {marks(one)}>'
        f'<span class="dot" style="background: {COLOURS[parts(one.word)[0]]}"></span>'
        f"{escape(one.claim.id.rpartition('/')[2]).replace('_', '_<wbr>')}</a></li>"
        for one in audited
    )
    head = f'<li><a href="#{anchor(f"Market: {name}")}"><b>{escape(name)}</b></a></li>'
    return f"<ul>{head}{rows}</ul>"


def _options(audited: Sequence[Audited]) -> dict[str, dict[str, str]]:
    """By filter: the label of every option, by its mark; filters with one option are left out."""
    words = Counter(word for one in audited for word in set(parts(one.word)))
    names = {
        "verdict": {word: words[word] for word in COLOURS if word in words},
        "market": Counter(one.claim.market for one in audited),
        "paper": Counter(one.claim.paper for one in audited),
    }
    return {
        name: {anchor(text): f"{text} ({count})" for text, count in counts.items()}
        for name, counts in names.items()
        if len(counts) > 1
    }


def _select(name: str, labels: Mapping[str, str]) -> str:
    options = "".join(
        f'<option value="{name}-{mark}">{escape(label)}</option>' for mark, label in labels.items()
    )
    first = f'<option value="">all {name}s</option>'
    begin = f'<label>{name}<select name="{name}" autocomplete="off">'
    return f"{begin}{first}{options}</select></label>"
