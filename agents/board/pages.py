"""The board's pages in the documentation: an overview, and one page a market."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marketenv.envs.make import short_name
from marketenv.render import png

from ..papers.core.headlines import WIDTH
from ..papers.core.units import replace
from .page import INTRO
from .shown import (
    BEST,
    BEST_HEAD,
    STANDING_HEAD,
    TRUTH,
    TRUTH_HEAD,
    WORDS,
    about,
    best_rows,
    bounds,
    by_rule,
    gain_rows,
    heat_map,
    rules_of,
    standing_rows,
    summary_of,
    truth_rows,
    verdict,
    words_of,
)

FOLDER, OVERVIEW, RESULTS = "board", "board.md", "results.json"
MARKS = {"above": " ▲", "below": " ▼", "": ""}
WRITTEN = (
    "With `--docs docs` the command writes these pages too. How to add a contender:"
    " [stress-testing](guides/stress_testing.md#the-board)."
)

PLACES_HEAD = ("place in a market", "first three, gain over truth, money", "rank of truth", "of")


def write_pages(board: Mapping[str, Any], docs: Path) -> None:
    """Write overview, a page a market, a picture a division and the results into the docs."""
    (docs / FOLDER / "pictures").mkdir(parents=True, exist_ok=True)
    replace(docs / FOLDER / RESULTS, json.dumps(board).encode())
    for name, text in pages(board).items():
        replace(docs / name, text.encode())
    for name, division in board["divisions"].items():
        replace(docs / FOLDER / "pictures" / f"{name}.png", png(heat_map(division)))


def pages(board: Mapping[str, Any]) -> dict[str, str]:
    """The pages' texts by their paths in the documentation."""
    by_market: dict[str, dict[str, Any]] = {}
    for name, division in board["divisions"].items():
        by_market.setdefault(page_name(division["market"]), {})[name] = division
    texts = {
        f"{FOLDER}/{market}.md": _market(market, divisions)
        for market, divisions in by_market.items()
    }
    return {OVERVIEW: _overview(by_market), **texts}


def page_name(market: str) -> str:
    """The name of a market's page.

    >>> page_name("parameter_trading_v0")
    'parameter_trading'
    """
    return short_name(market).rpartition("_v")[0]


def _overview(by_market: Mapping[str, Mapping[str, Any]]) -> str:
    """The first places of all divisions, and the best contender under every rule."""
    places, best, commands = [], [], []
    for market, divisions in by_market.items():
        for name, division in divisions.items():
            link = f"[{name}]({FOLDER}/{market}.md#{name})"
            places.append((link, *_places(division)))
            best += [(link, *row) for row in best_rows(division)]
            commands.append(division["command"])
    lines = ["# The board", "", *_wrapped(INTRO), "", "## First places", ""]
    lines += _table(PLACES_HEAD, places)
    lines += ["", "## Does anybody earn more than truth?", "", *_wrapped(BEST), ""]
    lines += _table(BEST_HEAD, best)
    lines += ["", "## How it was made", ""]
    lines += [f"    {command}" for command in dict.fromkeys(commands)]
    return "\n".join([*lines, "", *_wrapped(WRITTEN)]) + "\n"


def _places(division: Mapping[str, Any]) -> tuple[str, str, str]:
    """The first three with their gains, truth's rank, and the number of contenders."""
    first = "; ".join(f"{row[1]} {row[2]}" for row in standing_rows(division)[:3])
    names = [one["contender"] for one in division["standings"]]
    return first, str(names.index(TRUTH) + 1), str(len(names))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _market(market: str, divisions: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of one market."""
    title = market.replace("_", " ").capitalize()
    lines = [f"# {title}: rules and strategies", ""]
    marks = "▲ surely above truth, ▼ surely below truth"
    lines += [f"What the columns mean: [the board](../board.md). {marks}."]
    for name, division in divisions.items():
        lines += ["", f"## {name}", "", division["words"], ""]
        lines += [f"* {sentence}" for sentence in about(division)]
        lines += ["", f"![Gain over truth by contender and rule](pictures/{name}.png)", ""]
        lines += ["Gain over truth under each rule, money:", ""]
        lines += _table(("contender", *rules_of(division)), gain_rows(division, _marked))
        lines += ["", "Standings over all rules and scenarios:", ""]
        lines += _table(STANDING_HEAD, standing_rows(division))
        lines += ["", "Truth under each rule:", "", *_table(TRUTH_HEAD, truth_rows(division))]
        if words := words_of(division):
            lines += ["", f"What learners and searches do. {WORDS}", ""]
            lines += _table(("contender", "rule", "words"), words)
        contenders = [(one, summary_of(one)) for one in by_rule(division)]
        lines += ["", "The contenders:", "", *_table(("contender", "what it is"), contenders)]
    return "\n".join(lines) + "\n"


def _marked(gain: Sequence[float | None]) -> str:
    return bounds(gain) + MARKS[verdict(gain)]


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table of Markdown; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    ]
