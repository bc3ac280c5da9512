"""The board's numbers as they are shown: cells of tables, and a picture of rules by contenders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from marketenv.render import figure

from ..markets import STRATEGIES
from .contenders import CONTENDERS
from .judge import TRUTH
from .results import ROUNDING

Bounds = Sequence[float | None]
STANDING_HEAD = (
    *("rank", "contender", "gain over truth, money", "regret, money"),
    *("cells above truth", "cells below truth", "cells"),
)
BEST = (
    "Under each rule: who gains most over truth, and the regret of truth, which is what the"
    " best contender earns more. That best one is chosen in other episodes, so it can be another"
    " one than who gains most. Where the regret is not surely above 0, the board names nobody"
    " who surely beats truth; a strategy outside the board may."
)
WORDS = (
    "Of a learner: the facts of a round, at most three, that differ most from truth. Of a search:"
    " the deviation, or the strategies of the mixture with their shares. Where a contender has"
    ' several seeds, "or" stands between them.'
)
ENDS = {  # how PSRO says that it stopped
    "budget": "ended by its budget",
    "converged": "ended where nobody gained",
}
BEST_HEAD = ("place in a market", "rule", "who gains most", "regret of truth, money", "above 0?")
MEASURES = {  # by the name in a cell, the head of its column
    "utility": "utility, money",
    "gain": "gain over truth, money",
    "regret": "regret, money",
    "welfare": "welfare, money",
    "paid": "payments, money",
    "efficiency": "efficiency, %",
}


TRUTH_MEASURES = ("utility", "welfare", "paid", "efficiency")
TRUTH_HEAD = ("rule", *(MEASURES[name] for name in TRUTH_MEASURES))


def amount(value: float) -> str:
    """A number with three digits, and no minus before a zero.

    >>> amount(-0.04567), amount(1234.5), amount(-1e-15)
    ('-0.0457', '1,230', '0')
    """
    return "0" if abs(value) < ROUNDING else f"{Decimal(f'{value:.3g}'):,f}"


def bounds(interval: Bounds | None, percent: bool = False) -> str:
    """A mean with its interval, the mean alone where there is none, a dash for nothing.

    >>> bounds([0.5, 0.25, 0.75]), bounds([0.5, None, None], percent=True), bounds(None)
    ('0.5 [0.25, 0.75]', '50', '-')
    """
    if interval is None:
        return "-"
    parts = [None if one is None else amount(100 * one if percent else one) for one in interval]
    mean, low, high = parts
    return f"{mean}" if low is None else f"{mean} [{low}, {high}]"


def verdict(gain: Bounds) -> str:
    """Whether a gain is surely above 0 ("above"), surely below ("below"), or neither ("").

    >>> verdict([0.5, 0.25, 0.75]), verdict([0.5, None, None]), verdict([0.0, -1e-9, 1e-9])
    ('above', '', '')
    """
    _, low, high = gain
    if low is None or high is None:
        return ""
    return "above" if low > ROUNDING else "below" if high < -ROUNDING else ""


def standing_rows(division: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The standings of a division as rows below ``STANDING_HEAD``."""
    return [
        (
            rank,
            one["contender"],
            bounds(one["gain"]),
            amount(one["regret"]),
            *(one[name] for name in ("above", "below", "cells")),
        )
        for rank, one in enumerate(division["standings"], 1)
    ]


def by_rule(division: Mapping[str, Any]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Contender to rule to cell: means over scenarios, in the order of the standings."""
    rows: dict[str, dict[str, Mapping[str, Any]]] = {
        one["contender"]: {} for one in division["standings"]
    }
    for cell in division["rules"]:
        if cell["contender"] in rows:
            rows[cell["contender"]][cell["rule"]] = cell
    return rows


def rules_of(division: Mapping[str, Any]) -> list[str]:
    """The names of a division's rules."""
    return list(division["arguments"])


def best_rows(division: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """By rule: who gains most over truth, the regret of truth, and whether it surely is one."""
    rows, shown = by_rule(division), []
    for rule in rules_of(division):
        cells = [row[rule] for row in rows.values() if rule in row]
        best = max(cells, key=lambda cell: cell["gain"][0])
        name = best["contender"] if best["gain"][0] > ROUNDING else "nobody"
        regret = rows[TRUTH][rule]["regret"]
        sure = "yes" if verdict(regret) == "above" else "not surely"
        shown.append((rule, name, bounds(regret), sure))
    return shown


def truth_rows(division: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """By rule, as ``TRUTH_HEAD`` says: what truth earns, and what the market then does."""
    cells = by_rule(division)[TRUTH]
    return [(rule, *measured(cells[rule], TRUTH_MEASURES)) for rule in rules_of(division)]


def measured(cell: Mapping[str, Any], names: Iterable[str] = MEASURES) -> list[str]:
    """Some measures of a cell as text."""
    return [bounds(cell[name], percent=name == "efficiency") for name in names]


def gain_rows(division: Mapping[str, Any], shown: Callable[[Bounds], str]) -> list[tuple[str, ...]]:
    """By contender, its gain over truth under every rule; a dash where it does not play.

    shown: an interval as text
    """
    rules = rules_of(division)
    return [
        (name, *(shown(row[rule]["gain"]) if rule in row else "-" for rule in rules))
        for name, row in by_rule(division).items()
    ]


def about(division: Mapping[str, Any]) -> list[str]:
    """How a division was played, in sentences."""
    scenarios = [f"{name}: {words}" for name, words in division["scenarios"].items()]
    common = _common(list(division["arguments"].values()))
    arguments = ", ".join(f"{name}={value!r}" for name, value in common.items())
    episodes = division["rules"][0]["episodes"]
    same = ", ".join(division["same"])
    return [
        f"Market: {division['market']}({arguments}); place: {division['agent']}.",
        *scenarios,
        f"Budget {division['budget']}; {episodes:,} episodes of each scenario; seeds of trainings"
        f" {', '.join(map(str, division['seeds']))}. Command: {division['command']}",
        *([f"These play as truth does in this place: {same}."] if same else []),
    ]


def _common(arguments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments that all rules share."""
    first, *others = arguments
    return {
        name: value
        for name, value in first.items()
        if all(name in one and one[name] == value for one in others)
    }


def summary_of(contender: str) -> str:
    """What a contender is, in one sentence; of one that a former board alone knows, just that."""
    known = CONTENDERS.get(contender) or STRATEGIES.get(contender)
    return "No contender any more." if known is None else known.summary


def words_of(division: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What learners and searches came to do: contender, rule, words."""
    rows = []
    for contender, cells in by_rule(division).items():
        for rule, cell in cells.items():
            texts = [plain(words) for words in cell["seeds"].values() if words]
            if texts:
                rows.append((contender, rule, "; or ".join(texts)))
    return rows


def plain(words: str) -> str:
    """What a contender does, with a mixture's chances and end in words.

    >>> plain("24% truthful, 76% 1: bid 0.2 times the worth; budget")
    '24 %: truthful, 76 %: bid 0.2 times the worth; ended by its budget'
    >>> plain("100% 2: bid 0.2 times the worth; converged")
    'always bid 0.2 times the worth; ended where nobody gained'
    >>> plain("received 0.0829 (truth 1.3e-16)")  # what is left over by rounding
    'received 0.0829 (truth 0)'
    """
    words = re.sub(r"-?\b[\d.]+e-(?:0[7-9]|[1-9]\d+)", "0", words)
    mixture, _, end = words.rpartition("; ")
    if end not in ENDS:
        return words
    mixture = re.sub(r"(^|, )(\d+)% (?:\d+: )?", r"\1\2 %: ", mixture).replace("100 %: ", "always ")
    return f"{mixture}; {ENDS[end]}"


def heat_map(division: Mapping[str, Any]) -> Figure:
    """Gains over truth by contender and rule: blue above truth, red below.

    The colour is that of sign(g) ln(1 + |g| / s), with s a tenth of the median utility of truth.
    """
    rows, rules = by_rule(division), rules_of(division)
    gains = np.full((len(rows), len(rules)), np.nan)
    for y, row in enumerate(rows.values()):
        for x, rule in enumerate(rules):
            gains[y, x] = row[rule]["gain"][0] if rule in row else np.nan
    truth = [abs(rows[TRUTH][rule]["utility"][0]) for rule in rules]
    scale = max(float(np.median(truth)) / 10, 1e-3)
    colours = np.sign(gains) * np.log1p(np.abs(gains) / scale)
    most = max(float(np.nanmax(np.abs(colours))), 1e-9)
    fig, (axes,) = figure(width=3.2 + 1.35 * len(rules), height=1.3 + 0.27 * len(rows))
    axes.imshow(colours, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    for y, row in enumerate(rows.values()):
        for x, rule in enumerate(rules):
            if rule in row:
                gain = row[rule]["gain"]
                weight = "bold" if verdict(gain) else "normal"
                colour = "white" if abs(colours[y, x]) > 0.6 * most else "black"
                place = {"ha": "center", "va": "center", "size": 7}
                axes.text(x, y, amount(gain[0]), place, weight=weight, color=colour)
    axes.set_xticks(range(len(rules)), [rule.replace(", ", ",\n") for rule in rules], size=7)
    axes.set_yticks(range(len(rows)), list(rows), size=7)
    axes.set_title("gain over truth, money; bold: surely not 0", size=9)
    return fig
