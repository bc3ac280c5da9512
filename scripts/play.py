"""Play one episode, and show it round by round in the terminal, each report beside the truth."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agents.arguments import read_arguments  # noqa: E402
from agents.cli import command  # noqa: E402
from agents.lineups import learned_strategy, members  # noqa: E402
from agents.markets import STRATEGIES  # noqa: E402
from agents.runs import is_learned  # noqa: E402
from agents.scripted import Strategy  # noqa: E402
from agents.viewer import HEAD, Viewer, compared  # noqa: E402
from marketenv import make_market  # noqa: E402
from marketenv.core import rounds  # noqa: E402
from marketenv.core.lookup import lookup  # noqa: E402
from marketenv.core.market import Market, Report, agent_names, role_of  # noqa: E402
from marketenv.core.policy import Policy  # noqa: E402
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
        html: file for a page of the episode with a slider over its rounds; none writes no page
    """

    market: Annotated[str, tyro.conf.arg(help=" or ".join(MARKETS))] = "parameter_trading_v0"
    arguments: tuple[str, ...] = ()
    focal: Annotated[
        str,
        tyro.conf.arg(
            help="strategy of one agent; the market gets what it needs: trained:NAME, run:FOLDER,"
            f" {NAMES}"
        ),
    ] = "truthful"
    agent: str | None = None
    others: Annotated[
        str, tyro.conf.arg(help="strategy of all other agents, one of the same names")
    ] = "truthful"
    rounds: int = 3
    seed: int = 0
    html: Path | None = None

    def __post_init__(self) -> None:
        command.check_least(1, rounds=self.rounds)
        command.check_seed(self.seed)


# --- reports beside the truth ---------------------------------------------------------------------


def beside(market: Market, before: Situation, report: Report, agents: Sequence[str]) -> Table:
    """One line for each report of an agent in the first market's round, beside the truth."""
    shown = Table(
        title="reports beside the truth, lies in bold",
        padding=(0, 1),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for name in HEAD:
        shown.add_column(
            name, justify="left" if name in ("agent", "what") else "right", no_wrap=True
        )
    for statement in compared(market, before, report, agents):
        shown.add_row(*statement.cells, style="bold" if statement.lie else None)
    return shown


# --- the episode ----------------------------------------------------------------------------------


def player(name: str, option: str, market: str) -> Strategy:
    """The strategy of that name; ValueError where there is none, or it cannot play the market."""
    strategy = learned_strategy(name) if is_learned(name) else lookup(STRATEGIES, name, "strategy")
    if market not in strategy.markets:
        able = ", ".join(other for other, one in STRATEGIES.items() if market in one.markets)
        raise ValueError(
            f"{command.flag(option)} is {name!r}, which plays {' and '.join(strategy.markets)}"
            f" only, not {market}. Give --market {strategy.markets[0]}, or one that plays {market}:"
            f" {able}."
        )
    return strategy


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a market, of which a later one goes before; those of one part are joined.

    >>> merged({"part": {"a": 1, "b": 1}}, {"part": {"b": 2}, "c": 3})
    {'part': {'a': 1, 'b': 2}, 'c': 3}
    """
    joined: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, Mapping) and isinstance(joined.get(name), Mapping)
            joined[name] = {**joined[name], **value} if both else value
    return joined


@dataclass(frozen=True)
class Cast:
    """A market, and what each of its agents plays: strategies by name, and the agents' policies."""

    market: Market
    strategies: Mapping[str, str]
    policies: Mapping[str, Policy]

    @classmethod
    def of(cls, config: PlayConfig) -> Cast:
        """The market with the arguments that its strategies need; ValueError where none fits."""
        with command.flags_named(PlayConfig):
            given = read_arguments(config.market, config.arguments, {"max_cycles": "--rounds"})
        name = short_name(config.market)
        focal, others = (
            player(getattr(config, option), option, name) for option in ("focal", "others")
        )
        arguments = merged(others.arguments(name), focal.arguments(name), given)
        market = make_market(name, max_cycles=config.rounds, **arguments)
        names, chosen = agent_names(market), focal_agents(config, market, focal)
        strategies = dict.fromkeys(names, config.others) | dict.fromkeys(chosen, config.focal)
        policies = dict.fromkeys(names, others.build(market))
        return cls(market, strategies, policies | dict.fromkeys(chosen, focal.build(market)))


def focal_agents(config: PlayConfig, market: Market, focal: Strategy) -> Sequence[str]:
    """The agents that play the focal strategy; ValueError for those whose moves it leaves alone."""
    role = focal.role_in(short_name(config.market))
    first = agent_names(market)[0] if role is None else f"{role}_0"
    chosen = members(market, first if config.agent is None else config.agent)
    if role not in (None, role_of(market, chosen[0]).name):
        raise ValueError(
            f"{command.flag('agent')} is {config.agent!r}, wanted an agent of the role {role!r}:"
            f" {config.focal!r} changes the moves of this role alone. Give"
            f" {command.flag('agent')} {first}, or leave it out."
        )
    return chosen


def played(cast: Cast, seed: int) -> Iterator[tuple[Situation, Report]]:
    """The rounds of an episode: where each stood before its last stage, and its report."""
    now = rounds.begin(cast.market, torch.tensor([seed]))
    while now.playing:
        actions = rounds.act(cast.market, cast.policies, now)
        before, (now, report) = now, rounds.advance(cast.market, now, actions)
        if report is not None:  # else the round goes on
            yield before, report


def main(config: PlayConfig) -> None:
    """Play the episode and print it; the last lines are the utilities of all agents."""
    if config.html is not None:
        command.check_file(config.html, "--html")
    cast = Cast.of(config)
    names, console = agent_names(cast.market), Console(highlight=False)
    viewer = Viewer(cast.market, cast.strategies)
    for before, report in played(cast, config.seed):
        console.rule(f"round {int(before.floor.round[0]) + 1}")
        console.print(tell_round(report, names), soft_wrap=True)
        command.show(beside(cast.market, before, report, names))
        viewer.add(before, report, drawn=config.html is not None)
    console.rule("episode")
    for name, earned in viewer.utilities.items():
        console.print(f"{name} ({cast.strategies[name]}): utility {earned:+.3f}")
    if config.html is not None:
        config.html.write_text(viewer.page(config.seed), encoding="utf8")
        console.print(f"The episode is in {config.html}: open it in a browser.", soft_wrap=True)


if __name__ == "__main__":
    command.run(
        lambda: main(command.read(PlayConfig, __doc__)),
        "Nothing is kept; the same command plays it again.",
    )
