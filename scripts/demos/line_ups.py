"""Line-ups on the same seeds as units of work: each strategy is played by one agent, by turns,
against truthful others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from agents.arguments import read_arguments
from agents.markets import STRATEGIES, with_options
from agents.scripted import Strategy
from marketenv import make_market
from marketenv.core import rounds, trajectory
from marketenv.core.market import Market, agent_names
from marketenv.metrics import Interval, paired_difference
from marketenv.render import draw_points, figure
from scripts.intervals import note
from scripts.units import Unit, beat

TRUTHFUL, OUTSIDE = "truthful", "out of the market"  # OUTSIDE: everybody never trades
STANDS = ("marketenv", "agents/markets", "agents/scripted", "agents/arguments.py", "scripts/demos")


@dataclass(frozen=True)
class Played:
    """All line-ups on all seeds.

    focal:  which agent plays the strategy                                      [seeds]
    values: name to numbers of every round; ``reward`` is what
        counts, money   [line-ups, seeds, rounds, agents]
    money:  paid over the episode on the first seed, by line-up   [line-ups, payers, payees]
    lines:  every round of every market as one dictionary, where they were asked for
    test_accuracy: of the last models   [line-ups, seeds, agents]
    """

    names: list[str]
    agents: tuple[str, ...]
    focal: np.ndarray
    values: Mapping[str, np.ndarray]
    money: np.ndarray
    lines: list[dict[str, Any]]
    test_accuracy: np.ndarray

    def of_focal(self, values: np.ndarray) -> np.ndarray:
        """The focal agent's column: [line-ups, seeds, ..., agents] to [line-ups, seeds, ...]."""
        return np.stack([values[:, k, ..., agent] for k, agent in enumerate(self.focal)], 1)

    def gaps(self) -> dict[str, np.ndarray]:
        """What each strategy earns its player in an episode, less what truth earns on the same
        seed: [seeds] by name.
        """
        total = self.of_focal(self.values["reward"]).sum(2)
        return {
            name: row - total[self.names.index(TRUTHFUL)]
            for name, row in zip(self.names, total, strict=True)
        }


def names_of(market: str) -> list[str]:
    """The strategies of a market."""
    return [name for name, strategy in STRATEGIES.items() if market in strategy.markets]


def market_of(name: str, words: Sequence[str], n_rounds: int) -> Market:
    """The market with its arguments as words, and so many rounds."""
    return make_market(
        name, max_cycles=n_rounds, **read_arguments(name, words, {"max_cycles": "--rounds"})
    )


def units_of(names: Sequence[str], size: int, **given: Any) -> list[Unit]:
    """Units that play so many line-ups each; given: the other arguments of ``play``."""
    parts = [list(names[k : k + size]) for k in range(0, len(names), size)]
    return [
        Unit(
            play,
            {**given, "names": part},
            rounds=given["n_rounds"] * given["seeds"] * len(part),
            stands=STANDS,
        )
        for part in parts
    ]


def joined(results: Sequence[Mapping[str, Any]]) -> Played:
    """What some units played, as one."""
    stacked = {
        name: np.concatenate([np.array(one["values"][name]) for one in results])
        for name in results[0]["values"]
    }
    return Played(
        names=[name for one in results for name in one["names"]],
        agents=tuple(results[0]["agents"]),
        focal=np.array(results[0]["focal"]),
        values=stacked,
        money=np.concatenate([np.array(one["money"]) for one in results]),
        lines=[line for one in results for line in one["lines"]],
        test_accuracy=np.concatenate([np.array(one["test_accuracy"]) for one in results]),
    )


def play(
    folder: Path,
    market: str,
    words: Sequence[str],
    names: list[str],
    seeds: int,
    n_rounds: int,
    fields: Sequence[str],
    told: bool,
) -> dict[str, Any]:
    """Play line-ups on all seeds as one batch, as plain data; see ``Played``.

    words: arguments of the market;   fields: infos that are kept;
        told: keep every round of every market as a dictionary too
    """
    built = market_of(market, words, n_rounds)
    agents = agent_names(built)
    parts = [
        STRATEGIES[TRUTHFUL],
        *(STRATEGIES[{OUTSIDE: "never_trade"}.get(name, name)] for name in names),
    ]
    policies = [part.build(built) for part in parts]
    focal = torch.arange(seeds) % len(agents)
    who = seats(names, focal, len(agents)).flatten(0, 1)
    now = begin(built, torch.arange(seeds).repeat(len(names)), who, parts)
    reports = []
    while now.playing:
        now, report = rounds.advance(built, now, rounds.act_mixed(built, policies, who, now))
        if report is None:  # the round goes on
            continue
        reports.append(report)
        beat(folder, len(reports) * len(who))
    split = (len(names), seeds)
    told_of = [report.infos() for report in reports]
    series = {
        name: torch.stack([facts[name].double() for facts in told_of], 1).unflatten(0, split)
        for name in fields
    }
    series["reward"] = torch.stack([one.rewards for one in reports], 1).unflatten(0, split)
    money = torch.stack([one.transfers for one in reports]).sum(0).unflatten(0, split)[:, 0]
    accuracy = rounds.test_scores(built, now).accuracy.unflatten(0, split)
    return {
        **{
            "names": names,
            "agents": list(agents),
            "focal": focal.tolist(),
            "money": money.tolist(),
        },
        **{
            "values": {name: values.tolist() for name, values in series.items()},
            "test_accuracy": accuracy.tolist(),
        },
        "lines": lines_of(reports, names, agents, focal.tolist()) if told else [],
    }


def seats(names: Sequence[str], focal: torch.Tensor, n_agents: int) -> torch.Tensor:
    """Who plays what: 0 for truth, 1 + k for line-up k's strategy [line-ups, seeds, agents].

    The focal agent plays the strategy; colluders come in pairs, outsiders all together.
    """
    mine = focal[:, None] == torch.arange(n_agents)
    partner = (focal[:, None] + 2) % n_agents == torch.arange(n_agents)
    kinds = {OUTSIDE: torch.ones_like(mine), "colluding_pair": mine | partner}
    return torch.stack([kinds.get(name, mine) * (1 + k) for k, name in enumerate(names)])


def begin(
    market: Market, seeds: torch.Tensor, who: torch.Tensor, parts: Sequence[Strategy]
) -> rounds.Situation:
    """The first situation, with the options that strategies of the parameter market need."""
    start = rounds.opened(market, seeds)
    start = (
        with_options(start, who, list(parts)) if market.name == "parameter_trading_v0" else start
    )
    return rounds.begun(market, start)


def lines_of(
    reports: Sequence[Any], names: Sequence[str], agents: Sequence[str], focal: Sequence[int]
) -> list[dict[str, Any]]:
    """Every round of every market as one dictionary."""
    found = []
    for number, report in enumerate(reports, start=1):
        for k, line in enumerate(trajectory.describe(report, agents)):
            strategy, seed = names[k // len(focal)], k % len(focal)
            found.append(
                {
                    "strategy": strategy,
                    "seed": seed,
                    "focal": agents[focal[seed]],
                    "round": number,
                    **line,
                }
            )
    return found


def differences(gaps: Mapping[str, np.ndarray]) -> dict[str, Interval]:
    """The mean difference from truth of every other strategy, with its interval where there are
    seeds enough.
    """
    shown = {name: torch.from_numpy(row) for name, row in gaps.items() if name != TRUTHFUL}
    return {name: paired_difference(row, torch.zeros_like(row)) for name, row in shown.items()}


def below(gaps: Mapping[str, np.ndarray]) -> str:
    """What stands below a table of these differences, as HTML."""
    told = note(differences(gaps).values(), "seeds")
    return f'<p class="note">{told}</p>' if told else ""


def gap_picture(points: Mapping[str, np.ndarray], title: str, unit: str) -> tuple[Figure, str]:
    """The differences from truth as a picture, and what its caption says of them."""
    shown = {name: row for name, row in points.items() if name != TRUTHFUL}
    found = differences(points)
    ends = {
        name: None if one.low is None or one.high is None else (one.low, one.high)
        for name, one in found.items()
    }
    fig, (axes,) = figure(1, 7.0, 1.2 + 0.27 * len(shown))
    draw_points(axes, {name: row.tolist() for name, row in shown.items()}, ends, title, unit)
    bars = (
        "the bar is the mean's 95 % interval (studentised bootstrap)"
        if any(ends.values())
        else "too few seeds for intervals"
    )
    none = "no bar where half of the seeds or more give one and the same difference"
    return (
        fig,
        (
            "Paired by seed: one dot a seed, the diamond is the mean,"
            f" {bars}{'; ' + none if any(ends.values()) else ''}."
        ),
    )
