"""A leaderboard: policies by scenarios, told beside truth, as a table of numbers and as one
page.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from marketenv.core.checks import named_part
from marketenv.core.lookup import unknown
from marketenv.core.storage import whole_file
from marketenv.metrics import Interval, mean_interval
from marketenv.render import figure, page, picture, table

from ..markets import STRATEGIES
from ..scripted import Strategy
from .scenarios import SCENARIOS, Focal, Scenario, play_policies

HEAD = (
    *("rank", "policy", "scenario", "episodes", "return", "return_low", "return_high", "truthful"),
    *(
        "difference",
        "difference_low",
        "difference_high",
        "scale",
        "score",
        "score_low",
        "score_high",
    ),
)
INTRO = (
    "A return is what a focal agent earns per episode, in money, among a fixed mix of others. Its"
    " score is (return - what truth earns in its place on the same seeds) / the scenario's scale,"
    " so 0 is truth. Policies are ranked by their mean score over scenarios, each counted once;"
    " those that played more of them come first. Brackets and whiskers are 95 % intervals over"
    " seeds, absent where the episodes are too few for an honest one."
)


@dataclass(frozen=True)
class Row:
    """A policy in a scenario."""

    policy: str
    scenario: Scenario
    result: Focal


@dataclass(frozen=True)
class Standing:
    """A policy's place: its mean score over the scenarios that it played, and in how many that
    was.
    """

    rank: int
    policy: str
    scenarios: int
    score: Interval


def leaderboard(
    policies: Mapping[str, Any],
    scenarios: Sequence[str | Scenario] = tuple(SCENARIOS),
    pairs: int = 256,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Row]:
    """Play every policy in every scenario, all policies of a scenario as one batch.

    policies: name to what ``play_scenario`` takes, or to a mapping from scenarios' names to that,
              which says where it plays; a scripted strategy plays in those scenarios whose market
              it knows
    progress: called with a scenario's name, how many are done and how many there are

    Raises ValueError for unknown names, and for a policy that cannot play one of its scenarios, or
    that has none.

    >>> rows = leaderboard({"truth": "truthful", "shade": "shade"}, ["second_price_crowd"], 1000)
    >>> [(one.rank, one.policy) for one in standings(rows)]
    [(1, 'truth'), (2, 'shade')]
    """
    chosen: list[Scenario] = [
        named_part(one, "scenario", SCENARIOS, "a Scenario", kind=Scenario) for one in scenarios
    ]
    names, found = tuple(one.name for one in chosen), []
    for who, part in policies.items():
        for name in part if isinstance(part, Mapping) else ():
            if name not in names:
                raise unknown(f"scenario of {who!r}", name, names)
        if all(_part_in(one, part) is None for one in chosen):
            raise ValueError(
                f"policy {who!r} plays in none of {', '.join(names)}; wanted a scenario of a market"
                " that it knows."
            )
    for done, scenario in enumerate(chosen, 1):
        parts = {who: _part_in(scenario, part) for who, part in policies.items()}
        played = play_policies(
            scenario, {who: part for who, part in parts.items() if part is not None}, pairs
        )
        found += [Row(who, scenario, result) for who, result in played.items()]
        if progress is not None:
            progress(scenario.name, done, len(chosen))
    return found


def _part_in(scenario: Scenario, part: Any) -> Any:
    """What plays in a scenario, None where it is not meant for it."""
    if isinstance(part, Mapping):
        return part.get(scenario.name)
    strategy = STRATEGIES.get(part) if isinstance(part, str) else part
    return (
        None if isinstance(strategy, Strategy) and scenario.market not in strategy.markets else part
    )


def standings(rows: Sequence[Row]) -> list[Standing]:
    """Policies in order: first by how many scenarios they played, then by their mean score over
    these.

    score = mean over scenarios, then over seeds, of (return - truthful) / scale

    The k-th episodes of all scenarios make one sample, so its interval holds however scenarios are
    related. Raises ValueError for rows of different numbers of episodes and for a policy twice in
    one scenario.
    """
    by_policy: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.scenario.name in by_policy.setdefault(row.policy, {}):
            raise ValueError(f"{row.policy!r} has two rows in {row.scenario.name!r}, wanted one.")
        by_policy[row.policy][row.scenario.name] = row
    if len({len(row.result.returns) for row in rows}) > 1:
        raise ValueError(
            "rows have different numbers of episodes; wanted one number, as leaderboard(pairs=...)"
            " plays."
        )
    scores = {
        name: (
            len(of),
            mean_interval(torch.stack([row.result.normalised for row in of.values()]).mean(0)),
        )
        for name, of in by_policy.items()
    }
    order = sorted(scores.items(), key=lambda item: (-item[1][0], -item[1][1].mean, item[0]))
    return [
        Standing(rank, name, count, score) for rank, (name, (count, score)) in enumerate(order, 1)
    ]


def write(rows: Sequence[Row], folder: str | Path) -> list[Standing]:
    """Write ``leaderboard.csv`` (a line a row, best policies first) and ``leaderboard.html``, a
    page that stands alone.

    The folder is made where it is absent. Returns the standings. Raises ValueError for no rows, and
    as ``standings`` does.
    """
    if not rows:
        raise ValueError("a leaderboard of no rows; wanted at least one, see leaderboard().")
    folder, places = Path(folder), standings(rows)
    rank = {one.policy: one.rank for one in places}
    rows = sorted(rows, key=lambda row: rank[row.policy])
    # before anything is written, so that both files are there or none
    page_of_rows = _page(rows, places)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        whole_file(folder / "leaderboard.csv") as part,
        part.open("w", encoding="utf8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(_cells(row, rank[row.policy]) for row in rows)
    with whole_file(folder / "leaderboard.html") as part:
        part.write_text(page_of_rows, encoding="utf8")
    return places


def _cells(row: Row, rank: int) -> list[Any]:
    """A row's numbers in the order of ``HEAD``; None, an empty cell, where there is no interval."""
    found = row.result
    earned, less, score = (
        (one.mean, one.low, one.high) for one in (found.per_capita, found.beside_truth, found.score)
    )
    cells = [
        rank,
        _text(row.policy),
        _text(row.scenario.name),
        len(found.returns),
        *earned,
        float(found.truthful.mean()),
        *less,
    ]
    return [*cells, found.scale, *score]


def _text(name: str) -> str:
    """A name as text: a spreadsheet takes a cell that begins with one of these signs for a
    formula, and runs it.
    """
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def _page(rows: Sequence[Row], places: Sequence[Standing]) -> str:
    ranking = table(
        ("rank", "policy", "score", "scenarios"),
        [(one.rank, one.policy, one.score, one.scenarios) for one in places],
    )
    scenarios = {row.scenario.name: row.scenario for row in rows}
    found = [
        (
            row.policy,
            row.scenario.name,
            row.result.score,
            row.result.per_capita,
            f"{row.result.truthful.mean():+.3f}",
        )
        for row in rows
    ]
    asked = [
        (one.name, ", ".join(one.focal), _told(one.background), one.words)
        for one in scenarios.values()
    ]
    return page(
        "Leaderboard",
        INTRO,
        [
            ("Standings", ranking + _bars(places)),
            (
                "By scenario",
                table(("policy", "scenario", "score", "return, money", "truth, money"), found),
            ),
            (
                "The scenarios",
                table(
                    ("scenario", "focal", "background, drawn every episode", "what it asks"), asked
                ),
            ),
        ],
    )


def _told(background: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{who}: " + ", ".join(f"{chance:.0%} {name}" for name, chance in mix.items())
        for who, mix in background.items()
    )


def _bars(places: Sequence[Standing]) -> str:
    """Mean scores as bars, best on top, with their intervals."""
    fig, (axes,) = figure(width=7.0, height=1.2 + 0.32 * len(places))
    rows = range(len(places))  # bars by place, not by name: names may be long or alike once cut
    axes.barh(rows, [one.score.mean for one in places], color="#0072b2", alpha=0.8)
    for k, one in enumerate(places):
        if one.score.low is not None and one.score.high is not None:
            axes.plot([one.score.low, one.score.high], [k, k], color="black", lw=1.2)
    axes.axvline(0, color="black", lw=0.6)
    axes.set_yticks(rows, [one.policy for one in places])
    axes.invert_yaxis()
    axes.set(title="mean score; 0 is truth", xlabel="(return - truth) / scale")
    return picture(fig, "Mean score of every policy over its scenarios, with 95 % intervals.")
