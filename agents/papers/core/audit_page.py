"""The audit as one page that opens offline: every verdict with its evidence, pictures and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from marketenv.render import Html, anchor, notes, page, table

from ...stress.attack import JUDGE, SELECT
from .audited import BROKEN, Audited, counted, decisive
from .pictures import pictures
from .shown import between, short
from .verdict import Finding
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
STYLE = """
body { max-width: 78rem; }
h2 { border-top: 2px solid #ccc; padding-top: 1.2rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
.verdict span { color: #fff; border-radius: .3rem; padding: .1rem .5rem; font-weight: 600;
  display: inline-block; }
a.verdict { text-decoration: none; } a.verdict:hover { text-decoration: underline; }
blockquote { margin: .6rem 0; padding: .2rem 1rem; border-left: 4px solid #bbb; }
  .bad { color: #b01020; }
.pictures { display: flex; flex-wrap: wrap; gap: .5rem; } .pictures figure { margin: .4rem 0;
  max-width: 36rem; }
.summary td, .summary th { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.summary td:last-child { min-width: 8rem; }
td { vertical-align: top; } td.long, td.mark { white-space: normal; text-align: left; }
  td.mark { min-width: 9rem; }
td.long { min-width: 12rem; max-width: 30rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0; }
  dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
"""
SUMMARY = (
    "claim",
    "verdict",
    "the claim in short",
    "place",
    "found (mean, 95 %; or greatest), with its unit",
    "wanted",
)
STATISTICS = ("statistic", "mean", "95 % interval", "greatest sample", "samples")


def write_page(audited: Sequence[Audited], budget: str) -> str:
    """The whole page as HTML."""
    intro = (
        f"{len(audited)} claims, budget {budget}: {counted(one.kind for one in audited)}. Every"
        " verdict is computed from the samples by the claim's rule; conditions were listed"
        " beforehand. Intervals are 95 %, together over all statistics and conditions of a claim."
        " A gain that a search finds is a lower bound of what deviating can bring, judged on seeds"
        f" that it was not chosen on: SELECT + k is seed {SELECT} + k, JUDGE + k is {JUDGE} + k."
        " The samples themselves are in claims.json beside this page."
    )
    markets = dict.fromkeys(one.claim.market for one in audited)
    tops = [
        (f"Market: {m}", _summary([one for one in audited if one.claim.market == m]))
        for m in markets
    ]
    sections = [(one.claim.id, section(one)) for one in audited]
    return page("Audit of the claims", intro, [*tops, *sections], STYLE)


# --- verdicts -------------------------------------------------------------------------------------


def badge(word: str, link: str = "") -> Html:
    """A verdict with its parts coloured by their words, as a link where it leads somewhere."""
    verdict, colon, condition = word.partition(": ")
    *first, last = verdict.split("; ")
    texts = (*(f"{part};" for part in first), f"{last}{colon}{condition}")
    parts = " ".join(map(_coloured, texts))
    if link:
        return Html(f'<a class="verdict" href="#{anchor(link)}">{parts}</a>')
    return Html(f'<span class="verdict">{parts}</span>')


def _coloured(part: str) -> str:
    colour = next(colour for word, colour in COLOURS.items() if part.startswith(word))
    return f'<span style="background: {colour}">{escape(part)}</span>'


def _summary(audited: Sequence[Audited]) -> str:
    return f'<div class="summary">{table(SUMMARY, list(map(_summary_row, audited)))}</div>'


def _summary_row(one: Audited) -> tuple[str, ...]:
    claim = one.claim
    name = escape(claim.id.rpartition("/")[2]).replace("_", "_<wbr>")
    return (
        Html(f'<a href="#{anchor(claim.id)}">{name}</a>'),
        badge(one.word, claim.id),
        claim.words,
        f"{claim.paper}, {claim.place}",
        decisive(one),
        one.wanted(one.shown.condition),
    )


# --- one claim ------------------------------------------------------------------------------------


def section(one: Audited) -> str:
    """All about a claim: its words, its rule, its verdict and why, each condition's evidence."""
    claim = one.claim
    facts = {
        "statistic": f"{claim.statistic} [{claim.unit}]",
        "rule": one.wanted(one.shown.condition),
        "why": one.verdict.why,
        "counterexample": one.verdict.counterexample,
        "conditions": "; ".join(claim.conditions),
    }
    place = f'<span class="note">{escape(claim.paper)}, {escape(claim.place)}</span>'
    words = f"<blockquote>{escape(claim.words)}<br>{place}</blockquote>"
    top = anchor(f"Market: {claim.market}")
    back = f'<p class="note"><a href="#{top}">back to the table</a></p>'
    conditions = "".join(_condition(one, finding) for finding in one.verdict.findings)
    return f"{words}<p>{badge(one.word)}</p>{_definitions(facts)}{conditions}{back}"


def _condition(one: Audited, finding: Finding) -> str:
    """What was measured under one condition."""
    name = finding.condition
    error = one.errors.get(name)
    word = finding.word if error is None else BROKEN
    head = f"<h3>{escape(name)}: {badge(word)}</h3>"
    if error is not None:
        return f'{head}<p class="bad">{escape(error)}</p>'
    evidence = one.evidence[name]
    if evidence["untested"]:
        return head + notes([evidence["untested"]])
    rows = [
        (s.name, short(s.mean), between(s.low, s.high, "too few samples"), short(s.most), s.samples)
        for s in finding.statistics
    ]
    tables = "".join(
        f"<h3>{escape(t['title'])}</h3>{table(t['head'], [list(map(short, r)) for r in t['rows']])}"
        for t in evidence["tables"]
    )
    judged = _definitions(_facts(one, finding)) + table(STATISTICS, rows)
    return head + judged + notes(evidence["notes"]) + pictures(evidence["series"]) + tables


def _facts(one: Audited, finding: Finding) -> dict[str, str]:
    """What to know about the evidence of a condition, "" where there is nothing to know."""
    claim, name = one.claim, finding.condition
    evidence = one.evidence[name]
    premise, scale = evidence["premise"], f"relative to {evidence['scale']:.4g} {claim.unit}"
    corrected = "what is said, so the claim does not hold by it"
    return {
        "seeds": evidence["seeds"],
        "wanted": one.wanted(name),
        "counterexample": finding.counterexample,
        "what it changes": corrected if name in claim.corrections else "",
        "premise": f"true in {_percent(premise)} of the cases" if premise else "",
        "tolerances": scale if claim.rule.tolerance else "",
    }


def _definitions(facts: Mapping[str, str]) -> str:
    """The facts that are not empty as an HTML list."""
    parts = "".join(
        f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text
    )
    return f"<dl>{parts}</dl>"


def _percent(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.2g} %"
