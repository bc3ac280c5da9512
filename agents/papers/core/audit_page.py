"""The audit as one page that opens offline: every verdict with its evidence, pictures and seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from marketenv.render import Html, anchor, notes, page, table

from .audit_contents import COLOURS, front, marks, style
from .audited import BROKEN, Audited, counted, decisive
from .pictures import pictures
from .shown import between, short
from .verdict import Finding

STYLE = """
body { max-width: 78rem; }
h2 { border-top: 2px solid #ccc; margin-top: 1.4rem; padding-top: .8rem; overflow-wrap: anywhere; }
.claim > p { margin: .5rem 0; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
.verdict span { color: #fff; border-radius: .3rem; padding: .1rem .5rem; font-weight: 600;
  display: inline-block; }
a.verdict { text-decoration: none; } a.verdict:hover { text-decoration: underline; }
blockquote { margin: .6rem 0; padding: .2rem 1rem; border-left: 4px solid #bbb; }
  .bad { color: #b01020; }
.pictures { display: flex; flex-wrap: wrap; gap: .5rem; } .pictures figure { margin: .4rem 0;
  max-width: 36rem; }
.summary td, .summary th { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.summary td:last-child { min-width: 6rem; } .summary td.long { min-width: 9rem; }
td { vertical-align: top; } td.long, td.mark { white-space: normal; text-align: left; }
  td.mark { min-width: 9rem; }
td.long { min-width: 12rem; max-width: 30rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0; }
  dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
.evidence { border: 1px solid #ddd; border-radius: .3rem; padding: .3rem .8rem; }
.evidence > summary { color: #444; }
@media (max-width: 600px) { dl { grid-template-columns: 1fr; } dd { margin: 0 0 .5rem; }
  td, th { padding: .25rem .4rem; }
  .summary td:nth-child(n + 4), .summary th:nth-child(n + 4) { display: none; }
  .summary td:last-child { min-width: 0; } td.long, td.mark { min-width: 7rem; } }
"""
SUMMARY = (
    "claim",
    "verdict",
    "the claim in short",
    "found (mean, 95 %; or greatest), with its unit",
    "wanted",
)
STATISTICS = ("statistic", "mean", "95 % interval", "greatest sample", "samples")


def write_page(audited: Sequence[Audited], budget: str) -> str:
    """The whole page as HTML."""
    claims = "1 claim" if len(audited) == 1 else f"{len(audited)} claims"
    intro = (
        f"{claims}, budget {budget}: {counted(one.kind for one in audited)}. Every"
        " verdict is computed from the samples by the claim's rule; conditions were listed"
        " beforehand. Intervals are 95 %, together over all statistics and conditions of a claim."
        " The samples themselves are in claims.json beside this page."
    )
    markets = dict.fromkeys(one.claim.market for one in audited)
    tops = [
        (f"Market: {m}", _summary([one for one in audited if one.claim.market == m]))
        for m in markets
    ]
    sections = [(one.claim.id, section(one)) for one in audited]
    rules = STYLE + style(audited)
    return page("Audit of the claims", intro, [*tops, *sections], rules, front(audited))


# --- verdicts -------------------------------------------------------------------------------------


def badge(word: str, link: str = "") -> Html:
    """A verdict with its parts coloured by their words, as a link where it leads somewhere.

    link: attributes of the link, "" for none
    """
    verdict, colon, condition = word.partition(": ")
    *first, last = verdict.split("; ")
    texts = (*(f"{part};" for part in first), f"{last}{colon}{condition}")
    parts = " ".join(map(_coloured, texts))
    if link:
        return Html(f'<a class="verdict" {link}>{parts}</a>')
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
        badge(one.word, f'href="#{anchor(claim.id)}" {marks(one)}'),
        claim.words,
        decisive(one),
        one.wanted(one.shown.condition),
    )


# --- one claim ------------------------------------------------------------------------------------


def section(one: Audited) -> str:
    """All about a claim: its words, its verdict and what decides; folded, its rule and evidence."""
    claim = one.claim
    place = f'<span class="note">{escape(claim.paper)}, {escape(claim.place)}</span>'
    words = f"<blockquote>{escape(claim.words)}<br>{place}</blockquote>"
    verdict = f"<p>{badge(one.word)}</p><p>{escape(decisive(one))}</p>"
    return f'<div class="claim" {marks(one)}>{words}{verdict}{_folded(one)}</div>'


def _folded(one: Audited) -> str:
    """The rule and the evidence of all conditions, folded below a line that says what there is."""
    claim, findings = one.claim, one.verdict.findings
    facts = {
        "statistic": f"{claim.statistic} [{claim.unit}]",
        "rule": one.wanted(one.shown.condition),
        "why": rounded(one.verdict.why),
        "counterexample": rounded(one.verdict.counterexample),
        "conditions": "; ".join(claim.conditions),
    }
    drawn = sum(len(part["series"]) for part in one.evidence.values())
    count = f"{len(findings)} conditions" if len(findings) > 1 else findings[0].condition
    pictures_of = f", {drawn} picture{'s' * (drawn > 1)}" if drawn else ""
    line = f"<summary>evidence: {escape(count)}{pictures_of}</summary>"
    conditions = "".join(_condition(one, finding) for finding in findings)
    table_of = anchor(f"Market: {claim.market}")
    back = f'<p class="note"><a href="#{table_of}">back to the table</a></p>'
    return f'<details class="evidence">{line}{_definitions(facts)}{conditions}{back}</details>'


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
        "counterexample": rounded(finding.counterexample),
        "what it changes": corrected if name in claim.corrections else "",
        "premise": f"true in {_percent(premise)} of the cases" if premise else "",
        "tolerances": scale if claim.rule.tolerance else "",
    }


def _definitions(facts: Mapping[str, str]) -> str:
    """The facts that are not empty as an HTML list; of seeds the second sentence is folded."""
    texts = {name: escape(text) for name, text in facts.items() if text}
    if "seeds" in texts:
        texts["seeds"] = _seeds(facts["seeds"])
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{text}</dd>' for name, text in texts.items())}</dl>"


def _seeds(text: str) -> str:
    """Which seeds, and folded how they were used."""
    which, _, how = map(escape, text.partition("; "))
    return f"<details><summary>{which}</summary>{how}</details>" if how else which


def rounded(text: str) -> str:
    """A text whose long decimal numbers have four digits.

    >>> rounded("asks [0.9690707310570351, 0.25], case 527, 1.234567e-05")
    'asks [0.9691, 0.25], case 527, 1.235e-05'
    """
    return re.sub(r"\d+\.\d{5,}(e[-+]?\d+)?", lambda found: f"{float(found[0]):.4g}", text)


def _percent(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.2g} %"
