"""Results of a division: gains over truth, regrets, welfare and payments, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from marketenv.metrics import Interval, efficiency, mean_interval

from .contenders import CONTENDERS
from .divisions import Division
from .judge import TRUTH

ROUNDING = 1e-6  # money as near to 0 as this is rounding: actions are float32
Results = Mapping[tuple[str, str, int], Mapping[str, Any]]  # by rule, contender, seed
Episodes = dict[str, Tensor]  # by name, an amount an episode


def summary(division: Division, results: Results) -> dict[str, Any]:
    """A division's results: cells by rule, scenario and contender, means by rule, and standings.

    A contender of several seeds has the mean of its seeds in every episode. Raises ValueError where
    a rule has no result of truth.
    """
    cells: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    gains: dict[tuple[str, str], Tensor] = {}
    for rule in division.rules:
        played = {name: _seeds(results, rule, name) for name in _contenders(results, rule)}
        if TRUTH not in played:
            raise ValueError(f"no result of truth under {rule!r}; every gain is one over truth.")
        means = [_means(played, scenario) for scenario in division.scenarios]
        for scenario, episodes in zip(division.scenarios, means, strict=True):
            cells += _cells(rule, scenario, episodes, played)
        mean = _mean_of(means)
        rules += _cells(rule, "", mean, played)
        gains |= {(rule, name): one["gain"] for name, one in mean.items()}
    same = _like_truth(gains)
    return {
        "market": division.market_name,
        "agent": division.agent,
        "words": division.words,
        "arguments": {rule: division.arguments(rule) for rule in division.rules},
        "scenarios": {one.name: one.words for one in division.played(next(iter(division.rules)))},
        "standings": _standings(cells, gains, same),
        "rules": rules,
        "cells": cells,
        "same": same,
    }


def _contenders(results: Results, rule: str) -> list[str]:
    return list(dict.fromkeys(name for other, name, _ in results if other == rule))


def _seeds(results: Results, rule: str, contender: str) -> dict[int, Mapping[str, Any]]:
    """The results of a contender's seeds."""
    return {seed: one for (r, c, seed), one in results.items() if (r, c) == (rule, contender)}


def _means(played: Mapping[str, Mapping[int, Any]], scenario: str) -> dict[str, Episodes]:
    """Of each contender, an episode's amounts as means over its seeds, with gains and regrets."""
    means: dict[str, Episodes] = {}
    for contender, seeds in played.items():
        amounts = [one["scenarios"][scenario] for one in seeds.values()]
        means[contender] = {
            name: torch.tensor([one[name] for one in amounts], dtype=torch.float64).mean(0)
            for name in ("returns", "welfare", "paid")
        }
    truth = next(iter(played[TRUTH].values()))["scenarios"][scenario]
    best = _best(means)
    for one in means.values():
        one["gain"] = one["returns"] - means[TRUTH]["returns"]
        one["regret"] = (best - one["returns"])[1::2]
        one["everyone"] = torch.tensor(truth["everyone"], dtype=torch.float64)
    return means


def _best(means: Mapping[str, Episodes]) -> Tensor:
    """Returns of the contender that earns most in the episodes 0, 2, ...

    Regrets are taken in the other episodes: the best of many on the same episodes looks too good.
    """
    return max((one["returns"] for one in means.values()), key=lambda one: float(one[::2].mean()))


def _mean_of(means: Sequence[Mapping[str, Episodes]]) -> dict[str, Episodes]:
    """The mean over scenarios, episode by episode."""
    return {
        name: {what: torch.stack([one[name][what] for one in means]).mean(0) for what in first}
        for name, first in means[0].items()
    }


def _cells(
    rule: str,
    scenario: str,
    episodes: Mapping[str, Episodes],
    played: Mapping[str, Mapping[int, Any]],
) -> list[dict[str, Any]]:
    """One cell a contender; the scenario is "" for the mean over all."""
    cells = []
    for contender, one in episodes.items():
        intervals = {
            "utility": mean_interval(one["returns"]),
            "gain": mean_interval(one["gain"]),
            "regret": mean_interval(one["regret"]),
            "welfare": mean_interval(one["welfare"]),
            "paid": mean_interval(one["paid"]),
            "efficiency": _efficiency(one),
        }
        seeds = played[contender]
        cells.append(
            {
                "rule": rule,
                "scenario": scenario,
                "contender": contender,
                "episodes": len(one["gain"]),
                "seeds": {str(seed): result["words"] for seed, result in seeds.items()},
                **{name: _plain(interval) for name, interval in intervals.items()},
            }
        )
    return cells


def _efficiency(one: Episodes) -> Interval | None:
    """Welfare as a part of that where all are truthful; None where that is not above 0."""
    if float(one["everyone"].mean()) <= ROUNDING:
        return None
    return efficiency(one["welfare"], one["everyone"])


def _plain(interval: Interval | None) -> list[float | None] | None:
    """Mean, low and high, rounded as far as they are shown."""
    if interval is None:
        return None
    return [
        None if bound is None else float(f"{bound:.6g}")
        for bound in (interval.mean, interval.low, interval.high)
    ]


def _like_truth(gains: Mapping[tuple[str, str], Tensor]) -> list[str]:
    """Contenders whose gain is 0 in every episode: here they play as truth does."""
    names = dict.fromkeys(name for _, name in gains if name != TRUTH)
    return [
        name
        for name in names
        if all(one.abs().max() <= ROUNDING for (_, other), one in gains.items() if other == name)
    ]


def _standings(
    cells: Sequence[Mapping[str, Any]], gains: Mapping[tuple[str, str], Tensor], same: Sequence[str]
) -> list[dict[str, Any]]:
    """Contenders by their cells, then by their mean gain; those that play like truth are left out.

    above, below: in how many cells the interval of the gain lies above 0, or below it
    """
    rows = []
    for name in dict.fromkeys(name for _, name in gains if name not in same):
        mine = [one["gain"] for one in cells if one["contender"] == name]
        mean = torch.stack([one for (_, other), one in gains.items() if other == name]).mean(0)
        regrets = [one["regret"][0] for one in cells if one["contender"] == name]
        rows.append(
            {
                "contender": name,
                "learns": name in CONTENDERS,
                "gain": _plain(mean_interval(mean)),
                "regret": sum(regrets) / len(regrets),
                "above": sum(low is not None and low > ROUNDING for _, low, _ in mine),
                "below": sum(high is not None and high < -ROUNDING for *_, high in mine),
                "cells": len(mine),
            }
        )
    return sorted(rows, key=lambda row: (-row["cells"], -row["gain"][0]))
