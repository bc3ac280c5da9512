"""Line-ups as units of work: a focal agent plays a strategy, all others the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from agents.arguments import read_arguments
from agents.cli.intervals import note
from agents.markets import STRATEGIES, with_options
from agents.papers.core.units import Unit, beat
from agents.scripted import Strategy
from marketenv import make_market
from marketenv.core import rounds, trajectory
from marketenv.core.market import Market, agent_names
from marketenv.metrics import Interval, paired_difference
from marketenv.render import draw_points, figure

TRUTHFUL, OUTSIDE = "truthful", "out of the market"  # OUTSIDE: everybody never trades
STANDS = ("marketenv", "agents/markets", "agents/scripted", "agents/arguments.py", "agents/demos")


@dataclass(frozen=True)
class DemoResults:
    """Results of all line-ups on all seeds.

    focal:  number of the agent that plays the strategy               [seeds]
    values: name to numbers of every round; ``reward`` is the utility, money
                                                     [line-ups, seeds, rounds, agents]
    money:  paid over the episode on the first seed    [line-ups, payers, payees]
    lines:  every round of every market as one dictionary; empty where they are not wanted
    test_accuracy: of the last models                  [line-ups, seeds, agents]
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
        """What each strategy earns above truth in an episode on the same seed, by name: [seeds]."""
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
    arguments = read_arguments(name, words, {"max_cycles": "--rounds"})
    return make_market(name, max_cycles=n_rounds, **arguments)


def units_of(names: Sequence[str], size: int, **arguments: Any) -> list[Unit]:
    """Units that play so many line-ups each; arguments: the other ones of ``play``."""
    episodes = arguments["n_rounds"] * arguments["seeds"]
    units = []
    for k in range(0, len(names), size):
        part = list(names[k : k + size])
        count = episodes * len(part)
        units.append(Unit(play, {**arguments, "names": part}, rounds=count, stands=STANDS))
    return units


def joined(results: Sequence[Mapping[str, Any]]) -> DemoResults:
    """The results of some units as one."""

    def numbers(name: str) -> np.ndarray:
        return np.concatenate([np.array(one[name]) for one in results])

    first = results[0]
    values = {
        name: np.concatenate([np.array(one["values"][name]) for one in results])
        for name in first["values"]
    }
    return DemoResults(
        names=[name for one in results for name in one["names"]],
        agents=tuple(first["agents"]),
        focal=np.array(first["focal"]),
        values=values,
        money=numbers("money"),
        lines=[line for one in results for line in one["lines"]],
        test_accuracy=numbers("test_accuracy"),
    )


def play(
    folder: Path,
    market: str,
    words: Sequence[str],
    names: list[str],
    seeds: int,
    n_rounds: int,
    fields: Sequence[str],
    with_lines: bool,
) -> dict[str, Any]:
    """Play line-ups on all seeds as one batch, as plain data; see ``DemoResults``.

    words:      arguments of the market
    fields:     infos that the results keep
    with_lines: also keep every round of every market as a dictionary
    """
    built = market_of(market, words, n_rounds)
    agents, focal = agent_names(built), torch.arange(seeds) % built.people.count
    parts = [STRATEGIES[TRUTHFUL]]
    parts += [STRATEGIES[{OUTSIDE: "never_trade"}.get(name, name)] for name in names]
    policies = [part.build(built) for part in parts]
    who = seats(names, focal, len(agents)).flatten(0, 1)
    now = begin(built, torch.arange(seeds).repeat(len(names)), who, parts)
    reports = []
    while now.playing:
        now, report = rounds.advance(built, now, rounds.act_mixed(built, policies, who, now))
        if report is None:  # the round goes on
            continue
        reports.append(report)
        beat(folder, len(reports) * len(who))
    split, infos = (len(names), seeds), [report.infos() for report in reports]
    rows = {name: [facts[name].double() for facts in infos] for name in fields}
    rows["reward"] = [report.rewards for report in reports]
    series = {name: torch.stack(parts, 1).unflatten(0, split) for name, parts in rows.items()}
    money = torch.stack([one.transfers for one in reports]).sum(0).unflatten(0, split)[:, 0]
    accuracy = rounds.test_scores(built, now).accuracy.unflatten(0, split)
    return {
        "names": names,
        "agents": list(agents),
        "focal": focal.tolist(),
        "money": money.tolist(),
        "values": {name: values.tolist() for name, values in series.items()},
        "test_accuracy": accuracy.tolist(),
        "lines": lines_of(reports, names, agents, focal.tolist()) if with_lines else [],
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
    if market.name == "parameter_trading_v0":
        start = with_options(start, who, list(parts))
    return rounds.begun(market, start)


def lines_of(
    reports: Sequence[Any], names: Sequence[str], agents: Sequence[str], focal: Sequence[int]
) -> list[dict[str, Any]]:
    """Every round of every market as one dictionary."""
    lines = []
    for number, report in enumerate(reports, start=1):
        for k, line in enumerate(trajectory.describe(report, agents)):
            seed = k % len(focal)
            where = {"strategy": names[k // len(focal)], "seed": seed, "focal": agents[focal[seed]]}
            lines.append({**where, "round": number, **line})
    return lines


def differences(gaps: Mapping[str, np.ndarray]) -> dict[str, Interval]:
    """Each other strategy's mean gain over truth, with an interval for enough seeds."""
    gains = {name: torch.from_numpy(row) for name, row in gaps.items() if name != TRUTHFUL}
    return {name: paired_difference(row, torch.zeros_like(row)) for name, row in gains.items()}


def below(gaps: Mapping[str, np.ndarray]) -> str:
    """The note below a table of these differences, as HTML."""
    words = note(differences(gaps).values(), "seeds")
    return f'<p class="note">{words}</p>' if words else ""


def meanings(names: Sequence[str]) -> str:
    """What every strategy does, one line each, as HTML."""
    texts = {name: STRATEGIES[name].summary for name in names if name in STRATEGIES}
    texts |= {OUTSIDE: "Nobody ever trades."} if OUTSIDE in names else {}
    rows = "".join(
        f"<dt><code>{escape(name)}</code></dt><dd>{escape(text)}</dd>"
        for name, text in texts.items()
    )
    return f"<details open><summary>What the strategies do</summary><dl>{rows}</dl></details>"


def gap_picture(points: Mapping[str, np.ndarray], title: str, unit: str) -> tuple[Figure, str]:
    """The gains over truth as a picture, and its caption."""
    gains = {name: row.tolist() for name, row in points.items() if name != TRUTHFUL}
    ends = {name: _ends(one) for name, one in differences(points).items()}
    fig, (axes,) = figure(1, 7.0, 1.2 + 0.27 * len(gains))
    draw_points(axes, gains, ends, title, unit)
    bars = "there are too few seeds for intervals"
    if any(ends.values()):
        bars = (
            "the bar is the 95 % interval of the mean (studentised bootstrap); there is no bar"
            " where half of the seeds or more have the same difference"
        )
    return fig, f"Paired by seed: a dot is a seed, the diamond is the mean, {bars}."


def _ends(interval: Interval) -> tuple[float, float] | None:
    if interval.low is None or interval.high is None:
        return None
    return interval.low, interval.high
