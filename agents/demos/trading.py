"""The demo's first market: a tournament of scripted strategies on the parameter market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.cli.intervals import heading
from agents.demos.line_ups import (
    OUTSIDE,
    TRUTHFUL,
    DemoResults,
    below,
    differences,
    gap_picture,
    meanings,
    names_of,
    units_of,
)
from agents.papers.core.units import Unit
from marketenv.render import draw_lines, draw_network, figure, picture, table

MARKET = "parameter_trading_v0"
FIELDS = ("utility", "paid", "received", "bought", "sold", "accuracy")
# whose prices are drawn beside those of truth
PRICED = ("shade", "myerson_seller", "colluding_pair", "saboteur")
SEED = 0  # the market whose payments are shown


def units(words: Sequence[str], seeds: int, n_rounds: int) -> list[Unit]:
    """The tournament, three line-ups a unit."""
    arguments = {
        "market": MARKET,
        "words": tuple(words),
        "seeds": seeds,
        "n_rounds": n_rounds,
        "fields": FIELDS,
        "with_lines": True,
    }
    return units_of([*names_of(MARKET), OUTSIDE], 3, **arguments)


def head_of(results: DemoResults) -> tuple[str, ...]:
    """The heads of ``rows_of``."""
    gain = heading("gain over truth", differences(results.gaps()).values())
    accuracies = ("accuracy in", "accuracy out")
    return ("strategy", "utility", gain, *accuracies, "paid", "received", "bought", "sold")


def rows_of(results: DemoResults) -> list[tuple[str, ...]]:
    """One line per strategy: means over seeds of the focal agent's episode."""
    sums = {
        name: results.of_focal(results.values[name]).sum(2).mean(1)
        for name in ("utility", "paid", "received", "bought", "sold")
    }
    inside = results.of_focal(results.test_accuracy).mean(1)
    outside = inside[results.names.index(OUTSIDE)]
    gains, rows = differences(results.gaps()), []
    for k, name in enumerate(results.names):
        accuracies = ("-" if name == OUTSIDE else f"{inside[k]:.3f}", f"{outside:.3f}")
        money = [f"{sums[part][k]:.2f}" for part in ("paid", "received")]
        trades = [f"{sums[part][k]:.1f}" for part in ("bought", "sold")]
        gain = str(gains.get(name, "-"))
        rows.append((name, f"{sums['utility'][k]:.2f}", gain, *accuracies, *money, *trades))
    return rows


def prices(results: DemoResults) -> Figure:
    """The mean price of a purchase by round, a panel a strategy, with truth in grey."""
    # [line-ups, rounds]
    paid, bought = (results.values[name].sum((1, 3)) for name in ("paid", "bought"))
    with np.errstate(invalid="ignore"):
        price = dict(zip(results.names, paid / bought, strict=True))
    names = [name for name in PRICED if name in price]
    fig, panels = figure(len(names), 2.5, 2.7)
    styles = {TRUTHFUL: ("grey", "--"), **dict.fromkeys(names, ("black", "-"))}
    for axes, name in zip(panels, names, strict=True):
        lines = {TRUTHFUL: price[TRUTHFUL], name: price[name]}
        draw_lines(axes, lines, name, "round", "money a purchase", styles)
        axes.sharey(panels[0])
    return fig


def pictures(results: DemoResults) -> dict[str, tuple[Figure, str]]:
    """The report's pictures by file name: (figure, caption); only agents have colours."""
    truth, outside = results.names.index(TRUTHFUL), results.names.index(OUTSIDE)
    curves, (axes,) = figure(1, 6.5, 3.8)
    accuracy = results.values["accuracy"].mean(3)
    lines = {"in the market (all truthful)": accuracy[truth], OUTSIDE: accuracy[outside]}
    styles = dict(zip(lines, (("black", "-"), ("grey", "--")), strict=True))
    draw_lines(axes, lines, "accuracy on the broker's data", "round", "accuracy", styles)
    network, (axes,) = figure(1, 5.6, 5.2)
    which = f"seed {SEED}, all truthful"
    title = f"money paid over the episode, {which}"
    draw_network(axes, results.money[truth], results.agents, title)
    captions = {
        "accuracy": "Mean over agents and seeds; the shade holds the middle half of the seeds.",
        "prices": "All agents' purchases; a panel is named by the focal agent's strategy.",
        "network": f"Payments, {which}: arrows lead from buyer to seller; width shows money.",
    }
    figures = {"accuracy": curves, "prices": prices(results), "network": network}
    by_name = {name: (figures[name], caption) for name, caption in captions.items()}
    gains = gap_picture(results.gaps(), "gain over truth", "money an episode")
    return by_name | {"differences": gains}


def ledger(results: DemoResults) -> str:
    """Payments and cash of every round of one seed with all agents truthful, as an HTML table."""
    rows = []
    for line in results.lines:
        if line["strategy"] != TRUTHFUL or line["seed"] != SEED:
            continue
        payments = [
            f"{paid['payer']} → {paid['payee']} {paid['money']:.3f}" for paid in line["payments"]
        ]
        cash = [line["agents"][agent]["cash"] for agent in results.agents]
        purses = ["no limit" if money is None else f"{money:.3f}" for money in cash]
        rows.append((line["round"], "; ".join(payments) or "no trade", *purses))
    heads = [f"{agent} cash, money" for agent in results.agents]
    return table(("round", "payments, money", *heads), rows)


def sections(
    results: DemoResults, pictures_by_name: dict[str, tuple[Any, str]]
) -> list[tuple[str, str]]:
    """The report's sections of this market as (heading, HTML)."""
    tables = (
        table(head_of(results), rows_of(results))
        + below(results.gaps())
        + meanings(results.names)
        + picture(*pictures_by_name["differences"])
    )
    return [
        (f"Strategies against {len(results.agents) - 1} truthful agents", tables),
        ("Accuracy in and out of the market", picture(*pictures_by_name["accuracy"])),
        ("Prices over rounds", picture(*pictures_by_name["prices"])),
        ("Who bought from whom", picture(*pictures_by_name["network"])),
        (f"Ledger of seed {SEED}, all truthful", ledger(results)),
    ]
