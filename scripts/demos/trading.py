"""The demo's first market: a tournament of scripted strategies on the parameter market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from marketenv.render import draw_lines, draw_network, figure, picture, table
from scripts.demos.line_ups import (
    OUTSIDE,
    TRUTHFUL,
    Played,
    below,
    differences,
    gap_picture,
    names_of,
    units_of,
)
from scripts.intervals import heading
from scripts.units import Unit

MARKET = "parameter_trading_v0"
FIELDS = ("utility", "paid", "received", "bought", "sold", "accuracy")
# whose prices are drawn beside those of truth
PRICED = ("shade", "myerson_seller", "colluding_pair", "saboteur")
SEED = 0  # the market whose payments are shown


def units(words: Sequence[str], seeds: int, n_rounds: int) -> list[Unit]:
    """The tournament, three line-ups a unit."""
    given = {
        "market": MARKET,
        "words": tuple(words),
        "seeds": seeds,
        "n_rounds": n_rounds,
        "fields": FIELDS,
        "told": True,
    }
    return units_of([*names_of(MARKET), OUTSIDE], 3, **given)


def head_of(played: Played) -> tuple[str, ...]:
    """The heads of ``rows_of``."""
    less = heading("less truthful", differences(played.gaps()).values())
    return (
        "strategy",
        "utility",
        less,
        "accuracy in",
        "accuracy out",
        "paid",
        "earned",
        "bought",
        "sold",
    )


def rows_of(played: Played) -> list[tuple[str, ...]]:
    """One line per strategy: means over seeds of the focal agent's episode."""
    sums = {
        f: played.of_focal(played.values[f]).sum(2).mean(1)
        for f in ("utility", "paid", "received", "bought", "sold")
    }
    inside = played.of_focal(played.test_accuracy).mean(1)
    outside = inside[played.names.index(OUTSIDE)]
    gaps = differences(played.gaps())
    return [
        (
            name,
            f"{sums['utility'][k]:.2f}",
            str(gaps.get(name, "-")),
            "-" if name == OUTSIDE else f"{inside[k]:.3f}",
            f"{outside:.3f}",
            *(f"{sums[f][k]:.2f}" for f in ("paid", "received")),
            *(f"{sums[f][k]:.1f}" for f in ("bought", "sold")),
        )
        for k, name in enumerate(played.names)
    ]


def prices(played: Played) -> Figure:
    """The mean price of a purchase over rounds, one panel a strategy, truth in grey in all of
    them.
    """
    # [line-ups, rounds]
    paid, bought = (played.values[name].sum((1, 3)) for name in ("paid", "bought"))
    with np.errstate(invalid="ignore"):
        price = dict(zip(played.names, paid / bought, strict=True))
    shown = [name for name in PRICED if name in price]
    fig, panels = figure(len(shown), 2.5, 2.7)
    styles = {TRUTHFUL: ("grey", "--"), **dict.fromkeys(shown, ("black", "-"))}
    for axes, name in zip(panels, shown, strict=True):
        draw_lines(
            axes,
            {TRUTHFUL: price[TRUTHFUL], name: price[name]},
            name,
            "round",
            "money a purchase",
            styles,
        )
        axes.sharey(panels[0])
    return fig


def pictures(played: Played) -> dict[str, tuple[Figure, str]]:
    """The report's pictures by file name: (figure, caption). A colour means an agent; all else
    is black and grey.
    """
    truth, outside = played.names.index(TRUTHFUL), played.names.index(OUTSIDE)
    curves, accuracy = figure(1, 6.5, 3.8), played.values["accuracy"].mean(3)
    inside = {"in the market (all truthful)": accuracy[truth], OUTSIDE: accuracy[outside]}
    styles = dict(zip(inside, (("black", "-"), ("grey", "--")), strict=True))
    draw_lines(curves[1][0], inside, "accuracy on the broker's data", "round", "accuracy", styles)
    network = figure(1, 5.6, 5.2)
    which = f"seed {SEED}, all truthful"
    draw_network(
        network[1][0], played.money[truth], played.agents, f"money paid over the episode, {which}"
    )
    return {
        "accuracy": (
            curves[0],
            "Mean over agents and seeds; the shade holds the middle half of the seeds.",
        ),
        "prices": (
            prices(played),
            "All agents' purchases; a panel's line-up is named by the focal agent's strategy.",
        ),
        "network": (
            network[0],
            f"Who bought from whom, {which}: arrows lead from buyer to seller, the width is money.",
        ),
        "differences": gap_picture(
            played.gaps(), "utility less that of truth", "money per episode"
        ),
    }


def ledger(played: Played) -> str:
    """Payments and cash of every round of one seed with all agents truthful, as an HTML table."""
    rows = []
    for line in (
        line for line in played.lines if line["strategy"] == TRUTHFUL and line["seed"] == SEED
    ):
        payments = [
            f"{paid['payer']} → {paid['payee']} {paid['money']:.3f}" for paid in line["payments"]
        ]
        cash = (line["agents"][agent]["cash"] for agent in played.agents)
        rows.append(
            (
                line["round"],
                "; ".join(payments) or "no trade",
                *("no limit" if c is None else f"{c:.3f}" for c in cash),
            )
        )
    return table(("round", "payments", *(f"{agent} cash" for agent in played.agents)), rows)


def sections(played: Played, drawn: dict[str, tuple[Any, str]]) -> list[tuple[str, str]]:
    """The report's sections of this market as (heading, HTML)."""
    tables = (
        table(head_of(played), rows_of(played))
        + below(played.gaps())
        + picture(*drawn["differences"])
    )
    return [
        (f"Strategies against {len(played.agents) - 1} truthful agents", tables),
        ("Accuracy in and out of the market", picture(*drawn["accuracy"])),
        ("Prices over rounds", picture(*drawn["prices"])),
        ("Who bought from whom", picture(*drawn["network"])),
        (f"Ledger of seed {SEED}, all truthful", ledger(played)),
    ]
