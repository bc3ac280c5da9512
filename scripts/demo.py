"""A tournament on real digits: agents train networks, trade parameters and settle payments for 20 rounds.

One focal agent per market plays each scripted strategy against three truthful ones, with the same seeds and data for
every strategy, all markets as one batch. "Out of the market" is everybody never trading. A short second part shows the
model-sharing market. At the end a quick audit puts the claims about the markets to the test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the agents of this repository, wherever the script is started from

from agents.scripted import STRATEGIES, with_options  # noqa: E402
from marketenv import make_market  # noqa: E402
from marketenv.core import rounds, trajectory  # noqa: E402
from marketenv.core.market import agent_names  # noqa: E402
from marketenv.markets.parameter_trading import ParameterTradingMarket  # noqa: E402
from marketenv.markets.parameter_trading_types import TradingReport  # noqa: E402
from marketenv.metrics import Interval, paired_difference  # noqa: E402
from marketenv.render import draw_bars, draw_lines, draw_network, figure, page, picture, png, table  # noqa: E402
from scripts.audit import AuditConfig  # noqa: E402
from scripts.audit import main as audit  # noqa: E402
from scripts.demos import sharing  # noqa: E402

MARKET = "parameter_trading_v0"
OUTSIDE = "out of the market"
SHARING_SEEDS = 2  # at most, of the second market, whose part is to take seconds


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Arguments of the demo.

    seeds:  paired markets per strategy; below 20 no interval is shown
    rounds: rounds of an episode
    out:    folder of the report, the pictures, the rounds and the audit
    audit:  claims that the quick audit at the end tests, ids or patterns; none leaves it out
    """

    seeds: int = 20
    rounds: int = 20
    out: Path = ROOT / "results" / "demo"
    audit: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Played:
    """All markets of the tournament, line-up by line-up: arrays lead with [line-ups, seeds]."""

    names: list[str]
    agents: tuple[str, ...]
    focal: np.ndarray  # which agent plays the strategy [seeds]
    reports: list[TradingReport]
    test_accuracy: np.ndarray  # [line-ups, seeds, agents]

    def per_round(self, field: str) -> np.ndarray:
        """One info of every round: [line-ups, seeds, rounds, agents]."""
        stacked = torch.stack([getattr(report, field).double() for report in self.reports], 1)
        return stacked.unflatten(0, (len(self.names), -1)).numpy()

    def of_focal(self, values: np.ndarray) -> np.ndarray:
        """The focal agent's column: [line-ups, seeds, ..., agents] to [line-ups, seeds, ...]."""
        return np.stack([values[:, k, ..., agent] for k, agent in enumerate(self.focal)], 1)


def line_ups() -> dict[str, Any]:
    """The strategies of this market by name, and at the end the line-up in which nobody trades."""
    names = [name for name, strategy in STRATEGIES.items() if MARKET in strategy.markets]
    return {name: STRATEGIES[name] for name in names} | {OUTSIDE: STRATEGIES["never_trade"]}


def seats(names: list[str], focal: torch.Tensor, n_agents: int) -> torch.Tensor:
    """Who plays what: strategy numbers [line-ups, seeds, agents]; colluders come in pairs, outsiders all together."""
    mine = focal[:, None] == torch.arange(n_agents)
    partner = (focal[:, None] + 2) % n_agents == torch.arange(n_agents)
    truthful = names.index("truthful")
    rows = []
    for number, name in enumerate(names):
        plays = {OUTSIDE: torch.ones_like(mine), "colluding_pair": mine | partner}.get(name, mine)
        rows.append(torch.where(plays, number, truthful))
    return torch.stack(rows)


def tournament(config: DemoConfig) -> Played:
    """Play every line-up on every seed as one batch."""
    market = make_market(MARKET, max_cycles=config.rounds)
    assert isinstance(market, ParameterTradingMarket)
    chosen, agents = line_ups(), agent_names(market)
    names, policies = list(chosen), [strategy.build(market) for strategy in chosen.values()]
    focal = torch.arange(config.seeds) % len(agents)
    who = seats(names, focal, len(agents)).flatten(0, 1)
    state = with_options(market.reset(torch.arange(config.seeds).repeat(len(names))), who, list(chosen.values()))
    now = rounds.Situation(state, (), market.quote(state, ()))
    reports = []
    for _ in track(range(config.rounds), description=f"{len(who)} markets, {config.rounds} rounds"):
        now, report = rounds.advance(market, now, rounds.act_mixed(market, policies, who, now))
        reports.append(report)
    accuracy = market.test_scores(now.state).accuracy.unflatten(0, (len(names), -1)).numpy()
    return Played(names, agents, focal.numpy(), reports, accuracy)


HEAD = ("strategy", "utility", "less truthful [95 %]", "accuracy in", "accuracy out", "paid", "earned", "bought", "sold")


def differences(played: Played) -> dict[str, Interval]:
    """Utility of the focal agent less what truth earns on the same seeds, per episode."""
    total = torch.from_numpy(played.of_focal(played.per_round("utility")).sum(2))
    truth = total[played.names.index("truthful")]
    return {name: paired_difference(row, truth) for name, row in zip(played.names, total, strict=True)}


def rows_of(played: Played) -> list[tuple[str, ...]]:
    """One line per strategy: means over seeds of the focal agent's episode."""
    sums = {f: played.of_focal(played.per_round(f)).sum(2).mean(1) for f in ("utility", "paid", "received", "bought", "sold")}
    inside = played.of_focal(played.test_accuracy).mean(1)
    outside = inside[played.names.index(OUTSIDE)]
    gaps = differences(played)
    return [
        (
            name,
            f"{sums['utility'][k]:.2f}",
            "-" if name == "truthful" else str(gaps[name]),
            "-" if name == OUTSIDE else f"{inside[k]:.3f}",
            f"{outside:.3f}",
            *(f"{sums[f][k]:.2f}" for f in ("paid", "received")),
            *(f"{sums[f][k]:.1f}" for f in ("bought", "sold")),
        )
        for k, name in enumerate(played.names)
    ]


def pictures(played: Played) -> dict[str, tuple[Any, str]]:
    """The report's pictures by file name: (figure, caption)."""
    truth, outside = played.names.index("truthful"), played.names.index(OUTSIDE)
    curves, accuracy = figure(1, 6.5, 3.8), played.per_round("accuracy").mean(3)
    inside = {"in the market (all truthful)": accuracy[truth], OUTSIDE: accuracy[outside]}
    draw_lines(curves[1][0], inside, "accuracy on the broker's data", "round", "accuracy")
    paid, bought = played.per_round("paid").sum(3), played.per_round("bought").sum(3)
    shown = ("truthful", "shade", "myerson_seller", "colluding_pair", "saboteur")
    with np.errstate(invalid="ignore"):
        price = {n: paid[played.names.index(n)].sum(0) / bought[played.names.index(n)].sum(0) for n in shown if n in played.names}
    prices = figure(1, 6.5, 3.8)
    draw_lines(prices[1][0], price, "mean price of a purchase, all agents", "round", "money")
    network = figure(1, 5.2, 4.8)
    money = sum(report.transfers[truth * len(played.focal)] for report in played.reports)
    draw_network(network[1][0], money.numpy(), played.agents, "money paid over the episode, seed 0")
    gains, gaps = figure(1, 6.5, 4.2), differences(played)
    draw_bars(
        gains[1][0], {n: gap.mean for n, gap in gaps.items()}, "utility less that of truth, same seeds", "money per episode"
    )
    low = [gap.mean - (gap.mean if gap.low is None else gap.low) for gap in gaps.values()]
    high = [(gap.mean if gap.high is None else gap.high) - gap.mean for gap in gaps.values()]
    gains[1][0].errorbar(
        [g.mean for g in gaps.values()], range(len(gaps)), xerr=[low, high], fmt="none", ecolor="black", capsize=3
    )
    return {
        "accuracy": (curves[0], "Mean over agents and seeds; the shade holds the middle half of the seeds."),
        "prices": (prices[0], "A price is the midpoint of bid and ask; line-ups by the focal agent's strategy."),
        "network": (network[0], "Who bought from whom when all are truthful; the width is money."),
        "differences": (gains[0], "Paired by seed, with studentised bootstrap intervals of 95 %."),
    }


def ledger(played: Played) -> str:
    """Payments and cash of every round of seed 0 with all agents truthful, as an HTML table."""
    first, rows = played.names.index("truthful") * len(played.focal), []
    for number, report in enumerate(played.reports, start=1):
        money = report.transfers[first]
        paid = [f"{played.agents[p]} → {played.agents[q]} {money[p, q]:.3f}" for p, q in money.nonzero().tolist()]
        rows.append((number, "; ".join(paid) or "no trade", *(f"{cash:.3f}" for cash in report.cash[first].tolist())))
    return table(("round", "payments", *(f"{agent} cash" for agent in played.agents)), rows)


def lines_of(played: Played) -> Iterator[dict[str, Any]]:
    """Every round of every market as one dictionary."""
    for number, report in enumerate(played.reports, start=1):
        for k, line in enumerate(trajectory.describe(report, played.agents)):
            strategy, seed = played.names[k // len(played.focal)], k % len(played.focal)
            yield {"strategy": strategy, "seed": seed, "focal": played.agents[played.focal[seed]], "round": number, **line}


def write_report(played: Played, config: DemoConfig, more: list[tuple[str, str]]) -> Path:
    """Write report.html, with ``more`` at its end, the pictures and rounds.jsonl into the folder; returns its path."""
    config.out.mkdir(parents=True, exist_ok=True)
    drawn = pictures(played)
    for name, (fig, _) in drawn.items():
        (config.out / f"{name}.png").write_bytes(png(fig))
    trajectory.write_json_lines(config.out / "rounds.jsonl", lines_of(played))
    sections = [("Strategies against three truthful agents", table(HEAD, rows_of(played)) + picture(*drawn["differences"]))]
    sections.append(("Accuracy in and out of the market", picture(*drawn["accuracy"])))
    sections += [("Prices over rounds", picture(*drawn["prices"])), ("Who bought from whom", picture(*drawn["network"]))]
    sections += [("Ledger of seed 0, all truthful", ledger(played)), *more]
    intro = (
        f"Four agents own unequal shares of real handwritten digits (two keep 10 % of the classes 0-4, two of 5-9), train "
        f"small networks and trade parameters for {config.rounds} rounds. One focal agent plays each strategy against three "
        f"truthful ones on {config.seeds} seeds; utility is money. Accuracy in the table is that of the focal agent's final "
        f"model on held-out test data."
    )
    path = config.out / "report.html"
    path.write_text(page("A tournament in the parameter market", intro, sections), encoding="utf8")
    return path


def show(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table; a narrow terminal wraps lines rather than cutting numbers."""
    shown = Table(title=title, padding=(0, 1), box=box.SIMPLE_HEAD)
    for column, name in enumerate(head):
        shown.add_column(name, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    width = shown.__rich_measure__(Console(width=200), Console(width=200).options).maximum
    Console(width=max(width, Console().width)).print(shown)


def main(config: DemoConfig) -> int:
    """Play both markets, print their tables and write the report; then audit the claims. Returns the exit code."""
    torch.set_num_threads(1)  # the same numbers on every machine; a second thread gains little at these sizes
    played = tournament(config)
    show("focal agent per episode, mean over seeds", HEAD, rows_of(played))
    more, schemes = sharing.sections(min(config.seeds, SHARING_SEEDS), config.rounds)
    show("model sharing: ten clients on digits", sharing.SCHEME_HEAD, schemes)
    Console().print(f"Report: {write_report(played, config, more)}", soft_wrap=True)
    return audit(AuditConfig(claims=config.audit, budget="quick", out=config.out / "audit")) if config.audit else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(DemoConfig, description=__doc__)))
