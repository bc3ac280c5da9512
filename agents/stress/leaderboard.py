"""A leaderboard: policies by scenarios beside truth, as a table of numbers and as one page."""

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
from ..scenarios import SCENARIOS, Scenario
from ..scripted import Strategy
from .scenarios import Focal, play_policies

HEAD = (
    *("rank", "policy", "scenario", "episodes"),
    *("return", "return_low", "return_high", "truthful"),
    *("difference", "difference_low", "difference_high"),
    *("scale", "score", "score_low", "score_high"),
)
INTRO = (
    "A return is the money that a focal agent earns per episode among a fixed mix of others. Its"
    " score is (return - return of truth in its place on the same seeds) / the scenario's scale, so"
    " truth has the score 0. Policies that played more scenarios come first; among equals the mean"
    " score over scenarios decides. Brackets and whiskers are 95 % intervals over seeds; they are"
    " left out where there are too few episodes for an honest interval."
)


@dataclass(frozen=True)
class ScenarioResult:
    """A policy in a scenario."""

    policy: str
    scenario: Scenario
    result: Focal


@dataclass(frozen=True)
class RankedPolicy:
    """A policy's rank: its mean score over the scenarios that it played, and their number."""

    rank: int
    policy: str
    scenarios: int
    score: Interval


def leaderboard(
    policies: Mapping[str, Any],
    scenarios: Sequence[str | Scenario] = tuple(SCENARIOS),
    pairs: int = 256,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[ScenarioResult]:
    """Play every policy in every scenario, all policies of a scenario as one batch.

    policies: name to what ``play_scenario`` takes, or to a mapping from scenarios' names to that,
              which says where it plays; a scripted strategy plays in those scenarios whose market
              it knows
    progress: called with a scenario's name, how many scenarios are over and how many there are

    Raises ValueError for unknown names, and for a policy that cannot play one of its scenarios, or
    that has none.

    >>> results = leaderboard({"truth": "truthful", "shade": "shade"}, ["second_price_crowd"], 1000)
    >>> [(one.rank, one.policy) for one in standings(results)]
    [(1, 'truth'), (2, 'shade')]
    """
    settings: list[Scenario] = [
        named_part(one, "scenario", SCENARIOS, "a Scenario", kind=Scenario) for one in scenarios
    ]
    _check_policies(policies, settings)
    results = []
    for number, scenario in enumerate(settings, 1):
        parts = {name: _part_in(scenario, part) for name, part in policies.items()}
        players = {name: part for name, part in parts.items() if part is not None}
        by_policy = play_policies(scenario, players, pairs)
        results += [ScenarioResult(name, scenario, result) for name, result in by_policy.items()]
        if progress is not None:
            progress(scenario.name, number, len(settings))
    return results


def _check_policies(policies: Mapping[str, Any], scenarios: Sequence[Scenario]) -> None:
    """Raise ValueError for a policy of an unknown scenario, and for one that plays in none."""
    names = tuple(one.name for one in scenarios)
    for who, part in policies.items():
        for name in part if isinstance(part, Mapping) else ():
            if name not in names:
                raise unknown(f"scenario of {who!r}", name, names)
        if all(_part_in(one, part) is None for one in scenarios):
            raise ValueError(
                f"policy {who!r} plays in none of {', '.join(names)}; wanted a scenario of a market"
                " that it knows."
            )


def _part_in(scenario: Scenario, part: Any) -> Any:
    """What plays in a scenario, None where it is not meant for it."""
    if isinstance(part, Mapping):
        return part.get(scenario.name)
    strategy = STRATEGIES.get(part) if isinstance(part, str) else part
    elsewhere = isinstance(strategy, Strategy) and scenario.market not in strategy.markets
    return None if elsewhere else part


def standings(rows: Sequence[ScenarioResult]) -> list[RankedPolicy]:
    """Policies in order: first by how many scenarios they played, then by their mean score.

    score = mean over scenarios, then over seeds, of (return - truthful) / scale

    The k-th episodes of all scenarios make one sample, so its interval holds however scenarios are
    related. Raises ValueError for rows of different numbers of episodes and for a policy twice in
    one scenario.
    """
    by_policy: dict[str, dict[str, Focal]] = {}
    for row in rows:
        results = by_policy.setdefault(row.policy, {})
        if row.scenario.name in results:
            raise ValueError(f"{row.policy!r} has two rows in {row.scenario.name!r}, wanted one.")
        results[row.scenario.name] = row.result
    if len({len(row.result.returns) for row in rows}) > 1:
        raise ValueError(
            "rows have different numbers of episodes; wanted one number, as leaderboard(pairs=...)"
            " plays."
        )
    scores = []
    for name, results in by_policy.items():
        episodes = torch.stack([result.normalised for result in results.values()]).mean(0)
        scores.append((name, len(results), mean_interval(episodes)))
    scores.sort(key=lambda one: (-one[1], -one[2].mean, one[0]))
    return [RankedPolicy(rank, *score) for rank, score in enumerate(scores, 1)]


def write(rows: Sequence[ScenarioResult], folder: str | Path) -> list[RankedPolicy]:
    """Write ``leaderboard.csv`` (one result a line, best policies first) and ``leaderboard.html``.

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


def _cells(row: ScenarioResult, rank: int) -> list[Any]:
    """A row's numbers in the order of ``HEAD``; None, an empty cell, where there is no interval."""
    result = row.result
    intervals = (result.per_capita, result.beside_truth, result.score)
    returns, differences, scores = ((one.mean, one.low, one.high) for one in intervals)
    return [
        *(rank, _text(row.policy), _text(row.scenario.name), len(result.returns)),
        *(*returns, float(result.truthful.mean())),
        *(*differences, result.scale, *scores),
    ]


def _text(name: str) -> str:
    """A name as text: spreadsheets run a cell that begins with one of these signs as a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


def _page(rows: Sequence[ScenarioResult], places: Sequence[RankedPolicy]) -> str:
    ranking = table(
        ("rank", "policy", "score", "scenarios"),
        [(one.rank, one.policy, one.score, one.scenarios) for one in places],
    )
    results = table(
        ("policy", "scenario", "score", "return, money", "truth, money"),
        [_result_row(row) for row in rows],
    )
    scenarios = {row.scenario.name: row.scenario for row in rows}
    descriptions = table(
        ("scenario", "focal", "background, drawn every episode", "question"),
        [
            (one.name, ", ".join(one.focal), _in_words(one.background), one.words)
            for one in scenarios.values()
        ],
    )
    sections = [("Standings", ranking + _bars(places)), ("By scenario", results)]
    return page("Leaderboard", INTRO, [*sections, ("The scenarios", descriptions)])


def _result_row(row: ScenarioResult) -> tuple[Any, ...]:
    result, truth = row.result, f"{row.result.truthful.mean():+.3f}"
    return row.policy, row.scenario.name, result.score, result.per_capita, truth


def _in_words(background: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{who}: " + ", ".join(f"{chance:.0%} {name}" for name, chance in mix.items())
        for who, mix in background.items()
    )


def _bars(places: Sequence[RankedPolicy]) -> str:
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
