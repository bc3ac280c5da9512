"""A tournament on real digits: agents train networks, trade parameters and settle payments for 20
rounds.

One focal agent per market plays each scripted strategy against truthful ones, with the same seeds
and data for every strategy; the agents take turns in being the focal one. "Out of the market" is
everybody never trading. Three shorter parts show the model-sharing market, the data market and the
resource market. At the end a quick audit puts the claims about the markets to the test. What is
played is kept: a killed demo goes on where it stood.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the agents of this repository, wherever the script is started from

from marketenv.core import trajectory  # noqa: E402
from marketenv.core.storage import whole_file  # noqa: E402
from marketenv.render import page, png  # noqa: E402
from scripts import command, units  # noqa: E402
from scripts.audit import AuditConfig  # noqa: E402
from scripts.audit import main as audit  # noqa: E402
from scripts.audits.evidence import choose, find_claims  # noqa: E402
from scripts.demos import data, resources, sharing, trading  # noqa: E402
from scripts.demos.line_ups import Played, differences, joined, market_of  # noqa: E402
from scripts.intervals import note  # noqa: E402

AUDITED = (  # claims that are decided in seconds; "*" are all of them
    *("reference/*", "train_n_trade/*"),
    *(
        "ipfl/individual_*",
        "ipfl/cost_*",
        "ipfl/truth*",
        "ipfl/budget_balance",
        "ipfl/accounts",
        "ipfl/never_*",
        "ipfl/false_names",
    ),
    *(
        "data_valuation/*_label_skew",
        "data_valuation/*renaming*",
        "data_valuation/truthful_ask_*",
        "data_valuation/within_budget_*",
    ),
    *(
        "resources_decoupled/no_*",
        "resources_decoupled/printed_definition",
        "resources_decoupled/self_reports_are_true",
        "resources_decoupled/one_identity_is_enough",
        "resources_decoupled/word_is_kept",
    ),
)


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Arguments of the demo.

    Args:
        seeds: paired markets per strategy; below 20 no interval is shown
        rounds: rounds of an episode
        arguments: arguments of parameter_trading_v0 as key=value, for instance n_agents=5
            mechanism=second_price
        out: folder of the report, the pictures, the rounds and the audit
        audit: claims that the quick audit at the end tests, ids or patterns, "*" for all; none
            leaves it out
        workers: processes; 0 takes one per processor
    """

    seeds: int = 20
    rounds: int = 20
    arguments: tuple[str, ...] = ()
    out: Path = ROOT / "results" / "demo"
    audit: tuple[str, ...] = AUDITED
    workers: int = 0

    def __post_init__(self) -> None:
        command.check_least(1, seeds=self.seeds, rounds=self.rounds)
        self.crew()

    def crew(self) -> units.Crew:
        """Who does the work."""
        return units.Crew(workers=self.workers)


def check(config: DemoConfig) -> None:
    """Raise ValueError for what could not be played, audited or written, before any of it is
    begun.
    """
    with command.flags_named(DemoConfig):
        market_of(trading.MARKET, config.arguments, config.rounds)
    choose(find_claims(), patterns=config.audit)
    command.check_folder(
        config.out, config.out / "units", *((config.out / "audit",) if config.audit else ())
    )


@dataclass(frozen=True)
class Shown:
    """What is played: the tournament; schemes and liars of model sharing; cheats of the data
    market; leaders of the resource market, and its cheats by audit.
    """

    tournament: Played
    schemes: dict[str, Played]
    liars: Played
    cheats: list[Any]
    game: dict[str, Any]
    audited: list[Any]

    def sections(self) -> list[tuple[str, str]]:
        """The report's sections of all markets but the first."""
        more = sharing.sections(self.schemes, self.liars)
        return [*more, data.section(self.cheats), *resources.sections(self.game, self.audited)]


def play(config: DemoConfig) -> Shown:
    """Play what is not played yet."""
    compared, lied = sharing.units(config.seeds, config.rounds)
    parts = [
        trading.units(config.arguments, config.seeds, config.rounds),
        lied,
        data.units(config.seeds),
        resources.units(config.seeds),
        compared,
    ]
    every = [unit for part in parts for unit in part]
    found = iter(units.run(every, config.out / "units", "markets and rounds", config.crew()).all())
    tournament, liars, cheats, (game, *audited), schemes = (
        [next(found) for _ in part] for part in parts
    )
    return Shown(
        joined(tournament), sharing.schemes_of(schemes), joined(liars), cheats, game, audited
    )


def write_report(config: DemoConfig, played: Played, more: list[tuple[str, str]]) -> Path:
    """Write report.html, with ``more`` at its end, the pictures and rounds.jsonl into the
    folder; returns its path.
    """
    drawn = trading.pictures(played)
    for name, (fig, _) in drawn.items():
        units.replace(config.out / f"{name}.png", png(fig))
    with whole_file(config.out / "rounds.jsonl") as part:
        trajectory.write_json_lines(part, played.lines)
    n = len(played.agents)
    owned = f"Arguments: {' '.join(config.arguments)}. " if config.arguments else ""
    intro = (
        f"{n} agents own unequal shares of real handwritten digits, train small networks and trade"
        f" parameters for {config.rounds} rounds. One focal agent plays each strategy against"
        f" {n - 1} truthful ones on {config.seeds} seeds; the agents take turns in being the focal"
        f" one; utility is money. {owned}Accuracy in the table is that of the focal agent's final"
        " model on held-out test data. In all pictures a colour means an agent; all else is black"
        " and grey."
    )
    text = page(
        "A tournament in the parameter market", intro, [*trading.sections(played, drawn), *more]
    )
    units.replace(config.out / "report.html", text.encode())
    return config.out / "report.html"


def table_of(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """A table of the terminal, whose cells do not wrap."""
    shown = Table(title=title, padding=(0, 1), box=box.SIMPLE_HEAD)
    for column, name in enumerate(head):
        shown.add_column(name, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    return shown


def main(config: DemoConfig) -> int:
    """Play the markets, print their tables and write the report; then audit the claims. Returns
    the exit code.
    """
    check(config)
    shown = play(config)
    played, liars = shown.tournament, shown.liars
    console = Console()
    command.show(
        table_of(
            "focal agent per episode, mean over seeds",
            trading.head_of(played),
            trading.rows_of(played),
        )
    )
    command.show(
        table_of(
            "model sharing: ten clients on digits",
            sharing.SCHEME_HEAD,
            sharing.scheme_rows(shown.schemes),
        )
    )
    command.show(
        table_of(
            "model sharing: one liar or attacker",
            sharing.liar_head(liars),
            sharing.liar_rows(liars),
        )
    )
    command.show(
        table_of(
            "data market: what one seller earns by its guard", data.HEAD, data.rows(shown.cheats)
        )
    )
    leaders, owners = resources.leader_rows(shown.game), resources.owner_rows(shown.audited)
    command.show(
        table_of(
            "resource market: the leader's payment, and what all earn",
            resources.LEADER_HEAD,
            leaders,
        )
    )
    command.show(
        table_of("resource market: what one owner earns by the audit", resources.OWNER_HEAD, owners)
    )
    if told := note(
        [*differences(played.gaps()).values(), *differences(liars.gaps()).values()], "seeds"
    ):
        console.print(told, soft_wrap=True)
    console.print(f"Report: {write_report(config, played, shown.sections())}", soft_wrap=True)
    return (
        audit(AuditConfig(claims=config.audit, budget="quick", out=config.out / "audit"))
        if config.audit
        else 0
    )


if __name__ == "__main__":
    command.run(lambda: main(command.read(DemoConfig, __doc__)))
