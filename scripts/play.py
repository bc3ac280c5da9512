"""Play one episode and tell it round by round in the terminal, what everybody said beside the
truth.
"""

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
from scripts import command  # noqa: E402

NAMES = ", ".join(STRATEGIES)


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """Arguments of the play.

    Args:
        arguments: arguments of the market as key=value, for instance n_agents=3
            mechanism=second_price
        agent: who plays the focal strategy: an agent, or a role for all of its agents; by default
            the first agent that it concerns
        rounds: rounds of the episode
        seed: fixes everything; a whole number >= 0
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


# --- the truth beside what was said ---------------------------------------------------------------

# actions are float32: what they report is exact to less than this share of all that they can report
PRECISION = 1e-6


def is_lie(field: Field, truth: float, said: float) -> bool:
    """Whether more than rounding lies between the truth and what an action of this field said.

    >>> from marketenv.core.fields import Money
    >>> is_lie(Money("price", most=1.0), 0.0025370456, 0.0025370419)
    False
    """
    least, most = field.range
    scale = max(abs(truth), abs(said)) if isinstance(field, Multiple) else most - least
    return abs(said - truth) > PRECISION * scale


def beside(market: Market, before: Situation, report: Report, agents: Sequence[str]) -> Table:
    """One line for everything that an agent said in the first market's round: the truth, what
    was said, and their ratio.
    """
    shown = Table(
        title="the truth beside what was said, lies in bold",
        padding=(0, 1),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for name in ("agent", "what", "truth", "said", "said / truth"):
        shown.add_column(
            name, justify="left" if name in ("agent", "what") else "right", no_wrap=True
        )
    fields = {field.name: field for move in market.moves for field in move.action.items}
    entry = entry_of(market)
    for agent, what, name, truth, said in (
        entry.said(market, before, report, agents) if entry else ()
    ):
        ratio = f"{said / truth:.3f}" if truth else "1.000" if not said else "-"
        style = "bold" if is_lie(fields[name], truth, said) else None
        shown.add_row(agent, what, f"{truth:.4f}", f"{said:.4f}", ratio, style=style)
    return shown


# --- the episode ----------------------------------------------------------------------------------


def player(name: str, option: str, market: str) -> Strategy:
    """The strategy of that name; ValueError where there is none, and where it cannot play the
    market, with those that can.
    """
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
    """Play and print; ends with what everybody earned."""
    with command.flags_named(PlayConfig):
        given = read_arguments(config.market, config.arguments, {"max_cycles": "--rounds"})
    focal, others = (
        player(getattr(config, option), option, short_name(config.market))
        for option in ("focal", "others")
    )
    market = make_market(
        config.market, max_cycles=config.rounds, **{**others.config, **focal.config, **given}
    )
    names, console = agent_names(market), Console(highlight=False)
    first = names[0] if focal.role is None else f"{focal.role}_0"
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
