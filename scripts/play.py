"""Play one episode, and show it round by round in the terminal, each report beside the truth."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.arguments import read_arguments  # noqa: E402
from agents.cli import command  # noqa: E402
from agents.lineups import members  # noqa: E402
from agents.markets import STRATEGIES, entry_of  # noqa: E402
from agents.scripted import Strategy  # noqa: E402
from marketenv import make_market  # noqa: E402
from marketenv.core import rounds  # noqa: E402
from marketenv.core.fields import Field, Multiple  # noqa: E402
from marketenv.core.lookup import lookup  # noqa: E402
from marketenv.core.market import Market, Report, agent_names  # noqa: E402
from marketenv.core.rounds import Situation  # noqa: E402
from marketenv.envs.make import MARKETS, short_name  # noqa: E402
from marketenv.render import tell_round  # noqa: E402

NAMES = ", ".join(STRATEGIES)


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """Arguments of the play.

    Args:
        arguments: arguments of the market as key=value, for instance n_agents=3
            mechanism=second_price
        agent: agent that plays the focal strategy, or a role for all of its agents; by default the
            first agent of the strategy's role
        rounds: rounds of the episode
        seed: of all random numbers; a whole number >= 0
    """

    market: Annotated[str, tyro.conf.arg(help=" or ".join(MARKETS))] = "parameter_trading_v0"
    arguments: tuple[str, ...] = ()
    focal: Annotated[
        str, tyro.conf.arg(help=f"strategy of one agent; the market gets what it needs: {NAMES}")
    ] = "truthful"
    agent: str | None = None
    others: Annotated[
        str, tyro.conf.arg(help="strategy of all other agents, one of the same names")
    ] = "truthful"
    rounds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        command.check_least(1, rounds=self.rounds)
        command.check_seed(self.seed)


# --- reports beside the truth ---------------------------------------------------------------------

# actions are float32: their reports are exact to less than this share of all possible reports
PRECISION = 1e-6


def is_lie(field: Field, truth: float, report: float) -> bool:
    """Whether more than rounding lies between the truth and a report of this field.

    >>> from marketenv.core.fields import Money
    >>> is_lie(Money("price", most=1.0), 0.0025370456, 0.0025370419)
    False
    """
    least, most = field.range
    scale = max(abs(truth), abs(report)) if isinstance(field, Multiple) else most - least
    return abs(report - truth) > PRECISION * scale


def beside(market: Market, before: Situation, report: Report, agents: Sequence[str]) -> Table:
    """One line for each report of an agent in the first market's round, beside the truth."""
    shown = Table(
        title="reports beside the truth, lies in bold",
        padding=(0, 1),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for name in ("agent", "what", "truth", "report", "report / truth"):
        shown.add_column(
            name, justify="left" if name in ("agent", "what") else "right", no_wrap=True
        )
    fields = {field.name: field for move in market.moves for field in move.action.items}
    entry = entry_of(market)
    statements = entry.statements(market, before, report, agents) if entry else ()
    for agent, what, name, truth, reported in statements:
        ratio = f"{reported / truth:.3f}" if truth else "1.000" if not reported else "-"
        style = "bold" if is_lie(fields[name], truth, reported) else None
        shown.add_row(agent, what, f"{truth:.4f}", f"{reported:.4f}", ratio, style=style)
    return shown


# --- the episode ----------------------------------------------------------------------------------


def player(name: str, option: str, market: str) -> Strategy:
    """The strategy of that name; ValueError where there is none, or it cannot play the market."""
    strategy: Strategy = lookup(STRATEGIES, name, "strategy")
    if market not in strategy.markets:
        able = ", ".join(other for other, one in STRATEGIES.items() if market in one.markets)
        raise ValueError(
            f"{command.flag(option)} is {name!r}, which plays {' and '.join(strategy.markets)}"
            f" only, not {market}. Give --market {strategy.markets[0]}, or one that plays {market}:"
            f" {able}."
        )
    return strategy


def main(config: PlayConfig) -> None:
    """Play the episode and print it; the last lines are the utilities of all agents."""
    with command.flags_named(PlayConfig):
        given = read_arguments(config.market, config.arguments, {"max_cycles": "--rounds"})
    name = short_name(config.market)
    focal, others = (
        player(getattr(config, option), option, name) for option in ("focal", "others")
    )
    arguments = {**others.arguments(name), **focal.arguments(name), **given}
    market = make_market(name, max_cycles=config.rounds, **arguments)
    names, console = agent_names(market), Console(highlight=False)
    role = focal.role_in(name)
    first = names[0] if role is None else f"{role}_0"
    chosen = members(market, first if config.agent is None else config.agent)
    policies = dict.fromkeys(names, others.build(market)) | dict.fromkeys(
        chosen, focal.build(market)
    )
    total = torch.zeros(len(names), dtype=torch.float64)
    now = rounds.begin(market, torch.tensor([config.seed]))
    while now.playing:
        before, (now, report) = now, rounds.advance(market, now, rounds.act(market, policies, now))
        if report is None:  # the round goes on
            continue
        console.rule(f"round {int(before.floor.round[0]) + 1}")
        console.print(tell_round(report, names), soft_wrap=True)
        command.show(beside(market, before, report, names))
        total += report.rewards[0]
    console.rule("episode")
    for name, earned in zip(names, total.tolist(), strict=True):
        console.print(
            f"{name} ({config.focal if name in chosen else config.others}): utility {earned:+.3f}"
        )


if __name__ == "__main__":
    command.run(
        lambda: main(command.read(PlayConfig, __doc__)),
        "Nothing is kept; the same command plays it again.",
    )
