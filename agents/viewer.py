"""An episode for its readers: what agents report beside the truth, and a page over all rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from agents.markets import entry_of
from marketenv.core.fields import Field, Multiple
from marketenv.core.ledger import LEFT_OVER
from marketenv.core.market import Market, Report
from marketenv.core.rounds import Situation
from marketenv.render import (
    Html,
    Slide,
    episode_page,
    image,
    payments_figure,
    png,
    table,
    tell_round,
)

# actions are float32: their reports are exact to less than this share of all possible reports
PRECISION = 1e-6
HEAD = ("agent", "what", "truth", "report", "report / truth")
LONG = 12  # rows of a table; one that is longer is folded

# --- reports beside the truth ---------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """A report of an agent beside the truth, in words, and whether it is a lie."""

    cells: tuple[str, ...]
    lie: bool


def is_lie(field: Field, truth: float, report: float) -> bool:
    """Whether more than rounding lies between the truth and a report of this field.

    >>> from marketenv.core.fields import Money
    >>> is_lie(Money("price", most=1.0), 0.0025370456, 0.0025370419)
    False
    """
    least, most = field.range
    scale = max(abs(truth), abs(report)) if isinstance(field, Multiple) else most - least
    return abs(report - truth) > PRECISION * scale


def compared(
    market: Market, before: Situation, report: Report, agents: Sequence[str]
) -> Iterator[Compared]:
    """Each report of an agent in the first market's round, beside the truth."""
    fields = {field.name: field for move in market.moves for field in move.action.items}
    entry = entry_of(market)
    statements = entry.statements(market, before, report, agents) if entry else ()
    for agent, what, name, truth, reported in statements:
        ratio = f"{reported / truth:.3f}" if truth else "1.000" if not reported else "-"
        cells = (agent, what, f"{truth:.4f}", f"{reported:.4f}", ratio)
        yield Compared(cells, is_lie(fields[name], truth, reported))


# --- a page over all rounds -----------------------------------------------------------------------


@dataclass
class Viewer:
    """Collects the rounds of an episode, and makes a page of them.

    strategies: by agent, the name of what it plays
    utilities:  by agent, the sum over all rounds so far, money
    """

    market: Market
    strategies: Mapping[str, str]
    utilities: dict[str, float] = field(default_factory=dict)
    slides: list[Slide] = field(default_factory=list)

    def add(self, before: Situation, report: Report, drawn: bool = True) -> None:
        """Add a round to the utilities, and, if it is to be drawn, to the page."""
        for agent, utility in zip(self.strategies, report.rewards[0].tolist(), strict=True):
            self.utilities[agent] = self.utilities.get(agent, 0.0) + utility
        if drawn:
            self.slides.append(self._slide(before, report))

    def page(self, seed: int) -> str:
        """The page of the rounds so far; ValueError where none was drawn."""
        name, count = self.market.name, len(self.slides)
        intro = (
            f"An episode of {name} with seed {seed}: who paid whom, what agents earned, and what"
            " they reported. The slider, the arrow keys and the two buttons go from round to round."
        )
        rows = [
            (agent, self.strategies[agent], f"{utility:+.3f}")
            for agent, utility in self.utilities.items()
        ]
        total = table(("agent", "strategy", "utility, money"), rows)
        section = (f"Utilities of {count} round{'s' * (count > 1)}", total)
        return episode_page(f"{name}, round by round", intro, self.slides, [section])

    def _slide(self, before: Situation, report: Report) -> Slide:
        agents, number = list(self.strategies), int(before.floor.round[0]) + 1
        fig, heading = payments_figure(report, agents), f"round {number}"
        fig.set_dpi(160)  # sharp on screens of many pixels
        return Slide(
            heading=heading,
            picture=image(png(fig), f"payments of {heading}; the table of payments lists them"),
            words=tell_round(report, agents),
            tables=[
                ("what agents received, paid and earned, in money", self._money(report)),
                ("payments", _payments(report)),
            ],
            below=[("reports beside the truth, lies in bold", self._reports(before, report))],
        )

    def _money(self, report: Report) -> str:
        numbers = (report.received, report.paid, report.rewards)
        columns = [values[0].tolist() for values in numbers]
        rows = [
            (agent, f"{received:.4f}", f"{paid:.4f}", f"{utility:+.4f}", f"{so_far:+.4f}")
            for agent, received, paid, utility, so_far in zip(
                self.strategies, *columns, self.utilities.values(), strict=True
            )
        ]
        head = ("agent", "received", "paid", "utility", "utility so far")
        return table(head, rows)

    def _reports(self, before: Situation, report: Report) -> str:
        lines = list(compared(self.market, before, report, list(self.strategies)))
        if not lines:
            return "<p>This market asks for no report.</p>"
        rows = [_bold(line.cells) if line.lie else line.cells for line in lines]
        return _folded(table(HEAD, rows), len(rows), "reports")


def _payments(report: Report) -> str:
    """Each payment of the round, with the name that its phase gives it."""
    names = report.names
    rows = []
    for kind, flow in report.flows.items():
        money = flow.money[0]
        if not money.numel():  # a role without agents
            continue
        payers, payees = names[report.rows[flow.payer]], names[report.rows[flow.payee]]
        for payer, payee in (money > LEFT_OVER * money.max()).nonzero().tolist():
            amount = f"{float(money[payer, payee]):.4f}"
            rows.append((payers[payer], payees[payee], kind, amount))
    if not rows:
        return "<p>Nobody pays anybody.</p>"
    content = table(("payer", "payee", "for", "money"), rows)
    return _folded(content, len(rows), "payments")


def _bold(cells: Sequence[str]) -> tuple[Html, ...]:
    return tuple(Html(f"<b>{escape(cell)}</b>") for cell in cells)


def _folded(content: str, count: int, what: str) -> str:
    """A long table below a line on which a click opens it."""
    if count <= LONG:
        return content
    return f"<details><summary>{count} {what}</summary>{content}</details>"
