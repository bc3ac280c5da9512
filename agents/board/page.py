"""The board as one HTML page that opens offline, and as a table of comma-separated values."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from marketenv.render import Html, anchor, notes, page, picture, table

from .shown import (
    BEST,
    BEST_HEAD,
    MEASURES,
    STANDING_HEAD,
    TRUTH_HEAD,
    WORDS,
    Bounds,
    about,
    best_rows,
    bounds,
    by_rule,
    gain_rows,
    heat_map,
    measured,
    rules_of,
    standing_rows,
    summary_of,
    truth_rows,
    verdict,
    words_of,
)

INTRO = (
    "Strategies, learners and searches take one place in a market, among a fixed mix of"
    " strategies that no learner met in its training, under each payment rule. A gain is what"
    " the contender earns more than truth in its place, on the same seeds. A regret is what the"
    " best contender of the board earns more; the best is chosen in one half of the episodes,"
    " and the regret measured in the other. Welfare is the sum of all agents' utilities and of"
    " what accounts take (the house of an auction), payments the sum of what agents pay, and"
    " efficiency the welfare as a part of that where all agents are truthful. Brackets are 95 %"
    " intervals over episodes, for the policies as they were trained; they are left out where"
    " there are too few episodes for an honest interval. Where a contender has several seeds, it"
    " counts by their mean. Surely above or below means that the interval lies on that side of"
    " 0; each interval stands for itself, and of twenty about one misses. Ranks put contenders"
    " that play under more rules first, and then those that gain more; a cell is one rule in one"
    " scenario."
)
STYLE = """
.above { color: #1a7f37; font-weight: 600; } .below { color: #b42318; font-weight: 600; }
nav { display: flex; flex-wrap: wrap; gap: .2rem .8rem; }
details { margin: .8rem 0; } summary { cursor: pointer; }
@media print { nav { display: none; } }
"""
ABOUT = ("division", "rule", "scenario", "contender", "episodes", "seeds")


def board_page(board: Mapping[str, Any]) -> str:
    """The whole board."""
    divisions = board["divisions"]
    links = "".join(f'<a href="#{anchor(name)}">{name}</a>' for name in divisions)
    best = [(name, *row) for name, one in divisions.items() for row in best_rows(one)]
    sections = [("Does anybody earn more than truth?", notes([BEST]) + table(BEST_HEAD, best))]
    sections += [(name, _division(one)) for name, one in divisions.items()]
    return page("The board", INTRO, sections, STYLE, f"<nav>{links}</nav>")


def _division(division: Mapping[str, Any]) -> str:
    contenders = [(name, summary_of(name)) for name in by_rule(division)]
    words = ("contender", "rule", "words")
    parts = [
        notes([division["words"], *about(division)]),
        table(STANDING_HEAD, standing_rows(division)),
        picture(heat_map(division), "Gain over truth of every contender under every rule."),
        "<h3>Gain over truth by rule, money</h3>",
        table(("contender", *rules_of(division)), gain_rows(division, _coloured)),
        "<h3>Truth under each rule</h3>",
        table(TRUTH_HEAD, truth_rows(division)),
        _folded("What learners and searches do", words, words_of(division), WORDS),
        _folded("Every rule and scenario", *_measured(division["cells"])),
        _folded("The contenders", ("contender", "what it is"), contenders),
    ]
    return "".join(parts)


def _coloured(gain: Bounds) -> Html:
    return Html(f'<span class="{verdict(gain)}">{escape(bounds(gain))}</span>')


def _folded(
    title: str, head: Sequence[str], rows: Sequence[Sequence[object]], note: str = ""
) -> str:
    text = notes([note] if note else [])
    return f"<details><summary>{title}</summary>{text}{table(head, rows)}</details>"


def _measured(cells: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The head and the rows of all measures of some cells."""
    names = ("rule", "scenario", "contender")
    rows = [(*(cell[name] for name in names), *measured(cell)) for cell in cells]
    return (*names, *MEASURES.values()), rows


def board_csv(board: Mapping[str, Any]) -> str:
    """Every cell in a line, best contenders of a division first; numbers in full."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    ends = ("", "_low", "_high")
    writer.writerow([*ABOUT, *(f"{name}{end}" for name in MEASURES for end in ends)])
    for name, division in board["divisions"].items():
        places = [one["contender"] for one in division["standings"]]
        known = [cell for cell in division["cells"] if cell["contender"] in places]
        for cell in sorted(known, key=lambda cell: places.index(cell["contender"])):
            facts = {**cell, "division": name, "seeds": " ".join(cell["seeds"])}
            numbers = [bound for one in MEASURES for bound in cell[one] or (None,) * len(ends)]
            writer.writerow([*(facts[column] for column in ABOUT), *numbers])
    return text.getvalue()


def read_board(file: Path) -> dict[str, Any]:
    """The divisions of a file that a former run wrote, by name; none where there is no file.

    Raises ValueError for a damaged file.
    """
    if not file.exists():
        return {}
    try:
        divisions: dict[str, Any] = json.loads(file.read_text("utf8"))["divisions"]
        board_csv({"divisions": divisions})
        for one in divisions.values():
            about(one), best_rows(one), truth_rows(one), words_of(one)  # all that pages show
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} is damaged: it holds no board. Move it away and give the commands of its"
            " divisions again: finished work is kept in the folder units."
        ) from error
    return divisions
