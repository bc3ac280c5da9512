"""Play one episode and tell it round by round in the terminal, what everybody said beside the truth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
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
from agents.scripted import STRATEGIES, Strategy  # noqa: E402
from marketenv import make_market  # noqa: E402
from marketenv.core import rounds  # noqa: E402
from marketenv.core.fields import Field, Multiple  # noqa: E402
from marketenv.core.lookup import lookup  # noqa: E402
from marketenv.core.market import Report, agent_names  # noqa: E402
from marketenv.envs.make import MARKETS, short_name  # noqa: E402
from marketenv.markets.model_sharing_types import TYPES, SharingReport, SharingState  # noqa: E402
from marketenv.markets.parameter_trading import ParameterTradingMarket  # noqa: E402
from marketenv.markets.parameter_trading_types import TradingReport, TradingState  # noqa: E402
from marketenv.markets.reference import ReferenceReport  # noqa: E402
from marketenv.render import tell_round  # noqa: E402
from scripts import command  # noqa: E402

NAMES = ", ".join(STRATEGIES)


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """Arguments of the play.

    Args:
        arguments: arguments of the market as key=value, for instance n_agents=3 mechanism=second_price
        rounds: rounds of the episode
        seed: fixes everything; a whole number >= 0
    """

    market: Annotated[str, tyro.conf.arg(help=" or ".join(MARKETS))] = "parameter_trading_v0"
    arguments: tuple[str, ...] = ()
    focal: Annotated[str, tyro.conf.arg(help=f"strategy of the first agent; the market gets what it needs: {NAMES}")] = "truthful"
    others: Annotated[str, tyro.conf.arg(help="strategy of all other agents, one of the same names")] = "truthful"
    rounds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        command.check_least(1, rounds=self.rounds)
        command.check_seed(self.seed)


# --- the truth beside what was said -------------------------------------------------------------------------------------

Said = tuple[str, str, str, float, float]  # who, what, the action's field, the truth, what was said
PRECISION = 1e-6  # actions are float32: what they report is exact to less than this share of all that they can report


def of_reference(market: Any, state: Any, report: ReferenceReport, agents: Sequence[str]) -> Iterator[Said]:
    """A value beside the bid, a cost beside the ask."""
    for k, agent in enumerate(agents):
        what = "value and bid" if agent.startswith("buyer") else "cost and ask"
        yield agent, what, "price", float(report.types[0, k]), float(report.offers[0, k])


def of_trading(
    market: ParameterTradingMarket, state: TradingState, report: TradingReport, agents: Sequence[str]
) -> Iterator[Said]:
    """What a purchase is worth beside the bid, and what a sale costs its seller beside the ask."""
    worth = state.money_per_loss[0, :, None] * report.gain.worth[0].double().clamp(min=0)
    cost = market.config.externality * report.gain.worth[0].double().clamp(min=0)
    for i, agent in enumerate(agents):
        for j in (j for j in range(len(agents)) if j != i):
            yield agent, f"worth of {agents[j]}'s model and bid", "bid", float(worth[i, j]), float(report.bids[0, i, j])
        for j in (j for j in range(len(agents)) if j != i):
            yield agent, f"cost of selling to {agents[j]} and ask", "ask", float(cost[j, i]), float(report.asks[0, j, i])


def of_sharing(market: Any, state: SharingState, report: SharingReport, agents: Sequence[str]) -> Iterator[Said]:
    """True types beside reported ones."""
    for k, agent in enumerate(agents):
        for name in TYPES:
            truth, said = getattr(state.types, name), getattr(report.reported, name)
            yield agent, f"{name[:-1]} and report", name[:-1], float(truth[0, k]), float(said[0, k])


# Where a market's round tells what was true and what was said, by kind of report.
SAID: dict[type[Report], Callable[[Any, Any, Any, Sequence[str]], Iterator[Said]]] = {
    ReferenceReport: of_reference,
    TradingReport: of_trading,
    SharingReport: of_sharing,
}


def is_lie(field: Field, truth: float, said: float) -> bool:
    """Whether more than rounding lies between the truth and what an action of this field said.

    >>> from marketenv.core.fields import Money
    >>> is_lie(Money("price", most=1.0), 0.0025370456, 0.0025370419)
    False
    """
    least, most = field.range
    scale = max(abs(truth), abs(said)) if isinstance(field, Multiple) else most - least
    return abs(said - truth) > PRECISION * scale


def beside(market: Any, state: Any, report: Report, agents: Sequence[str]) -> Table:
    """One line for everything that an agent said in the first market's round: the truth, what was said, and their ratio."""
    shown = Table(title="the truth beside what was said, lies in bold", padding=(0, 1), box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("agent", "what", "truth", "said", "said / truth"):
        shown.add_column(name, justify="left" if name in ("agent", "what") else "right", no_wrap=True)
    fields = {field.name: field for role in market.roles for field in role.action.items}
    for agent, what, name, truth, said in SAID[type(report)](market, state, report, agents):
        ratio = f"{said / truth:.3f}" if truth else "1.000" if not said else "-"
        style = "bold" if is_lie(fields[name], truth, said) else None
        shown.add_row(agent, what, f"{truth:.4f}", f"{said:.4f}", ratio, style=style)
    return shown


# --- the episode --------------------------------------------------------------------------------------------------------


def player(name: str, option: str, market: str) -> Strategy:
    """The strategy of that name; ValueError where there is none, and where it cannot play the market, with those that can."""
    strategy: Strategy = lookup(STRATEGIES, name, "strategy")
    if market not in strategy.markets:
        able = ", ".join(other for other, one in STRATEGIES.items() if market in one.markets)
        raise ValueError(
            f"{command.flag(option)} is {name!r}, which plays {' and '.join(strategy.markets)} only, not {market}. Give --market "
            f"{strategy.markets[0]}, or one that plays {market}: {able}."
        )
    return strategy


def main(config: PlayConfig) -> None:
    """Play and print; ends with what everybody earned."""
    with command.flags_named(PlayConfig):
        given = read_arguments(config.market, config.arguments, {"max_cycles": "--rounds"})
    focal, others = (player(getattr(config, option), option, short_name(config.market)) for option in ("focal", "others"))
    market = make_market(config.market, max_cycles=config.rounds, **{**others.config, **focal.config, **given})
    names, console = agent_names(market), Console(highlight=False)
    policies = dict.fromkeys(names, others.build(market)) | {names[0]: focal.build(market)}
    total = torch.zeros(len(names), dtype=torch.float64)
    now = rounds.begin(market, torch.tensor([config.seed]))
    while now.quotes is not None:
        state, (now, report) = now.state, rounds.advance(market, now, rounds.act(market, policies, now))
        assert report is not None, "the markets of this script have one stage"
        console.rule(f"round {int(state.round[0]) + 1}")
        console.print(tell_round(report, names), soft_wrap=True)
        command.show(beside(market, state, report, names))
        total += report.rewards[0]
    console.rule("episode")
    for name, earned in zip(names, total.tolist(), strict=True):
        console.print(f"{name} ({config.focal if name == names[0] else config.others}): utility {earned:+.3f}")


if __name__ == "__main__":
    command.run(lambda: main(command.read(PlayConfig, __doc__)), "Nothing is kept; the same command plays it again.")
