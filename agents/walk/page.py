"""The page on which one round of parameter trading is told three times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketenv.core.market import Report, agent_names
from marketenv.markets.parameter_trading import Traded
from marketenv.markets.parameter_trading.score import Scored
from marketenv.markets.training import Trained

from .shown import ENGINE, Row, rows
from .trace import traced

CODE = """\
import torch

from marketenv import make_market
from marketenv.core import rounds
from marketenv.core.market import agent_names
from marketenv.render import tell_round

market = make_market("parameter_trading_v0", n_agents=3, max_cycles=1)
policies = dict.fromkeys(agent_names(market), market.policies["truthful"])
start = rounds.begin(market, torch.tensor([0]))  # Train, and the quotes of Trade
actions = rounds.act(market, policies, start)  # what the agents see, and what they do
end, report = rounds.play_stage(market, start, actions)  # the deals of Trade, and Score
print(tell_round(report, agent_names(market)))
"""
HEAD = """\
# A walk through one round

One round of [parameter trading](../environments/parameter_trading.md), told three times: in the
words of its report, by the code that ran, and by the formulas of that code. Three agents train on
digits, tell the truth, and trade.

`scripts/rewrite_walk.py` makes this page from the code below, and a test compares the page with the
code. All numbers are of seed 0.

```python
{code}```

The engine, `marketenv.core.rounds`, knows nothing of training and trading. It plays the phases of
the market in their order, `Train`, `Trade` and `Score`, and stops where agents move. The last part
of the round is its own: it closes the round.

Functions stand in the order of their first calls. One arrow more means that the function is called
from the one above. The page shows public functions only:

* of the engine, those that the code above calls,
* of the phases, all methods,
* of the market's parts (alignment, weight of the merge, valuation, exchange, payment rule) all
  functions in the same file,
* of the learner, the methods that take models,
* of the rooms, what they export, where its docstring has a formula.

In formulas, m is the type `money_per_loss` of `{agent}`: {m:.4f} money for a unit of loss.
"""
TITLES = {
    "Train": "Train: every agent trains on its own data",
    "Trade": "Trade: agents try, report and buy models",
    "Score": "Score: the fall of the loss becomes money",
    ENGINE: "The engine closes the round",
}
STEPS = {  # by the function that begins them
    "Trade.quote": "The broker tries every purchase",
    "act": "The agents see their quotes and report",
    "play_stage": "The exchange settles",
}
CLOSING = """\
The utility of an agent is its net money and all terms that the phases added, summed once.
"""
CODE_OF_ROUND = CODE.rsplit("print(", 1)[0]  # without the words at its end


def page() -> str:
    """The page, made from a round that is played now."""
    traced(CODE_OF_ROUND, {})  # what is computed once a process, such as data sets, is there then
    namespace: dict[str, Any] = {}
    shown = rows(traced(CODE_OF_ROUND, namespace))
    report, agents = namespace["report"], agent_names(namespace["market"])
    words, numbers = words_of(report, agents), Numbers.of(namespace)
    parts = [HEAD.format(code=CODE, agent=numbers.agent, m=numbers.m)]
    for phase, title in TITLES.items():
        parts.append(
            "\n".join(
                (
                    f"## {title}\n\n```text",
                    *words[phase],
                    f"```\n\nIn numbers, for `{numbers.agent}`:\n",
                    *(f"* {line}" for line in numbers.equations[phase]),
                    *(_tables(_section(shown, phase)) if phase else ("", CLOSING.strip())),
                    "",
                )
            )
        )
    return "\n".join(parts)


def words_of(report: Report, agents: Sequence[str]) -> dict[str, list[str]]:
    """What each phase says of the round; payments and utilities are the engine's."""
    words = {
        name.capitalize(): list(outcome.story(agents)) for name, outcome in report.outcomes.items()
    }
    before = sum(map(len, words.values()))
    return words | {ENGINE: report.story(agents)[before:]}


def _section(shown: Sequence[Row], phase: str) -> list[Row]:
    """The rows of a phase, and before each the engine's row that led to it."""
    section, engine = [], None
    for row in shown:
        if row.phase == ENGINE:
            engine = row
        elif row.phase == phase:
            section += [engine, row] if engine else [row]
            engine = None
        else:
            engine = None
    return section


def _tables(section: Sequence[Row]) -> Iterator[str]:
    """Code and formulas side by side; a table of its own for each of the ``STEPS``."""
    starts = [k for k, row in enumerate(section) if k == 0 or row.name.qualname in STEPS]
    for start, end in zip(starts, [*starts[1:], len(section)], strict=True):
        step = section[start:end]
        if (name := step[0].name.qualname) in STEPS:
            yield f"\n### {STEPS[name]}"
        head = ("Code that ran", "File", "What it does", "Formula")
        columns = 4 if any(row.formulas for row in step) else 3
        yield "\n" + _line(head[:columns])
        yield "|---" * columns + "|"
        yield from (_line(_cells(row)[:columns]) for row in step)


def _cells(row: Row) -> tuple[str, ...]:
    arrows = "→" * row.depth + "&nbsp;" * bool(row.depth)
    file = row.name.module.partition(".")[2].replace(".", "/") + ".py"
    return (
        f"{arrows}`{row.name.qualname}`",
        f"[{file}](../../marketenv/{file})",
        row.sentence.replace("``", "`"),
        "<br>".join(f"`{formula}`" for formula in row.formulas),
    )


def _line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


# --- numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Equation:
    """A formula with its numbers.

    numbers: the right side as it can be computed;   result: what the round came to
    """

    name: str
    formula: str
    numbers: str
    result: float
    unit: str = "money"

    def __str__(self) -> str:
        right = f"{self.numbers} = **{self.result:.4f}** {self.unit}"
        return f"{self.name} = `{self.formula}` = {right}"


@dataclass(frozen=True)
class Numbers:
    """The formulas with the numbers of the first agent that buys, by phase.

    m: money for a unit of loss
    """

    agent: str
    m: float
    equations: dict[str, list[Equation]]

    @classmethod
    def of(cls, namespace: Mapping[str, Any]) -> Numbers:
        """Of a round that was played; ValueError where nobody buys."""
        report, floor = namespace["report"], namespace["start"].floor
        trained, traded, scored = (report.of(kind) for kind in (Trained, Traded, Scored))
        deals = traded.trades[0].nonzero().tolist()
        if not deals:
            raise ValueError("nobody buys in this round, wanted one that buys; choose another seed")
        buyer, seller = deals[0]
        types, before = floor.types["trader"], floor.models["trader"].before
        m, cost, effort, first, loss, after = (
            float(values[0, buyer])
            for values in (
                types["money_per_loss"],
                types["effort_cost"],
                trained.effort,
                before,
                trained.loss,
                scored.loss,
            )
        )
        gain, bid, ask, price = (
            float(values[0, buyer, seller])
            for values in (traded.gain.worth, traded.bids, traded.asks, traded.prices)
        )
        value, paid, received, utility = (
            float(values[0, buyer])
            for values in (scored.value, report.paid, report.received, report.rewards)
        )
        work, fall = f"{cost:.4f} * {effort:.2f}", f"{loss:.4f} - {after:.4f}"
        middle = f"{ask:.4f} + 1/2 * ({bid:.4f} - {ask:.4f})"
        whole = f"{m:.4f} * ({first:.4f} - {after:.4f})"
        net = f"{value:.4f} + {received:.4f} - {paid:.4f} - {cost * effort:.4f}"
        return cls(
            f"trader_{buyer}",
            m,
            {
                "Train": [Equation("cost", "effort_cost * effort", work, cost * effort)],
                "Trade": [
                    Equation(
                        f"gain from trader_{seller}",
                        "L(before) - L(after)",
                        fall,
                        gain,
                        "units of loss",
                    ),
                    Equation("bid", "m * gain", f"{m:.4f} * {gain:.4f}", bid),
                    Equation("price", "ask + 1/2 * (bid - ask)", middle, price),
                ],
                "Score": [Equation("value", "m * (before - loss)", whole, value)],
                ENGINE: [Equation("utility", "value + received - paid - cost", net, utility)],
            },
        )
