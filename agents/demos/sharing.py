"""The demo's second market: ten clients with uneven digits share models under several schemes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.cli.intervals import heading
from agents.demos.line_ups import (
    TRUTHFUL,
    DemoResults,
    below,
    differences,
    gap_picture,
    joined,
    meanings,
    names_of,
    units_of,
)
from agents.papers.core.units import Unit
from marketenv.markets.model_sharing.schemes import SCHEMES
from marketenv.render import draw_network, figure, picture, table

MARKET = "model_sharing_v0"
FIELDS = ("utility", "bought", "sold", "loss")
STRENGTH = "strength=2.0"  # lambda
SCHEME_SEEDS = 2  # at most, of the schemes, whose part is to take seconds
LIAR_ROUNDS = 5  # at most, of the liars: with all seeds
SEED = 0  # the market whose payments are shown
SCHEME_HEAD = (
    "scheme",
    "test accuracy, last",
    "summed utility a round",
    "models passed on a round",
)


def units(seeds: int, n_rounds: int) -> tuple[list[Unit], list[Unit]]:
    """Every scheme with truthful clients, and the paper's market with one liar."""
    few, short = min(seeds, SCHEME_SEEDS), min(n_rounds, LIAR_ROUNDS)
    arguments = {"market": MARKET, "fields": FIELDS, "with_lines": False}
    schemes = []
    for name in SCHEMES:
        words = (STRENGTH, f"scheme={name}")
        schemes += units_of((TRUTHFUL,), 1, **arguments, words=words, seeds=few, n_rounds=n_rounds)
    liars = units_of(
        names_of(MARKET), 4, **arguments, words=(STRENGTH,), seeds=seeds, n_rounds=short
    )
    return schemes, liars


def schemes_of(results: list[Mapping[str, Any]]) -> dict[str, DemoResults]:
    """Results by scheme."""
    return {name: joined([result]) for name, result in zip(SCHEMES, results, strict=True)}


def scheme_rows(schemes: Mapping[str, DemoResults]) -> list[tuple[str, ...]]:
    """One line a scheme: means over seeds."""
    rows = []
    for name, results in schemes.items():
        sums = [results.values[field].sum(3).mean() for field in ("utility", "bought")]
        numbers = (results.test_accuracy.mean(), *sums)
        rows.append((name, *(f"{number:.3f}" for number in numbers)))
    return rows


def liar_head(results: DemoResults) -> tuple[str, ...]:
    """The heads of ``liar_rows``."""
    gain = heading("gain over truth", differences(results.gaps()).values())
    return ("one client", "earned a round", gain, "sales a round", "loss of the others")


def liar_rows(results: DemoResults) -> list[tuple[str, ...]]:
    """One line a strategy: the focal client's round, and the loss of the others' models."""
    n_rounds, n = results.values["reward"].shape[2:]
    earned, sales, own = (
        results.of_focal(results.values[name]).mean((1, 2)) for name in ("reward", "sold", "loss")
    )
    others = (results.values["loss"].mean((1, 2)).sum(1) - own) / (n - 1)
    gains = differences({name: row / n_rounds for name, row in results.gaps().items()})
    return [
        (name, f"{earned[k]:.2f}", str(gains.get(name, "-")), f"{sales[k]:.2f}", f"{others[k]:.3f}")
        for k, name in enumerate(results.names)
    ]


def sections(schemes: Mapping[str, DemoResults], liars: DemoResults) -> list[tuple[str, str]]:
    """The report's sections of this market as (heading, HTML)."""
    ipfl = schemes["ipfl"]
    _, few, n_rounds, n = ipfl.values["utility"].shape
    _, seeds, short, _ = liars.values["utility"].shape
    about_schemes = (
        f"{n} clients own digits; a Dirichlet distribution of 0.1 deals them out. Means over {few}"
        f" seeds and {n_rounds} rounds; so few seeds do not rank schemes. Test data are weighted by"
        " each client's own labels. Only iPFL has money; every copy of a model costs its owner."
    )
    which, (network, (axes,)) = f"iPFL, seed {SEED}, {n_rounds} rounds", figure(1, 6.8, 6.4)
    draw_network(axes, ipfl.money[0], ipfl.agents, f"money paid for models: {which}")
    payments = picture(
        network,
        f"Payments for models: {which}. Arrows lead from buyer to seller; width shows money.",
    )
    gaps = {name: row / short for name, row in liars.gaps().items()}
    fig, caption = gap_picture(gaps, "a client's gain over truth", "money a round")
    about_liars = (
        f"Means over {seeds} seeds and {short} rounds; earnings are money. The clients take turns:"
        " one plays the strategy of the line, all others are truthful. Earnings are utility less"
        " the cost of effort. Liars report false costs, samples or need; attackers upload another"
        " model than the trained one."
    )
    scheme_table = table(SCHEME_HEAD, scheme_rows(schemes))
    liar_table = table(liar_head(liars), liar_rows(liars)) + below(gaps) + meanings(liars.names)
    return [
        (
            "Model sharing: the paper's market and others",
            scheme_table + f'<p class="note">{about_schemes}</p>' + payments,
        ),
        (
            "Model sharing: liars and attackers",
            liar_table
            + meanings(liars.names)
            + f'<p class="note">{about_liars}</p>'
            + picture(fig, caption),
        ),
    ]
