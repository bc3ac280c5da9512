"""The audit as one page that opens offline: every verdict with its evidence, pictures and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from agents.stress.attack import JUDGE, SELECT
from agents.stress.claims.claim import FAILS, HOLDS, INCONCLUSIVE, NO_GAIN, UNMET, UNTESTED, Finding
from marketenv.core.lookup import lookup
from marketenv.render import (
    Html,
    anchor,
    draw_bands,
    draw_lines,
    draw_network,
    figure,
    page,
    picture,
    table,
)
from scripts.audits.evidence import Audited, counted, told

# of the words that a verdict begins with, or a part of it: "fails as stated; holds under: a
# condition" has two
COLOURS = {
    **{
        HOLDS: "#17692f",
        NO_GAIN: "#0b6472",
        FAILS: "#b01020",
        INCONCLUSIVE: "#8a5200",
        UNMET: "#7a3e65",
    },
    UNTESTED.removesuffix(" here"): "#5c6370",
}
BROKEN = "#6f2da8"  # what could not be run
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
FIGURES = ("statistic", "mean", "95 % interval", "greatest sample", "samples")


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
    return page(
        "Audit of the claims",
        intro,
        [*tops, *((one.claim.id, section(one)) for one in audited)],
        STYLE,
    )


def badge(word: str, link: str = "") -> Html:
    """A verdict with its parts coloured by their words, as a link where it leads somewhere."""
    verdict, colon, condition = word.partition(": ")
    *first, last = verdict.split("; ")
    parts = " ".join(
        _coloured(part) for part in (*(f"{part};" for part in first), f"{last}{colon}{condition}")
    )
    return Html(
        f'<a class="verdict" href="#{anchor(link)}">{parts}</a>'
        if link
        else f'<span class="verdict">{parts}</span>'
    )


def _coloured(part: str) -> str:
    colour = next((colour for word, colour in COLOURS.items() if part.startswith(word)), BROKEN)
    return f'<span style="background: {colour}">{escape(part)}</span>'


def _summary(audited: Sequence[Audited]) -> str:
    rows = []
    for one in audited:
        name = escape(one.claim.id.rpartition("/")[2]).replace("_", "_<wbr>")
        link = Html(f'<a href="#{anchor(one.claim.id)}">{name}</a>')
        found, wanted = told(one), one.wanted(one.shown.condition)
        rows.append(
            (
                link,
                badge(one.word, one.claim.id),
                one.claim.words,
                f"{one.claim.paper}, {one.claim.place}",
                found,
                wanted,
            )
        )
    return f'<div class="summary">{table(SUMMARY, rows)}</div>'


def section(one: Audited) -> str:
    """All about one claim: what is said, the rule, the verdict and why, and every condition's
    evidence.
    """
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
    back = (
        f'<p class="note"><a href="#{anchor(f"Market: {claim.market}")}">back to the table</a></p>'
    )
    conditions = "".join(_condition(one, f) for f in one.verdict.found)
    return f"{words}<p>{badge(one.word)}</p>{_facts(facts)}{conditions}{back}"


def _facts(facts: Mapping[str, str]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in facts.items() if v)
        + "</dl>"
    )


def _condition(one: Audited, found: Finding) -> str:
    """What was measured under one condition."""
    name, head = found.condition, f"<h3>{escape(found.condition)}: "
    if name in one.errors:
        return (
            f'{head}{badge("could not be run")}</h3><p class="bad">{escape(one.errors[name])}</p>'
        )
    evidence = one.evidence[name]
    head += f"{badge(found.word)}</h3>"
    if evidence["untested"]:
        return f'{head}<p class="note">{escape(evidence["untested"])}</p>'
    facts = {
        "seeds": evidence["seeds"],
        "wanted": one.wanted(name),
        "counterexample": found.counterexample,
    }
    facts |= (
        {"what it changes": "what is said, so the claim does not hold by it"}
        if name in one.claim.corrections
        else {}
    )
    facts |= (
        {"premise": f"true in {_percent(evidence['premise'])} of the cases"}
        if evidence["premise"]
        else {}
    )
    facts |= (
        {"tolerances": f"relative to {evidence['scale']:.4g} {one.claim.unit}"}
        if one.claim.rule.tolerance
        else {}
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in evidence["notes"])
    rows = [
        (f.name, f"{f.mean:.4g}", _between(f.low, f.high), f"{f.most:.4g}", f.samples)
        for f in found.figures
    ]
    tables = "".join(
        f"<h3>{escape(t['title'])}</h3>{table(t['head'], _cells(t['rows']))}"
        for t in evidence["tables"]
    )
    return (
        head + _facts(facts) + table(FIGURES, rows) + notes + _pictures(evidence["series"]) + tables
    )


def _percent(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.2g} %"


def _between(low: float | None, high: float | None) -> str:
    return "too few samples" if low is None or high is None else f"{low:.4g} .. {high:.4g}"


def _cells(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [
        ["-" if v is None else f"{v:.4g}" if isinstance(v, float) else v for v in row]
        for row in rows
    ]


# --- pictures -------------------------------------------------------------------------------------


def _pictures(series: Sequence[Mapping[str, Any]]) -> str:
    drawn = []
    for one in series:
        draw, caption = lookup(PICTURES, one["kind"], "kind of picture")
        fig, (axes,) = figure(1, 5.6, 3.4)
        draw(axes, one)
        drawn.append(picture(fig, f"{one['title']}. {caption}"))
    return f'<div class="pictures">{"".join(drawn)}</div>' if drawn else ""


def _regret(axes: Axes, one: Mapping[str, Any]) -> None:
    draw_bands(
        axes,
        one["parameters"],
        one["mean"],
        one["low"],
        one["high"],
        one["title"],
        (one["x"], one["y"]),
    )
    if one.get("powers"):
        axes.set_xscale("log")
        # the page sets no formulas
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    if one.get("options"):
        names = [one["options"][int(k)] if k >= 0 else "as it was" for k in one["parameters"]]
        axes.set_xticks(one["parameters"], names, rotation=45, ha="right")


def _learning(axes: Axes, one: Mapping[str, Any]) -> None:
    labels = one.get("x", "steps of the learner"), one.get("y", "utility per episode")
    for name in ("utility", "truthful"):
        told = {"utility": "learner", "truthful": "truth"}[name]
        nothing = [None] * len(one[name])
        draw_bands(axes, one["steps"], one[name], nothing, nothing, one["title"], labels, told)


def _lines(axes: Axes, one: Mapping[str, Any]) -> None:
    curves = {name: np.array(runs, dtype=float) for name, runs in one["curves"].items()}
    draw_lines(axes, curves, one["title"], one["x"], one["y"])


def _network(axes: Axes, one: Mapping[str, Any]) -> None:
    draw_network(axes, np.array(one["money"], dtype=float), one["names"], one["title"])


# How a series of evidence is drawn, and what to know about it, by its kind.
PICTURES: dict[str, tuple[Callable[[Axes, Mapping[str, Any]], None], str]] = {
    "regret": (
        _regret,
        "Mean with its 95 % band where there are enough samples, the same seeds at every point.",
    ),
    "learning": (
        _learning,
        "What the learner earns in evaluations while it trains, beside what truth earns.",
    ),
    "lines": (_lines, "Means over runs; the shade holds their middle half."),
    "network": (_network, "Arrows lead from payer to payee; the width is money."),
}
