"""Run our way and the ways of others in turns, and give the ratios of their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from agents.benchmarks.case import Case, case

Side = Callable[[], Callable[[], Any]]
"""Prepare the work, untimed; the call that comes back does it, timed, and returns the result."""


def ready(call: Callable[[], Any]) -> Side:
    """A side whose work needs no preparation."""
    return lambda: call


@dataclass(frozen=True)
class Comparison:
    """One piece of work, done in our way and in the ways of others.

    name:      the work and its size
    ours:      our side
    theirs:    name of each other side -> the side
    score:     the number by which results are compared, such as the loss that training reaches
    score_name: what that number is
    tolerance: the largest difference of the scores, as a share of ours, at which the work counts
        as the same
    """

    name: str
    ours: Side
    theirs: Mapping[str, Side]
    score: Callable[[Any], float]
    score_name: str
    tolerance: float


def ratios(
    comparison: Comparison, turns: int = 4, least: float = 6.0, threads: tuple[int, ...] = (1, 2)
) -> list[Case]:
    """Time of each other side / time of ours, and their scores / ours.

    CPU time on one thread; clock time at the number of threads that suits each side best. The
    sides take turns, and of each side the shortest of its turns counts, since other programs can
    only add time.

    turns: of each side on one thread, at least; at other numbers of threads at least one, since
        on a busy machine threads that wait for each other take very long
    least: seconds of the clock for which the turns go on, at least
    threads: the numbers of threads that are tried, the first of which is 1

    Raises RuntimeError where the scores differ, since two times of different work have no ratio.
    """
    sides = {"ours": comparison.ours, **comparison.theirs}
    before, clocks = torch.get_num_threads(), []
    try:
        torch.set_num_threads(threads[0])
        scores = {name: comparison.score(side()()) for name, side in sides.items()}  # warms up
        for name, score in scores.items():
            _check_alike(comparison, name, scores["ours"], score)
        for count in threads:
            torch.set_num_threads(count)
            clocks.append(shortest(sides, turns if count == 1 else 1, least))
    finally:
        torch.set_num_threads(before)
    cpu = {name: clocks[0][name][0] for name in sides}
    clock = {name: min(times[name][1] for times in clocks) for name in sides}
    rows = []
    for name in comparison.theirs:
        title = f"{comparison.name}: {name} / ours"
        best = "clock, best number of threads"
        rows += [
            case(f"{title}, CPU, one thread", cpu[name] / cpu["ours"], "times"),
            case(f"{title}, {best}", clock[name] / clock["ours"], "times"),
            case(f"{title}, {comparison.score_name}", scores[name] / scores["ours"], "ratio"),
        ]
    return rows


def shortest(
    sides: Mapping[str, Side], turns: int, least: float = 0.0
) -> dict[str, tuple[float, float]]:
    """Least CPU seconds and least clock seconds of each side over its turns."""
    times = dict.fromkeys(sides, (float("inf"), float("inf")))
    start, turn = time.perf_counter(), 0
    while turn < turns or time.perf_counter() - start < least:
        for name, side in sides.items():
            cpu, clock = seconds(side())
            times[name] = min(times[name][0], cpu), min(times[name][1], clock)
        turn += 1
    return times


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds and clock seconds of a call."""
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - clock


def _check_alike(comparison: Comparison, name: str, ours: float, theirs: float) -> None:
    if not abs(theirs - ours) <= comparison.tolerance * abs(ours):  # NaN differs, too
        raise RuntimeError(
            f"{comparison.name}: the {comparison.score_name} is {theirs:g} by {name!r} and {ours:g}"
            f" by ours, wanted a difference of at most {comparison.tolerance:.0%}. The sides did"
            " not do the same work, so their times have no ratio: compare their settings."
        )
