"""Markets on real digits: agents train networks, trade data, computing and parameters, and pay.

First comes the whole marketplace, an episode in one picture and five sentences. Then, for 20
rounds, a tournament in the parameter market: one focal agent plays a scripted strategy against
truthful agents, with the same seeds and data for every strategy; the agents take turns as the focal
one. "Out of the market" means that nobody ever trades. Three shorter parts show the model-sharing
market, the data market and the resource market. At the end a quick audit tests the claims about the
markets. Episodes are kept: a killed demo goes on where it stood.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the agents of this repository, wherever the script is started from

from agents.cli import command  # noqa: E402
from agents.cli.intervals import note  # noqa: E402
from agents.demos import data, findings, marketplace, resources, sharing, trading  # noqa: E402
from agents.demos.line_ups import DemoResults, differences, joined, market_of  # noqa: E402
from agents.papers.core import units  # noqa: E402
from agents.papers.core.audit import choose, find_claims  # noqa: E402
from marketenv.core import trajectory  # noqa: E402
from marketenv.core.storage import whole_file  # noqa: E402
from marketenv.render import notes, page, png  # noqa: E402
from scripts.audit import AuditConfig  # noqa: E402
from scripts.audit import main as audit  # noqa: E402

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
        seeds: markets for each strategy, on the same seeds; below 20 no interval is shown
        rounds: rounds of an episode
        arguments: arguments of parameter_trading_v0 as key=value, for instance n_agents=5
            mechanism=second_price
        out: folder of the report, the pictures, the rounds and the audit
        audit: claims that the quick audit at the end tests, ids or patterns, "*" for all; without
            any there is no audit
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
        """The processes that do the work."""
        return units.Crew(workers=self.workers)


def check(config: DemoConfig) -> None:
    """Raise ValueError before any work where something cannot be played, audited or written."""
    with command.flags_named(DemoConfig):
        market_of(trading.MARKET, config.arguments, config.rounds)
    choose(find_claims(), patterns=config.audit)
    command.check_folder(
        config.out, config.out / "units", *((config.out / "audit",) if config.audit else ())
    )


@dataclass(frozen=True)
class Episodes:
    """All episodes of the demo.

    whole: in the whole marketplace
    tournament: in the parameter market
    schemes, liars: in the model-sharing market
    cheats: in the data market
    game, audited: in the resource market: leaders, and an owner's cheats by audit
    """

    whole: dict[str, Any]
    tournament: DemoResults
    schemes: dict[str, DemoResults]
    liars: DemoResults
    cheats: list[Any]
    game: dict[str, Any]
    audited: list[Any]

    def findings(self) -> list[str]:
        """The five sentences at the head of the report."""
        return findings.sentences(self.tournament, self.liars, self.cheats, self.game, self.audited)

    def sections(self) -> list[tuple[str, str]]:
        """The report's sections of the markets after the tournament."""
        more = sharing.sections(self.schemes, self.liars)
        return [*more, data.section(self.cheats), *resources.sections(self.game, self.audited)]


def play(config: DemoConfig) -> Episodes:
    """Play the episodes that are not kept, and return all."""
    compared, lied = sharing.units(config.seeds, config.rounds)
    parts = [
        marketplace.units(),
        trading.units(config.arguments, config.seeds, config.rounds),
        lied,
        data.units(config.seeds),
        resources.units(config.seeds),
        compared,
    ]
    every = [unit for part in parts for unit in part]
    ran = units.run(every, config.out / "units", "markets and rounds", config.crew())
    results = iter(ran.all())
    (whole,), tournament, liars, cheats, (game, *audited), schemes = (
        [next(results) for _ in part] for part in parts
    )
    return Episodes(
        whole=whole,
        tournament=joined(tournament),
        schemes=sharing.schemes_of(schemes),
        liars=joined(liars),
        cheats=cheats,
        game=game,
        audited=audited,
    )


def write_report(config: DemoConfig, episodes: Episodes) -> Path:
    """Write report.html, the pictures and rounds.jsonl into the folder; returns the page's path."""
    played = episodes.tournament
    units.replace(config.out / "marketplace.png", png(marketplace.drawing(episodes.whole)))
    drawn = trading.pictures(played)
    for name, (fig, _) in drawn.items():
        units.replace(config.out / f"{name}.png", png(fig))
    with whole_file(config.out / "rounds.jsonl") as part:
        trajectory.write_json_lines(part, played.lines)
    intro = (
        "Agents train networks on real handwritten digits, trade data, computing and parameters,"
        " and pay. Utility is money."
    )
    head = findings.front(episodes.findings(), _command(config), bool(config.audit))
    sections = [
        marketplace.section(episodes.whole),
        ("The parameter market: a tournament", notes([about_tournament(config, played)])),
        *trading.sections(played, drawn),
        *episodes.sections(),
    ]
    title = "Markets of data, computing and parameters"
    text = page(title, intro, sections, findings.STYLE, head)
    units.replace(config.out / "report.html", text.encode())
    return config.out / "report.html"


def _command(config: DemoConfig) -> str:
    """The command that makes the same page; where it is written is left out."""
    default, words = DemoConfig(), ["python scripts/demo.py"]
    for name in ("seeds", "rounds", "arguments", "audit"):
        value = getattr(config, name)
        if value != getattr(default, name):
            parts = value if isinstance(value, tuple) else (value,)
            words += [command.flag(name), *(shlex.quote(str(part)) for part in parts)]
    return " ".join(words)


def about_tournament(config: DemoConfig, played: DemoResults) -> str:
    """What the tournament is, and how to read its tables and pictures."""
    n = len(played.agents)
    owned = f"Arguments: {' '.join(config.arguments)}. " if config.arguments else ""
    return (
        f"{n} agents own unequal shares of the digits, train small networks and trade parameters"
        f" for {config.rounds} rounds. One focal agent plays each strategy against {n - 1} truthful"
        f" ones on {config.seeds} seeds; the agents take turns in being the focal one. {owned}"
        "Accuracy in the table is that of the focal agent's final model on held-out test data. In"
        " the pictures below a colour means an agent; all else is black and grey."
    )


def table_of(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """A table of the terminal, whose cells do not wrap."""
    shown = Table(title=title, padding=(0, 1), box=box.SIMPLE_HEAD)
    for column, name in enumerate(head):
        shown.add_column(name, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    return shown


def tables(episodes: Episodes) -> Iterator[Table]:
    """One table for each part."""
    played, liars = episodes.tournament, episodes.liars
    yield table_of(
        "focal agent per episode, mean over seeds",
        trading.head_of(played),
        trading.rows_of(played),
    )
    yield table_of(
        "model sharing: ten clients on digits",
        sharing.SCHEME_HEAD,
        sharing.scheme_rows(episodes.schemes),
    )
    yield table_of(
        "model sharing: one liar or attacker",
        sharing.liar_head(liars),
        sharing.liar_rows(liars),
    )
    yield table_of(
        "data market: what one seller earns by its guard",
        data.HEAD,
        data.rows(episodes.cheats),
    )
    yield table_of(
        "resource market: the leader's payment, and what all earn",
        resources.LEADER_HEAD,
        resources.leader_rows(episodes.game),
    )
    yield table_of(
        "resource market: what one owner earns by the audit",
        resources.OWNER_HEAD,
        resources.owner_rows(episodes.audited),
    )


def main(config: DemoConfig) -> int:
    """Play, print the tables, write the report, and audit the claims; returns the exit code."""
    check(config)
    episodes, console = play(config), Console()
    for sentence in marketplace.sentences(episodes.whole):
        console.print(sentence, soft_wrap=True)
    for table in tables(episodes):
        command.show(table)
    played, liars = episodes.tournament, episodes.liars
    gaps = [*differences(played.gaps()).values(), *differences(liars.gaps()).values()]
    if text := note(gaps, "seeds"):
        console.print(text, soft_wrap=True)
    console.print(f"Report: {write_report(config, episodes)}", soft_wrap=True)
    if not config.audit:
        return 0
    return audit(audit_of(config))


def audit_of(config: DemoConfig) -> AuditConfig:
    """The audit at the end of the demo, by as many processes."""
    folder = config.out / "audit"
    return AuditConfig(claims=config.audit, budget="quick", out=folder, workers=config.workers)


if __name__ == "__main__":
    command.run(lambda: main(command.read(DemoConfig, __doc__)))
